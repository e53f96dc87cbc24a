"""Is this noise that can be learnt away, and was it? Checks of noisy and denoised images, with NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np

_BLOCK = 16
_CORRELATED = 0.15
_UNCHANGED = 0.1


def autocorrelation(image: Any, lag: int = 4) -> np.ndarray:
    """Returns how neighbours of an image correlate.

    Args:
        image: (..., height, width): one image or several, whose means are taken off one by one.
        lag: Largest distance in pixels.

    Returns:
        (2 lag + 1, 2 lag + 1), 1 in the middle; the mean over all images, zeros for a constant one.

    Raises:
        ValueError: If images are too small.

    Example:
        >>> autocorrelation(noisy - denoised)[4, 5]  # of pixels side by side
    """
    planes = np.asarray(image, np.float64)
    planes = planes.reshape(-1, *planes.shape[-2:])
    height, width = planes.shape[-2:]
    if min(height, width) <= lag:
        raise ValueError(f"images must be larger than lag={lag}. Received: {height} x {width}")
    planes = planes - planes.mean(axis=(1, 2), keepdims=True)
    found = np.zeros((2 * lag + 1, 2 * lag + 1))
    for row in range(lag + 1):
        for column in range(-lag, lag + 1):
            first = planes[:, : height - row, max(0, -column) : width - max(0, column)]
            second = planes[:, row:, max(0, column) : width + min(0, column)]
            found[lag + row, lag + column] = found[lag - row, lag - column] = np.mean(first * second)
    power = found[lag, lag]
    return found / power if power > 0 else found


def noise_autocorrelation(image: Any, lag: int = 4) -> np.ndarray:
    """Returns how the noise of neighbours correlates, seen where an image is at rest.

    That is the tenth of its blocks of 16 x 16 pixels with the smallest spread, less a plane fitted to each.

    Args:
        image: (height, width, channels), or with a depth in front; noisy as it came from the camera.
        lag: Largest distance in pixels.

    Returns:
        (2 lag + 1, 2 lag + 1), 1 in the middle.
    """
    pixels = np.moveaxis(np.asarray(image, np.float64), -1, 0)
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    height, width = (size // _BLOCK * _BLOCK for size in planes.shape[-2:])
    if not height or not width:
        return autocorrelation(planes, min(lag, min(planes.shape[-2:]) - 1))
    cut = planes[:, :height, :width].reshape(-1, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    blocks = cut.transpose(0, 1, 3, 2, 4).reshape(-1, _BLOCK, _BLOCK)
    slopes = np.linspace(-1, 1, _BLOCK)
    for ramp in (np.ones((_BLOCK, _BLOCK)), slopes[:, None] + 0 * slopes, slopes[None] + 0 * slopes[:, None]):
        blocks = blocks - (blocks * ramp).sum(axis=(1, 2), keepdims=True) / (ramp**2).sum() * ramp
    spread = blocks.std(axis=(1, 2))
    moving = np.flatnonzero(spread > 0)  # saturated pixels have no noise
    if not len(moving):
        return autocorrelation(blocks, lag)
    quiet = moving[np.argsort(spread[moving])[: max(1, len(moving) // 10)]]
    return autocorrelation(blocks[quiet], lag)


def strongest_neighbour(correlations: np.ndarray) -> tuple[float, tuple[int, int]]:
    """Returns the strongest correlation in an output of `autocorrelation`, and the rows and columns between the two."""
    middle = len(correlations) // 2
    others = correlations.copy()
    others[middle, middle] = 0.0
    row, column = np.unravel_index(np.abs(others).argmax(), others.shape)
    return float(others[row, column]), (abs(int(row) - middle), abs(int(column) - middle))


def structured_noise(image: Any) -> str | None:
    """Returns a sentence if noise can be guessed from neighbouring pixels, which Noise2Void cannot remove."""
    value, (rows, columns) = strongest_neighbour(noise_autocorrelation(image))
    if abs(value) < _CORRELATED:
        return None
    return (
        f"Where the image is at rest, pixels {rows} row(s) and {columns} column(s) apart correlate by {value:.2f}: the "
        "noise is structured (or the image has texture everywhere), and what neighbours tell of each other Noise2Void "
        "keeps; hide pixels along the structure too (structN2V), or train on pairs."
    )


def noise_level(image: Any) -> float:
    """Returns the standard deviation of white noise, estimated from what a plane of 3 x 3 pixels does not explain.

    References:
        Immerkaer (1996), "Fast noise variance estimation", https://doi.org/10.1006/cviu.1996.0060; here the median of
        the second differences in place of their mean, which edges would raise.
    """
    pixels = np.moveaxis(np.asarray(image, np.float64), -1, 0)
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    rows = planes[:, 2:] - 2 * planes[:, 1:-1] + planes[:, :-2]
    both = rows[:, :, 2:] - 2 * rows[:, :, 1:-1] + rows[:, :, :-2]
    return float(np.median(np.abs(both)) / 0.6745 / 6.0) if both.size else 0.0


def identity_collapse(noisy: Any, denoised: Any) -> str | None:
    """Returns a sentence if a denoised image is the noisy one again."""
    level = noise_level(noisy)
    changed = float(np.std(np.asarray(denoised, np.float64) - np.asarray(noisy, np.float64)))
    if level == 0 or changed > _UNCHANGED * level:
        return None
    return (
        f"The output is the input: it was changed by {changed:.3g}, with noise of about {level:.3g} in it. Train "
        "longer, or hide pixels by a manipulator that does not see them (uniform_withoutCP, median)."
    )
