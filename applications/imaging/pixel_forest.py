"""Masks of images by a random forest, which sees each pixel with its surroundings: the way of ilastik.

S. Berg et al., "ilastik: interactive machine learning for (bio)image analysis", Nature Methods 16:1226-1232, 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BLURS = (1.0, 2.0, 4.0)  # standard deviations of the Gaussians in pixels
PIXELS = 20_000  # that the forest learns from, from all images together


def mask_forest(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Learns what is foreground.

    Args:
        images: Arrays (height, width, channels).
        masks: Boolean arrays (height, width), True in the foreground.

    Returns:
        A function from an image to its mask.
    """
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    random, seen, truths = np.random.default_rng(0), [], []
    for image, mask in zip(images, masks, strict=True):
        chosen = random.choice(mask.size, min(mask.size, max(1, PIXELS // len(images))), replace=False)
        seen.append(surroundings(image)[chosen])
        truths.append(mask.ravel()[chosen])
    forest = RandomForestClassifier(50, min_samples_leaf=2, random_state=0)
    forest.fit(np.concatenate(seen), np.concatenate(truths))
    return lambda image: forest.predict(surroundings(image)).reshape(image.shape[:2])


def surroundings(image: np.ndarray) -> np.ndarray:
    """Returns brightness, slope and curvature around each pixel of an image: (pixels, 3 for each of `BLURS`)."""
    import numpy as np
    from scipy import ndimage

    grey = np.asarray(image, np.float32).mean(axis=2)
    filters = (ndimage.gaussian_filter, ndimage.gaussian_gradient_magnitude, ndimage.gaussian_laplace)
    return np.stack([filtered(grey, blur).ravel() for blur in BLURS for filtered in filters], axis=1)
