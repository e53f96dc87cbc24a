"""Ends trials that are behind."""

from __future__ import annotations

import statistics
from typing import Any

import keras


class MedianPruner(keras.callbacks.Callback):
    """Ends a training whose best value so far is worse than the median of the others at the same epoch.

    Args:
        name: Metric in the epoch's logs.
        mode: "min" or "max".
        curves: The metric over the epochs of the other trainings.
        grace: Epochs before the first comparison.

    References:
        Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2: the median
        stopping rule.
    """

    def __init__(self, name: str, mode: str, curves: list[list[float]], *, grace: int = 3):
        super().__init__()
        self.name, self.grace = name, grace
        self.better = max if mode == "max" else min
        self.curves = curves
        self.best: float | None = None
        self.pruned = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = (logs or {}).get(self.name)
        if value is None:
            return
        self.best = float(value) if self.best is None else self.better(self.best, float(value))
        if epoch + 1 < self.grace:
            return
        others = [self.better(curve[: epoch + 1]) for curve in self.curves]
        median = statistics.median(others)
        if self.best != median and self.better(self.best, median) == median:
            self.pruned = True
            self.model.stop_training = True
