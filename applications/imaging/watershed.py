"""Objects without a network: a threshold, and a watershed of the distances to the background. NumPy and SciPy only."""

from __future__ import annotations

import numpy as np

from kerazoo.detection.boundaries import watershed
from kerazoo.detection.flows import fill_and_drop

BLUR = 1.0  # pixels
BACKGROUND_REACH = 15  # pixels; objects are smaller than twice this
APART = 5  # pixels between the middles of two objects


def threshold_and_watershed(image: np.ndarray, bright: bool = True) -> np.ndarray:
    """Finds objects as one does without a network.

    The background is what the darkest pixels around show; the square root makes photon noise equal everywhere; Otsu's
    threshold divides; what is connected is cut where it is narrow.

    Args:
        image: (height, width, channels).
        bright: Whether objects are brighter than the background.

    Returns:
        A label image (height, width), int32.
    """
    from scipy import ndimage

    from applications.semantic_segmentation import otsu_threshold

    grey = np.asarray(image, np.float32).mean(axis=2)
    grey = grey if bright else grey.max() - grey
    darkest = ndimage.minimum_filter(ndimage.gaussian_filter(grey, 3 * BLUR), 2 * BACKGROUND_REACH + 1)
    background = ndimage.gaussian_filter(darkest, BACKGROUND_REACH)
    above = np.sqrt(np.maximum(ndimage.gaussian_filter(grey, BLUR) - background, 0))
    mask = ndimage.binary_fill_holes(above > otsu_threshold(above))
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    tops = (depth == ndimage.maximum_filter(depth, 2 * APART + 1)) & mask
    markers = ndimage.label(tops, np.ones((3, 3)))[0].astype(np.int32)
    return fill_and_drop(watershed(depth, markers, mask))
