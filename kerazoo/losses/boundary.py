"""The weight map of U-Net, which makes the thin gaps between touching objects count."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerazoo import checks


def boundary_weights(
    instances: Any, *, w0: float = 10.0, sigma: float = 5.0, balance_classes: bool = True
) -> np.ndarray:
    """Computes the weight of every pixel from the objects of an image:

        w = w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2))

    with the distances d1 and d2 in pixels to the nearest and the second nearest object. The second term is that of the
    background only, where the gaps are, and where d1 and d2 are distances to the borders.

    Args:
        instances: Object numbers (height, width), 0 for the background.
        w0: Weight of the narrowest gap.
        sigma: Width in pixels of the gaps that count.
        balance_classes: Whether w_c makes foreground and background weigh the same: half the pixels over the pixels of
            the class. Else, and where one of them is missing, it is 1.

    Returns:
        Array (height, width), float32.

    Raises:
        ValueError: If the object numbers are no two-dimensional array of whole numbers.

    Example:
        >>> weights = kerazoo.losses.boundary_weights(instances)

    References:
        Ronneberger, Fischer, Brox (2015), https://arxiv.org/abs/1505.04597
    """
    from scipy import ndimage

    instances = np.asarray(instances)
    if instances.ndim != 2 or not np.issubdtype(instances.dtype, np.integer):
        raise ValueError(
            "instances must be a two-dimensional array of whole numbers. "
            f"Received: shape {instances.shape}, dtype {instances.dtype}"
        )
    checks.non_negative("w0", w0)
    if checks.non_negative("sigma", sigma) == 0:
        raise ValueError(f"sigma must be larger than 0. Received: sigma={sigma!r}")
    background = instances == 0
    weights = np.ones(instances.shape)
    share = background.mean() if background.size else 0.0
    if balance_classes and 0 < share < 1:
        weights = np.where(background, 0.5 / share, 0.5 / (1 - share))

    # Farther than five sigma the term is below w0 / 250,000: each object is looked at with that margin only.
    margin = int(np.ceil(5 * sigma))
    nearest = np.full((2, *instances.shape), np.inf)
    numbered = _numbered(instances)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        window = tuple(slice(max(part.start - margin, 0), part.stop + margin) for part in box)
        distance = ndimage.distance_transform_edt(numbered[window] != number)
        first, second = nearest[0][window], nearest[1][window]
        nearest[1][window] = np.minimum(second, np.maximum(first, distance))
        nearest[0][window] = np.minimum(first, distance)
    gaps = w0 * np.exp(-(nearest.sum(axis=0) ** 2) / (2 * sigma**2))
    return (weights + np.where(background, gaps, 0)).astype("float32")


def _numbered(instances: np.ndarray) -> np.ndarray:
    """Numbers the objects 1, 2, 3, ... without gaps; 0 stays the background."""
    known = np.unique(instances[instances != 0])
    return np.where(instances != 0, np.searchsorted(known, instances) + 1, 0)
