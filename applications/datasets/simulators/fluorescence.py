"""Wide-field fluorescence images of cell nuclei, with the truth that no microscope gives.

The picture is made as it is made in the microscope. Nuclei are drawn with a random outline, brightness,
chromatin texture and dark nucleoli; the optics blur them and add the haze of what lies out of focus; the
lamp lights the field unevenly; the camera counts photons. Expected photons in a pixel:

    photons = illumination * (background + signal * (PSF * object + haze))

and the camera's number: `offset + gain * (Poisson(photons) + Normal(0, read_noise))`, rounded and clipped to
16 bits. It stands for DAPI-stained nuclei such as those of the 2018 Data Science Bowl and BBBC039.

References:
    Svoboda, Kozubek, Stejskal: Generation of digital phantoms of cell nuclei and simulation of image
        formation in
    3D image cytometry, Cytometry A 75 (2009).
    Janesick: Photon Transfer, SPIE Press (2007), for the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class NucleiParameters:
    """What is drawn. A pair is a range; each image draws its own value from it, uniformly unless said
    otherwise.

    Attributes:
        size: height and width of the (square) image in pixels.
        num_nuclei: nuclei per image.
        touching: centres are never closer than `touching * (r1 + r2)`: 1.1 separated, 0.85 touching, 0.6
            crowded.
        photons: expected photons in a pixel of a nucleus of brightness 1, above the background.
        background: expected photons in an empty pixel; the logarithm is uniform, since the range spans a
            decade.
        radius_mean, radius_sd, radius_limits: radius in pixels of the disc of equal area, normal and clipped.
        axis_ratio: long over short axis, drawn per nucleus.
        outline_sd: relative sd of the outline's Fourier modes 2, 3, 4, 5 (a nucleus that is no ellipse).
        brightness_sd: sd of the logarithm of a nucleus' brightness (DNA content and focus differ).
        texture_sd, texture_sigma: relative contrast and correlation length in pixels of the chromatin.
        nucleoli: least and most dark spots per nucleus.
        psf_sigma: sd in pixels of the Gaussian point spread function.
        haze, haze_sigma: share and sd in pixels of out-of-focus light.
        vignetting: loss of light half a diagonal from the lamp's centre, which lies near the middle.
        offset: the camera's number without light, in ADU.
        gain: ADU per electron.
        read_noise: sd in electrons.
        em_gain: an EM-CCD, whose multiplication doubles the variance of the photon noise.
    """

    size: int = 256
    num_nuclei: int = 60
    touching: float = 0.85
    photons: float = 20.0
    background: Range = (2.0, 20.0)
    radius_mean: float = 9.0
    radius_sd: float = 1.8
    radius_limits: Range = (5.0, 14.0)
    axis_ratio: Range = (1.0, 1.6)
    outline_sd: tuple[float, ...] = (0.06, 0.05, 0.03, 0.02)
    brightness_sd: float = 0.35
    texture_sd: float = 0.25
    texture_sigma: float = 2.0
    nucleoli: tuple[int, int] = (1, 3)
    psf_sigma: Range = (0.8, 2.0)
    haze: Range = (0.1, 0.3)
    haze_sigma: Range = (8.0, 15.0)
    vignetting: float = 0.4
    offset: float = 100.0
    gain: Range = (1.0, 4.0)
    read_noise: Range = (1.0, 3.0)
    em_gain: bool = False

    def __post_init__(self):
        for name, low in {
            "size": 16,
            "num_nuclei": 1,
            "touching": 0.3,
            "photons": 1e-9,
            "radius_mean": 1.0,
        }.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low:g}, received {getattr(self, name)!r}.")


@dataclass(frozen=True, eq=False)
class FluorescenceScene:
    """One simulated field of view.

    Attributes:
        image: `(H, W)` uint16, what the camera gives.
        instances: `(H, W)` uint16, 0 is background, 1..n the nuclei.
        photons: `(H, W)` float, expected photons (the noise-free image).
        centres: `(n, 2)` row and column of each nucleus.
        radii: `(n,)` radius of the disc of equal area, in pixels.
        gain, read_noise: what this image drew.
    """

    image: np.ndarray
    instances: np.ndarray
    photons: np.ndarray
    centres: np.ndarray
    radii: np.ndarray
    gain: float
    read_noise: float

    @property
    def mask(self) -> np.ndarray:
        """`(H, W)` uint8: 1 inside a nucleus."""
        return (self.instances > 0).astype("uint8")


def simulate_nuclei(parameters: NucleiParameters = NucleiParameters(), seed=0) -> FluorescenceScene:
    """Simulates one image.

    Args:
        parameters: what is drawn.
        seed: an int, or a sequence of ints such as `(seed, index)`; equal seeds give equal images.

    Returns:
        The image and its truth.

    Raises:
        ValueError: when so many nuclei do not fit at such distances.

    Example:
        >>> scene = simulate_nuclei(NucleiParameters(size=128, num_nuclei=12), seed=1)
        >>> scene.image.dtype, int(scene.instances.max())
        (dtype('uint16'), 12)
    """
    import numpy as np

    p, rng = parameters, np.random.default_rng(seed)
    radii = np.clip(rng.normal(p.radius_mean, p.radius_sd, p.num_nuclei), *p.radius_limits)
    radii = np.sort(radii)[::-1]  # Large ones first: the small ones then still find room.
    centres = place_centres(radii, p.size, p.touching, rng)
    instances, intensity = draw_nuclei(p, centres, radii, rng)
    photons = expected_photons(p, intensity, rng)
    gain, read_noise = rng.uniform(*p.gain), rng.uniform(*p.read_noise)
    image = expose(photons, rng, offset=p.offset, gain=gain, read_noise=read_noise, em_gain=p.em_gain)
    return FluorescenceScene(image, instances, photons, centres, radii, gain, read_noise)


def place_centres(radii, size: int, touching: float, rng, *, tries: int = 2000) -> np.ndarray:
    """Throws `(n, 2)` centres into the square, one after another, each until it keeps its distance."""
    import numpy as np

    centres = np.empty((len(radii), 2))
    for count, radius in enumerate(radii):
        closest = touching * (radius + radii[:count])
        for _ in range(0, tries, 20):
            candidates = rng.uniform(0, size, (20, 2))
            squared = ((candidates[:, None] - centres[:count]) ** 2).sum(axis=-1)
            free = (squared >= closest**2).all(axis=1)
            if free.any():
                break
        else:
            raise ValueError(
                f"Only {count} of {len(radii)} nuclei find room in {size} x {size} pixels at touching factor "
                f"{touching:g}; ask for fewer nuclei, a larger image or a smaller factor."
            )
        centres[count] = candidates[np.argmax(free)]
    return centres


def draw_nuclei(p: NucleiParameters, centres, radii, rng) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(H, W)` uint16 instance labels and `(H, W)` intensity, about 1 inside nuclei, 0 outside."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    instances = np.zeros((p.size, p.size), np.uint16)
    intensity = np.zeros((p.size, p.size))
    nearest = np.full((p.size, p.size), np.inf)
    texture = gaussian_filter(rng.standard_normal((p.size, p.size)), p.texture_sigma, mode="wrap")
    texture = 1 + p.texture_sd * texture / texture.std()
    for label, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
        window, depth, spots = draw_nucleus(p, centre, radius, rng)
        # Nuclei that press against each other share the border: a pixel goes to the one it lies deeper in.
        mine = (depth < 1) & (depth < nearest[window])
        instances[window][mine] = label
        nearest[window][mine] = depth[mine]
        intensity[window][mine] = (rng.lognormal(0, p.brightness_sd) * spots * texture[window])[mine]
    return instances, np.maximum(intensity, 0)


def draw_nucleus(p: NucleiParameters, centre, radius, rng) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Returns a nucleus' window, the depth in it (0 at the centre, 1 on the outline) and its dark spots."""
    import numpy as np

    ratio, angle = rng.uniform(*p.axis_ratio), rng.uniform(0, np.pi)
    cosines, sines = rng.normal(0, p.outline_sd), rng.normal(0, p.outline_sd)
    reach = int(np.ceil(1.6 * radius)) + 1
    top, left = (int(c) - reach for c in centre)
    window = (slice(max(top, 0), top + 2 * reach + 2), slice(max(left, 0), left + 2 * reach + 2))
    rows, columns = np.ogrid[: p.size, : p.size]
    y, x = rows[window[0]] - centre[0], columns[:, window[1]] - centre[1]
    u = (np.cos(angle) * x + np.sin(angle) * y) / (radius * np.sqrt(ratio))
    v = (-np.sin(angle) * x + np.cos(angle) * y) / (radius / np.sqrt(ratio))
    theta = np.arctan2(v, u)
    modes = np.arange(2, 2 + len(p.outline_sd))[:, None, None]
    wave = cosines[:, None, None] * np.cos(modes * theta) + sines[:, None, None] * np.sin(modes * theta)
    depth = np.hypot(u, v) / (1 + wave.sum(axis=0))
    spots = np.ones_like(depth)
    for _ in range(rng.integers(p.nucleoli[0], p.nucleoli[1] + 1)):
        distance, direction = 0.6 * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        width, darkness = rng.uniform(0.1, 0.2), rng.uniform(0.3, 0.6)
        squared = (u - distance * np.cos(direction)) ** 2 + (v - distance * np.sin(direction)) ** 2
        spots *= 1 - darkness * np.exp(-squared / (2 * width**2))
    return window, depth, spots


def expected_photons(p: NucleiParameters, intensity, rng) -> np.ndarray:
    """Returns what the optics and the lamp make of the object: `(H, W)` expected photons per pixel."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    sharp = gaussian_filter(intensity, rng.uniform(*p.psf_sigma), mode="constant")
    haze = rng.uniform(*p.haze) * gaussian_filter(intensity, rng.uniform(*p.haze_sigma), mode="constant")
    background = np.exp(rng.uniform(*np.log(p.background)))
    lamp = rng.uniform(0.4, 0.6, 2) * p.size
    rows, columns = np.ogrid[: p.size, : p.size]
    squared = ((rows - lamp[0]) ** 2 + (columns - lamp[1]) ** 2) / (p.size**2 / 2)
    illumination = np.maximum(1 - p.vignetting * squared, 0.1)
    return illumination * (background + p.photons * (sharp + haze))


def expose(photons, rng, *, offset=100.0, gain=1.0, read_noise=1.0, em_gain=False) -> np.ndarray:
    """Takes one picture: photon noise, amplification, read noise, 16 bits.

    Call it again for a second, independent picture of the same scene, or with other `photons` for a darker
    one.

    Args:
        photons: `(H, W)` expected photons per pixel.
        rng: `np.random.Generator`.
        offset: camera offset in ADU.
        gain: ADU per electron.
        read_noise: sd in electrons.
        em_gain: whether an electron-multiplying register doubles the variance of the photon noise.

    Returns:
        `(H, W)` uint16.
    """
    import numpy as np

    electrons = rng.poisson(photons).astype(float)
    if em_gain:
        # The register's output for n electrons is gamma distributed with shape n: mean n, variance n more.
        electrons = rng.standard_gamma(electrons)
    counts = offset + gain * (electrons + rng.normal(0, read_noise, electrons.shape))
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
