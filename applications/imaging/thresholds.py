"""Otsu's threshold, which needs no training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def otsu_threshold(values: np.ndarray, bins: int = 256) -> float:
    """Returns the threshold that separates values into the two classes of largest between-class variance.

    References:
        N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and
        Cybernetics 9(1):62-66, 1979.
    """
    import numpy as np

    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
        between = np.nan_to_num(below * above * gap**2)
    return float(centres[int(between.argmax())])


def otsu_mask(image: np.ndarray, bright: bool) -> np.ndarray:
    """Returns the pixels on the foreground's side of Otsu's threshold, as uint8."""
    import numpy as np

    grey = np.asarray(image, np.float32).mean(axis=2)
    above = grey > otsu_threshold(grey)
    return (above if bright else ~above).astype(np.uint8)
