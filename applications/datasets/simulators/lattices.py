"""Atomic columns as a scanning transmission electron microscope sees them: perovskite, hexagonal, MX2 and fcc lattices.

High-angle dark-field images are close to linear: every column adds the probe's intensity at its place, in proportion to
Z^n. Few electrons make the image: of `dose` electrons per square angstrom a small fraction is scattered into the
detector, and their number is Poisson distributed. Lattices are turned, strained and shaken, have vacancies, foreign
columns, and now and then a boundary; rows of the scan are displaced and the specimen drifts.

References:
    Nellist, Pennycook: Incoherent imaging using dynamically scattered coherent electrons, Ultramicroscopy 78 (1999).
    Lin, Zhang, Wang, Yang, Xin: TEMImageNet training library and AtomSegNet, Scientific Reports 11 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from applications.datasets.simulators.fluorescence import Range

if TYPE_CHECKING:
    import numpy as np


class Lattice(NamedTuple):
    """A projected unit cell.

    Attributes:
        a: edge of the cell in angstrom.
        angle: angle of the two edges in degrees.
        sites: (fraction along the first edge, along the second, atomic number, atoms above each other, class).
        names: what the classes are called.
    """

    a: float
    angle: float
    sites: tuple[tuple[float, float, int, int, int], ...]
    names: tuple[str, ...]


LATTICES = {
    "perovskite": Lattice(3.905, 90, ((0, 0, 38, 1, 0), (0.5, 0.5, 22, 1, 1)), ("A column", "B column")),
    "hexagonal": Lattice(2.46, 120, ((1 / 3, 2 / 3, 6, 1, 0), (2 / 3, 1 / 3, 6, 1, 0)), ("column",)),
    "mx2": Lattice(3.16, 120, ((1 / 3, 2 / 3, 42, 1, 0), (2 / 3, 1 / 3, 16, 2, 1)), ("metal", "chalcogen")),
    "fcc": Lattice(2.884, 90, ((0, 0, 79, 1, 0),), ("column",)),
}
FOREIGN = "foreign column"
_FOREIGN_FACTOR = 1.6  # intensity of a foreign column, in units of the brightest own one
_MARGIN = 6.0  # angstrom around the image in which columns still add light


@dataclass(frozen=True)
class LatticeParameters:
    """What is drawn; each image draws its own value from a range, uniformly.

    Attributes:
        size: height and width of the image in pixels.
        lattice: perovskite, hexagonal, mx2 or fcc.
        pixel_size: angstrom per pixel.
        dose: electrons per square angstrom; logarithmically uniform.
        fraction: share of the electrons that the detector sees on the brightest column.
        probe: full width at half maximum of the probe in angstrom.
        exponent: n of the intensity Z^n.
        background: intensity beside the columns, in units of the brightest one.
        wedge: largest relative change of the thickness over the image.
        jitter: spread of the columns' positions along each axis in angstrom.
        strain: largest strain along each axis.
        vacancies: share of the columns that are missing.
        foreign: share of the columns that are of another, heavier kind.
        polar: shift of the second class against the first one in angstrom.
        boundary: share of images with a boundary, beyond which the lattice is shifted by half a cell.
        row_shift: spread of the displacement of rows in pixels.
        drift: largest shear by drift.
        dark: spread of the detector's noise in counts.
    """

    size: int = 128
    lattice: str = "perovskite"
    pixel_size: float = 0.2
    dose: Range = (1000.0, 1000.0)
    fraction: Range = (0.05, 0.05)
    probe: Range = (0.8, 1.2)
    exponent: Range = (1.6, 1.7)
    background: Range = (0.1, 0.2)
    wedge: float = 0.3
    jitter: Range = (0.03, 0.08)
    strain: float = 0.02
    vacancies: Range = (0.01, 0.05)
    foreign: float = 0.01
    polar: Range = (0.0, 0.3)
    boundary: float = 0.2
    row_shift: Range = (0.1, 0.5)
    drift: float = 0.01
    dark: Range = (0.0, 0.0)

    def __post_init__(self):
        if self.lattice not in LATTICES:
            raise ValueError(f"lattice must be one of {', '.join(LATTICES)}, received {self.lattice!r}.")
        if self.size < 32 or self.pixel_size <= 0 or min(self.dose) <= 0 or min(self.probe) <= 0:
            raise ValueError("size must be at least 32, pixel_size, dose and probe above 0.")
        if not 0 < min(self.fraction) <= max(self.fraction) <= 1:
            raise ValueError(f"fraction must lie between 0 and 1, received {self.fraction}.")
        if not 0 <= max(self.vacancies) + self.foreign < 1 or not 0 <= self.boundary <= 1:
            raise ValueError("vacancies, foreign and boundary must be shares from 0 to 1.")


@dataclass(frozen=True, eq=False)
class LatticeScene:
    """One simulated image.

    Attributes:
        image: `(H, W)` uint16, 100 + 20 per detected electron.
        points: `(N, 2)` float32 y and x of the columns in pixels, from the middle of the first pixel.
        classes: `(N,)` int64, numbers in the lattice's names, and behind them foreign columns.
        expected: `(H, W)` expected electrons.
    """

    image: np.ndarray
    points: np.ndarray
    classes: np.ndarray
    expected: np.ndarray


def simulate_lattice(parameters: LatticeParameters = LatticeParameters(), seed=0) -> LatticeScene:
    """Draws one image of a lattice.

    Args:
        parameters: what varies.
        seed: an int, or a sequence of ints such as `(seed, index)`; equal seeds give equal images.

    Example:
        >>> scene = simulate_lattice(seed=1)
        >>> scene.image.shape, len(scene.points) == len(scene.classes)
        ((128, 128), True)
    """
    import numpy as np

    from applications.datasets.simulators.scenes import one_over_f

    p, random = parameters, np.random.default_rng(seed)
    points, classes, weights = _columns(p, random)
    points = points / p.pixel_size
    points[:, 1] += random.uniform(-p.drift, p.drift) * (points[:, 0] - p.size / 2)
    sigma = random.uniform(*p.probe) / p.pixel_size / 2.3548
    expected = _columns_seen(points, weights, p.size, sigma, _row_shifts(p, random))
    y, x = np.mgrid[: p.size, : p.size] / p.size - 0.5
    angle, slope = random.uniform(0, 2 * np.pi), random.uniform(0, p.wedge)
    thickness = 1 + slope * (np.cos(angle) * x + np.sin(angle) * y)
    ground = random.uniform(*p.background) * np.clip(1 + 0.3 * one_over_f((p.size, p.size), random, 2.0), 0, None)
    dose = np.exp(random.uniform(*np.log(p.dose)))
    expected = dose * p.pixel_size**2 * random.uniform(*p.fraction) * (expected * thickness + ground)
    counts = random.poisson(expected) + random.normal(0, random.uniform(*p.dark), expected.shape)
    inside = ((points >= 0) & (points <= p.size - 1)).all(axis=1)
    return LatticeScene(
        image=np.clip(np.rint(100 + 20 * counts), 0, 65535).astype(np.uint16),
        points=points[inside].astype(np.float32),
        classes=classes[inside].astype(np.int64),
        expected=expected,
    )


def _columns(p: LatticeParameters, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws the columns in and around the image: y and x in angstrom, classes, and brightness (1 the brightest own)."""
    import numpy as np

    lattice, extent = LATTICES[p.lattice], p.size * p.pixel_size
    angle = np.radians(lattice.angle)
    cell = lattice.a * np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    reach = int(np.ceil((extent + 2 * _MARGIN) / lattice.a)) + 2
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    exponent = random.uniform(*p.exponent)
    shift = random.uniform(*p.polar) * _direction(random)
    places, classes, weights = [], [], []
    for along, across, number, atoms, kind in lattice.sites:
        places.append((steps + np.array([along, across])) @ cell + (shift if kind else 0))
        classes.append(np.full(len(steps), kind))
        weights.append(np.full(len(steps), atoms * float(number) ** exponent))
    points, kinds, bright = np.concatenate(places), np.concatenate(classes), np.concatenate(weights)
    bright = bright / bright.max()
    keep = np.ones(len(points), bool)
    if random.random() < p.boundary:
        beyond = points @ _direction(random) > random.uniform(-0.3, 0.3) * extent
        points[beyond] += cell[0] / 2
        keep = _far_apart(points, beyond, 0.45 * lattice.a)
    turn = random.uniform(0, 2 * np.pi)
    strain = np.eye(2) + np.diag(random.uniform(-p.strain, p.strain, 2))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = points @ strain @ rotation + extent / 2 + random.uniform(-0.5, 0.5, 2) * lattice.a
    points += random.normal(0, random.uniform(*p.jitter), points.shape)
    chance = random.random(len(points))
    missing = random.uniform(*p.vacancies)
    foreign = (chance >= missing) & (chance < missing + p.foreign)
    bright, kinds = np.where(foreign, _FOREIGN_FACTOR, bright), np.where(foreign, len(lattice.names), kinds)
    near = ((points > -_MARGIN) & (points < extent + _MARGIN)).all(axis=1) & (chance >= missing) & keep
    return points[near], kinds[near], bright[near]


def _far_apart(points: np.ndarray, beyond: np.ndarray, distance: float) -> np.ndarray:
    """Returns which columns stay at a boundary: those beyond it give way to nearer ones on this side."""
    import numpy as np
    from scipy.spatial import cKDTree

    keep = np.ones(len(points), bool)
    if beyond.any() and not beyond.all():
        keep[beyond] = cKDTree(points[~beyond]).query(points[beyond])[0] >= distance
    return keep


def _direction(random: np.random.Generator) -> np.ndarray:
    import numpy as np

    angle = random.uniform(0, 2 * np.pi)
    return np.array([np.sin(angle), np.cos(angle)])


def _row_shifts(p: LatticeParameters, random: np.random.Generator) -> np.ndarray:
    """Returns the displacement of every row of the scan, each near that of the row before."""
    import numpy as np

    shifts, memory = np.zeros(p.size), 0.8
    steps = random.normal(0, np.sqrt(1 - memory**2), p.size)
    for row in range(1, p.size):
        shifts[row] = memory * shifts[row - 1] + steps[row]
    return random.uniform(*p.row_shift) * shifts


def _columns_seen(points: np.ndarray, weights: np.ndarray, size: int, sigma: float, shifts: np.ndarray) -> np.ndarray:
    """Adds up Gaussian columns, each row of the image displaced by its shift."""
    import numpy as np

    image, reach = np.zeros((size, size)), int(np.ceil(4 * sigma + np.abs(shifts).max()))
    for (y, x), weight in zip(points, weights, strict=True):
        top, bottom = max(0, int(y) - reach), min(size, int(y) + reach + 2)
        left, right = max(0, int(x) - reach), min(size, int(x) + reach + 2)
        if top >= bottom or left >= right:
            continue
        rows, columns = np.arange(top, bottom)[:, None], np.arange(left, right)[None]
        distance = (rows - y) ** 2 + (columns - x - shifts[top:bottom, None]) ** 2
        image[top:bottom, left:right] += weight * np.exp(-distance / (2 * sigma**2))
    return image
