"""How close pictures are to others: squared error, PSNR and SSIM, one number per picture."""

from __future__ import annotations

import numpy as np


def squared_errors(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Returns the mean squared error of each picture.

    Args:
        truth: Pictures (count, height, width, channels), or any other samples.
        found: The same for what is compared.
    """
    difference = np.asarray(truth, np.float64) - np.asarray(found, np.float64)
    return np.square(difference).reshape(len(difference), -1).mean(axis=1)


def psnr(truth: np.ndarray, found: np.ndarray, peak: float = 1.0) -> np.ndarray:
    """Returns the peak signal-to-noise ratio of each picture in dB; infinite where both are equal.

    Args:
        truth: Pictures (count, height, width, channels).
        found: The same for what is compared.
        peak: Difference between the largest and the smallest possible value.
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peak**2 / squared_errors(truth, found))


def range_invariant_psnr(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Returns the PSNR in dB of each picture after the best change of its brightness and contrast.

    For pictures without a fixed range of values, such as those of microscopes: the peak is the range of the true
    picture, and what is compared is mapped by the straight line that brings it closest.

    Args:
        truth: Pictures (count, height, width, channels).
        found: The same for what is compared.

    References:
        Weigert et al. (2018), https://doi.org/10.1038/s41592-018-0216-7
    """
    a, b = (np.asarray(pictures, np.float64).reshape(len(truth), -1) for pictures in (truth, found))
    peaks = np.ptp(a, axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    power = np.square(b).sum(axis=1)
    slopes = np.divide((a * b).sum(axis=1), power, out=np.zeros_like(power), where=power > 0)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peaks**2 / np.square(a - slopes[:, None] * b).mean(axis=1))


def ssim(truth: np.ndarray, found: np.ndarray, peak: float = 1.0) -> np.ndarray:
    """Returns the structural similarity of each picture, 1 where both are equal.

    Window: Gaussian with a standard deviation of 1.5, cut off at 11 x 11; pictures are mirrored at their edges, so that
    those smaller than the window have one, too.

    Args:
        truth: Pictures (count, height, width, channels).
        found: The same for what is compared.
        peak: Difference between the largest and the smallest possible value.

    References:
        Wang, Bovik, Sheikh, Simoncelli (2004), "Image quality assessment", https://doi.org/10.1109/TIP.2003.819861
    """
    from scipy.ndimage import gaussian_filter

    def smooth(pictures: np.ndarray) -> np.ndarray:
        return gaussian_filter(pictures, (0, 1.5, 1.5, 0), truncate=3.5, mode="reflect")

    a, b = np.asarray(truth, np.float64), np.asarray(found, np.float64)
    mean_a, mean_b = smooth(a), smooth(b)
    variance_a, variance_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (luminance * structure).mean(axis=(1, 2, 3))


def fidelity(truth: np.ndarray, found: np.ndarray, peak: float = 1.0) -> dict[str, float]:
    """Returns `mse`, `psnr` (of the mean error, in dB) and `ssim` over all pictures."""
    mse = float(squared_errors(truth, found).mean())
    return {
        "mse": mse,
        "psnr": float(10 * np.log10(peak**2 / mse)) if mse else float("inf"),
        "ssim": float(ssim(truth, found, peak).mean()),
    }
