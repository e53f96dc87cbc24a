"""Otsu's threshold, which needs no training, and on which side of it the foreground lies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from applications.datasets.store import ImageStore


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


def foreground_is_bright(images: ImageStore, masks: ImageStore, chosen: Iterable[int]) -> bool:
    """Returns whether pixels of a mask above 0 are brighter than the others; True where no image has both.

    Args:
        images: Images, or volumes.
        masks: Class numbers, or numbers of objects.
        chosen: Numbers of the images to look at, such as those of the training.
    """
    import numpy as np

    balance = 0.0
    for index in chosen:
        grey, inside = np.asarray(images[index], np.float32).mean(axis=-1), masks[index][..., 0] > 0
        if inside.any() and not inside.all():
            balance += float(grey[inside].mean() - grey[~inside].mean()) / max(float(grey.std()), 1e-9)
    return balance >= 0
