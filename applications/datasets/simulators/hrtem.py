"""Nanoparticles on amorphous carbon as a transmission electron microscope sees them by phase contrast.

A thin specimen shifts the phase of the electrons by its projected potential, in proportion to the number of atoms in a
column. Defocus and spherical aberration turn phase into intensity, for every spatial frequency q by the sine of

    chi(q) = pi lambda df q^2 + pi / 2 Cs lambda^3 q^4

which is damped by the spread of the focus and of the source, and by the detector. So columns are dark or bright, and
what is between them may look like columns: the defocus differs from image to image. Every electron is counted.

References:
    Williams, Carter: Transmission Electron Microscopy (Springer, 2009), chapter 28.
    Madsen, Liu, Kling, Wagner, Hansen, Winther, Schiotz: A deep learning approach to identify local structures in
        atomic-resolution transmission electron microscopy images, Advanced Theory and Simulations 1 (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import Range

if TYPE_CHECKING:
    import numpy as np

WAVELENGTHS = {80: 0.0418, 200: 0.0251, 300: 0.0197}
"""Kilovolts -> wavelength in angstrom."""


@dataclass(frozen=True)
class HrtemParameters:
    """What is drawn; each image draws its own value from a range, uniformly.

    Attributes:
        size: height and width of the image in pixels.
        pixel_size: angstrom per pixel.
        kilovolts: 80, 200 or 300.
        spacing: distance of the columns in angstrom, in a square lattice.
        radius: radius of the particle in angstrom.
        phase: shift of the phase in the middle of the thickest column in radian.
        carbon: spread of the phase of the amorphous support in radian.
        defocus: in angstrom; both signs.
        aberration: spherical aberration in micrometres.
        focal_spread: in angstrom.
        source: half angle of the source in milliradian.
        dose: electrons per square angstrom; logarithmically uniform.
        detector: spatial frequency at which the detector's transfer has fallen to one half, per angstrom.
        jitter: spread of the columns' positions along each axis in angstrom.
        strain: largest strain along each axis.
        vacancies: share of the columns that are missing.
    """

    size: int = 160
    pixel_size: float = 0.2
    kilovolts: int = 300
    spacing: float = 2.04
    radius: Range = (8.0, 13.0)
    phase: Range = (0.3, 0.7)
    carbon: Range = (0.02, 0.06)
    defocus: Range = (-200.0, 200.0)
    aberration: Range = (-20.0, 20.0)
    focal_spread: Range = (30.0, 60.0)
    source: Range = (0.1, 0.5)
    dose: Range = (100.0, 1000.0)
    detector: float = 1.2
    jitter: Range = (0.03, 0.08)
    strain: float = 0.02
    vacancies: Range = (0.0, 0.05)

    def __post_init__(self):
        if self.kilovolts not in WAVELENGTHS:
            raise ValueError(f"kilovolts must be one of {', '.join(map(str, WAVELENGTHS))}, received {self.kilovolts}.")
        if self.size < 32 or self.pixel_size <= 0 or min(self.dose) <= 0 or self.detector <= 0:
            raise ValueError("size must be at least 32, pixel_size, dose and detector above 0.")
        if not 2 * self.spacing <= min(self.radius) <= max(self.radius) <= self.size * self.pixel_size / 2:
            raise ValueError("radius must lie between twice the spacing and half the image.")


@dataclass(frozen=True, eq=False)
class HrtemScene:
    """One simulated image.

    Attributes:
        image: `(H, W)` uint16, 20 per electron.
        points: `(N, 2)` float32 y and x of the columns in pixels, from the middle of the first pixel.
        expected: `(H, W)` expected electrons.
    """

    image: np.ndarray
    points: np.ndarray
    expected: np.ndarray


def simulate_hrtem(parameters: HrtemParameters = HrtemParameters(), seed=0) -> HrtemScene:
    """Draws one image of a particle.

    Args:
        parameters: what varies.
        seed: an int, or a sequence of ints such as `(seed, index)`; equal seeds give equal images.

    Example:
        >>> scene = simulate_hrtem(seed=1)
        >>> scene.image.shape, scene.points.shape[1]
        ((160, 160), 2)
    """
    import numpy as np
    from scipy import ndimage

    p, random = parameters, np.random.default_rng(seed)
    points, heights = _particle(p, random)
    phase = np.zeros((p.size, p.size))
    rows, columns = np.mgrid[: p.size, : p.size]
    sigma = 0.35 / p.pixel_size  # of a column's potential, with its thermal motion
    for (y, x), height in zip(points, heights, strict=True):
        phase += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))
    phase *= random.uniform(*p.phase)
    support = ndimage.gaussian_filter(random.normal(size=phase.shape), 0.6 / p.pixel_size)
    phase += random.uniform(*p.carbon) * support / support.std()
    contrast = np.fft.irfft2(np.fft.rfft2(phase) * transfer(p, random), s=phase.shape)
    dose = np.exp(random.uniform(*np.log(p.dose)))
    expected = dose * p.pixel_size**2 * np.clip(1 + 2 * contrast, 0, None)
    counts = random.poisson(expected)
    return HrtemScene(np.clip(20 * counts, 0, 65535).astype(np.uint16), points.astype(np.float32), expected)


def transfer(p: HrtemParameters, random: np.random.Generator) -> np.ndarray:
    """Draws the microscope's transfer of contrast, damped by its coherence and the detector, for `rfft2`."""
    import numpy as np

    wavelength = WAVELENGTHS[p.kilovolts]
    frequency = (np.fft.fftfreq(p.size, p.pixel_size)[:, None], np.fft.rfftfreq(p.size, p.pixel_size)[None])
    q = np.hypot(*frequency)
    defocus, aberration = random.uniform(*p.defocus), 1e4 * random.uniform(*p.aberration)
    chi = np.pi * wavelength * defocus * q**2 + 0.5 * np.pi * aberration * wavelength**3 * q**4
    temporal = np.exp(-0.5 * (np.pi * wavelength * random.uniform(*p.focal_spread) * q**2) ** 2)
    slope = aberration * wavelength**3 * q**3 + defocus * wavelength * q
    spatial = np.exp(-((np.pi * 1e-3 * random.uniform(*p.source) / wavelength) ** 2) * slope**2)
    return np.sin(chi) * temporal * spatial / (1 + (q / p.detector) ** 2)


def _particle(p: HrtemParameters, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws the columns of a round particle: y and x in pixels, and their heights from 0 to 1."""
    import numpy as np

    extent, radius = p.size * p.pixel_size, random.uniform(*p.radius)
    reach = int(np.ceil(radius / p.spacing)) + 1
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    turn = random.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    strain = np.eye(2) + np.diag(random.uniform(-p.strain, p.strain, 2))
    points = (steps + random.uniform(-0.5, 0.5, 2)) * p.spacing @ strain @ rotation
    # A sphere, flattened on its support: columns at the rim have a few atoms, too.
    height = np.sqrt(np.clip(1 - (np.linalg.norm(points, axis=1) / radius) ** 2, 0, None))
    kept = (height > 0.3) & (random.random(len(points)) >= random.uniform(*p.vacancies))
    room = max(0.0, extent / 2 - radius)
    centre = extent / 2 + random.uniform(-room, room, 2)
    points = points[kept] + centre + random.normal(0, random.uniform(*p.jitter), points[kept].shape)
    return points / p.pixel_size, height[kept]
