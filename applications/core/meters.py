"""What a training costs beside its result: the time it waits for data, and memory."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import keras

from applications.core.callbacks import Memory

if TYPE_CHECKING:
    import tensorflow as tf

LARGEST_SHARE = 0.1  # of the time that steps take; above it one is told
SHORTEST_WAIT = 1.0  # seconds in all, below which nobody need be told


class DataWait(Memory, keras.callbacks.Callback):
    """Measures which share of its steps' time a training waits for data.

    The first batch of an epoch does not count: tracing and the first epoch's pipeline start with it.

    Attributes:
        waited: Seconds waited so far, added up by the pipeline (`timed`).
        shares: One share per epoch of more than one step.
    """

    remembered = ("shares", "seconds_waited", "seconds")

    def __init__(self) -> None:
        super().__init__()
        import tensorflow as tf

        with tf.device("/CPU:0"):
            self.waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.shares: list[float] = []
        self.seconds_waited = self.seconds = 0.0
        self._begin: tuple[float, float] | None = None
        self._end = 0.0

    def timed(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Returns batches that are the same, and add to `waited` how long each of them was waited for."""
        import tensorflow as tf

        def note(before: tf.Tensor, batch: Any) -> Any:
            with tf.control_dependencies([self.waited.assign_add(tf.timestamp() - before)]):
                return tf.nest.map_structure(tf.identity, batch)

        convert = tf.autograph.experimental.do_not_convert
        asked = tf.data.Dataset.range(2**60).map(convert(lambda _: tf.timestamp()))  # taken when a batch is asked for
        dataset = tf.data.Dataset.zip((asked, dataset)).map(convert(note))
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False  # it would ask for a batch before the training does
        return dataset.with_options(options)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begin = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._end = time.monotonic()
        if self._begin is None:
            self._begin = self._end, float(self.waited)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._begin is None or self._end <= self._begin[0]:
            return
        seconds, waited = self._end - self._begin[0], float(self.waited) - self._begin[1]
        self.shares.append(round(waited / seconds, 4))
        self.seconds, self.seconds_waited = self.seconds + seconds, self.seconds_waited + waited

    def figures(self) -> dict[str, Any]:
        """Returns the share of all epochs and of each; nothing where no epoch was long enough."""
        if not self.seconds:
            return {}
        found = {"data_wait": round(self.seconds_waited / self.seconds, 4), "data_wait_per_epoch": self.shares}
        warning = self.warning()
        return found if warning is None else {**found, "data_wait_warning": warning}

    def warning(self) -> str | None:
        """Returns a sentence where the data were the slower part."""
        share = self.seconds_waited / self.seconds if self.seconds else 0.0
        if share <= LARGEST_SHARE or self.seconds_waited < SHORTEST_WAIT:
            return None
        return (
            f"{share:.0%} of the training was spent waiting for data: less augmentation, smaller images or more cores "
            "would make it faster."
        )


def clock_runs() -> bool:
    """Returns whether a pipeline may look at the clock: not once this process has been made deterministic."""
    import tensorflow as tf

    try:
        tf.timestamp()
    except tf.errors.FailedPreconditionError:
        return False
    return True


def peak_memory() -> dict[str, int]:
    """Returns the largest memory so far in bytes: of this process, and of each GPU."""
    import tensorflow as tf

    found = {"process": _peak_of_process()}
    for device in tf.config.list_logical_devices("GPU"):
        name = device.name.removeprefix("/device:")
        found[name] = int(tf.config.experimental.get_memory_info(name)["peak"])
    return found


def _peak_of_process() -> int:
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
