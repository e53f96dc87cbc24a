"""Inertial signals of people who sit, stand, lie, walk and climb stairs, with the sensor worn at the waist.

What the sensor feels is gravity in the frame of a body part that is tilted (how far depends on the posture), plus what
the steps add: the vertical, forward and sideways accelerations and the angular rates are sums of three harmonics of the
cadence; sideways and around the vertical axis the body moves once per stride, that is per two steps. Climbing changes
how strong the vertical harmonics are to each other (going down hits harder, going up is softer and slower), and where
the body leans, which drifts. Every person wears the sensor in another direction, has another cadence, another vigour
and another gait, and every sensor another gain. So no number of a window tells the class by itself.

Axes of the body: x forward, y left, z up. Accelerations in g (9.81 m/s2), angular rates in rad/s.

References:
    Moe-Nilssen, Helbostad: Estimation of gait cycle characteristics by trunk accelerometry, J. Biomech. 37 (2004).
    Menz, Lord, Fitzpatrick: Acceleration patterns of the head and pelvis when walking on level and irregular surfaces,
        Gait & Posture 18 (2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import Range

if TYPE_CHECKING:
    import numpy as np

ACTIVITIES = ("sit", "stand", "lie", "walk", "stairs up", "stairs down")
CHANNELS = ("ax", "ay", "az", "gx", "gy", "gz")
# Pitch of the body in degrees (backwards is positive), least and most.
_PITCH = {
    "sit": (22.0, 45.0),
    "stand": (-5.0, 5.0),
    "lie": (75.0, 95.0),
    "walk": (-6.0, 2.0),
    "stairs up": (-14.0, -2.0),
    "stairs down": (-6.0, 4.0),
}
# Sway of a still body in rad/s: who stands balances, who lies only breathes.
_SWAY = {"sit": 0.012, "stand": 0.03, "lie": 0.005}
# Harmonics of the vertical acceleration, relative cadence, relative vigour.
_GAITS = {
    "walk": ((1.0, 0.42, 0.18), 1.0, 1.0),
    "stairs up": ((1.0, 0.22, 0.08), 0.92, 0.9),
    "stairs down": ((1.0, 0.66, 0.38), 1.04, 1.1),
}


@dataclass(frozen=True)
class InertialParameters:
    """What is drawn; each person draws an own value from a range, uniformly.

    Attributes:
        rate: samples per second.
        seconds: length of one recording (one activity of one person).
        cadence: steps per second when walking.
        vigour: height of the first vertical harmonic when walking, in g.
        mounting: sd of the sensor's tilt around the axes x and y, in degrees.
        heading: largest turn of the sensor around the vertical axis, either way, in degrees.
        gain: of the sensor.
        gait: sd of the logarithm of a person's own harmonics.
        noise: sd of the accelerations, in g.
        rate_noise: sd of the angular rates, in rad/s.
    """

    rate: float = 50.0
    seconds: float = 20.0
    cadence: Range = (1.6, 2.2)
    vigour: Range = (0.15, 0.4)
    mounting: float = 5.0
    heading: float = 30.0
    gain: Range = (0.9, 1.1)
    gait: float = 0.1
    noise: float = 0.02
    rate_noise: float = 0.02

    def __post_init__(self):
        if min(self.rate, self.seconds, *self.cadence, *self.vigour, *self.gain) <= 0:
            raise ValueError("rate, seconds, cadence, vigour and gain must be above 0.")
        if self.rate < 6 * max(self.cadence) * 1.04:
            raise ValueError("rate must be at least 6.24 times the largest cadence, so that three harmonics fit.")
        if min(self.mounting, self.heading, self.gait, self.noise, self.rate_noise) < 0:
            raise ValueError("mounting, heading, gait, noise and rate_noise must be at least 0.")


@dataclass(frozen=True, eq=False)
class Person:
    """What stays the same in all recordings of one person.

    Attributes:
        turn: (3, 3) from the axes of the body to those of the sensor.
        gain, cadence, vigour: see `InertialParameters`.
        gait: (3, 3) factors of the harmonics: vertical, forward, sideways.
        phases: (6, 3) in radians: of the harmonics of each channel.
    """

    turn: np.ndarray
    gain: float
    cadence: float
    vigour: float
    gait: np.ndarray
    phases: np.ndarray


def draw_person(parameters: InertialParameters, seed) -> Person:
    """Draws a person; equal seeds give equal persons."""
    import numpy as np

    p, rng = parameters, np.random.default_rng(seed)
    heading = np.deg2rad(rng.uniform(-p.heading, p.heading))
    tilts = np.deg2rad(rng.normal(0, p.mounting, 2))
    return Person(
        turn=_turn(tilts[0], 0) @ _turn(tilts[1], 1) @ _turn(heading, 2),
        gain=rng.uniform(*p.gain),
        cadence=rng.uniform(*p.cadence),
        vigour=rng.uniform(*p.vigour),
        gait=np.exp(rng.normal(0, p.gait, (3, 3))),
        phases=np.array([0.0, 0.6, 1.1]) * [[1.0], [2.0], [0.5], [1.5], [0.2], [0.8]] + rng.normal(0, 0.2, (6, 3)),
    )


def simulate_inertial(
    activity: str, person: Person, parameters: InertialParameters = InertialParameters(), seed=0
) -> np.ndarray:
    """Simulates one recording.

    Args:
        activity: one of `ACTIVITIES`.
        person: who does it.
        parameters: what is drawn.
        seed: an int, or a sequence of ints; equal seeds give equal recordings.

    Returns:
        `(samples, 6)` float32: accelerations in g and angular rates in rad/s, in the axes of the sensor.

    Example:
        >>> signal = simulate_inertial("walk", draw_person(InertialParameters(), 1), seed=1)
        >>> signal.shape
        (1000, 6)
    """
    import numpy as np

    p, rng = parameters, np.random.default_rng(seed)
    time = np.arange(round(p.rate * p.seconds)) / p.rate
    if activity in _GAITS:
        moves, rates = _steps(activity, person, p, time, rng)
        wander = 2.0
    else:
        moves = np.zeros((len(time), 3))
        rates = _sway(_SWAY[activity], p.rate, len(time), rng)
        wander = 1.0
    pitch = rng.uniform(*_PITCH[activity]) + wander * _wander(p.rate, len(time), rng)
    roll = rng.normal(0, 4) + wander * _wander(p.rate, len(time), rng)
    felt = _gravity(np.deg2rad(pitch), np.deg2rad(roll)) + moves
    felt, rates = felt @ person.turn.T, rates @ person.turn.T
    felt = person.gain * felt + rng.normal(0, p.noise, felt.shape)
    rates = rates + rng.normal(0, p.rate_noise, rates.shape)
    return np.concatenate([felt, rates], axis=1).astype(np.float32)


def _steps(activity: str, person: Person, p: InertialParameters, time, rng) -> tuple[np.ndarray, np.ndarray]:
    """Returns accelerations in g and angular rates in rad/s of steps, in the axes of the body."""
    import numpy as np

    vertical, quicker, stronger = _GAITS[activity]
    cadence = person.cadence * quicker * rng.uniform(0.95, 1.05)
    # Nobody is a clock: the phase of the steps wanders by some per cent of a step.
    step = 2 * np.pi * (cadence * time + rng.uniform() + 0.04 * _wander(p.rate, len(time), rng))
    height = person.vigour * stronger * rng.uniform(0.85, 1.15) * (1 + 0.1 * _wander(p.rate, len(time), rng))
    forward, sideways = (0.5, 0.3, 0.12), (0.45, 0.15, 0.2)
    axes = (
        (forward, 1.0, person.gait[1], 1),
        (sideways, 0.5, person.gait[2], 2),
        (vertical, 1.0, person.gait[0], 0),
    )

    def wave(strengths, speed, phases) -> np.ndarray:
        return sum(
            a * np.sin((k + 1) * speed * step + f) for k, (a, f) in enumerate(zip(strengths, phases, strict=True))
        )

    moves = [wave(np.array(part) * own, speed, person.phases[row]) for part, speed, own, row in axes]
    turns = [wave(part, speed, person.phases[row]) for part, speed, row in _TURNS]
    return np.stack(moves, axis=1) * height[:, None], np.stack(turns, axis=1) * (4.0 * height[:, None])


# Angular rates around x, y and z: strengths of the harmonics, speed, row of the phases.
_TURNS = (((0.5, 0.2, 0.1), 0.5, 3), ((0.4, 0.25, 0.1), 1.0, 4), ((0.6, 0.1, 0.15), 0.5, 5))


def _gravity(pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Returns what an accelerometer at rest feels, 1 g upwards, in the axes of a tilted body."""
    import numpy as np

    return np.stack([np.sin(pitch), np.cos(pitch) * np.sin(roll), np.cos(pitch) * np.cos(roll)], axis=1)


def _sway(strength: float, rate: float, count: int, rng) -> np.ndarray:
    import numpy as np

    return strength * np.stack([_wander(rate, count, rng, 0.5) for _ in range(3)], axis=1)


def _wander(rate: float, count: int, rng, cutoff: float = 0.2) -> np.ndarray:
    """Returns slow noise of spread 1 without frequencies above `cutoff` Hz."""
    import numpy as np

    spectrum = rng.normal(size=count // 2 + 1) + 1j * rng.normal(size=count // 2 + 1)
    slow = np.fft.irfft(spectrum * (np.fft.rfftfreq(count, 1 / rate) <= cutoff), count)
    spread = slow.std()
    return slow / spread if spread > 0 else slow


def _turn(angle: float, axis: int) -> np.ndarray:
    """Returns the matrix of a turn around an axis."""
    import numpy as np

    a, b = [index for index in range(3) if index != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix
