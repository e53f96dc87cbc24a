"""Pairs of images of which one is the other, deformed by a field that is known.

An image is made of ellipses of different brightness, one into another and beside each other, as organs are in a section
through a body. The field is the integral of a random, smooth velocity, so that it has an inverse; the second image is
the first one pulled along it. Then each image gets a shading and noise of its own. It stands for images of two
patients, or of one tissue at two times.

References:
    Shepp, Logan: The Fourier reconstruction of a head section, IEEE Trans. Nucl. Sci. 21 (1974), for the ellipses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import Range

MOST_HIDDEN = 0.2  # share of an ellipse that a later one may cover: slivers are nothing one could look for

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class EllipseParameters:
    """What is drawn; each pair draws its own value from a range, uniformly.

    Attributes:
        size: height and width of the images in pixels.
        ellipses: least and most ellipses inside the outer one.
        radius: of an inner ellipse, as a share of `size`.
        displacement: root mean square of the field in pixels.
        smoothness: sd in pixels of the Gaussian that smooths the velocity.
        shading: largest relative change of brightness across an image.
        noise: sd of the noise; the brightest an ellipse can be is 1.
    """

    size: int = 64
    ellipses: tuple[int, int] = (5, 12)
    radius: Range = (0.06, 0.14)
    displacement: Range = (3.0, 5.0)
    smoothness: Range = (8.0, 12.0)
    shading: float = 0.1
    noise: float = 0.02

    def __post_init__(self):
        if self.size < 32 or self.ellipses[0] < 1 or min(self.radius) <= 0 or min(self.smoothness) <= 0:
            raise ValueError("size must be at least 32, ellipses at least 1, radius and smoothness above 0.")
        if min(*self.displacement, self.shading, self.noise) < 0:
            raise ValueError("displacement, shading and noise must be at least 0.")


@dataclass(frozen=True, eq=False)
class EllipsePair:
    """One simulated pair.

    Attributes:
        moving, fixed: `(H, W)` float32, about 0 to 1.
        moving_labels, fixed_labels: `(H, W)` uint8, 1 the outer ellipse, 2 and more those inside.
        field: `(H, W, 2)` float32 in pixels: `fixed(p)` shows what `moving` has at `p + field(p)`.
    """

    moving: np.ndarray
    fixed: np.ndarray
    moving_labels: np.ndarray
    fixed_labels: np.ndarray
    field: np.ndarray


def simulate_ellipses(parameters: EllipseParameters = EllipseParameters(), seed=0) -> EllipsePair:
    """Simulates one pair.

    Args:
        parameters: what is drawn.
        seed: an int, or a sequence of ints; equal seeds give equal pairs.

    Returns:
        The pair and its truth.

    Example:
        >>> pair = simulate_ellipses(seed=1)
        >>> pair.moving.shape, pair.field.shape
        ((64, 64), (64, 64, 2))
    """
    import numpy as np

    from kerazoo.registration.fields import jacobian_determinant, warp_image, warp_labels

    p, rng = parameters, np.random.default_rng(seed)
    scene, labels = _ellipses(p, rng)
    field = _field(p, rng)
    while jacobian_determinant(field).min() <= 0.2:  # an anatomy is squeezed, but not to nothing
        field = _field(p, rng)
    deformed = warp_image(scene, field)
    return EllipsePair(
        _photographed(p, scene, rng), _photographed(p, deformed, rng), labels, warp_labels(labels, field), field
    )


def _ellipses(p: EllipseParameters, rng) -> tuple[np.ndarray, np.ndarray]:
    """Returns brightness, with outlines about a pixel wide, and labels."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    y, x = np.mgrid[: p.size, : p.size] / p.size - 0.5
    labels = ((y / 0.42) ** 2 + (x / 0.36) ** 2 < 1).astype(np.uint8)
    scene = labels * 0.35
    for label in range(2, 2 + int(rng.integers(p.ellipses[0], p.ellipses[1] + 1))):
        for _ in range(30):
            inside = _ellipse(p, y, x, rng)
            hidden = np.bincount(labels[inside], minlength=label) / np.maximum(np.bincount(labels.ravel()), 1)
            if hidden[2:].max(initial=0) < MOST_HIDDEN:
                break
        else:
            break  # no room is left
        labels[inside] = label
        scene[inside] = rng.uniform(0.05, 0.2) if rng.random() < 0.5 else rng.uniform(0.5, 1.0)
    return gaussian_filter(scene, 0.7).astype(np.float32), labels


def _ellipse(p: EllipseParameters, y: np.ndarray, x: np.ndarray, rng) -> np.ndarray:
    """Returns the pixels of one inner ellipse; coordinates are shares of the size, from the middle."""
    import numpy as np

    angle, ratio, radius = rng.uniform(0, np.pi), rng.uniform(1.0, 1.8), rng.uniform(*p.radius)
    direction, distance = rng.uniform(0, 2 * np.pi), 0.28 * np.sqrt(rng.uniform())
    dy, dx = y - distance * np.sin(direction), x - distance * np.cos(direction)
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    return (u / (radius * np.sqrt(ratio))) ** 2 + (v * np.sqrt(ratio) / radius) ** 2 < 1


def _field(p: EllipseParameters, rng) -> np.ndarray:
    import numpy as np
    from scipy.ndimage import gaussian_filter

    from kerazoo.registration.fields import warp_image

    sigma, wanted = rng.uniform(*p.smoothness), rng.uniform(*p.displacement)
    field = np.stack([gaussian_filter(rng.standard_normal((p.size, p.size)), sigma) for _ in range(2)], axis=-1)
    field *= wanted / max(float(np.sqrt((field**2).sum(axis=-1).mean())), 1e-12) / 2**7
    for _ in range(7):  # scaling and squaring
        field = field + warp_image(field, field)
    return field.astype(np.float32)


def _photographed(p: EllipseParameters, scene: np.ndarray, rng) -> np.ndarray:
    """Adds a shading along a random direction, and noise."""
    import numpy as np

    y, x = np.mgrid[: p.size, : p.size] / p.size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    shading = 1 + p.shading * 2 * (np.cos(angle) * x + np.sin(angle) * y)
    return (scene * shading + rng.normal(0, p.noise, scene.shape)).astype(np.float32)
