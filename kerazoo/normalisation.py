"""Bringing images of any camera to one range of values."""

from __future__ import annotations

from typing import Any

import numpy as np


def percentile_normalise(
    image: Any, low: float = 2.0, high: float = 99.8, axis: int | tuple[int, ...] | None = None
) -> np.ndarray:
    """Moves two percentiles of an image to 0 and 1; what lies outside is kept and not cut off.

    Percentiles rather than the extremes, since one hot pixel would squeeze all others together.

    Args:
        image: Array of any shape, whole numbers or floats.
        low: The percentile that becomes 0.
        high: The percentile that becomes 1.
        axis: Axes over which the percentiles are taken, e.g. `(0, 1)` for one pair per channel of an image (height,
            width, channels). Defaults to all.

    Returns:
        The image as float32; zeros where both percentiles are equal.

    Raises:
        ValueError: If the percentiles are not ascending in [0, 100], or the image is empty or not finite.

    Example:
        >>> kerazoo.percentile_normalise(image, 1, 99.8, axis=(0, 1))

    References:
        Weigert et al. (2018), https://doi.org/10.1038/s41592-018-0216-7
    """
    pixels = np.asarray(image)
    if not 0 <= low < high <= 100:
        raise ValueError(f"low and high must be percentiles with 0 <= low < high <= 100. Received: {low!r}, {high!r}")
    if not pixels.size:
        raise ValueError(f"an image without pixels cannot be normalised. Received: shape {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise ValueError("image has values that are not finite (NaN or infinite); replace them first")
    first, last = np.percentile(pixels, (low, high), axis=axis, keepdims=True)
    span = np.where(last > first, last - first, np.inf)
    return ((pixels - first) / span).astype(np.float32)
