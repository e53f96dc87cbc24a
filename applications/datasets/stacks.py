"""Stacks, volumes and movies: TIFF with the axes that microscopes and ImageJ write, zarr, and label images.

A stack always has five axes: time, depth, height, width, channels (TZYXC). `readers.py` reads single images.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from applications.core.errors import UserError
from applications.core.run_directory import write_atomically
from applications.datasets.readers import BadFileError, guarded, read_image

if TYPE_CHECKING:
    import numpy as np

AXES = "TZYXC"
SUFFIXES = (".tif", ".tiff")
_MEANING = {**{axis: axis for axis in AXES}, "S": "C", "I": "T", "Q": "T", "R": "T"}
_MICROMETRES = {"um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00B5m": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3}
_UNITS = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "angstrom": 1e-4, "meter": 1e6}  # of OME-Zarr
_IN_MEMORY = 1 << 30  # bytes; larger files are mapped


class Stack(NamedTuple):
    """What a file of one or several images holds.

    Attributes:
        pixels: (time, depth, height, width, channels) as in the file: uint8, uint16 or float32; an array or memory map.
        axes: The axes the file says it has, e.g. `"ZYX"`; I and Q are pages of which it does not say what they are,
            and which are read as time.
        spacing: Distance of neighbours along depth, height and width in micrometres, 0 where it is not known.
    """

    pixels: Any
    axes: str
    spacing: tuple[float, float, float]


def is_stack(path: str | Path) -> bool:
    """Whether a path is read by `read_stack` rather than as a single image."""
    path = Path(path)
    return path.suffix.lower() in SUFFIXES or path.suffix.lower() == ".zarr"


def read_stack(path: str | Path) -> Stack:
    """Reads a TIFF file or a zarr folder.

    Args:
        path: TIFF (plain, OME or ImageJ; 8, 16 or 32 bits), or a folder `NAME.zarr` (needs the package zarr).

    Returns:
        The pixels with all five axes, and what is known about their distance.

    Raises:
        UserError: The file is missing, damaged, or of a kind that cannot be read.

    Example:
        >>> stack = read_stack("embryo.ome.tif")
        >>> stack.pixels.shape, stack.spacing
        ((40, 12, 512, 512, 2), (2.0, 0.65, 0.65))
    """
    path = Path(path)
    if path.suffix.lower() == ".zarr":
        return _read_zarr(path)
    if path.suffix.lower() not in SUFFIXES:
        image = read_image(path)
        return Stack(image[None, None], "YXC", (0.0, 0.0, 0.0))
    return guarded(path, _read_tiff)


def _read_tiff(path: Path) -> Stack:
    import numpy as np
    import tifffile

    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        axes = series.axes
        first = series.pages[0]
        if (first is not None and first.photometric == 3) or _needs_pillow(series):
            image = read_image(path)  # colour tables, and compressions that Pillow knows
            return Stack(image[None, None], "YXC", _spacing(tif))
        large = np.prod(series.shape, dtype=np.int64) * series.dtype.itemsize > _IN_MEMORY
        pixels = series.asarray(out="memmap" if large else None)
        spacing = _spacing(tif)
    return Stack(_five_axes(_kept_dtype(pixels), axes, path), axes, spacing)


def _needs_pillow(series: Any) -> bool:
    """Whether tifffile needs imagecodecs for a file of one page."""
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return len(series.pages) == 1 and int(series.pages[0].compression) not in (1, 8, 32946)
    return False


def _kept_dtype(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8, uint16 or float32; other numbers as float32, black and white as 0 and 255."""
    import numpy as np

    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    return pixels if pixels.dtype.name in ("uint8", "uint16", "float32") else pixels.astype(np.float32)


def _five_axes(pixels: Any, axes: str, path: Path) -> Any:
    """Moves and adds axes; several that mean time are put one behind the other."""
    import numpy as np

    meanings = [_MEANING.get(axis, "") for axis in axes]
    if "" in meanings or any(meanings.count(axis) > 1 for axis in "ZYXC"):
        raise BadFileError(path, f"it has the axes {axes}, of which kerazoo knows {AXES} and pages")
    if meanings.count("T") > 1:
        first = [i for i, meaning in enumerate(meanings) if meaning == "T"]
        pixels = np.moveaxis(pixels, first, range(len(first)))
        pixels = pixels.reshape(-1, *pixels.shape[len(first) :])
        meanings = ["T", *(meaning for meaning in meanings if meaning != "T")]
    order = [meanings.index(axis) for axis in AXES if axis in meanings]
    pixels = np.transpose(pixels, order)
    return pixels[tuple(slice(None) if axis in meanings else None for axis in AXES)]


def _spacing(tif: Any) -> tuple[float, float, float]:
    """Returns the distance of neighbouring pixels in micrometres, 0 where the file does not say it."""
    import tifffile

    if tif.ome_metadata:
        about = tifffile.xml2dict(tif.ome_metadata).get("OME", {}).get("Image", {})
        pixels = (about[0] if isinstance(about, list) else about).get("Pixels", {})
        return tuple(  # type: ignore[return-value]
            float(pixels.get(f"PhysicalSize{axis}", 0.0))
            * _MICROMETRES.get(str(pixels.get(f"PhysicalSize{axis}Unit", "um")), 0.0)
            for axis in "ZYX"
        )
    about = tif.imagej_metadata or {}
    factor = _MICROMETRES.get(str(about.get("unit", "")), 0.0)
    tags = tif.pages[0].tags

    def per_pixel(name: str) -> float:
        ratio = tags[name].value if name in tags else (0, 1)
        return factor * ratio[1] / ratio[0] if ratio[0] else 0.0

    return float(about.get("spacing", 0.0)) * factor, per_pixel("YResolution"), per_pixel("XResolution")


def _read_zarr(path: Path) -> Stack:
    """Reads an array of zarr, or the finest level of an OME-Zarr image."""
    try:
        import zarr
    except ImportError:
        raise UserError(f"Reading {str(path)!r} needs the package zarr: pip install zarr.") from None
    if not path.is_dir():
        raise UserError(f"Folder {str(path)!r} does not exist.")
    found = zarr.open(str(path), mode="r")
    attributes, scale, units = dict(found.attrs), None, {}
    attributes = attributes.get("ome", attributes)
    levels = attributes.get("multiscales", [])
    if levels:
        first = levels[0]["datasets"][0]
        axes = "".join(str(axis["name"] if isinstance(axis, Mapping) else axis) for axis in levels[0]["axes"]).upper()
        scale = next((t["scale"] for t in first.get("coordinateTransformations", []) if t["type"] == "scale"), None)
        # Without a unit, as OME-Zarr 0.1 to 0.3 have it, nothing is known about distances.
        named = [axis for axis in levels[0]["axes"] if isinstance(axis, Mapping)]
        units = {str(axis["name"]).upper(): _UNITS.get(str(axis.get("unit")), 0.0) for axis in named}
        found = found[first["path"]]
    else:
        axes = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TZYXC"}.get(getattr(found, "ndim", 0), "")
    if not hasattr(found, "shape") or not axes:
        raise UserError(f"{str(path)!r} holds no image that kerazoo knows: neither an array nor OME-Zarr.")
    steps = dict(zip(axes, scale or [0.0] * len(axes), strict=True))
    spacing = tuple(float(steps.get(axis, 0.0)) * units.get(axis, 1.0) for axis in "ZYX")
    return Stack(_five_axes(found[:], axes, path), axes, spacing)  # type: ignore[arg-type]


def write_stack(path: str | Path, pixels: Any, axes: str = AXES, spacing: Sequence[float] = (0.0, 0.0, 0.0)) -> Path:
    """Writes a TIFF file that ImageJ opens with its axes and distances, whole or not at all.

    Args:
        path: The file, ending in `.tif`.
        pixels: Array with the axes named; uint8, uint16 or float32.
        axes: Letters out of TZYXC, in this order.
        spacing: As in `Stack`.

    Example:
        >>> write_stack("denoised.tif", frames, "TYXC")
    """
    import numpy as np
    import tifffile

    path, pixels = Path(path), np.asarray(pixels)
    if len(axes) != pixels.ndim or pixels.dtype.name not in ("uint8", "uint16", "float32"):
        raise ValueError(f"ImageJ takes uint8, uint16 and float32 with axes {axes}, not {pixels.dtype} {pixels.shape}.")
    kept = [index for index, axis in enumerate(axes) if axis in "YX" or pixels.shape[index] > 1]
    pixels = pixels.reshape([pixels.shape[index] for index in kept])
    axes = "".join(axes[index] for index in kept)
    colours = axes.endswith("C") and pixels.shape[-1] == 3 and pixels.dtype == np.uint8
    if colours:
        axes = axes[:-1] + "S"
    elif axes.endswith("C"):  # ImageJ has the channels in front of the rows
        pixels = np.moveaxis(pixels, -1, -3)
        axes = axes[:-3] + "C" + axes[-3:-1]
    depth, height, width = spacing
    metadata: dict[str, Any] = {"axes": axes}
    resolution = None
    if height and width:
        metadata["unit"], resolution = "um", (1.0 / width, 1.0 / height)
        if depth:
            metadata["spacing"] = depth
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        np.ascontiguousarray(pixels),
        imagej=True,
        photometric="rgb" if colours else "minisblack",
        metadata=metadata,
        resolution=resolution,
    )
    write_atomically(path, buffer.getvalue())
    return path


def write_zarr(path: str | Path, pixels: Any, spacing: Sequence[float] = (0.0, 0.0, 0.0)) -> Path:
    """Writes an OME-Zarr image of one level, whole or not at all; needs the package zarr, version 3.

    Args:
        path: The folder, ending in `.zarr`; what is there is replaced.
        pixels: (time, depth, height, width, channels).
        spacing: As in `Stack`; what is not known is written as 1, without a unit.
    """
    import shutil
    import tempfile

    import numpy as np
    import zarr

    path = Path(path)
    kinds = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
    steps = {"t": 1.0, "c": 1.0, **{axis: step or 1.0 for axis, step in zip("zyx", spacing, strict=True)}}
    units = {axis: {"unit": "micrometer"} if step else {} for axis, step in zip("zyx", spacing, strict=True)}
    axes = [{"name": axis, "type": kind, **units.get(axis, {})} for axis, kind in kinds.items()]
    scale = {"type": "scale", "scale": [steps[axis] for axis in kinds]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        group = zarr.open_group(str(scratch / "image"), mode="w", zarr_format=2)  # what OME-Zarr 0.4 is made of
        group["0"] = np.ascontiguousarray(np.moveaxis(np.asarray(pixels), -1, 1))
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
        if path.exists():
            shutil.rmtree(path)
        (scratch / "image").rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return path


def write_labels(path: str | Path, labels: Any, axes: str = "YX", spacing: Sequence[float] = (0.0, 0.0, 0.0)) -> Path:
    """Writes a label image: 16 bits, which ImageJ opens, or 32 where there are more than 65,535 objects.

    Args:
        path: The file, ending in `.tif`, or the folder, ending in `.zarr`.
        labels: Whole numbers, 0 for the background.
        axes: Letters out of TZYX, in this order.
        spacing: As in `Stack`.
    """
    import numpy as np
    import tifffile

    labels = np.asarray(labels)
    if labels.dtype.kind not in "ui" or (labels.size and labels.min() < 0):
        raise ValueError(f"Labels are whole numbers from 0, received {labels.dtype}.")
    labels = labels.astype(np.uint16 if not labels.size or labels.max() < 2**16 else np.uint32)
    if Path(path).suffix == ".zarr":
        missing = [number for number, axis in enumerate("TZYX") if axis not in axes]
        return write_zarr(path, np.expand_dims(labels, missing)[..., None], spacing)
    if labels.dtype == np.uint16:
        return write_stack(path, labels, axes, spacing)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, labels, metadata={"axes": axes})
    write_atomically(Path(path), buffer.getvalue())
    return Path(path)
