"""Bright spots found in images: the classic detector, and the peaks of a heat map."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage


def find_spots(image: Any, sigma: float, *, threshold: float = 5.0) -> np.ndarray:
    """Finds bright spots by the Laplacian of a Gaussian, to a fraction of a pixel.

    The negative Laplacian of the smoothed image is largest where a spot of this width lies. How strong a spot has to be
    is said in spreads of this response over the whole image, so that brightness and background do not matter; the
    spread is taken from the median of its size, which a few spots do not change.

    Args:
        image: (height, width), any numbers.
        sigma: Standard deviation of a spot in pixels.
        threshold: Least strength in spreads of the response.

    Returns:
        (n, 2) row and column of each spot, in the order of the rows.

    Raises:
        ValueError: The image has other axes or holds values that are not finite.

    Example:
        >>> image = np.zeros((21, 21))
        >>> image[7, 12] = 1
        >>> find_spots(image + 1e-6 * np.sin(np.arange(21)), 1.5).round().tolist()
        [[7.0, 12.0]]
    """
    image = np.asarray(image, np.float64)
    if image.ndim != 2 or not np.isfinite(image).all():
        raise ValueError(f"image must be (height, width) and finite. Received: shape {image.shape}.")
    if not sigma > 0:
        raise ValueError(f"sigma must be a number of pixels above 0. Received: sigma={sigma!r}")
    response = -ndimage.gaussian_laplace(image, sigma)
    spread = 1.4826 * np.median(np.abs(response - np.median(response)))
    return peaks(response, threshold * spread, distance=max(1, round(sigma)))


def peaks(response: np.ndarray, threshold: float, *, distance: int = 1) -> np.ndarray:
    """Returns the local maxima of an image, each at the top of a parabola through it and its neighbours.

    Args:
        response: (height, width).
        threshold: Least value of a maximum, itself not included.
        distance: A maximum is the largest value up to so many pixels away.

    Returns:
        (n, 2) row and column.
    """
    highest = ndimage.maximum_filter(response, 2 * distance + 1, mode="nearest")
    # Of a plateau one pixel is the peak, and not each of them.
    groups, count = ndimage.label((response == highest) & (response > threshold), np.ones((3, 3)))
    if not count:
        return np.zeros((0, 2))
    found = np.array(ndimage.maximum_position(response, groups, np.arange(1, count + 1)))
    padded = np.pad(response, 1, mode="reflect")
    place = found.astype(np.float64)
    for axis, step in enumerate(((1, 0), (0, 1))):
        centre = found + 1
        before, here, after = (padded[tuple((centre + k * np.array(step)).T)] for k in (-1, 0, 1))
        curvature = before - 2 * here + after
        place[:, axis] += np.where(curvature < 0, 0.5 * (before - after) / np.minimum(curvature, -1e-12), 0.0)
    return np.clip(place, 0, np.array(response.shape) - 1)
