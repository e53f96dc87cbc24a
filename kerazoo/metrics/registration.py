"""How well images were laid on each other: overlap of labels, folds of a field, and its error, in NumPy and SciPy.

A field is (height, width, 2) or (depth, height, width, 3), displacements in pixels along each axis, and pulls:
`moved(p) = moving(p + field(p))`.
"""

from __future__ import annotations

import numpy as np

from kerazoo.registration.fields import jacobian_determinant, warp_image, warp_labels

__all__ = [
    "endpoint_error",
    "folded_share",
    "jacobian_determinant",
    "label_dice",
    "mean_label_dice",
    "moves",
    "sd_log_jacobian",
    "warp_image",
    "warp_labels",
]


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
