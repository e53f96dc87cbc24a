"""Fluorescent beads out of focus: images whose blur, brightness and number are known.

A bead is smaller than the light's wavelength, so its image is the microscope's point spread function, here a
Gaussian of `blur` pixels. How much of a bead's light falls on a pixel is its integral over the pixel; the camera
counts photons as in `simulators.fluorescence`. All beads of an image are equally blurred: they lie in one plane.

References:
    Zhang, Zerubia, Olivo-Marin: Gaussian approximations of fluorescence microscope point-spread function models,
        Applied Optics 46 (2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import Range, expose

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BeadParameters:
    """What is drawn; each image draws its own value from a range, uniformly.

    Attributes:
        size: height and width of the image in pixels.
        beads: least and most beads in an image.
        blur: standard deviation of a bead's image in pixels.
        photons: photons of one bead in all.
        background: expected photons in an empty pixel.
        offset: the camera's number without light, in ADU.
        gain: ADU per electron.
        read_noise: sd in electrons.
    """

    size: int = 32
    beads: tuple[int, int] = (4, 10)
    blur: Range = (0.8, 3.0)
    photons: Range = (500.0, 2000.0)
    background: float = 5.0
    offset: float = 100.0
    gain: float = 2.0
    read_noise: float = 1.5

    def __post_init__(self):
        if self.size < 8 or self.beads[0] < 1 or min(self.blur) <= 0 or min(self.photons) <= 0:
            raise ValueError("size must be at least 8, beads at least 1, blur and photons above 0.")


@dataclass(frozen=True, eq=False)
class BeadScene:
    """One simulated image.

    Attributes:
        image: `(H, W)` uint16.
        blur, photons, beads: what this image drew.
    """

    image: np.ndarray
    blur: float
    photons: float
    beads: int


def simulate_beads(parameters: BeadParameters = BeadParameters(), seed=0) -> BeadScene:
    """Simulates one image.

    Args:
        parameters: what is drawn.
        seed: an int, or a sequence of ints such as `(seed, index)`; equal seeds give equal images.

    Returns:
        The image and its truth.

    Example:
        >>> scene = simulate_beads(seed=1)
        >>> scene.image.shape, 0.8 <= scene.blur <= 3.0
        ((32, 32), True)
    """
    import numpy as np

    p, rng = parameters, np.random.default_rng(seed)
    blur, photons = rng.uniform(*p.blur), rng.uniform(*p.photons)
    count = int(rng.integers(p.beads[0], p.beads[1] + 1))
    centres = rng.uniform(0, p.size, (count, 2))
    light = photons * _share(centres[:, 0], blur, p.size).T @ _share(centres[:, 1], blur, p.size)
    image = expose(light + p.background, rng, offset=p.offset, gain=p.gain, read_noise=p.read_noise)
    return BeadScene(image, float(blur), float(photons), count)


def _share(centres: np.ndarray, blur: float, size: int) -> np.ndarray:
    """Returns `(n, size)`: how much of each bead's light falls on each row (or column) of pixels."""
    import numpy as np
    from scipy.special import ndtr

    edges = ndtr((np.arange(size + 1) - centres[:, None]) / blur)
    return np.diff(edges, axis=1)
