"""Images with numbers: the simulated beads, and the user's images beside a CSV file of file,value,..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError, nearest
from applications.datasets.csv_files import CsvFile, number, read_csv
from applications.datasets.data import FRACTIONS, IMAGE_REGRESSION_NAMES, Datasets, Progress
from applications.datasets.embedded.options import changed_options
from applications.datasets.groups import GROUP_FILE, read_group_file
from applications.datasets.loading import BadFiles, load_readable
from applications.datasets.pixels import resize, to_channels, value_range
from applications.datasets.readers import SUFFIXES, list_images
from applications.datasets.sources import square
from applications.datasets.splits import check_fractions, split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

FILE_COLUMNS = ("file", "filename", "file name", "image", "path")
NUM_BEAD_IMAGES = 1000


def load_image_regression(
    data: str,
    *,
    targets: Sequence[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    cache_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> Datasets:
    """Loads images with one or more numbers each.

    Args:
        data: `beads` (embedded simulator), a CSV file, or a folder with one. The file has a line of names on top, a
            column of image files relative to its folder (named `file`, or the first one), and columns of numbers.
        targets: columns to predict, default `blur` of the beads, all numbers of a CSV file.
        image_size, channels, fractions, seed, on_bad_file, cache_dir, progress: as in `load_classification`. A file
            that does not exist counts as one that cannot be read.
        data_dir: not used; nothing is prepared.
        options: of `beads`: `images`, `seed` and the fields of `BeadParameters`.

    Returns:
        The data set with `targets`.

    Raises:
        UserError: one sentence for the user.
    """
    check_fractions(fractions)
    if data in IMAGE_REGRESSION_NAMES:
        return _beads(targets, image_size, channels, fractions, seed, dict(options or {}))
    path = _csv_path(data)
    root, file = path.parent, read_csv(path)
    names, warnings = file_names(file, root)
    values, target_names, remarks = _values(file, targets, names)
    rows = [row for row in range(len(names)) if all(column[row] is not None for column in values)]
    if len(rows) < len(names):
        warnings.append(f"{len(names) - len(rows)} images without a value were left out.")
    bad = BadFiles(on_bad_file, root)
    images, kept, resized = load_readable(
        [root / names[row] for row in rows],
        [names[row] for row in rows],
        bad,
        channels=channels,
        size=None if image_size is None else square(image_size),
        cache_dir=cache_dir,
        progress=progress,
        none_left=f"None of the images that {str(path)!r} names can be read.",
    )
    ids = [names[rows[index]] for index in kept]
    groups = read_group_file(root, ids)
    return Datasets(
        name=path.stem if path.stem not in ("values", "targets") else root.resolve().name,
        description=f"The user's own images and values from {str(path)!r}.",
        images=images,
        split=split_indices(len(ids), fractions=fractions, seed=seed, groups=groups),
        class_names=(),
        ids=tuple(ids),
        targets=_as_array([[column[rows[index]] for column in values] for index in kept], target_names, path),
        target_names=target_names,
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*file.warnings, *warnings, *remarks, *resized),
    )


def _csv_path(data: str) -> Path:
    path = Path(data).expanduser()
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() == ".csv" and p.name != GROUP_FILE)
        if len(found) != 1:
            raise UserError(
                f"Folder {data!r} holds {len(found)} CSV files; one is needed with a line per image: its file and its "
                "value (with several, name the file)."
            )
        return found[0]
    if not path.exists() and len(path.parts) == 1 and not path.suffix:
        raise UserError(
            f"Unknown data {data!r}: neither an embedded data set ({', '.join(IMAGE_REGRESSION_NAMES)}), nor a CSV "
            f"file, nor a folder that exists.{nearest(data, IMAGE_REGRESSION_NAMES)}"
        )
    return path


def file_names(file: CsvFile, root: Path) -> tuple[list[str], list[str]]:
    """Returns the image files in the order of the rows, and sentences about what was left out."""
    if Path(file.names[0]).suffix.lower() in SUFFIXES:
        raise UserError(
            f"The first line of {str(file.path)!r} is {file.names[0]!r}, an image; put a line of names such as "
            "`file,value` on top."
        )
    column = next((name for name in file.names if name.lower() in FILE_COLUMNS), file.names[0])
    seen: dict[str, int] = {}
    names = []
    for cell, line in zip(file.column(column), file.lines, strict=True):
        if cell is None:
            raise UserError(f"File {str(file.path)!r}, line {line}: the column {column!r} names no image.")
        name = cell.replace("\\", "/")
        if name in seen:
            raise UserError(
                f"File {str(file.path)!r} names {name!r} twice, in lines {seen[name]} and {line}; one value per image "
                "is needed."
            )
        if Path(name).suffix.lower() not in SUFFIXES:
            raise UserError(
                f"File {str(file.path)!r}, line {line}: {name!r} in column {column!r} is no image file; images end in "
                f"{', '.join(SUFFIXES)}."
            )
        seen[name] = line
        names.append(name)
    there = [path.relative_to(root).as_posix() for path in list_images(root)]
    unused = sum(name not in seen for name in there)
    return names, [f"{unused} images in {root.name!r} have no line in {file.path.name!r}."] if unused else []


def _values(
    file: CsvFile, targets: Sequence[str] | None, names: Sequence[str]
) -> tuple[list[list[float | None]], tuple[str, ...], list[str]]:
    """Returns the columns of numbers, their names, and sentences about columns left out."""
    others = [
        name for name in file.names if [cell and cell.replace("\\", "/") for cell in file.column(name)] != list(names)
    ]
    chosen = others if targets is None else list(targets)
    columns, kept, remarks = [], [], []
    for name in chosen:
        if name not in others:
            raise UserError(
                f"targets: {file.path.name!r} has no column {name!r} of numbers; it has {', '.join(others) or 'none'}."
                f"{nearest(name, others)}"
            )
        cells = file.column(name)
        parsed = [None if cell is None else number(cell, file.decimal) for cell in cells]
        wrong = [row for row, cell in enumerate(cells) if cell is not None and parsed[row] is None]
        if wrong and targets is None and len(others) > 1 and len(wrong) > 0.8 * sum(cell is not None for cell in cells):
            remarks.append(f"Column {name!r} holds text and was left out.")
            continue
        if wrong:
            raise UserError(
                f"File {str(file.path)!r}, line {file.lines[wrong[0]]}: {cells[wrong[0]]!r} in column {name!r} is no "
                f"number ({len(wrong)} such values); correct them or leave the cells empty."
            )
        columns.append(parsed)
        kept.append(name)
    if not kept:
        raise UserError(f"File {str(file.path)!r} has no column of numbers beside the image files.")
    return columns, tuple(kept), remarks


def _as_array(rows: list[list[float | None]], names: Sequence[str], path: Path) -> np.ndarray:
    import numpy as np

    array = np.array(rows, np.float64).reshape(-1, len(names))
    for index, name in enumerate(names):
        if len(array) and np.ptp(array[:, index]) == 0:
            raise UserError(
                f"Column {name!r} of {str(path)!r} is {array[0, index]:g} for every image; nothing to learn."
            )
    return array


def _beads(targets, image_size, channels, fractions, seed, options: dict) -> Datasets:
    """Simulates beads in memory: all images take a fraction of a second."""
    import numpy as np

    from applications.datasets.simulators.beads import BeadParameters, simulate_beads

    own = {"images": NUM_BEAD_IMAGES, "seed": 0}
    drawn = own | changed_options("beads", options, own, BeadParameters)
    count, first = drawn.pop("images"), drawn.pop("seed")
    try:
        parameters = BeadParameters(**drawn)
        scenes = [simulate_beads(parameters, (first, index)) for index in range(count)]
    except (TypeError, ValueError) as error:
        raise UserError(f"Data set 'beads' cannot be simulated: {error}") from error
    truths = ("blur", "photons", "beads")
    chosen = tuple(targets or ("blur",))
    for name in chosen:
        if name not in truths:
            raise UserError(f"targets: 'beads' has {', '.join(truths)}, received {name!r}.{nearest(name, truths)}")
    images = [to_channels(scene.image[..., None], channels or 1) for scene in scenes]
    if image_size is not None:
        images = [resize(image, square(image_size)) for image in images]
    return Datasets(
        name="beads",
        description="Simulated images of fluorescent beads out of focus (photon-counting camera model).",
        images=ImageStore.from_arrays(images),
        split=split_indices(len(images), fractions=fractions, seed=seed),
        class_names=(),
        ids=tuple(map(str, range(len(images)))),
        targets=np.array([[getattr(scene, name) for name in chosen] for scene in scenes], np.float64),
        target_names=chosen,
        value_range=(0.0, 65535.0),
    )
