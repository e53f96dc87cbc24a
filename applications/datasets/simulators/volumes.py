"""Nuclei in a volume, as a confocal microscope scans it plane by plane.

Nuclei are ellipsoids of any orientation that touch each other; where two meet each point belongs to the one it lies
deeper in. The optics blur more along the axis than across it, planes lie further apart than pixels, light is lost with
depth, and photons are counted. It stands for stained nuclei of tissue and embryos.

References:
    Pawley (ed.): Handbook of Biological Confocal Microscopy (Springer, 2006), for the axial resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import Range, expose

if TYPE_CHECKING:
    import numpy as np

_TRIES = 2000


@dataclass(frozen=True)
class VolumeParameters:
    """What is drawn; each volume or nucleus draws its own value from a range, uniformly.

    Attributes:
        depth: number of planes.
        size: height and width of a plane in pixels.
        plane_distance: distance of two planes in pixels.
        num_nuclei: nuclei per volume.
        touching: centres are never closer than `touching * (r1 + r2)`: 1.1 separated, 0.85 touching.
        radius: of the ball of equal volume, in pixels.
        axis_ratio: length of the second and of the third axis over that of the first.
        photons: expected photons in a pixel of a nucleus of brightness 1, at the surface.
        background: expected photons in an empty pixel.
        brightness_sd: sd of the logarithm of a nucleus' brightness.
        texture_sd: relative contrast of the chromatin.
        lateral_sigma: sd in pixels of the blur within a plane.
        axial_sigma: sd in pixels (not planes) of the blur along the axis.
        attenuation: share of the light that is lost from the first plane to the last.
        read_noise: sd in electrons.
    """

    depth: int = 16
    size: int = 48
    plane_distance: float = 2.0
    num_nuclei: int = 14
    touching: float = 0.8
    radius: Range = (6.0, 8.0)
    axis_ratio: Range = (0.8, 1.2)
    photons: float = 30.0
    background: Range = (2.0, 6.0)
    brightness_sd: float = 0.3
    texture_sd: float = 0.2
    lateral_sigma: Range = (0.8, 1.2)
    axial_sigma: Range = (1.8, 2.6)
    attenuation: float = 0.3
    read_noise: float = 1.5

    def __post_init__(self):
        for name, low in {"depth": 4, "size": 16, "num_nuclei": 1, "touching": 0.3, "photons": 1e-9}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low:g}, received {getattr(self, name)!r}.")
        if min(*self.radius, *self.axis_ratio, *self.background, self.plane_distance) <= 0:
            raise ValueError("radius, axis_ratio, background and plane_distance must be above 0.")
        if not 0 <= self.attenuation < 1:
            raise ValueError(f"attenuation must be from 0 to below 1, received {self.attenuation!r}.")


@dataclass(frozen=True, eq=False)
class VolumeScene:
    """One simulated volume.

    Attributes:
        image: `(D, H, W)` uint16, what the camera gives.
        instances: `(D, H, W)` uint16, 0 is background, 1..n the nuclei.
    """

    image: np.ndarray
    instances: np.ndarray


def simulate_volume(parameters: VolumeParameters = VolumeParameters(), seed=0) -> VolumeScene:
    """Simulates one volume.

    Args:
        parameters: what is drawn.
        seed: an int, or a sequence of ints; equal seeds give equal volumes.

    Raises:
        ValueError: so many nuclei find no room.

    Example:
        >>> scene = simulate_volume(seed=1)
        >>> scene.image.shape, int(scene.instances.max())
        ((16, 48, 48), 14)
    """
    import numpy as np
    from scipy.ndimage import gaussian_filter

    p, rng = parameters, np.random.default_rng(seed)
    axes = (np.arange(p.depth) * p.plane_distance, np.arange(p.size), np.arange(p.size))
    radii = np.sort(rng.uniform(*p.radius, p.num_nuclei))[::-1]  # Large ones first: the small ones then find room.
    centres = _centres(p, radii, [axis[-1] for axis in axes], rng)
    planes = (p.plane_distance, 1.0, 1.0)
    texture = gaussian_filter(rng.standard_normal((p.depth, p.size, p.size)), [1.5 / step for step in planes])
    texture = 1 + p.texture_sd * texture / texture.std()
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    instances, nearest = np.zeros(texture.shape, np.uint16), np.ones(texture.shape)
    intensity = np.zeros(texture.shape)
    for label, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
        inside = _depth(p, grid - centre, radius, rng)
        mine = inside < nearest
        instances[mine], nearest[mine] = label, inside[mine]
        intensity[mine] = (rng.lognormal(0, p.brightness_sd) * texture)[mine]
    across = rng.uniform(*p.lateral_sigma)
    sigma = (rng.uniform(*p.axial_sigma) / p.plane_distance, across, across)
    light = gaussian_filter(intensity, sigma) * np.linspace(1, 1 - p.attenuation, p.depth)[:, None, None]
    photons = rng.uniform(*p.background) + p.photons * np.maximum(light, 0)
    return VolumeScene(expose(photons, rng, gain=2.0, read_noise=p.read_noise), instances)


def _centres(p: VolumeParameters, radii, extent, rng) -> np.ndarray:
    """Throws centres into the volume, one after another, each until it keeps its distance."""
    import numpy as np

    centres = np.empty((len(radii), 3))
    for count, radius in enumerate(radii):
        candidates = rng.uniform(0, extent, (_TRIES, 3))
        squared = ((candidates[:, None] - centres[:count]) ** 2).sum(axis=-1)
        free = (squared >= (p.touching * (radius + radii[:count])) ** 2).all(axis=1)
        if not free.any():
            raise ValueError(
                f"Only {count} of {len(radii)} nuclei find room in {p.depth} planes of {p.size} x {p.size} pixels at "
                f"touching factor {p.touching:g}; ask for fewer nuclei, a larger volume or a smaller factor."
            )
        centres[count] = candidates[np.argmax(free)]
    return centres


def _depth(p: VolumeParameters, places: np.ndarray, radius: float, rng) -> np.ndarray:
    """Returns how deep in an ellipsoid each place lies: 0 at its centre, 1 on its surface."""
    import numpy as np

    directions, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    lengths = np.array([1.0, *rng.uniform(*p.axis_ratio, 2)])
    lengths *= radius / lengths.prod() ** (1 / 3)
    return np.sqrt((((places @ directions) / lengths) ** 2).sum(axis=-1))
