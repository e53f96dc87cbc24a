"""Objects without a network: a threshold, and a watershed of the distances to the background. NumPy and SciPy only."""

from __future__ import annotations

import numpy as np

from kerazoo.detection.flows import fill_and_drop

BLUR = 1.5  # pixels
BACKGROUND_REACH = 15  # pixels; objects are smaller than twice this
APART = 4  # pixels between the middles of two objects


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
    darkest = ndimage.minimum_filter(ndimage.gaussian_filter(grey, 2 * BLUR), 2 * BACKGROUND_REACH + 1)
    background = ndimage.gaussian_filter(darkest, BACKGROUND_REACH)
    above = np.sqrt(np.maximum(ndimage.gaussian_filter(grey, BLUR) - background, 0))
    mask = ndimage.binary_fill_holes(above > otsu_threshold(above))
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    tops = (depth == ndimage.maximum_filter(depth, 2 * APART + 1)) & mask
    markers = ndimage.label(tops, np.ones((3, 3)))[0].astype(np.int32)
    return fill_and_drop(watershed(depth, markers, mask))


def watershed(depth: np.ndarray, markers: np.ndarray, mask: np.ndarray, *, levels: int = 64) -> np.ndarray:
    """Lets markers grow downhill, from the deepest level to the next, until they meet or the mask ends.

    Args:
        depth: Array of any number of dimensions; objects are hills.
        markers: Whole numbers of the same shape, 0 where there is none.
        mask: Where labels may grow.
        levels: Number of steps from the top to the bottom.

    Returns:
        A label image of the same shape, int32.

    References:
        S. Beucher, C. Lantuéjoul, "Use of watersheds in contour detection", 1979.
    """
    from scipy import ndimage

    labels = np.where(mask, markers, 0).astype(np.int32)
    for level in np.linspace(depth.max(), depth[mask].min(), levels)[1:] if mask.any() else ():
        allowed = mask & (depth >= level)
        while True:
            free = allowed & (labels == 0)
            grown = np.where(free, ndimage.maximum_filter(labels, 3), labels)
            if not grown[free].any():
                break
            labels = grown
    return labels
