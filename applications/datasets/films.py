"""Films of things that move, with the places where they are: simulated ones, and the user's own files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from applications.core.errors import UserError, nearest
from applications.datasets.data import FILM_NAMES, FRACTIONS, Progress
from applications.datasets.readers import BadFileError, plain, scan_folder
from applications.datasets.splits import check_fractions, split_indices

if TYPE_CHECKING:
    import numpy as np

    from kerazoo.tracking import Tracks

FEWEST_FRAMES = 2
LABEL_ENDINGS = ("labels", "label", "masks", "mask")
_COLUMNS = {
    "frame": ("frame", "t", "time"),
    "y": ("y", "row"),
    "x": ("x", "column", "col"),
    "track": ("track", "particle"),
}


class Film(NamedTuple):
    """One film or table of points, as it lies in a file.

    Attributes:
        images: (frames, H, W), or None where there are points alone.
        points: one (n, 2) array of row and column per frame, or None.
        labels: whether the images are label images.
        spacing: distance of pixels along y and x in micrometres, 0 where it is not known.
    """

    images: np.ndarray | None
    points: list[np.ndarray] | None
    labels: bool
    spacing: tuple[float, float]


@dataclass(frozen=True, eq=False)
class FilmData:
    """Films with known places, checked and split; the counterpart of `Datasets`.

    Attributes:
        name, description, skipped, warnings, fingerprint: as in `Datasets`.
        films: each `(frames, H, W)` float32, its darkest pixels 0 and its brightest 1.
        truths: for each film its tracks; where only points are known each is a track of its own.
        linked: whether the truths are tracks.
        split: "train", "val", "test" -> numbers of films.
        ids: one name per film.
    """

    name: str
    description: str
    films: list[np.ndarray]
    truths: list[Tracks]
    linked: bool
    split: dict[str, np.ndarray]
    ids: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    labels: None = None
    groups: None = None
    class_names: tuple[str, ...] = ()
    channels: int = 1

    def __len__(self) -> int:
        return len(self.films)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when pixels or points change (not with the split)."""
        import hashlib

        import numpy as np

        digest = hashlib.sha256(repr(self.ids).encode())
        for film, truth in zip(self.films, self.truths, strict=True):
            digest.update(f"{film.shape}".encode() + np.ascontiguousarray(film.ravel()[::97]).tobytes())
            digest.update(np.ascontiguousarray(truth.position).tobytes())
        return digest.hexdigest()[:16]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": [],
            "channels": 1,
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [],
        }


def load_films(
    data: str,
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    data_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> FilmData:
    """Loads films to train and to test a detector with.

    Args:
        data: `particles` or `cells` (simulated), or a folder of TIFF stacks with a CSV file of the same name each: the
            columns frame (from 0), y, x in pixels, and if it is known track.
        fractions, seed, data_dir, progress: as in `load_classification`; parts have no film in common.
        options: of a simulated set: `films`, `seed` (that of the split otherwise) and the fields of
            `ParticleParameters` or `CellParameters`.

    Returns:
        The films.

    Raises:
        UserError: One sentence for the user.
    """
    check_fractions(fractions)
    if data in FILM_NAMES:
        return _simulated(data, data_dir, options, fractions, seed, progress)
    if options:
        raise UserError(f"data_options belong to {', '.join(FILM_NAMES)}, received {', '.join(options)} for {data!r}.")
    root = Path(data).expanduser()
    if not root.is_dir():
        raise UserError(
            f"Unknown data {data!r}: neither embedded films ({', '.join(FILM_NAMES)}) nor a folder that exists."
            f"{nearest(data, FILM_NAMES)}"
        )
    return _of_folder(root, fractions, seed)


def normalised(film: np.ndarray) -> np.ndarray:
    """Returns a film as float32 between about 0, its darkest hundredth, and 1, its brightest thousandth."""
    import numpy as np

    low, high = np.percentile(film[:: max(1, len(film) // 16)], [1.0, 99.9])
    return ((film - low) / max(high - low, 1e-6)).astype(np.float32)


def _simulated(data: str, data_dir, options, fractions, seed: int, progress: Progress | None) -> FilmData:
    from applications.datasets.embedded.films import Cells, Particles, tracks_of
    from applications.datasets.embedded.prepare import prepare
    from applications.datasets.sources import read_examples

    simulated: Any = {"particles": Particles, "cells": Cells}[data]
    builder = prepare(simulated, data_dir, simulated.config({"seed": seed, **(options or {})}), progress)
    examples = list(read_examples(builder, "train"))
    return FilmData(
        name=data,
        description=simulated.description,
        films=[normalised(example["film"]) for example in examples],
        truths=[tracks_of(example) for example in examples],
        linked=True,
        split=split_indices(len(examples), fractions=fractions, seed=seed),
        ids=tuple(f"film {index}" for index in range(len(examples))),
    )


def _of_folder(root: Path, fractions, seed: int) -> FilmData:
    import numpy as np

    from kerazoo.tracking import Tracks

    stacks = [path for path in scan_folder(root)[0] if path.suffix.lower() in (".tif", ".tiff")]
    films, truths, ids, linked = [], [], [], []
    for path in stacks:
        table = path.with_suffix(".csv")
        if not table.is_file():
            raise UserError(f"Film {path.name!r} has no table {table.name!r} beside it, with the columns frame, y, x.")
        film = read_film(path)
        assert film.images is not None
        points, tracks = read_points(table, len(film.images))
        numbers = tracks or [np.zeros(0, np.int64)] * len(points)
        if tracks is None:
            ends = np.cumsum([0, *map(len, points)])
            numbers = [np.arange(a, b) + 1 for a, b in pairwise(ends)]
        films.append(normalised(film.images))
        truths.append(Tracks.of(numbers, points, {}))
        linked.append(tracks is not None)
        ids.append(path.relative_to(root).as_posix())
    if len(films) < 3 and fractions[0]:
        raise UserError(
            f"Folder {str(root)!r} holds {len(films)} TIFF stacks with a table of points; training, validation and "
            "test need at least one each."
        )
    return FilmData(
        name=plain(root.resolve().name),
        description=f"The user's own films from {str(root)!r}.",
        films=films,
        truths=truths,
        linked=all(linked),
        split=split_indices(len(films), fractions=fractions, seed=seed),
        ids=tuple(ids),
    )


def read_film(path: Path) -> Film:
    """Reads what is to be followed.

    Args:
        path: A CSV table of points, a TIFF stack, or a folder of images in the order of their names. Files whose name
            ends in `labels` or `masks` hold label images.

    Raises:
        UserError: There are fewer than two frames, frames of different sizes, or something that cannot be read.
    """
    if path.suffix.lower() == ".csv":
        points, _ = read_points(path)
        return Film(None, points, False, (0.0, 0.0))
    labels = path.stem.lower().endswith(LABEL_ENDINGS)
    images, spacing = _frames_of_folder(path, labels) if path.is_dir() else _frames_of_stack(path)
    if len(images) < FEWEST_FRAMES:
        raise UserError(
            f"{str(path)!r} holds {len(images)} frame; something can be followed over at least {FEWEST_FRAMES}: give a "
            "TIFF stack, or a folder with one image per frame."
        )
    if labels and images.dtype.kind not in "iu":
        raise BadFileError(path, f"label images need whole numbers, but it holds {images.dtype}")
    if abs(spacing[0] - spacing[1]) > 0.01 * max(spacing):
        raise UserError(
            f"{str(path)!r} has pixels of {spacing[0]:g} x {spacing[1]:g} micrometres; distances need square ones: "
            "scale it first."
        )
    return Film(images, None, labels, spacing)


def _frames_of_stack(path: Path) -> tuple[np.ndarray, tuple[float, float]]:
    from applications.datasets.stacks import read_stack

    stack = read_stack(path)
    time, depth, _, _, channels = stack.pixels.shape
    if channels > 1 or (depth > 1 and time > 1):
        raise BadFileError(path, f"a film needs one grey image per frame, but it has the axes {stack.axes}")
    return stack.pixels[:, :, :, :, 0].reshape(time * depth, *stack.pixels.shape[2:4]), stack.spacing[1:]


def _frames_of_folder(folder: Path, labels: bool) -> tuple[np.ndarray, tuple[float, float]]:
    import numpy as np

    from applications.datasets.pixels import to_channels
    from applications.datasets.readers import read_image, read_mask

    frames = []
    for path in scan_folder(folder)[0]:
        frames.append(read_mask(path) if labels else to_channels(read_image(path), 1)[..., 0])
        if frames[-1].shape != frames[0].shape:
            raise UserError(
                f"Frames of {str(folder)!r} have different sizes: {path.name!r} has {frames[-1].shape[0]} x "
                f"{frames[-1].shape[1]} pixels, the first one {frames[0].shape[0]} x {frames[0].shape[1]}."
            )
    return np.array(frames), (0.0, 0.0)


def read_points(path: Path, frames: int | None = None) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Reads a table of points.

    Args:
        path: CSV with the columns frame (a whole number), y, x in pixels, and if it is known track.
        frames: Number of frames of the film; none: up to the last one that has a point. The first frame is 0.

    Returns:
        One (n, 2) array per frame, and one array of the points' tracks per frame or None.

    Raises:
        UserError: A column is missing, a value is no number, or there are fewer than two frames.
    """
    import numpy as np

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFileError(path, f"it is no CSV table ({error})") from None
    named = {name.strip().lower(): name for name in (rows[0] if rows else {}) if name}
    columns = {key: next((named[n] for n in names if n in named), None) for key, names in _COLUMNS.items()}
    if not rows or None in (columns["frame"], columns["y"], columns["x"]):
        raise BadFileError(path, "a table of points needs the columns frame, y, x and at least one row")
    values = {key: _numbers(path, rows, column) for key, column in columns.items() if column is not None}
    whole = np.rint(values["frame"])
    if (whole != values["frame"]).any() or whole.min() < 0:
        raise BadFileError(path, "frames need whole numbers from 0")
    count = int(whole.max()) + 1 if frames is None else frames
    if whole.max() >= count:
        raise BadFileError(path, f"it has points in frame {int(whole.max())}, but the film ends with {count - 1}")
    if count < FEWEST_FRAMES or (frames is None and len(np.unique(whole)) < FEWEST_FRAMES):
        raise UserError(
            f"{str(path)!r} has points in {len(np.unique(whole))} frame; something can be followed over at least "
            f"{FEWEST_FRAMES}."
        )
    where = [np.flatnonzero(whole == frame) for frame in range(count)]
    place = np.stack([values["y"], values["x"]], axis=1)
    if "track" not in values:
        return [place[chosen] for chosen in where], None
    number = np.unique(values["track"], return_inverse=True)[1] + 1
    return [place[chosen] for chosen in where], [number[chosen] for chosen in where]


def _numbers(path: Path, rows: Sequence[dict], column: str) -> np.ndarray:
    import numpy as np

    found = []
    for line, row in enumerate(rows, start=2):
        try:
            found.append(float(row[column]))
        except (TypeError, ValueError):
            found.append(float("nan"))
        if not np.isfinite(found[-1]):
            raise BadFileError(
                path, f"line {line} has {row[column]!r} in column {column!r}; leave out points that were not found"
            )
    return np.array(found)


def find_films(inputs: Sequence[str], refuse: Callable[[str], Exception] = UserError) -> list[Path]:
    """Returns what is to be followed: CSV files, TIFF stacks, and folders of frames; a folder of those is each of them.

    Args:
        inputs: Files and folders.
        refuse: Makes the error of a sentence.
    """
    found: list[Path] = []
    for item in map(Path, inputs):
        if not item.exists():
            raise refuse(f"'{item}' does not exist.")
        if item.is_dir():
            images = [path for path in scan_folder(item)[0] if path.parent == item]
            tables = sorted(path for path in item.glob("*.csv") if not path.name.startswith("."))
            stacks = [path for path in images if path.suffix.lower() in (".tif", ".tiff") and _pages(path) > 1]
            found += [*tables, *stacks] if tables or stacks else [item]
        else:
            found.append(item)
    return found


def _pages(path: Path) -> int:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            return max(len(tif.pages), len(tif.series[0]) if tif.is_imagej else 1)
    except (OSError, ValueError, tifffile.TiffFileError):
        return 1
