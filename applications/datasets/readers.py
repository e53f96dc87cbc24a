"""One image file, one mask file, one folder: read them as they are, or say why not."""

from __future__ import annotations

import os
import re
import struct
import unicodedata
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from applications.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".gif", ".webp")
_TIFF = (".tif", ".tiff")
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
# What decoders say about files that end too early.
_DAMAGE = re.compile("truncated|incomplete|failed to read|unexpected end|broken", re.IGNORECASE)
_GREY = {"1", "L", "LA", "La"}
_UINT16 = {"I;16", "I;16L", "I;16B", "I;16N"}
_FLOAT = {"I", "F"}


class ImageHeader(NamedTuple):
    """What `read_image` will return, known without decoding a pixel."""

    height: int
    width: int
    channels: int
    dtype: str


class BadFileError(UserError):
    """A file that cannot be used, with the reason."""

    def __init__(self, path, reason: str):
        self.path, self.reason = Path(path), reason
        super().__init__(f"File {str(path)!r} cannot be used: {reason}.")


def list_images(folder) -> list[Path]:
    """Returns the image files in `folder` and below, in natural order; hidden files are left out.

    Raises:
        UserError: when the folder does not exist.
    """
    return scan_folder(folder)[0]


def scan_folder(folder) -> tuple[list[Path], Counter]:
    """Returns the image files in `folder` and below, and how many other files there are of each suffix."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"Folder {str(folder)!r} does not exist.")
    images: list[Path] = []
    others: Counter[str] = Counter()
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in files:
            if Path(name).suffix.lower() in SUFFIXES and not is_hidden(name):
                images.append(Path(parent, name))
            elif not is_hidden(name):
                others[Path(name).suffix.lower() or "no suffix"] += 1
    return sorted(images, key=lambda path: natural_key(path.relative_to(folder).as_posix())), others


def subfolders(folder: Path) -> list[Path]:
    """Returns the folders in `folder` that are not hidden, in natural order."""
    found = (path for path in Path(folder).iterdir() if path.is_dir() and not is_hidden(path.name))
    return sorted(found, key=lambda path: natural_key(path.name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is an operating system's own."""
    return name.startswith(".") or name.lower() in _IGNORED


def plain(name: str) -> str:
    """Returns `name` with accents composed, so that files copied from a Mac match those from elsewhere."""
    return unicodedata.normalize("NFC", name)


def natural_key(name: str) -> list:
    """Sorts "image 2" before "image 10"."""
    parts = re.split(r"(\d+)", plain(name).casefold())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def image_header(path) -> ImageHeader:
    """Returns height, width, channels and dtype of what `read_image` returns, from the file's header."""
    return guarded(path, _header)


def read_image(path) -> np.ndarray:
    """Reads an image as it is in the file.

    PNG, JPEG, TIFF, BMP, WebP and the first frame of a GIF. Orientation marks of cameras are obeyed,
    transparency is dropped, palettes become RGB, black-and-white becomes 0/255. 16-bit files keep their
    depth.

    Args:
        path: file name.

    Returns:
        `(H, W, C)` uint8, uint16 or float32 (other integers and floats become float32); C is 1 or 3, or
        whatever a TIFF file holds.

    Raises:
        UserError: when the file is missing, damaged, empty, or a TIFF of several pages.
    """
    return guarded(path, _image)


def read_mask(path) -> np.ndarray:
    """Reads a mask as the numbers in the file: palette images give their indices, black-and-white 0 and 1.

    Args:
        path: file name.

    Returns:
        `(H, W)` int32, from 0.

    Raises:
        UserError: as `read_image`, and for colours (unless red, green and blue are equal), negative numbers
            and fractions.
    """
    return guarded(path, _mask)


def guarded(path, read):
    """Calls `read(path)`; whatever goes wrong inside a decoder becomes one sentence with the file's name."""
    path = Path(path)
    if not path.is_file():
        raise BadFileError(path, "it does not exist" if not path.exists() else "it is a folder")
    if path.stat().st_size == 0:
        raise BadFileError(path, "it is empty")
    try:
        return read(path)
    except BadFileError:
        raise
    except MemoryError:
        raise BadFileError(path, "it does not fit into memory") from None
    except Exception as error:  # Decoders raise OSError, SyntaxError, struct.error, zlib.error, TiffFileError ...
        detail = str(error).split("\n")[0].rstrip(".") or type(error).__name__
        if type(error).__name__ == "UnidentifiedImageError":
            detail = "its content is no image"
        elif _DAMAGE.search(detail) or isinstance(error, (EOFError, struct.error, IndexError)):
            detail = f"it is damaged or truncated ({detail})"
        raise BadFileError(path, detail.replace(str(path), "the file")) from error


def _header(path: Path) -> ImageHeader:
    from PIL import Image

    if path.suffix.lower() in _TIFF:
        return _tiff_header(path)
    with Image.open(path) as image:
        width, height = image.size
        if image.getexif().get(0x0112, 1) >= 5:  # Orientations 5 to 8 lie on their side.
            width, height = height, width
        if _is_deep_png(path):
            return ImageHeader(height, width, _deep_png_channels(path), "uint16")
        return ImageHeader(height, width, *_kind(image.mode))


def _kind(mode: str) -> tuple[int, str]:
    """Returns channels and dtype of a Pillow mode."""
    if mode in _GREY:
        return 1, "uint8"
    if mode in _UINT16:
        return 1, "uint16"
    return (1, "float32") if mode in _FLOAT else (3, "uint8")


def _image(path: Path) -> np.ndarray:
    if path.suffix.lower() in _TIFF:
        return _tiff_image(path)
    if _is_deep_png(path):
        return _read_deep_png(path)
    return _pillow_image(path)


def _pillow_image(path: Path) -> np.ndarray:
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        channels, dtype = _kind(image.mode)
        if dtype == "uint8":
            image = image.convert("L" if channels == 1 else "RGB")
        array = np.asarray(image).astype(dtype)
    return array.reshape(*array.shape[:2], channels)


def _mask(path: Path) -> np.ndarray:
    import numpy as np
    from PIL import Image, ImageOps

    if path.suffix.lower() in _TIFF:
        array = _tiff_array(path).array
    elif _is_deep_png(path):
        array = _read_deep_png(path)
    else:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode in ("LA", "La", "PA"):
                image = image.getchannel(0)
            elif image.mode not in _GREY | _UINT16 | _FLOAT | {"P"}:
                image = image.convert("RGB")
            array = np.asarray(image)
    return _class_numbers(array, path)


def _class_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    """Returns `(H, W)` int32 of a mask that may come as bool, float or three equal channels."""
    import numpy as np

    if array.ndim == 3:
        colours = array[..., :3] if array.shape[-1] == 4 else array
        if (colours != colours[..., :1]).any():
            raise BadFileError(
                path,
                "a mask needs one number per pixel, but it holds colours; save it as a grey or palette image",
            )
        array = colours[..., 0]
    if array.dtype.kind == "f" and (not np.isfinite(array).all() or (array != np.rint(array)).any()):
        raise BadFileError(path, "a mask needs whole numbers, but it holds fractions")
    if array.size and (array.min() < 0 or array.max() > 65535):
        raise BadFileError(path, f"mask values must lie in 0..65535, found {array.min()}..{array.max()}")
    return array.astype(np.int32)


# 16-bit PNG with more than one channel, which Pillow silently cuts to 8 bits.


def _is_deep_png(path: Path) -> bool:
    return path.suffix.lower() == ".png" and _png_depth_and_colour(path) in {(16, 2), (16, 4), (16, 6)}


def _png_depth_and_colour(path: Path) -> tuple[int, int]:
    with open(path, "rb") as file:
        start = file.read(26)
    return (start[24], start[25]) if len(start) == 26 and start[1:4] == b"PNG" else (0, 0)


def _deep_png_channels(path: Path) -> int:
    return 1 if _png_depth_and_colour(path)[1] == 4 else 3


def _read_deep_png(path: Path) -> np.ndarray:
    import tensorflow as tf

    with tf.device("CPU"):
        array = tf.io.decode_png(path.read_bytes(), dtype=tf.uint16).numpy()
    return array[..., : _deep_png_channels(path)]


# TIFF


class _Tiff(NamedTuple):
    array: np.ndarray
    palette: np.ndarray | None


def _open_page(tif, path: Path):
    """Returns the only page of a TIFF file; smaller copies of it (pyramids) do not count."""
    pages = [page for page in tif.pages if not page.is_reduced]
    images = max(len(pages), len(tif.series[0]) if tif.is_imagej else 1)
    if images != 1:
        raise BadFileError(path, f"it is a stack of {images} pages; save each page as a file of its own")
    if pages[0].axes not in ("YX", "YXS", "SYX"):
        raise BadFileError(path, f"it holds a volume (axes {pages[0].axes}), not one image")
    return pages[0]


def _tiff_header(path: Path) -> ImageHeader:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        page = _open_page(tif, path)
        channels = 3 if page.photometric == 3 else _without_alpha(page)
        height, width = page.imagelength, page.imagewidth
        if _orientation(page) >= 5:
            height, width = width, height
        dtype = "uint8" if page.photometric == 3 else _image_dtype(page.dtype)
    return ImageHeader(height, width, channels, dtype)


def _tiff_image(path: Path) -> np.ndarray:
    import numpy as np

    array, palette = _tiff_array(path)
    if palette is not None:  # 16-bit colour table, whose upper bytes are the 8-bit colours.
        array = (palette.T[array] >> 8).astype(np.uint8)
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    array = array.astype(_image_dtype(array.dtype), copy=False)
    return array[..., None] if array.ndim == 2 else array


def _tiff_array(path: Path) -> _Tiff:
    """Returns `(H, W)` or `(H, W, C)` as stored, without transparency, and the colour table if any."""
    import numpy as np
    import tifffile

    with tifffile.TiffFile(path) as tif:
        page = _open_page(tif, path)
        try:
            array = page.asarray()
        except (ValueError, KeyError) as error:
            if "imagecodecs" not in str(error):
                raise
            return _tiff_by_pillow(path, page)
        if page.axes == "SYX":
            array = np.moveaxis(array, 0, -1)
        if array.ndim == 3:
            array = array[..., : _without_alpha(page)]
        if page.photometric == 0 and array.dtype.kind in "bu":  # White is zero.
            array = ~array
        return _Tiff(_orient(array, _orientation(page)), page.colormap)


def _tiff_by_pillow(path: Path, page) -> _Tiff:
    """Reads a compression that tifffile leaves to the package imagecodecs (LZW, JPEG, fax)."""
    import numpy as np
    from PIL import Image, ImageOps

    if page.bitspersample > 8 and page.samplesperpixel > 1:  # Pillow would cut it to 8 bits.
        raise BadFileError(
            path,
            f"reading {page.compression.name}-compressed 16-bit colour needs the package: pip install imagecodecs",
        )
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode == "P":
            table = np.asarray(image.getpalette("RGB")).reshape(-1, 3).T.astype(np.uint16) * np.uint16(257)
            return _Tiff(np.asarray(image), table)
        if image.mode not in _GREY | _UINT16 | _FLOAT:
            image = image.convert("RGB")
        elif image.mode in ("LA", "La"):
            image = image.getchannel(0)
        return _Tiff(np.asarray(image), None)


def _without_alpha(page) -> int:
    """Returns the number of channels that are no transparency (extra samples marked 1 or 2)."""
    return page.samplesperpixel - sum(int(sample) in (1, 2) for sample in page.extrasamples)


def _image_dtype(dtype) -> str:
    name = str(dtype)
    return {"bool": "uint8"}.get(name, name if name in ("uint8", "uint16") else "float32")


def _orientation(page) -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None else 1


def _orient(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors as the TIFF orientation tag says (1 to 8)."""
    import numpy as np

    if orientation >= 5:
        array = np.swapaxes(array, 0, 1)
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.flip(array, flips) if flips else array
