"""How much noise there is at every step, and how a step leads back to one with less of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kerazoo import checks

SCHEDULES = ("linear", "cosine")
VARIANCES = ("large", "small")


@dataclass(frozen=True)
class Schedule:
    """The noise of the steps t = 0 ... T - 1, where x_t = sqrt(a_t) x + sqrt(1 - a_t) noise.

    Attributes:
        kind: `"linear"`, Ho et al.: beta from 1e-4 to 0.02 (of 1000 steps; with fewer, each does more);
            `"cosine"`, Nichol and Dhariwal: a_t falls like a squared cosine.
        timesteps: Number of steps T.

    Example:
        >>> float(Schedule("linear", 1000).alpha_bars[0])
        0.9999

    References:
        Ho et al. (2020), https://arxiv.org/abs/2006.11239; Nichol, Dhariwal (2021), https://arxiv.org/abs/2102.09672
    """

    kind: str = "linear"
    timesteps: int = 1000

    def __post_init__(self) -> None:
        checks.one_of("schedule", self.kind, SCHEDULES)
        checks.positive_int("timesteps", self.timesteps, minimum=2)

    @cached_property
    def betas(self) -> np.ndarray:
        """How much of the signal's variance each step replaces by noise, (T,)."""
        if self.kind == "linear":
            stretch = 1000 / self.timesteps
            return np.minimum(np.linspace(1e-4 * stretch, 0.02 * stretch, self.timesteps), 0.999)
        offset = 0.008
        edges = np.cos((np.arange(self.timesteps + 1) / self.timesteps + offset) / (1 + offset) * math.pi / 2) ** 2
        return np.minimum(1 - edges[1:] / edges[:-1], 0.999)

    @cached_property
    def alpha_bars(self) -> np.ndarray:
        """How much of the signal's variance is left after each step, (T,): a_t above."""
        return np.cumprod(1 - self.betas)

    def steps(self, count: int) -> np.ndarray:
        """Returns the numbers of some steps, spread evenly from the last one down to 0."""
        if not checks.positive_int("steps", count) <= self.timesteps:
            raise ValueError(f"steps must be at most timesteps={self.timesteps}. Received: steps={count!r}")
        return np.linspace(self.timesteps - 1, 0, count).round().astype("int32")

    def clean(self, x: Any, noise: Any, step: int) -> Any:
        """Returns what is left of `x` when an estimate of its noise is taken away."""
        a = self.alpha_bars[step]
        return (x - math.sqrt(1 - a) * noise) / math.sqrt(a)

    def noise(self, x: Any, clean: Any, step: int) -> Any:
        """Returns the noise in `x` where the picture behind it is `clean`."""
        a = self.alpha_bars[step]
        return (x - math.sqrt(a) * clean) / math.sqrt(1 - a)

    def posterior(self, x: Any, clean: Any, step: int, less: int, variance: str = "small") -> tuple[Any, float]:
        """Returns mean and standard deviation of x at the step `less` where it is known at `step`, as in DDPM.

        Args:
            x: What is known.
            clean: The picture behind it.
            step: Its step.
            less: One with less noise; -1 for none.
            variance: `"small"`, that of the posterior, or `"large"`, beta (the paper's sigma squared). With `less=-1`
                both are 0: the last step of the sampler adds no noise.

        References:
            Ho et al. (2020), equations 6 and 7
        """
        a, before = self.alpha_bars[step], self._before(less)
        alpha = a / before
        mean = (math.sqrt(before) * (1 - alpha) * clean + math.sqrt(alpha) * (1 - before) * x) / (1 - a)
        chosen = (1 - alpha) * (1 - before) / (1 - a) if variance == "small" else 1 - alpha
        return mean, math.sqrt(chosen) if less >= 0 else 0.0

    def implicit(self, x: Any, clean: Any, step: int, less: int, eta: float = 0.0) -> tuple[Any, float]:
        """The same as in DDIM: with `eta=0` nothing is random, with `eta=1` it is the posterior of DDPM.

        References:
            Song et al. (2020), equations 12 and 16, https://arxiv.org/abs/2010.02502
        """
        a, before = self.alpha_bars[step], self._before(less)
        deviation = eta * math.sqrt((1 - before) / (1 - a) * (1 - a / before))
        direction = math.sqrt(max(1 - before - deviation**2, 0.0))
        return math.sqrt(before) * clean + direction * self.noise(x, clean, step), deviation

    def _before(self, less: int) -> float:
        return float(self.alpha_bars[less]) if less >= 0 else 1.0


def normal(seeds: Sequence[np.random.Generator], shape: Sequence[int]) -> np.ndarray:
    """Draws standard normal numbers, each row from a generator of its own, so that no row depends on the others."""
    return np.stack([random.standard_normal(tuple(shape), dtype="float32") for random in seeds])
