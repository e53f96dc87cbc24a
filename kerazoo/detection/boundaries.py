"""Objects as regions between boundaries, in images and volumes. NumPy and SciPy only.

Every pixel gets one of three classes: background, inside, or boundary, which is where an object touches another one or
the background. A dense network learns these; what is inside is connected, numbered, and grows back to the boundaries.

The three classes: J. C. Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
Nature Methods 16 (2019), https://doi.org/10.1038/s41592-019-0612-7; in volumes of plant tissue: A. Wolny et al., eLife
9 (2020), https://doi.org/10.7554/eLife.57613.
"""

from __future__ import annotations

import numpy as np

BACKGROUND, INSIDE, BOUNDARY = range(3)


def boundary_classes(labels: np.ndarray) -> np.ndarray:
    """Turns objects into the three classes.

    Args:
        labels: Object numbers (height, width) or (depth, height, width), 0 for the background.

    Returns:
        uint8 array of the same shape: `BACKGROUND`, `INSIDE` or `BOUNDARY`; the boundary is the pixels of an object
        with one beside them, along an axis, that is not of it.

    Example:
        >>> boundary_classes(np.pad(np.ones((3, 3), int), 1))[2]
        array([0, 2, 1, 2, 0], dtype=uint8)
    """
    labels = np.maximum(np.asarray(labels), 0)
    edge = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        differs = np.diff(labels, axis=axis) != 0
        moved = np.moveaxis(edge, axis, 0)
        moved[:-1] |= np.moveaxis(differs, axis, 0)
        moved[1:] |= np.moveaxis(differs, axis, 0)
    return np.where(labels > 0, np.where(edge, BOUNDARY, INSIDE), BACKGROUND).astype(np.uint8)


def boundary_objects(
    probabilities: np.ndarray, *, threshold: float = 0.5, smallest: int = 15, apart: int | None = None
) -> np.ndarray:
    """Makes objects of the probabilities of the three classes.

    Where the inside is likelier than the threshold, connected pixels are one object; it grows into what is likelier an
    object than not. In volumes a boundary is a surface, and one hole in it would join two objects: with `apart`
    connected pixels are cut where they are narrow, and every other pixel goes to the object it is nearest to.

    Args:
        probabilities: (height, width, 3) or (depth, height, width, 3).
        threshold: Smallest probability of the inside.
        smallest: Objects of fewer pixels go.
        apart: Pixels between the places deepest inside of two objects; None cuts nothing.

    Returns:
        A label image or volume, int32.

    Example:
        >>> labels = boundary_objects(kerazoo.predict_tiled(unet3d, volume))
    """
    from scipy import ndimage

    inside = probabilities[..., INSIDE]
    mask = probabilities[..., BACKGROUND] < 0.5
    if apart is None:
        labels = watershed(inside, ndimage.label(inside > threshold)[0].astype(np.int32), mask)
    else:
        cores = watershed(*deepest(inside > threshold, apart), inside > threshold)
        places = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
        labels = np.where(mask, cores[tuple(places)], 0)
    kept = np.bincount(labels.ravel()) >= smallest
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0)[labels].astype(np.int32)


def deepest(mask: np.ndarray, apart: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the places of a mask that lie deepest in it.

    Args:
        mask: Boolean array of any number of dimensions.
        apart: Pixels along an axis within which there is nothing deeper.

    Returns:
        The distance to the rest, a little smoothed, and the places as numbered markers.
    """
    from scipy import ndimage

    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    tops = (depth == ndimage.maximum_filter(depth, 2 * apart + 1)) & mask
    return depth, ndimage.label(tops, np.ones((3,) * mask.ndim))[0].astype(np.int32)


def watershed(heights: np.ndarray, markers: np.ndarray, mask: np.ndarray, *, levels: int = 64) -> np.ndarray:
    """Lets markers grow downhill, from the highest level to the next, until they meet or the mask ends.

    Args:
        heights: Array of any number of dimensions; objects are hills.
        markers: Whole numbers of the same shape, 0 where there is none.
        mask: Where labels may grow.
        levels: Number of steps from the top to the bottom.

    Returns:
        Labels of the same shape, int32.

    References:
        S. Beucher, C. Lantuéjoul, "Use of watersheds in contour detection", 1979.
    """
    from scipy import ndimage

    labels = np.where(mask, markers, 0).astype(np.int32)
    # Along the axes only: over a corner they would reach across a boundary.
    beside = ndimage.generate_binary_structure(labels.ndim, 1)
    for level in np.linspace(heights[mask].max(), heights[mask].min(), levels) if mask.any() else ():
        allowed = mask & (heights >= level)
        while True:
            free = allowed & (labels == 0)
            grown = np.where(free, ndimage.maximum_filter(labels, footprint=beside), labels)
            if not grown[free].any():
                break
            labels = grown
    return labels
