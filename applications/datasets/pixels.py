"""Pixels from one form into another: channels, depth, size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from applications.datasets.data import Datasets
    from kerazoo.exporters import ImageBytes

_LUMINANCE = (0.299, 0.587, 0.114)


def value_range(dtype, store=None) -> tuple[float, float]:
    """Returns the lowest and highest possible pixel; for floats 0 to 1, or what `store` really holds."""
    import numpy as np

    dtype = np.dtype(dtype)
    if dtype.kind == "u":
        return 0.0, float(np.iinfo(dtype).max)
    low, high = (0.0, 1.0) if store is None else (float(store.flat.min()), float(store.flat.max()))
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def depth_factor(dtype, own: float, wanted: float) -> float:
    """Returns what brings pixels to another depth: `wanted / own` for whole numbers, whose largest is fixed.

    Floats have no depth, only a brightest pixel, which says nothing about other images: they stay as they are.
    """
    import numpy as np

    return wanted / own if np.dtype(dtype).kind == "u" else 1.0


def common_dtype(dtypes) -> str:
    """Returns the one dtype that holds them all: float32 over uint16 over uint8."""
    names = {str(dtype) for dtype in dtypes}
    return next(name for name in ("float32", "uint16", "uint8") if name in names)


def to_dtype(image: np.ndarray, dtype) -> np.ndarray:
    """Widens pixels to `dtype`: 8 bits to 16 by 257 (255 becomes 65535), integers to float as they are."""
    import numpy as np

    if image.dtype == np.uint8 and np.dtype(dtype) == np.uint16:
        return image.astype(np.uint16) * np.uint16(257)
    return image.astype(dtype, copy=False)


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Turns `(H, W, C)` into `(H, W, channels)`: grey is repeated, colour becomes luminance.

    Raises:
        ValueError: for any other change.
    """
    import numpy as np

    have = image.shape[-1]
    if have == channels:
        return image
    if have == 1:
        return np.repeat(image, channels, axis=-1)
    if have == 3 and channels == 1:
        grey = (image.astype(np.float32) * np.float32(_LUMINANCE)).sum(axis=-1, keepdims=True)
        return _round_to(grey, image.dtype)
    raise ValueError(f"has {have} channels, which cannot be turned into {channels}")


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes `(H, W, C)` to `(height, width)` with an antialiasing triangle filter; keeps the dtype."""
    import numpy as np
    from PIL import Image

    if image.shape[:2] == tuple(size):
        return image
    # Pillow resizes float images of one channel exactly; 16-bit and multi-channel modes lose depth or do not
    # exist.
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., c], dtype=np.float32)).resize(
                (size[1], size[0]), Image.Resampling.BILINEAR
            )
        )
        for c in range(image.shape[-1])
    ]
    return _round_to(np.stack(planes, axis=-1), image.dtype)


def image_bytes(
    datasets: Datasets, answer: Literal["class", "mask", "values"], size_multiple: int = 1
) -> ImageBytes | None:
    """Returns how a SavedModel takes image files as the data were read; None for pixels no such file can hold.

    Args:
        datasets: The data of the run.
        answer: What the model's outputs are.
        size_multiple: Multiple of pixels a model of open size works on.
    """
    from kerazoo.exporters import ImageBytes

    low, high = datasets.value_range
    if low < 0 or datasets.channels not in (1, 3):
        return None
    return ImageBytes(datasets.channels, high, answer, tuple(datasets.class_names or ()), size_multiple)


def _round_to(values: np.ndarray, dtype) -> np.ndarray:
    import numpy as np

    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
