"""Why and how a training ends before its last epoch: a signal, the time, a loss that is not a number."""

import math
import time
from typing import Any

import keras
import numpy as np

from applications.core.callbacks import Memory, losses_of
from applications.core.cluster import Cluster
from applications.core.signals import Signals


class StopTraining(Exception):
    """Ends `fit` at once. `reason` is "max-time", "nan", "SIGINT" or "SIGTERM"; `culprit` what is NaN."""

    def __init__(self, reason: str, culprit: str = ""):
        super().__init__(reason)
        self.reason = reason
        self.culprit = culprit


class Stop:
    """Why a training is to end at once: callbacks wish it, the last of them decides, with one voice on all workers.

    Args:
        signals: Says whether a signal has asked for the end.
        cluster: The workers of the training.

    Attributes:
        wish: "nan" or "max-time" where this worker wants to end.
        culprit: What is NaN.
    """

    def __init__(self, signals: Signals, cluster: Cluster):
        self.signals = signals
        self.cluster = cluster
        self.wish: str | None = None
        self.culprit = "loss"

    def decided(self) -> str | None:
        """Returns the reason all workers end for, or None; all of them have to ask at the same step."""
        reason = self.cluster.agree(self.wish if self.wish == "nan" else self.signals.name or self.wish)
        if reason in ("SIGINT", "SIGTERM"):
            self.signals.name = reason
        return reason


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training as soon as a loss is not a finite number, and says which one.

    Args:
        stop: Learns that wish.
    """

    def __init__(self, stop: Stop):
        super().__init__()
        self.stop = stop

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        culprits = [name.replace("_", " ") for name, value in losses_of(logs).items() if not math.isfinite(value)]
        if culprits:
            self.stop.wish, self.stop.culprit = "nan", " and ".join(diverged(self.model) or culprits)


def diverged(model: Any) -> list[str]:
    """Returns the names of those networks, in a model that consists of several, whose weights are not finite."""
    parts = [layer for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model)]

    def is_finite(part: keras.Model) -> bool:
        return all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in part.trainable_weights)

    return [part.name for part in parts if not is_finite(part)]


class Clock(Memory, keras.callbacks.Callback):
    """Adds up the time spent in training, and ends it when `max_seconds` are over.

    Args:
        stop: Learns that the time is over.
        max_seconds: Longest training, over all its resumed parts, or None.
    """

    remembered = ("seconds",)

    def __init__(self, stop: Stop, max_seconds: float | None = None):
        super().__init__()
        self.stop = stop
        self.max_seconds = max_seconds
        self.seconds = 0.0
        self._last: float | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._last = time.monotonic()

    def tick(self) -> None:
        """Adds the time since the last call."""
        now = time.monotonic()
        if self._last is not None:
            self.seconds += now - self._last
        self._last = now

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.tick()
        if self.max_seconds is not None and self.seconds > self.max_seconds:
            self.stop.wish = self.stop.wish or "max-time"

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.tick()
