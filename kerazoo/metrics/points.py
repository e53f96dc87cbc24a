"""How well points were found: matching by least distance, precision, recall, and how far off they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, spatial


@dataclass(frozen=True)
class PointMatching:
    """Which points belong together.

    Attributes:
        pairs: (n, 2) rows of (true point, point found).
        offsets: (n, 2) found minus true position of each pair, in the units of the points.
        num_true: Number of true points that count.
        num_found: Number of points found that count.
    """

    pairs: np.ndarray
    offsets: np.ndarray
    num_true: int
    num_found: int

    @property
    def precision(self) -> float:
        """Share of the points found that are true."""
        return len(self.pairs) / self.num_found if self.num_found else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true points that were found."""
        return len(self.pairs) / self.num_true if self.num_true else float("nan")

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); not a number where there is nothing and nothing was found."""
        total = self.num_true + self.num_found
        return 2 * len(self.pairs) / total if total else float("nan")

    @property
    def rms(self) -> float:
        """Root of the mean squared distance of the pairs."""
        return float(np.sqrt(np.square(self.offsets).sum(axis=1).mean())) if len(self.pairs) else float("nan")

    @property
    def bias(self) -> np.ndarray:
        """Mean offset of the pairs along each axis."""
        return self.offsets.mean(axis=0) if len(self.pairs) else np.full(self.offsets.shape[1], np.nan)


def match_points(truth: Any, found: Any, max_distance: float, *, counted: Any = None) -> PointMatching:
    """Gives points found to true ones, one to one: as many pairs as possible, and of these the nearest ones.

    Args:
        truth: (N, axes) true points.
        found: (M, axes) points found.
        max_distance: Largest distance of a pair.
        counted: Function from points (n, axes) to whether one counts that has no partner, for example not at the edge
            of an image, where half of an object is to be seen; `None`: all count.

    Example:
        >>> matching = match_points([[0, 0], [9, 9]], [[0, 1], [5, 5]], max_distance=3)
        >>> matching.pairs.tolist(), matching.f1, matching.rms
        ([[0, 0]], 0.5, 1.0)
    """
    truth, found = _points(truth), _points(found)
    distances = spatial.distance.cdist(truth, found)
    near = distances <= max_distance
    # A pair that is too far apart costs more than any number of near ones.
    worst = max_distance * min(distances.shape) + 1.0
    rows, columns = optimize.linear_sum_assignment(np.where(near, distances, worst))
    kept = near[rows, columns]
    pairs = np.stack([rows[kept], columns[kept]], axis=1)
    lonely = [np.delete(points, pairs[:, side], axis=0) for side, points in enumerate((truth, found))]
    extra = [len(points) if counted is None else int(np.sum(counted(points))) for points in lonely]
    return PointMatching(pairs, found[pairs[:, 1]] - truth[pairs[:, 0]], len(pairs) + extra[0], len(pairs) + extra[1])


def pooled(matchings: Sequence[PointMatching]) -> PointMatching:
    """Returns the matching of several images as one; its pairs are numbered through."""
    first = (
        np.cumsum([0, *((m.num_true) for m in matchings)])[:-1],
        np.cumsum([0, *(m.num_found for m in matchings)])[:-1],
    )
    pairs = [m.pairs + np.array([a, b]) for m, a, b in zip(matchings, *first, strict=True)]
    return PointMatching(
        np.concatenate([*pairs, np.zeros((0, 2), np.int64)]),
        np.concatenate([*(m.offsets for m in matchings if len(m.offsets)), np.zeros((0, _axes(matchings)))]),
        sum(m.num_true for m in matchings),
        sum(m.num_found for m in matchings),
    )


def nearest_neighbour_distance(points: Any) -> float:
    """Returns the mean distance of points to their nearest neighbour; not a number for less than two."""
    points = _points(points)
    if len(points) < 2:
        return float("nan")
    distances, _ = spatial.cKDTree(points).query(points, k=2)
    return float(distances[:, 1].mean())


def _axes(matchings: Sequence[PointMatching]) -> int:
    return next((m.offsets.shape[1] for m in matchings), 2)


def _points(points: Any) -> np.ndarray:
    array = np.asarray(points, np.float64)
    if array.size == 0:
        return np.zeros((0, array.shape[1] if array.ndim == 2 and array.shape[1] else 2))
    if array.ndim != 2:
        raise ValueError(f"points must be rows of coordinates. Received an array of shape {array.shape}.")
    return array
