"""Domain walls as a probe microscope sees them: labyrinths and stripes, lost in noise of lines and tilt.

A smooth random field, or stripes bent by one, has a sign in every pixel: the domain. Where the sign changes lies a
wall. The amplitude of piezoresponse drops there over a width w, as 1 - tanh(d / w) with the distance d to the wall, and
the two kinds of domains differ a little. Every line of the scan has an offset of its own, the surface is tilted, and
the feedback adds 1/f noise.

References:
    Kholkin, Kalinin, Roelofs, Gruverman: Review of ferroelectric domain imaging by piezoresponse force microscopy, in
        Scanning Probe Microscopy (Springer, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import Range

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class WallParameters:
    """What is drawn; each image draws its own value from a range, uniformly.

    Attributes:
        size: height and width of the image in pixels.
        period: distance of two walls of one kind in pixels.
        stripes: share of images with stripes instead of a labyrinth.
        width: width w of the walls in pixels.
        depth: how far the amplitude drops at a wall; 1 is all of it.
        difference: difference of the amplitudes of the two kinds of domains.
        line_noise: spread of the offsets of the lines.
        tilt: largest slope from one side to the other.
        drift: spread of the 1/f noise.
        noise: spread of the noise of single pixels.
        drawn: half the thickness of a wall in the mask, in pixels.
    """

    size: int = 192
    period: Range = (24.0, 48.0)
    stripes: float = 0.5
    width: Range = (1.0, 3.0)
    depth: Range = (0.4, 0.9)
    difference: Range = (0.0, 0.2)
    line_noise: float = 0.05
    tilt: float = 0.3
    drift: float = 0.08
    noise: Range = (0.05, 0.2)
    drawn: float = 1.25

    def __post_init__(self):
        if self.size < 32 or not 8 <= self.period[0] <= self.period[1]:
            raise ValueError("size must be at least 32, period a range from 8 pixels.")
        if min(self.width) <= 0 or self.drawn < 0.5 or not 0 <= self.stripes <= 1:
            raise ValueError("width must be above 0, drawn at least 0.5, stripes a share from 0 to 1.")
        if min(*self.depth, *self.difference, self.line_noise, self.tilt, self.drift, *self.noise) < 0:
            raise ValueError("depth, difference, line_noise, tilt, drift and noise must be at least 0.")


@dataclass(frozen=True, eq=False)
class WallScene:
    """One simulated image.

    Attributes:
        image: `(H, W)` uint16.
        mask: `(H, W)` uint8, 1 on the walls.
        domains: `(H, W)` bool, the kind of domain.
    """

    image: np.ndarray
    mask: np.ndarray
    domains: np.ndarray


def simulate_walls(parameters: WallParameters = WallParameters(), seed=0) -> WallScene:
    """Draws one image.

    Args:
        parameters: what varies.
        seed: an int, or a sequence of ints such as `(seed, index)`; equal seeds give equal images.

    Example:
        >>> scene = simulate_walls(seed=1)
        >>> scene.image.shape, scene.mask.max()
        ((192, 192), np.uint8(1))
    """
    import numpy as np
    from scipy import ndimage

    from applications.datasets.simulators.scenes import one_over_f

    p, random = parameters, np.random.default_rng(seed)
    field = _field(p, random)
    domains = field > 0
    # Distance to the wall, which lies between two pixels, to a fraction of a pixel: the field over its slope.
    slope = np.hypot(*np.gradient(field))
    near = abs(field) / np.maximum(slope, 1e-9)
    away = np.where(domains, ndimage.distance_transform_edt(domains), ndimage.distance_transform_edt(~domains)) - 0.5
    distance = np.where(away < 2, np.minimum(near, away + 1), away)
    drop = random.uniform(*p.depth) * (1 - np.tanh(distance / random.uniform(*p.width)))
    y, x = np.mgrid[: p.size, : p.size] / p.size - 0.5
    angle, tilt = random.uniform(0, 2 * np.pi), random.uniform(0, p.tilt)
    image = 1.0 - drop + random.uniform(*p.difference) * (domains - 0.5)
    image += tilt * (np.cos(angle) * x + np.sin(angle) * y) + random.normal(0, p.line_noise, (p.size, 1))
    image += p.drift * one_over_f(image.shape, random) + random.normal(0, random.uniform(*p.noise), image.shape)
    return WallScene(
        image=np.clip(np.rint(20000 * (image + 0.5)), 0, 65535).astype(np.uint16),
        mask=(distance <= p.drawn).astype(np.uint8),
        domains=domains,
    )


def _field(p: WallParameters, random: np.random.Generator) -> np.ndarray:
    """Draws a smooth field whose sign is the domain: noise of one wavelength, or stripes bent by such noise."""
    import numpy as np

    period = random.uniform(*p.period)
    frequency = np.hypot(np.fft.fftfreq(p.size)[:, None], np.fft.rfftfreq(p.size)[None])

    def waves(centre: float, spread: float) -> np.ndarray:
        ring = np.exp(-((frequency - centre) ** 2) / (2 * spread**2))
        found = np.fft.irfft2(ring * np.fft.rfft2(random.normal(size=(p.size, p.size))), s=(p.size, p.size))
        return found / found.std()

    if random.random() >= p.stripes:
        return waves(1 / period, 0.25 / period)
    y, x = np.mgrid[: p.size, : p.size]
    angle = random.uniform(0, np.pi)
    bent = 1.2 * waves(0.0, 0.3 / period)
    return np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period + bent)
