"""Images with points: simulated lattices and nanoparticles, and the user's images beside CSV files of y, x, class."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError
from applications.datasets.csv_files import CsvFile, number, read_csv
from applications.datasets.data import BOX_NAMES, FRACTIONS, POINT_NAMES, Datasets, Progress, source
from applications.datasets.groups import read_group_file
from applications.datasets.loading import BadFiles, load_readable, relative_name
from applications.datasets.masks import by_stem, folder_pairs
from applications.datasets.pixels import to_channels, value_range
from applications.datasets.readers import BadFileError, plain
from applications.datasets.splits import ALL_TEST, check_fractions, complete_splits, split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

POINT_FOLDERS = ("points", "point", "labels", "label", "annotations")
Y_NAMES, X_NAMES, CLASS_NAMES = ("y", "row"), ("x", "column", "col"), ("class", "label", "type", "species")
GROUND = "ground"


@dataclass(frozen=True, eq=False)
class PointImages(Datasets):
    """Images and points in them; `masks` are discs around them, once `with_discs` has drawn them.

    Attributes:
        points: one `(n, 2)` float64 array per image: y and x in pixels, counted from the middle of the first one.
        point_classes: one `(n,)` int64 array per image of numbers in `class_names`, from 1 on (0 is the ground).
        pixel_size: picometres per pixel, or None where it is not known.
        spacing: distance of nearest neighbours in the training images in pixels, once it is known.
    """

    points: tuple[np.ndarray, ...] = ()
    point_classes: tuple[np.ndarray, ...] = ()
    pixel_size: float | None = None
    spacing: float | None = None

    def __post_init__(self):
        if not self.fingerprint:
            super().__post_init__()
            points = [array.tolist() for arrays in (self.points, self.point_classes) for array in arrays]
            mixed = hashlib.sha256(repr((self.fingerprint, points)).encode()).hexdigest()[:16]
            object.__setattr__(self, "fingerprint", mixed)

    def about(self) -> dict:
        return {**super().about(), "pixel_size": self.pixel_size}


def with_discs(datasets: PointImages, radius: float) -> PointImages:
    """Returns the data with a disc around each point as the masks a network learns."""
    from kerazoo.detection.points import draw_discs

    drawn = [
        draw_discs(points, classes, image.shape[:2], radius)
        for image, points, classes in zip(datasets.images, datasets.points, datasets.point_classes, strict=True)
    ]
    return dataclasses.replace(datasets, masks=ImageStore.from_arrays(drawn))


def load_points(
    data: str,
    *,
    pixel_size: float | None = None,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    cache_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> PointImages:
    """Loads images with points; sizes may differ from image to image.

    Args:
        data: `lattices` or `nanoparticles` (embedded simulators), or a folder with `images/` and `points/` (alone or
            inside `train/`, `val/`, `test/`): a CSV file per image, of the same name, with the columns `y`, `x` and, if
            there is more than one class, `class`. A file without rows says that there is no point.
        pixel_size: picometres per pixel of the user's images, where they are known.
        channels, fractions, seed, on_bad_file, data_dir, cache_dir, progress: as in `load_classification`.
        options: of the simulators: `images`, `seed` and the fields of `LatticeParameters` or `HrtemParameters`.

    Raises:
        UserError: one sentence for the user.
    """
    check_fractions(fractions)
    common = {"fractions": fractions, "seed": seed, "channels": channels}
    kind = source(data, POINT_NAMES, BOX_NAMES, "atom finding")
    if kind in POINT_NAMES:
        if pixel_size is not None:
            raise UserError(f"pixel_size: that of {kind!r} is set by --data-options.pixel_size, in angstrom.")
        return _simulated(kind, data_dir=data_dir, options=options, progress=progress, **common)
    if kind == "tfds":
        raise UserError("atom-finding reads no TFDS data set; give a folder with images/ and points/.")
    root = Path(data).expanduser()
    return _own(root, pixel_size, on_bad_file=on_bad_file, cache_dir=cache_dir, progress=progress, **common)


def _simulated(kind: str, *, data_dir, options, fractions, seed, channels, progress) -> PointImages:
    import numpy as np

    from applications.datasets.embedded.lattices import Lattices
    from applications.datasets.embedded.nanoparticles import Nanoparticles
    from applications.datasets.embedded.prepare import prepare
    from applications.datasets.simulators.lattices import FOREIGN, LATTICES
    from applications.datasets.sources import read_examples

    simulated = Lattices if kind == "lattices" else Nanoparticles
    builder = prepare(simulated, data_dir, simulated.config(options), progress)
    parameters: Any = builder.builder_config.parameters
    examples = list(read_examples(builder, "train"))
    images = ImageStore.from_arrays([to_channels(example["image"], channels or 1) for example in examples])
    own = LATTICES[parameters.lattice].names if kind == "lattices" else ("column",)
    foreign = (FOREIGN,) if kind == "lattices" and parameters.foreign else ()
    return PointImages(
        name=kind,
        description=simulated.description,
        images=images,
        split=split_indices(len(images), fractions=fractions, seed=seed),
        class_names=(GROUND, *own, *foreign),
        ids=tuple(map(str, range(len(images)))),
        value_range=value_range(images.dtype),
        points=tuple(np.asarray(example["points"], np.float64) for example in examples),
        point_classes=tuple(np.asarray(example["classes"], np.int64) + 1 for example in examples),
        pixel_size=100 * parameters.pixel_size,
    )


def _own(root: Path, pixel_size, *, channels, fractions, seed, on_bad_file, cache_dir, progress) -> PointImages:
    """Reads the user's images and points."""
    import numpy as np

    bad = BadFiles(on_bad_file, root)
    files = _pairs(root, bad)
    names = [relative_name(image, root) for image, _, _ in files]
    images, kept, _ = load_readable(
        [image for image, _, _ in files],
        names,
        bad,
        channels=channels,
        size=None,
        same_size=False,
        cache_dir=cache_dir,
        progress=progress,
        none_left=f"None of the images in {str(root)!r} can be read.",
    )
    rows, good = [], []
    for place, index in enumerate(kept):
        try:
            rows.append(_read_points(files[index][1], images.shapes[place][:2]))
            good.append(place)
        except BadFileError as error:
            bad.add(error)
    if not any(len(points) for points, _ in rows):
        raise UserError(f"The files of {str(root)!r} hold no point; there is nothing to learn.")
    classes = sorted({kind for _, kinds in rows for kind in kinds})
    kept, images = [kept[place] for place in good], images.select(good)
    ids = [names[index] for index in kept]
    groups = read_group_file(root, ids)
    split, remarks = _split([files[index][2] for index in kept], fractions, seed, groups)
    return PointImages(
        name=root.resolve().name,
        description=f"The user's own images and points from {str(root)!r}.",
        images=images,
        split=split,
        class_names=(GROUND, *classes),
        ids=tuple(ids),
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=tuple(remarks),
        points=tuple(points for points, _ in rows),
        point_classes=tuple(np.array([classes.index(kind) + 1 for kind in kinds], np.int64) for _, kinds in rows),
        pixel_size=pixel_size,
    )


def _pairs(root: Path, bad: BadFiles) -> list[tuple[Path, Path, str | None]]:
    """Returns images, their CSV files, and their split."""
    found: list[tuple[Path, Path, str | None]] = []
    for images, points, part in folder_pairs(root, POINT_FOLDERS):
        tables = {plain(p.relative_to(points).with_suffix("").as_posix()).casefold(): p for p in points.rglob("*.csv")}
        stems = by_stem(images)
        for key in sorted(tables.keys() - stems.keys()):
            bad.add(BadFileError(tables[key], "these points have no image of the same name"))
        for key in sorted(stems.keys() - tables.keys()):
            bad.add(BadFileError(stems[key], f"it has no CSV file of the same name in {points.name!r}"))
        found += [(image, tables[key], part) for key, image in stems.items() if key in tables]
    if not found:
        raise UserError(f"Folder {str(root)!r} holds no image with points.")
    return found


def _read_points(path: Path, size: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Reads y, x and class of the points of one image.

    Raises:
        BadFileError: a column is missing, a number is none, or a point lies outside the image.
    """
    import numpy as np

    lines = [line for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines() if line.strip()]
    if len(lines) == 1:  # names of columns alone: no point
        return np.zeros((0, 2)), []
    try:
        file = read_csv(path)
    except UserError as error:
        raise BadFileError(path, str(error)) from None
    columns = [_column(file, names) for names in (Y_NAMES, X_NAMES, CLASS_NAMES)]
    if columns[0] is None or columns[1] is None:
        raise BadFileError(path, f"it needs the columns y and x, it has {', '.join(file.names)}")
    ys, xs = (file.column(name) for name in columns[:2] if name is not None)
    kinds = ["point"] * len(ys) if columns[2] is None else file.column(columns[2])
    height, width = (int(n) for n in size)
    points = np.zeros((len(ys), 2))
    for row, (cells, kind, line) in enumerate(zip(zip(ys, xs, strict=True), kinds, file.lines, strict=True)):
        values = [None if cell is None else number(cell, file.decimal) for cell in cells]
        if None in values or not kind:
            raise BadFileError(
                path, f"line {line} needs two numbers, y and x, and a class where there is such a column"
            )
        points[row] = values
        if not (-0.5 <= points[row, 0] <= height - 0.5 and -0.5 <= points[row, 1] <= width - 0.5):
            raise BadFileError(
                path,
                f"line {line}: y = {points[row, 0]:g}, x = {points[row, 1]:g} lies outside the image of {height} rows "
                f"and {width} columns; points are in pixels, and y comes first",
            )
    return points, [str(kind) for kind in kinds]


def _column(file: CsvFile, names: tuple[str, ...]) -> str | None:
    return next((name for name in file.names if name.strip().lower() in names), None)


def _split(parts, fractions, seed, groups):
    """Returns the split of the folders, or our own, and a sentence where something had to be cut."""
    import numpy as np

    if parts[0] is None:
        return split_indices(len(parts), fractions=fractions, seed=seed, groups=groups), []
    given = {name: np.flatnonzero(np.array(parts) == name) for name in ("train", "val", "test") if name in parts}
    if "train" not in given and fractions != ALL_TEST:
        raise UserError("The folder 'train' holds no image that can be used.")
    return complete_splits(given, len(parts), fractions=fractions, seed=seed, groups=groups)
