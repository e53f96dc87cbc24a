"""Particles that move: what a detector finds of them in each frame, and the film a microscope takes.

A particle takes random steps (diffusion, variance 2 D per axis and frame), drifts with a velocity of its own, or both;
some are held by a trap. Particles are born, vanish, are missed by the detector, and it finds some that are none. In the
film each is a Gaussian spot on a background, and the camera counts photons as in `simulators.fluorescence`. It stands
for colloids, vesicles and single molecules.

How hard linking is says one number, the density ratio: the rms step over the mean distance to the nearest neighbour.
0.15 is easy, 0.3 medium, 0.6 hard.

References:
    Chenouard et al.: Objective comparison of particle tracking methods, Nature Methods 11 (2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import Range, expose

if TYPE_CHECKING:
    import numpy as np

    from kerazoo.tracking import Tracks


@dataclass(frozen=True)
class ParticleParameters:
    """What is drawn; each particle draws its own value from a range, uniformly.

    Attributes:
        size: height and width of the field in pixels; its edges reflect.
        frames: length of the film.
        particles: particles in the first frame, and about as many later.
        diffusion: D in px^2 per frame; the rms step is 2 sqrt(D), 2.8 px for D = 2.
        speed: in px per frame, in a direction of its own.
        directed: share of the particles that have a speed.
        trapped: share of the particles that are held where they were born, by a spring.
        trap: sd in pixels of a trapped particle's place.
        switching: probability per frame that a directed particle stops, or one that has stopped goes on.
        renewal: probability per frame that a particle vanishes; as many are born.
        missed: probability that a particle is not detected in a frame.
        false_positives: detections that are none, as a share of the particles.
        localisation: sd of a detection's place, per axis, in pixels.
        spot: sd of a spot in pixels.
        photons: expected photons in a spot's brightest pixel.
        background: expected photons in an empty pixel.
        gain, read_noise: of the camera, in ADU per electron and in electrons.
    """

    size: int = 256
    frames: int = 40
    particles: int = 50
    diffusion: Range = (2.0, 2.0)
    speed: Range = (0.0, 0.0)
    directed: float = 1.0
    trapped: float = 0.0
    trap: float = 3.0
    switching: float = 0.0
    renewal: float = 0.005
    missed: float = 0.05
    false_positives: float = 0.0
    localisation: float = 0.0
    spot: Range = (1.0, 2.0)
    photons: Range = (60.0, 200.0)
    background: float = 10.0
    gain: float = 2.0
    read_noise: float = 1.5

    def __post_init__(self):
        for name, low in {"size": 16, "frames": 2, "particles": 1, "background": 1e-9}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low:g}, received {getattr(self, name)!r}.")
        for name in ("directed", "trapped", "switching", "renewal", "missed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, received {getattr(self, name)!r}.")
        if min(*self.diffusion, *self.speed, self.false_positives, self.localisation) < 0:
            raise ValueError("diffusion, speed, false_positives and localisation must be at least 0.")
        if min(*self.spot, *self.photons, self.trap) <= 0:
            raise ValueError("spot, photons and trap must be above 0.")


@dataclass(frozen=True, eq=False)
class ParticleScene:
    """One simulated film.

    Attributes:
        truth: where each particle is in each frame.
        points: one `(n, 2)` array per frame, row and column of each detection, in random order.
        links: the tracks of the detections: `point` is the place in `points`; those that are none are no rows.
        spot, photons: of each particle, `[number - 1]`.
    """

    truth: Tracks
    points: list[np.ndarray]
    links: Tracks
    spot: np.ndarray
    photons: np.ndarray


def simulate_particles(parameters: ParticleParameters = ParticleParameters(), seed=0) -> ParticleScene:
    """Simulates the ways of particles and what is detected of them.

    Args:
        parameters: what is drawn.
        seed: an int, or a sequence of ints; equal seeds give equal films.

    Returns:
        The truth and the detections.

    Example:
        >>> scene = simulate_particles(ParticleParameters(frames=5, particles=9, renewal=0), seed=1)
        >>> len(scene.truth), len(scene.points)
        (45, 5)
    """
    import numpy as np

    from kerazoo.tracking import Tracks

    p, rng = parameters, np.random.default_rng(seed)
    ways = [_way(p, 0, rng) for _ in range(p.particles)]
    for start in range(1, p.frames):
        ways += [_way(p, start, rng) for _ in range(rng.poisson(p.particles * p.renewal))]
    numbers: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for frame in range(p.frames):
        here = [(n, way[frame - start]) for n, (start, way) in enumerate(ways, 1) if 0 <= frame - start < len(way)]
        numbers.append(np.array([n for n, _ in here], np.int64))
        places.append(np.array([place for _, place in here]).reshape(-1, 2))
    seen, points = [], []
    for n, place in zip(numbers, places, strict=True):
        there = rng.random(len(n)) >= p.missed
        extra = rng.poisson(p.false_positives * len(n))
        found = place[there] + rng.normal(0, p.localisation, (there.sum(), 2))
        found = np.concatenate([np.clip(found, 0, p.size - 1), rng.uniform(0, p.size - 1, (extra, 2))])
        order = rng.permutation(len(found))
        seen.append(np.append(n[there], np.zeros(extra, np.int64))[order])
        points.append(found[order])
    return ParticleScene(
        Tracks.of(numbers, places, {}),
        points,
        Tracks.of(seen, points, {}),
        rng.uniform(*p.spot, len(ways)),
        rng.uniform(*p.photons, len(ways)),
    )


def _way(p: ParticleParameters, start: int, rng) -> tuple[int, np.ndarray]:
    """Draws one particle: its first frame and its place in each frame until it vanishes."""
    import numpy as np

    life = min(int(rng.geometric(p.renewal)) if p.renewal else p.frames, p.frames - start)
    steps = rng.normal(0, np.sqrt(2 * rng.uniform(*p.diffusion)), (life - 1, 2))
    if rng.random() < p.directed:
        angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(*p.speed)
        moving = np.cumsum(rng.random(life - 1) < p.switching) % 2 == 0
        steps += moving[:, None] * speed * np.array([np.sin(angle), np.cos(angle)])
    born = rng.uniform(0, p.size - 1, 2)
    if rng.random() < p.trapped:
        # An Ornstein-Uhlenbeck process: steps as free as before, pulled back so that the sd around the trap is `trap`.
        back = max(0.0, 1 - steps.var() / (2 * p.trap**2)) if life > 1 else 1.0
        way = np.zeros((life, 2))
        for i, step in enumerate(steps, start=1):
            way[i] = back * way[i - 1] + step
    else:
        way = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    folded = np.mod(born + way, 2 * (p.size - 1))  # edges reflect
    return start, np.minimum(folded, 2 * (p.size - 1) - folded)


def film(parameters: ParticleParameters, scene: ParticleScene, seed=0) -> np.ndarray:
    """Takes the film of a scene.

    Args:
        parameters: those of the scene.
        scene: what `simulate_particles` returned.
        seed: of the camera's noise.

    Returns:
        `(frames, H, W)` uint16.
    """
    import numpy as np

    p, rng = parameters, np.random.default_rng(seed)
    rows = np.arange(p.size)
    pictures = []
    for frame in range(p.frames):
        here = scene.truth.frame == frame
        sigma, light = scene.spot[scene.truth.track[here] - 1], scene.photons[scene.truth.track[here] - 1]
        y, x = (
            np.exp(-((rows - c[:, None]) ** 2) / (2 * sigma[:, None] ** 2))
            for c in (scene.truth.y[here], scene.truth.x[here])
        )
        photons = p.background + (light[:, None] * y).T @ x
        pictures.append(expose(photons, rng, gain=p.gain, read_noise=p.read_noise))
    return np.stack(pictures)
