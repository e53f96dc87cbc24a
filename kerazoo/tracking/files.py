"""Tracks as files: a CSV table, and the text and label images of the Cell Tracking Challenge."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.tracking.label_images import track_labels
from kerazoo.tracking.tracks import NO_PARENT, Tracks

COLUMNS = ("track", "parent", "frame", "y", "x")


def write_csv(tracks: Tracks, path: str | Path) -> Path:
    """Writes a table with the columns track, parent, frame, y, x, and returns its path.

    Args:
        tracks: The tracks.
        path: A file name.
    """
    path = Path(path)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in zip(*(column.tolist() for column in tracks.columns().values()), strict=True):
            writer.writerow([*row[:3], *(format(number, ".6g") for number in row[3:])])
    return path


def read_csv(path: str | Path) -> Tracks:
    """Reads what `write_csv` has written.

    Args:
        path: The file.

    Raises:
        ValueError: A column is missing, or something is no number.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise ValueError(f"{str(path)!r} must have the columns {', '.join(COLUMNS)} and at least one row.")
    track, parent, frame = (np.array([int(row[name]) for row in rows]) for name in COLUMNS[:3])
    place = np.array([[float(row["y"]), float(row["x"])] for row in rows])
    where = [np.flatnonzero(frame == number) for number in range(frame.max() + 1)]
    parents = {int(t): int(p) for t, p in zip(track, parent, strict=True) if p != NO_PARENT}
    return Tracks.of([track[rows] for rows in where], [place[rows] for rows in where], parents)


def write_ctc(
    tracks: Tracks,
    folder: str | Path,
    *,
    label_images: Sequence[Any] | None = None,
    shape: tuple[int, int] | None = None,
    radius: float = 3.0,
    truth: bool = False,
) -> list[Path]:
    """Writes tracks in the format of the Cell Tracking Challenge, and returns the files.

    That is one 16-bit label image per frame, `mask000.tif` and so on, in which each object has the number of its track,
    and `res_track.txt` with a line per track: its number, its first and last frame, its parent or 0. Of a truth the
    files are `man_track000.tif` and `man_track.txt`.

    The format allows no gap: what follows one is a track of its own, with the one before as its parent.

    Args:
        tracks: The tracks.
        folder: An existing folder.
        label_images: The objects that were linked; without them each point becomes a disc.
        shape: Height and width of the images in pixels, where there are no `label_images`.
        radius: Radius of a disc in pixels.
        truth: Whether the files are named as a truth's.

    Raises:
        ValueError: There are more than 65535 tracks, which is what the format can hold, or neither images nor a shape.
    """
    import tifffile

    folder, tracks = Path(folder), tracks.without_gaps()
    if len(tracks) and tracks.track.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"The format holds 65535 tracks. Received: {tracks.track.max()} tracks.")
    if label_images is None and shape is None:
        raise ValueError("write_ctc needs the label_images that were linked, or the shape of the images in pixels.")
    images = track_labels(tracks, label_images) if label_images is not None else discs(tracks, shape, radius)  # type: ignore[arg-type]
    word, digits = ("man_track" if truth else "mask"), max(3, len(str(len(images) - 1)))
    written = []
    for frame, image in enumerate(images):
        written.append(folder / f"{word}{frame:0{digits}d}.tif")
        tifffile.imwrite(written[-1], image.astype(np.uint16), compression="zlib")
    lines = []
    for number, rows in tracks.each():
        frames = tracks.frame[rows]
        lines.append(f"{number} {frames[0]} {frames[-1]} {tracks.parent[rows][0]}\n")
    written.append(folder / ("man_track.txt" if truth else "res_track.txt"))
    written[-1].write_text("".join(lines), encoding="ascii")
    return written


def discs(tracks: Tracks, shape: tuple[int, int], radius: float, frames: int | None = None) -> list[np.ndarray]:
    """Returns label images with a disc of its track's number around each point.

    Where discs meet, a pixel belongs to the nearer point.

    Args:
        tracks: The tracks.
        shape: Height and width in pixels.
        radius: In pixels.
        frames: Number of images; `None` for as many as the tracks last.
    """
    count = frames or (int(tracks.frame.max()) + 1 if len(tracks) else 0)
    images = [np.zeros(shape, np.int32) for _ in range(count)]
    nearest = [np.full(shape, radius**2, np.float64) for _ in range(count)]
    reach = int(np.ceil(radius))
    for number, frame, y, x in zip(tracks.track, tracks.frame, tracks.y, tracks.x, strict=True):
        top, left = max(round(float(y)) - reach, 0), max(round(float(x)) - reach, 0)
        window = slice(top, max(round(float(y)) + reach + 1, 0)), slice(left, max(round(float(x)) + reach + 1, 0))
        rows, columns = np.ogrid[window[0], window[1]]
        squared = ((rows - y) ** 2 + (columns - x) ** 2)[: shape[0] - top, : shape[1] - left]
        inside = squared < nearest[frame][window]
        images[frame][window][inside] = number
        nearest[frame][window][inside] = squared[inside]
    return images
