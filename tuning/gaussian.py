"""The model behind the Bayesian search: a Gaussian process and the expected improvement over the best value."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tuning.oracles import BayesianOracle

CANDIDATES = 1024
ROUNDS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.004)  # spread of the candidates around the best ones, round by round


def suggest(
    oracle: BayesianOracle,
    *,
    known: list[dict[str, Any]],
    losses: list[float],
    running: list[dict[str, Any]],
    random: np.random.Generator,
    greedy: bool = False,
) -> dict[str, Any] | None:
    """Returns the untried values with the largest expected improvement, or with the best expected score.

    Args:
        oracle: Knows the ranges, how values become vectors, and what has been tried.
        known: Values of the ended trials.
        losses: Their scores, smaller is better.
        running: Values of trials without a score yet.
        random: Source of the candidates.
        greedy: Whether to take the best expected score, which sharpens what has been found.
    """
    x = np.stack([oracle.encode(values) for values in known])
    y = transformed(np.array(losses))
    process = fitted(x, y, random)
    if running:  # what the process expects of them, so that nobody tries the same beside them
        waiting = np.stack([oracle.encode(values) for values in running])
        expected = process.predict(waiting)
        kernel = process.kernel_
        process = fitted(np.concatenate([x, waiting]), np.concatenate([y, expected]), random, kernel)
    best = float(y.min())
    units = random.random((CANDIDATES, len(oracle.ranges)))
    pool: list[tuple[float, np.ndarray, Mapping[str, Any]]] = []
    leaders = [_units(oracle, known[i]) for i in np.argsort(y)[:5]]
    for spread in (None, *ROUNDS):
        if spread is not None:
            pool = sorted(pool, key=lambda entry: -entry[0])[:8]
            centres = np.stack([unit for _, unit, _ in pool] + (leaders if spread == ROUNDS[0] else []))
            moved = random.normal(0, spread, (24, *centres.shape)) * (random.random((24, *centres.shape)) < 0.7)
            units = np.clip(centres + moved, 0, 1).reshape(-1, centres.shape[1])
        candidates = [oracle.at(unit) for unit in units]
        fresh = [(u, values) for u, values in zip(units, candidates, strict=True) if not oracle.tried(values)]
        if fresh:
            vectors = np.stack([oracle.encode(values) for _, values in fresh])
            gains = -process.predict(vectors) if greedy else expected_improvement(process, vectors, best)
            pool += [(float(gain), unit, values) for gain, (unit, values) in zip(gains, fresh, strict=True)]
        if not pool:
            return None
    return dict(max(pool, key=lambda entry: entry[0])[2])


def _units(oracle: BayesianOracle, values: Mapping[str, Any]) -> np.ndarray:
    from tuning.spaces import to_unit

    return np.array(
        [to_unit(d.range, values[d.path]) if d.active(values) and d.path in values else 0.5 for d in oracle.ranges]
    )


def transformed(losses: np.ndarray) -> np.ndarray:
    """Returns the scores with mean 0 and spread 1; those of diverged trainings are cut, lest they flatten the rest."""
    middle = float(np.median(losses))
    cut = np.minimum(losses, middle + 3 * (middle - losses.min()))
    spread = cut.std()
    return (cut - cut.mean()) / spread if spread > 0 else np.zeros_like(cut)


def fitted(x: np.ndarray, y: np.ndarray, random: np.random.Generator, kernel: Any = None) -> Any:
    """Returns a Gaussian process fitted to the points; with a kernel given, its lengths are kept."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    optimizer = "fmin_l_bfgs_b" if kernel is None else None
    if kernel is None:
        lengths = Matern(np.full(x.shape[1], 0.3), (0.05, 5.0), nu=2.5)
        kernel = ConstantKernel(1.0, (0.1, 100.0)) * lengths + WhiteKernel(1e-4, (1e-6, 0.03))
    process = GaussianProcessRegressor(
        kernel, optimizer=optimizer, n_restarts_optimizer=2, random_state=int(random.integers(2**31))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length at its bound is nothing to worry about
        return process.fit(x, y)


def expected_improvement(process: Any, x: np.ndarray, best: float) -> np.ndarray:
    """Returns E[max(best - f(x), 0)] under the process."""
    from scipy.stats import norm

    mean, spread = process.predict(x, return_std=True)
    spread = np.maximum(spread, 1e-9)
    z = (best - mean) / spread
    return (best - mean) * norm.cdf(z) + spread * norm.pdf(z)
