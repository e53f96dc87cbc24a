"""Nuclei that move and divide, filmed in a wide-field fluorescence microscope.

Each nucleus is one of `simulators.fluorescence`: it keeps its outline, brightness, texture and nucleoli, while it moves
with a velocity that changes slowly, turns a little, and gives way to its neighbours. Between two divisions its area
doubles; then two daughters of half the area lie on either side of where the mother was. It stands for films of dividing
cells such as those of the Cell Tracking Challenge.

References:
    Ulman et al.: An objective comparison of cell-tracking algorithms, Nature Methods 14 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import (
    NucleiParameters,
    Range,
    draw_nucleus,
    expected_photons,
    expose,
    place_centres,
)

if TYPE_CHECKING:
    import numpy as np

    from kerazoo.tracking import Tracks


@dataclass(frozen=True)
class CellParameters:
    """What is drawn; a pair is a range from which each cell draws, uniformly.

    Attributes:
        size: height and width of the field in pixels; its edges reflect.
        frames: length of the film.
        cells: nuclei in the first frame.
        radius: of a newly born nucleus in pixels; just before it divides it is sqrt(2) times as large.
        cycle: frames between two divisions.
        speed: sd of a nucleus' velocity per axis, in px per frame.
        persistence: correlation of its velocity from one frame to the next.
        photons: expected photons in a pixel of a nucleus of brightness 1.
        background: expected photons in an empty pixel.
    """

    size: int = 256
    frames: int = 40
    cells: int = 12
    radius: Range = (7.0, 9.0)
    cycle: Range = (20.0, 60.0)
    speed: float = 1.0
    persistence: float = 0.8
    photons: float = 60.0
    background: float = 5.0

    def __post_init__(self):
        for name, low in {"size": 64, "frames": 2, "cells": 1, "photons": 1e-9, "background": 1e-9}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low:g}, received {getattr(self, name)!r}.")
        if min(self.cycle) < 4 or min(self.radius) < 3:
            raise ValueError("cycle must be at least 4 frames and radius at least 3 pixels.")
        if self.speed < 0 or not 0 <= self.persistence < 1:
            raise ValueError("speed must be at least 0 and persistence from 0 to below 1.")


@dataclass(frozen=True, eq=False)
class CellScene:
    """One simulated film.

    Attributes:
        images: `(frames, H, W)` uint16, what the camera gives.
        labels: `(frames, H, W)` uint16, in each nucleus the number of its track.
        truth: the tracks, with the centroids of what is seen; daughters have their mother as parent.
    """

    images: np.ndarray
    labels: np.ndarray
    truth: Tracks


@dataclass
class _Cell:
    """A nucleus on its way."""

    number: int
    mother: int
    place: np.ndarray
    velocity: np.ndarray
    radius: float
    cycle: float
    age: float

    @property
    def now(self) -> float:
        """Its radius: the area doubles over a cycle."""
        return self.radius * 2 ** (0.5 * min(self.age / self.cycle, 1.0))


def simulate_cells(parameters: CellParameters = CellParameters(), seed: int = 0) -> CellScene:
    """Simulates one film.

    Args:
        parameters: what is drawn.
        seed: equal seeds give equal films.

    Returns:
        The film and its truth.

    Raises:
        ValueError: so many cells find no room.

    Example:
        >>> scene = simulate_cells(CellParameters(size=96, frames=6, cells=4), seed=1)
        >>> scene.images.shape, scene.images.dtype
        ((6, 96, 96), dtype('uint16'))
    """
    import numpy as np

    p, rng = parameters, np.random.default_rng(seed)
    look = NucleiParameters(size=p.size, photons=p.photons, background=(p.background, p.background))
    cells = _first_cells(p, rng)
    parents: dict[int, int] = {}
    images, labels, used = [], [], len(cells)
    optics = int(rng.integers(2**31))  # the same lamp and focus in all frames
    for frame in range(p.frames):
        if frame:
            cells, used = _next_frame(p, cells, used, parents, rng)
        instances, intensity = _drawn(look, cells, seed)
        photons = expected_photons(look, intensity, np.random.default_rng(optics))
        images.append(expose(photons, rng, gain=2.0, read_noise=1.5))
        labels.append(instances)
    return CellScene(np.stack(images), np.stack(labels), _truth(labels, parents))


def _first_cells(p: CellParameters, rng) -> list[_Cell]:
    import numpy as np

    radii = rng.uniform(*p.radius, p.cells)
    centres = place_centres(1.5 * radii, p.size, 1.0, rng)
    cells = []
    for number, (radius, centre) in enumerate(zip(radii, centres, strict=True), start=1):
        cycle = rng.uniform(*p.cycle)
        velocity = rng.normal(0, p.speed, 2)
        cells.append(_Cell(number, 0, np.asarray(centre), velocity, radius, cycle, rng.uniform(0, cycle)))
    return cells


def _next_frame(p: CellParameters, cells: list[_Cell], used: int, parents: dict[int, int], rng):
    """Returns the cells of the next frame and the last number given; puts divisions into `parents`."""
    import numpy as np

    after = []
    for cell in cells:
        change = rng.normal(0, p.speed * np.sqrt(1 - p.persistence**2), 2)
        velocity = p.persistence * cell.velocity + change
        if cell.age + 1 < cell.cycle:
            after.append(replace(cell, place=cell.place + velocity, velocity=velocity, age=cell.age + 1))
            continue
        angle = rng.uniform(0, np.pi)
        apart = cell.radius * np.array([np.sin(angle), np.cos(angle)])
        for side in (-1, 1):
            used += 1
            parents[used] = cell.number
            place = cell.place + side * apart
            after.append(_Cell(used, cell.number, place, velocity, cell.radius, rng.uniform(*p.cycle), 0.0))
    places = _apart(np.array([cell.place for cell in after]), np.array([cell.now for cell in after]))
    return [replace(cell, place=place) for cell, place in zip(after, _reflected(places, p.size - 1), strict=True)], used


def _apart(places: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Moves nuclei that overlap away from each other, by half of what is missing, three times over."""
    import numpy as np

    places = places.copy()
    for _ in range(3):
        way = places[:, None] - places
        distance = np.sqrt((way**2).sum(axis=-1)) + np.eye(len(places)) * 1e9
        missing = np.maximum(0.95 * (radii[:, None] + radii) - distance, 0)
        places += 0.5 * (way / np.maximum(distance, 1e-6)[..., None] * missing[..., None]).sum(axis=1)
    return places


def _reflected(places: np.ndarray, last: float) -> np.ndarray:
    import numpy as np

    folded = np.mod(places, 2 * last)
    return np.minimum(folded, 2 * last - folded)


def _drawn(look: NucleiParameters, cells: list[_Cell], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns label image and intensity; what a nucleus looks like depends on nothing but its number and its size."""
    import numpy as np

    instances = np.zeros((look.size, look.size), np.uint16)
    intensity = np.zeros((look.size, look.size))
    nearest = np.full((look.size, look.size), np.inf)
    for cell in cells:
        own = np.random.default_rng((seed, cell.number))
        brightness = own.lognormal(0, look.brightness_sd)
        window, depth, spots = draw_nucleus(look, cell.place, cell.now, own)
        mine = (depth < 1) & (depth < nearest[window])
        instances[window][mine] = cell.number
        nearest[window][mine] = depth[mine]
        intensity[window][mine] = (brightness * spots)[mine]
    return instances, intensity


def _truth(labels: list[np.ndarray], parents: dict[int, int]) -> Tracks:
    from kerazoo.tracking import Tracks, centroids

    numbers, places = zip(*(centroids(image) for image in labels), strict=True)
    return Tracks.of(numbers, places, parents)
