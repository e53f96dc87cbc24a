"""Objects without a network: a threshold, and a watershed of the distances to the background. NumPy and SciPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerazoo.detection.boundaries import deepest, watershed
from kerazoo.detection.flows import fill_and_drop

BLUR = 1.0  # pixels
BACKGROUND_REACH = 15  # pixels; objects are smaller than twice this
APART = 5  # pixels between the middles of two objects


def threshold_and_watershed(
    image: np.ndarray, bright: bool = True, stretch: Sequence[float] = (1.0, 1.0)
) -> np.ndarray:
    """Finds objects as one does without a network.

    The background is what the darkest pixels around show; the square root makes photon noise equal everywhere; Otsu's
    threshold divides; what is connected is cut where it is narrow.

    Args:
        image: (height, width, channels) or (depth, height, width, channels).
        bright: Whether objects are brighter than the background.
        stretch: What makes cubes of the voxels, axis by axis.

    Returns:
        A label image (height, width) or (depth, height, width), int32.
    """
    from scipy import ndimage

    from applications.datasets.instances import rescaled
    from applications.imaging.objects import labels_at_size
    from applications.imaging.thresholds import otsu_threshold

    grey = rescaled(np.asarray(image, np.float32), stretch).mean(axis=-1)
    grey = grey if bright else grey.max() - grey
    darkest = ndimage.minimum_filter(ndimage.gaussian_filter(grey, 3 * BLUR), 2 * BACKGROUND_REACH + 1)
    background = ndimage.gaussian_filter(darkest, BACKGROUND_REACH)
    above = np.sqrt(np.maximum(ndimage.gaussian_filter(grey, BLUR) - background, 0))
    mask = ndimage.binary_fill_holes(above > otsu_threshold(above))
    depth, markers = deepest(mask, APART)
    return labels_at_size(fill_and_drop(watershed(depth, markers, mask)), image.shape[:-1])
