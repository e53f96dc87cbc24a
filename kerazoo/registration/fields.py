"""Fields of displacements outside of networks: images and labels pulled along them, and their Jacobian, without Keras.

A field is (height, width, 2) or (depth, height, width, 3), displacements in pixels along each axis, and pulls:
`moved(p) = moving(p + field(p))`.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates


def warp_labels(labels: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Pulls a label image along a field: every label by itself, linearly, and each pixel gets the strongest.

    Taking the nearest pixel instead makes outlines ragged, and interpolating the numbers makes new ones.

    Args:
        labels: Whole numbers of the field's sizes.
        field: Displacements in pixels.

    Returns:
        Labels of the same dtype; of equally strong ones the smaller.

    Example:
        >>> field = np.zeros((1, 4, 2))
        >>> field[..., 1] = 0.6
        >>> warp_labels(np.array([[0, 0, 3, 3]]), field).tolist()
        [[0, 3, 3, 3]]
    """
    best, strongest = None, None
    places = np.moveaxis(_grid(field) + field, -1, 0)
    for label in np.unique(labels):
        share = map_coordinates((labels == label).astype(np.float32), places, order=1, mode="nearest")
        if best is None:
            best, strongest = np.full(share.shape, label, labels.dtype), share
        else:
            better = share > strongest
            best[better], strongest = label, np.maximum(strongest, share)
    return best


def warp_image(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Pulls an image (sizes) or (sizes, channels) along a field, linearly; beyond the edge it goes on as it ends.

    Args:
        image: Numbers.
        field: Displacements in pixels.
    """
    places = np.moveaxis(_grid(field) + field, -1, 0)
    if image.ndim < field.ndim:
        return map_coordinates(image, places, order=1, mode="nearest", output=np.float32)
    channels = [map_coordinates(part, places, order=1, mode="nearest", output=np.float32) for part in _channels(image)]
    return np.stack(channels, axis=-1)


def jacobian_determinant(field: np.ndarray) -> np.ndarray:
    """Returns how much larger each pixel's surroundings become: det(d(p + field(p)) / dp), by central differences.

    1 where nothing changes; where it is not above 0 the field folds.

    Args:
        field: Displacements in pixels.

    Returns:
        Numbers of the field's sizes.
    """
    rank = field.shape[-1]
    gradients = [np.stack(np.gradient(field[..., part].astype(np.float64)), axis=-1) for part in range(rank)]
    return np.linalg.det(np.stack(gradients, axis=-2) + np.eye(rank))


def _grid(field: np.ndarray) -> np.ndarray:
    """Returns the place of each pixel, like a field."""
    return np.stack(np.meshgrid(*map(np.arange, field.shape[:-1]), indexing="ij"), axis=-1)


def _channels(image: np.ndarray) -> np.ndarray:
    return np.moveaxis(image, -1, 0)
