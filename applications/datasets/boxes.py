"""Images with boxes around objects: the simulated scenes, COCO JSON, and YOLO text files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError
from applications.datasets.box_files import Labelled, find_labelled
from applications.datasets.data import BOX_NAMES, FRACTIONS, SEGMENTATION_NAMES, Datasets, Progress, source
from applications.datasets.groups import read_group_file
from applications.datasets.loading import BadFiles, load_readable
from applications.datasets.pixels import to_channels, value_range
from applications.datasets.readers import BadFileError
from applications.datasets.splits import ALL_TEST, check_fractions, complete_splits, split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class BoxedImages(Datasets):
    """Images and the boxes around their objects.

    Attributes:
        boxes: one `(n, 4)` float64 array per image: left, top, right, bottom in pixels, inside the image.
        box_classes: one `(n,)` int64 array of class numbers per image.
        crowds: one `(n,)` bool array per image: whether a box stands for a crowd of objects.
    """

    boxes: tuple[np.ndarray, ...] = ()
    box_classes: tuple[np.ndarray, ...] = ()
    crowds: tuple[np.ndarray, ...] = ()

    def __post_init__(self):
        if not self.fingerprint:
            super().__post_init__()
            objects = [a.tolist() for arrays in (self.boxes, self.box_classes, self.crowds) for a in arrays]
            mixed = hashlib.sha256(repr((self.fingerprint, objects)).encode()).hexdigest()[:16]
            object.__setattr__(self, "fingerprint", mixed)


def load_boxes(
    data: str,
    *,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    cache_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> BoxedImages:
    """Loads images with boxes; sizes may differ from image to image.

    Args:
        data: `scenes` (embedded simulator), a COCO JSON file or a folder with one (images beside it or below; several
            files whose names hold train, val and test), or a folder with `images/` and `labels/` in YOLO's text
            format, alone or inside `train/`, `val/`, `test/`, and `classes.txt` or `data.yaml` with the names.
        channels, fractions, seed, on_bad_file, data_dir, cache_dir, progress: as in `load_classification`.
        options: of `scenes`: `images`, `seed` and the fields of `SceneParameters`.

    Raises:
        UserError: one sentence for the user.
    """
    check_fractions(fractions)
    common = {"fractions": fractions, "seed": seed, "channels": channels}
    path = Path(data).expanduser()
    if path.suffix.lower() != ".json" and source(data, BOX_NAMES, SEGMENTATION_NAMES, "object detection") == "scenes":
        return _scenes(data_dir=data_dir, options=options, progress=progress, **common)
    if data.startswith("tfds:"):
        raise UserError("object-detection reads no TFDS data set; save its boxes as COCO JSON.")
    if not path.exists():
        raise UserError(f"COCO file {data!r} does not exist.")
    return _own(path, on_bad_file=on_bad_file, cache_dir=cache_dir, progress=progress, **common)


def _scenes(*, data_dir, options, fractions, seed, channels, progress) -> BoxedImages:
    import numpy as np

    from applications.datasets.embedded.prepare import prepare
    from applications.datasets.embedded.scenes import DESCRIPTION, Scenes
    from applications.datasets.simulators.scenes import KINDS
    from applications.datasets.sources import read_examples

    examples = list(read_examples(prepare(Scenes, data_dir, Scenes.config(options), progress), "train"))
    images = ImageStore.from_arrays([to_channels(example["image"], channels or 1) for example in examples])
    return BoxedImages(
        name="scenes",
        description=DESCRIPTION,
        images=images,
        split=split_indices(len(images), fractions=fractions, seed=seed),
        class_names=KINDS,
        ids=tuple(map(str, range(len(images)))),
        value_range=value_range(images.dtype),
        boxes=tuple(np.asarray(example["boxes"], np.float64) for example in examples),
        box_classes=tuple(np.asarray(example["classes"], np.int64) for example in examples),
        crowds=tuple(np.zeros(len(example["boxes"]), bool) for example in examples),
    )


def _own(path: Path, *, channels, fractions, seed, on_bad_file, cache_dir, progress) -> BoxedImages:
    """Reads the user's images and boxes."""
    root = path if path.is_dir() else path.parent
    bad = BadFiles(on_bad_file, root)
    labelled, class_names, warnings = find_labelled(path, bad)
    images, kept, _ = load_readable(
        [entry.image for entry in labelled],
        [entry.name for entry in labelled],
        bad,
        channels=channels,
        size=None,
        same_size=False,
        cache_dir=cache_dir,
        progress=progress,
        none_left=f"None of the images of {str(path)!r} can be read.",
    )
    rows = [labelled[index] for index in kept]
    good, boxes, remarks = _inside(rows, images, bad)
    rows, images = [rows[index] for index in good], images.select(good)
    if not any(len(found) for found in boxes):
        raise UserError(f"{str(path)!r} has no box on any image; there is nothing to learn.")
    ids = [row.name for row in rows]
    groups = read_group_file(root, ids)
    split, cut = _split(rows, fractions, seed, groups)
    return BoxedImages(
        name=root.resolve().name,
        description=f"The user's own images and boxes from {str(path)!r}.",
        images=images,
        split=split,
        class_names=class_names,
        ids=tuple(ids),
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*warnings, *remarks, *cut),
        boxes=tuple(boxes),
        box_classes=tuple(row.classes for row in rows),
        crowds=tuple(row.crowds for row in rows),
    )


def _inside(
    rows: Sequence[Labelled], images: ImageStore, bad: BadFiles
) -> tuple[list[int], list[np.ndarray], list[str]]:
    """Cuts boxes to their images. A box that lies beside its image altogether says that something is wrong with it.

    Returns:
        Places of the good images, their boxes, and a sentence about boxes that were cut.
    """
    import numpy as np

    good, kept, cut, example = [], [], 0, ""
    for place, row in enumerate(rows):
        height, width = (int(n) for n in images.shapes[place][:2])
        boxes = row.boxes * ((width, height) * 2) if row.relative else row.boxes
        inside = np.clip(boxes, 0, [width, height, width, height])
        empty = np.flatnonzero(((inside[:, 2:] - inside[:, :2]) <= 0).any(axis=1))
        if len(empty):
            left, top, right, bottom = boxes[empty[0]]
            bad.add(
                BadFileError(
                    row.image,
                    f"its box from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) has no area inside the image of "
                    f"{width} x {height} pixels (width x height)",
                )
            )
            continue
        over = int((abs(inside - boxes) > 0.5).any(axis=1).sum())
        cut, example = cut + over, example or (row.name if over else "")
        good.append(place)
        kept.append(inside)
    remarks = [f"{cut} boxes reached beyond their image and were cut to it (first in {example!r})."] if cut else []
    return good, kept, remarks


def _split(rows: Sequence[Labelled], fractions, seed, groups):
    """Returns the split of the files, or our own, and a sentence where something had to be cut."""
    import numpy as np

    if rows[0].split is None:
        return split_indices(len(rows), fractions=fractions, seed=seed, groups=groups), []
    parts = np.array([row.split for row in rows])
    given = {name: np.flatnonzero(parts == name) for name in ("train", "val", "test") if (parts == name).any()}
    if "train" not in given and fractions != ALL_TEST:
        raise UserError("The part 'train' holds no image that can be used.")
    return complete_splits(given, len(rows), fractions=fractions, seed=seed, groups=groups)
