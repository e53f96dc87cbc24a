"""Pictures with captions: simulated shapes, and the user's images beside a CSV file of file,caption."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from applications.core.errors import UserError
from applications.datasets.csv_files import named_file, read_csv
from applications.datasets.data import CAPTION_NAMES, FRACTIONS, Datasets, Progress
from applications.datasets.embedded.options import changed_options
from applications.datasets.loading import BadFiles, load_readable
from applications.datasets.pixels import value_range
from applications.datasets.sources import square
from applications.datasets.splits import check_fractions, split_indices
from applications.datasets.store import ImageStore
from applications.datasets.valued_images import file_names

CAPTION_COLUMNS = ("caption", "text", "description", "title")
NUM_SHAPE_IMAGES = 8000


@dataclass(frozen=True, eq=False)
class CaptionedImages(Datasets):
    """Pictures and what is to be seen on them.

    Attributes:
        captions: one per picture.
        simulated: whether the captions are those of `simulators.shapes`, so that drawn pictures can be read.
        vocabulary: words of the training captions in the order of their token numbers, once they are known.
        length: tokens of the longest training caption, its end included, once it is known.
    """

    captions: tuple[str, ...] = ()
    simulated: bool = False
    vocabulary: tuple[str, ...] = ()
    length: int = 0

    def __post_init__(self):
        if not self.fingerprint:
            super().__post_init__()
            mixed = hashlib.sha256(repr((self.fingerprint, self.captions)).encode()).hexdigest()[:16]
            object.__setattr__(self, "fingerprint", mixed)


def load_captioned(
    data: str,
    *,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    cache_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> CaptionedImages:
    """Loads pictures with a caption each. Pictures of one caption are all in one part of the split.

    Args:
        data: `shapes` (embedded simulator), a CSV file, or a folder with one. The file has a line of names on top, a
            column of image files relative to its folder (named `file`, or the first one), and one of captions (named
            `caption`, or the only other one).
        image_size, channels, fractions, seed, on_bad_file, cache_dir, progress: as in `load_classification`.
        data_dir: not used; nothing is prepared.
        options: of `shapes`: `images`, `seed` and the fields of `ShapeParameters`.

    Raises:
        UserError: one sentence for the user.
    """
    check_fractions(fractions)
    if data in CAPTION_NAMES:
        return _shapes(image_size, fractions, seed, dict(options or {}))
    path = named_file(data, CAPTION_NAMES, "data set")
    root, file = path.parent, read_csv(path)
    names, warnings = file_names(file, root)
    others = [name for name in file.names if [c and c.replace("\\", "/") for c in file.column(name)] != names]
    column = next((name for name in others if name.lower() in CAPTION_COLUMNS), others[0] if len(others) == 1 else None)
    if column is None:
        raise UserError(f"File {str(path)!r} needs one column named `caption`; it has {', '.join(file.names)}.")
    cells = [None if cell is None or not words_of(cell) else cell for cell in file.column(column)]
    rows = [row for row, cell in enumerate(cells) if cell is not None]
    if len(rows) < len(names):
        warnings.append(f"{len(names) - len(rows)} images without a caption were left out.")
    bad = BadFiles(on_bad_file, root)
    images, kept, remarks = load_readable(
        [root / names[row] for row in rows],
        [names[row] for row in rows],
        bad,
        channels=channels,
        size=None if image_size is None else square(image_size),
        cache_dir=cache_dir,
        progress=progress,
        none_left=f"None of the images that {str(path)!r} names can be read.",
    )
    captions = [str(cells[rows[index]]) for index in kept]
    return CaptionedImages(
        name=path.stem if path.stem not in ("captions", "values") else root.resolve().name,
        description=f"The user's own images and captions from {str(path)!r}.",
        images=images,
        split=split_indices(len(kept), fractions=fractions, seed=seed, groups=_numbers(captions)),
        class_names=(),
        ids=tuple(names[rows[index]] for index in kept),
        captions=tuple(captions),
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*file.warnings, *warnings, *remarks),
    )


def words_of(caption: str) -> list[str]:
    """Returns the words of a caption in lower case, without punctuation marks."""
    marks = dict.fromkeys(map(ord, '.,;:!?"()[]'), " ")
    return caption.lower().translate(marks).split()


def _numbers(keys: list[str]) -> list[int]:
    """Returns a number for each key, the same for equal ones."""
    known: dict[str, int] = {}
    return [known.setdefault(" ".join(words_of(key)), len(known)) for key in keys]


def _shapes(image_size: Any, fractions: tuple[float, float, float], seed: int, options: dict) -> CaptionedImages:
    """Simulates shapes in memory. What is left of what in one caption, seen from the other side, is the same scene: no
    scene of a part of the split is in another one."""
    import numpy as np

    from applications.datasets.simulators.shapes import SCENES, ShapeParameters, simulate_shapes

    own = {"images": NUM_SHAPE_IMAGES, "seed": 0}
    drawn = own | changed_options("shapes", options, own, ShapeParameters)
    count, first = drawn.pop("images"), drawn.pop("seed")
    if image_size is not None:
        drawn["size"] = square(image_size)[0]
    try:
        parameters = ShapeParameters(**drawn)
        chosen = np.random.default_rng((first, count)).integers(len(SCENES), size=count)
        scenes = [SCENES[number] for number in chosen]
        images = [simulate_shapes(scene, parameters, (first, index)) for index, scene in enumerate(scenes)]
    except (TypeError, ValueError) as error:
        raise UserError(f"Data set 'shapes' cannot be simulated: {error}") from error
    return CaptionedImages(
        name="shapes",
        description="Simulated pictures of two coloured shapes, with captions.",
        images=ImageStore.from_arrays(images),
        split=split_indices(
            count, fractions=fractions, seed=seed, groups=_numbers([s.in_order.caption for s in scenes])
        ),
        class_names=(),
        ids=tuple(map(str, range(count))),
        captions=tuple(scene.caption for scene in scenes),
        simulated=True,
    )
