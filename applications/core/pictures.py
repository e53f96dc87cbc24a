"""Pictures drawn while a model learns: one sheet per epoch in `samples/`, the filmstrip of a report, and GIFs."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from applications.core.run_directory import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP, LEAST = 2, 48  # pixels between pictures, and how large at least each is shown
FOLDER = "samples"


def as_bytes(pictures: Any, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Returns pixels between `low` and `high` as uint8; what lies beyond is cut off.

    Args:
        pictures: Array of any shape.
        low: What becomes 0.
        high: What becomes 255.
    """
    pixels = (np.asarray(pictures, np.float64) - low) * (255.0 / (high - low))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def sheet(pictures: np.ndarray, columns: int = 8, scale: int = 1) -> np.ndarray:
    """Returns pictures side by side on white, row by row.

    Args:
        pictures: uint8 of shape (count, height, width, 1 or 3).
        columns: Pictures per row.
        scale: Pixels per pixel.

    Returns:
        uint8 of shape (rows, columns, 3).
    """
    pictures = np.repeat(pictures, 3 // pictures.shape[-1], axis=-1).repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, _ = pictures.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = picture
    return canvas


def save_sheet(path: Path, pictures: np.ndarray, columns: int = 8) -> Path:
    """Writes a sheet as a PNG file, whole or not at all, from which `read_sheet` takes the very same pictures.

    Args:
        path: The file.
        pictures: uint8 of shape (count, height, width, 1 or 3).
        columns: Pictures per row.

    Raises:
        ValueError: If the pictures are of another form.
    """
    from PIL import Image, PngImagePlugin

    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] not in (1, 3) or not len(pictures):
        raise ValueError(
            "Pictures must be uint8 of shape (count, height, width, 1 or 3). "
            f"Received: {pictures.dtype} of shape {pictures.shape}"
        )
    scale = max(1, math.ceil(LEAST / min(pictures.shape[1:3])))
    notes = PngImagePlugin.PngInfo()
    notes.add_text("pictures", json.dumps({"shape": pictures.shape, "columns": columns, "scale": scale}))
    buffer = io.BytesIO()
    Image.fromarray(sheet(pictures, columns, scale)).save(buffer, "PNG", pnginfo=notes)
    write_atomically(path, buffer.getvalue())
    return path


def write_image(stem: Path, image: np.ndarray) -> Path:
    """Writes pixels as they are, whole or not at all: `stem.png`, or `stem.tif` for what no PNG holds.

    Args:
        stem: The path without a suffix.
        image: Array (height, width, channels); 8 bits with 1 or 3 channels and 16 bits with 1 fit into a PNG.
    """
    import tifffile
    from PIL import Image

    buffer, channels = io.BytesIO(), image.shape[-1]
    plain = image[..., 0] if channels == 1 else image
    fits = channels in {"uint8": (1, 3), "uint16": (1,)}.get(image.dtype.name, ())
    if fits:
        Image.fromarray(plain).save(buffer, format="PNG")
    else:
        tifffile.imwrite(buffer, plain, photometric="rgb" if channels == 3 else "minisblack")
    path = stem.with_name(stem.name + (".png" if fits else ".tif"))
    write_atomically(path, buffer.getvalue())
    return path


def save_picture(path: Path, picture: np.ndarray) -> Path:
    """Writes one picture, uint8 of shape (height, width, 1 or 3), as a PNG file, whole or not at all."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
    return path


def read_sheet(path: Path) -> np.ndarray:
    """Returns the pictures of a sheet, uint8 of shape (count, height, width, 1 or 3)."""
    from PIL import Image

    with Image.open(path) as image:
        notes, canvas = json.loads(image.info["pictures"]), np.asarray(image)
    (count, height, width, channels), scale = notes["shape"], notes["scale"]
    columns = min(notes["columns"], count)
    places = [(n // columns * (height * scale + GAP), n % columns * (width * scale + GAP)) for n in range(count)]
    return np.stack(
        [canvas[y : y + height * scale : scale, x : x + width * scale : scale, :channels] for y, x in places]
    )


def sheet_path(run: Path, epoch: int) -> Path:
    """Returns where the sheet of an epoch, counted from 1, lies in a run directory."""
    return run / FOLDER / f"epoch_{epoch:04d}.png"


def sheets(run: Path) -> dict[int, Path]:
    """Returns the sheets of a run directory by epoch, the first one first."""
    found = {re.fullmatch(r"epoch_(\d+)", path.stem): path for path in (run / FOLDER).glob("epoch_*.png")}
    return dict(sorted((int(match[1]), path) for match, path in found.items() if match))


def filmstrip(run: Path, most_epochs: int = 8, most_pictures: int = 10) -> Figure | None:
    """Draws how the samples of a run changed: one row per epoch, one column per picture.

    Args:
        run: The run directory.
        most_epochs: Rows, close together at first, where most is learnt, and ever further apart.
        most_pictures: Columns.

    Returns:
        The figure, or None where the run drew no samples.
    """
    paths = sheets(run)
    if not paths:
        return None
    epochs = list(paths)
    chosen = np.unique(np.geomspace(1, len(epochs), min(most_epochs, len(epochs))).round().astype(int)) - 1
    return strips([(f"epoch {epochs[i]}", read_sheet(paths[epochs[i]])[:most_pictures]) for i in chosen])


def strips(rows: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Draws rows of pictures below each other, each with its name on the left.

    Args:
        rows: Name and uint8 of shape (count, height, width, 1 or 3) of each; smaller pictures are enlarged.
    """
    from matplotlib.figure import Figure

    largest = max(row.shape[1] for _, row in rows)  # a network that grows draws larger and larger ones
    drawn = [sheet(row, len(row), max(1, round(max(largest, LEAST) / row.shape[1]))) for _, row in rows]
    width = max(row.shape[1] for row in drawn)
    ratio = max(row.shape[0] for row in drawn) / width
    figure = Figure(figsize=(8.8, min(8.0 * ratio + 0.12, 2.0) * len(drawn)), layout="constrained")
    for number, ((name, _), row) in enumerate(zip(rows, drawn, strict=True), start=1):
        axes = figure.add_subplot(len(drawn), 1, number)
        filled = np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        axes.imshow(filled, interpolation="nearest")
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def gif(frames: Iterable[np.ndarray], milliseconds: int = 80) -> bytes:
    """Returns frames as an endlessly repeated GIF.

    Args:
        frames: uint8 arrays of one shape (height, width, 1 or 3).
        milliseconds: Time of each.
    """
    from PIL import Image

    first, *others = [Image.fromarray(np.repeat(f, 3 // f.shape[-1], axis=-1)).quantize(255) for f in frames]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)
    return buffer.getvalue()


def back_and_forth(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns frames with themselves in reverse behind them, so that an endless GIF has no jump."""
    return [*frames, *frames[-2:0:-1]]
