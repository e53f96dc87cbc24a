"""How well images were laid on each other: overlap of labels, folds of a field, and its error, in NumPy and SciPy.

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


def label_dice(truth: np.ndarray, found: np.ndarray) -> dict[int, float]:
    """Returns the Dice coefficient of each label of two label images, without the background, 0.

    The background would make any registration look good: most of it lies on itself.

    Args:
        truth: Whole numbers.
        found: The same.

    Returns:
        Label -> 2 |A and B| / (|A| + |B|), for each label that one of both has.

    Example:
        >>> label_dice(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]))
        {1: 0.6666666666666666, 2: 0.6666666666666666}
    """
    scores = {}
    for label in np.union1d(np.unique(truth), np.unique(found)):
        if label:
            a, b = truth == label, found == label
            scores[int(label)] = float(2 * (a & b).sum() / (a.sum() + b.sum()))
    return scores


def mean_label_dice(truth: np.ndarray, found: np.ndarray) -> float:
    """Returns the mean of `label_dice`; nan where neither image has a label."""
    scores = list(label_dice(truth, found).values())
    return float(np.mean(scores)) if scores else float("nan")


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


def folded_share(field: np.ndarray) -> float:
    """Returns the share of pixels at which the Jacobian determinant is not above 0."""
    return float((jacobian_determinant(field) <= 0).mean())


def sd_log_jacobian(field: np.ndarray) -> float:
    """Returns the standard deviation of the logarithm of the Jacobian determinant, where it is above 0."""
    determinant = jacobian_determinant(field)
    return float(np.log(determinant[determinant > 0]).std())


def endpoint_error(truth: np.ndarray, found: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Returns the mean distance in pixels between where two fields point.

    Args:
        truth: The known field.
        found: The other one.
        mask: Where to look; a field is not to be known where an image has nothing to see.
    """
    distance = np.sqrt(((truth - found) ** 2).sum(axis=-1))
    return float(distance.mean() if mask is None else distance[mask].mean())


def moves(field: np.ndarray, smallest: float = 0.1) -> bool:
    """Returns whether a field moves anything, that is, whether some hundredth of it is longer than `smallest` pixels.

    A network that has learnt nothing gives a field of nearly 0, whose moved image looks as good as the moving one.

    Args:
        field: Displacements in pixels, of one pair or of several.
        smallest: In pixels.
    """
    return bool(np.quantile(np.sqrt((field**2).sum(axis=-1)), 0.99) > smallest)


def _grid(field: np.ndarray) -> np.ndarray:
    """Returns the place of each pixel, like a field."""
    return np.stack(np.meshgrid(*map(np.arange, field.shape[:-1]), indexing="ij"), axis=-1)


def _channels(image: np.ndarray) -> np.ndarray:
    return np.moveaxis(image, -1, 0)
