"""Callbacks whose memory is part of a checkpoint, and those that show progress and stop a training.

Keras' own callbacks forget their memory in `on_train_begin`. The ones here can say it (`state()`) and take it back
(`restore(state)`); `Checkpoint`, which must be the last of the list, saves all of them together with the model.
"""

import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from applications.core.checkpoint import (
    CheckpointFolder,
    assign,
    average_statistics,
    differing_copies,
    model_variables,
    optimizers,
    snapshot,
)
from applications.core.cluster import Cluster
from applications.core.errors import UserError
from applications.core.pictures import save_sheet, sheet_path
from applications.core.run_directory import write_atomically
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


class Memory:
    """What a checkpoint needs of a callback: its memory as plain data.

    Attributes:
        remembered: Names of the attributes that make up the memory.
    """

    remembered: tuple[str, ...] = ()

    def state(self) -> dict[str, Any]:
        """Returns the memory as plain data."""
        return {name: _plain(getattr(self, name)) for name in self.remembered}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` returned."""
        for name in self.remembered:
            setattr(self, name, state[name])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


class EarlyStopping(Memory, keras.callbacks.EarlyStopping):
    """`keras.callbacks.EarlyStopping` that survives a resume."""

    remembered = ("wait", "best", "best_epoch", "stopped_epoch")


class Plateau(Memory, keras.callbacks.ReduceLROnPlateau):
    """`keras.callbacks.ReduceLROnPlateau` that survives a resume, with an optional linear warm-up.

    Of several optimisers, which begin with the same rate, all are reduced together.

    Args:
        warmup_batches: Batches over which the rate first rises from zero.
        **options: Arguments of `keras.callbacks.ReduceLROnPlateau`.
    """

    remembered = ("wait", "best", "cooldown_counter")

    def __init__(self, *, warmup_batches: int = 0, **options: Any):
        super().__init__(**options)
        self.warmup_batches = warmup_batches
        self._peak: float | None = None

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._peak = state.get("peak")

    def state(self) -> dict[str, Any]:
        return {**super().state(), "peak": self._peak}

    def set_model(self, model: Any) -> None:
        self._optimizers = found = optimizers(model)
        # Keras looks at `model.optimizer`, and among several at its `optimizers`.
        several = SimpleNamespace(optimizer=SimpleNamespace(optimizers=found))
        super().set_model(model if len(found) == 1 else several)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        first = self._optimizers[0]
        # Keras counts updates, each of which may take the gradients of several batches.
        each = first.gradient_accumulation_steps or 1
        done = int(keras.ops.convert_to_numpy(first.iterations)) * each
        if done >= self.warmup_batches:
            return
        if self._peak is None:
            self._peak = float(keras.ops.convert_to_numpy(first.learning_rate))
        for optimizer in self._optimizers:
            optimizer.learning_rate.assign(self._peak * min(1.0, (done + each) / self.warmup_batches))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        super().on_epoch_end(epoch, logs)
        for name in [name for name in logs if name.startswith("learning_rate_")]:
            del logs[name]  # by names of optimisers that Keras numbers through, such as "adam_2"


class BestWeights(Memory, keras.callbacks.Callback):
    """Keeps the weights of the best epoch in memory.

    Args:
        monitor: Name in the epoch's logs; "" where nothing there says which epoch is best, and the last one counts.
        mode: "min" or "max".
    """

    remembered = ("best", "best_epoch")

    def __init__(self, monitor: str = "", mode: str = "min"):
        super().__init__()
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.weights: dict[str, np.ndarray] | None = None

    def variables(self) -> dict[str, Any]:
        """Returns the variables of the model that belong to its weights and statistics."""
        return {name: v for name, v in model_variables(self.model).items() if name.startswith("model/")}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = (logs or {}).get(self.monitor)
        if value is None or not math.isfinite(value):
            return
        sign = 1.0 if self.mode == "max" else -1.0
        if self.best is None or sign * value > sign * self.best:
            self.best, self.best_epoch = float(value), epoch
            self.weights = snapshot(self.variables())

    def on_test_begin(self, logs: Any = None) -> None:
        average_statistics(self.model)  # what is validated, and kept if it is the best, is one model

    def apply(self) -> None:
        """Gives the model the best weights, where there are any."""
        if self.weights is not None:
            assign(self.variables(), self.weights, "best weights")
        else:
            average_statistics(self.model)


class History(Memory, keras.callbacks.Callback):
    """Keeps one row per epoch and writes them to `history.csv` after every epoch.

    Args:
        path: The CSV file; None keeps the rows in memory only.
    """

    remembered = ("rows",)

    def __init__(self, path: Path | None):
        super().__init__()
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        row |= {name: float(keras.ops.convert_to_numpy(rate)) for name, rate in learning_rates(self.model).items()}
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Writes all rows atomically."""
        if not self.rows or self.path is None:
            return
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, text.getvalue())


def learning_rates(model: Any) -> dict[str, Any]:
    """Returns `learning_rate`, or one rate per optimiser by the name of its network."""
    found = optimizers(model)
    if len(found) == 1:
        return {"learning_rate": found[0].learning_rate} if hasattr(found[0], "learning_rate") else {}
    names = {id(value): name.removesuffix("_optimizer") for name, value in vars(model).items()}
    return {f"{names[id(optimizer)]}_learning_rate": optimizer.learning_rate for optimizer in found}


class Samples(keras.callbacks.Callback):
    """Keeps a sheet of pictures after every epoch; it acts before `Checkpoint`, so that no sheet is ever missing.

    Args:
        run: The run directory.
        draw: Returns the pictures of a model as `Application.drawn` does, or None.
    """

    def __init__(self, run: Path, draw: Callable[[Any], np.ndarray | None]):
        super().__init__()
        self.run = run
        self.draw = draw

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        pictures = self.draw(self.model)
        if pictures is not None:
            save_sheet(sheet_path(self.run, epoch + 1), pictures)


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training as soon as a loss is not a finite number, and says which one.

    Args:
        stop: Learns that wish.
    """

    def __init__(self, stop: Stop):
        super().__init__()
        self.stop = stop

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        culprits = [name.replace("_", " ") for name, value in _losses(logs).items() if not math.isfinite(value)]
        if culprits:
            self.stop.wish, self.stop.culprit = "nan", " and ".join(diverged(self.model) or culprits)


def diverged(model: Any) -> list[str]:
    """Returns the names of those networks, in a model that consists of several, whose weights are not finite."""
    parts = [layer for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model)]

    def is_finite(part: keras.Model) -> bool:
        return all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in part.trainable_weights)

    return [part.name for part in parts if not is_finite(part)]


def _losses(logs: Any) -> dict[str, float]:
    """Returns the losses among the metrics of a step: `loss`, or one for each of several networks."""
    return {name: value for name, value in (logs or {}).items() if name.endswith("loss")}


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


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole training after every epoch, every `every` steps and when a signal asks for it.

    It must be the last callback: only then have the others finished their part of an epoch.

    Args:
        folder: Where the checkpoints go.
        steps_per_epoch: Number of batches of a whole epoch.
        batch_size: Samples per batch.
        memories: Callbacks by name whose memory is saved.
        best: The callback that keeps the best weights.
        stop: Says whether somebody wants the training to end.
        every: Steps between two checkpoints within an epoch, or None.
        extra: Returns further plain data of the application to save.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        *,
        steps_per_epoch: int,
        batch_size: int,
        memories: dict[str, Memory],
        best: BestWeights,
        stop: Stop,
        every: int | None = None,
        extra: Callable[[], dict[str, Any]] = dict,
    ):
        super().__init__()
        self.folder = folder
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.memories = memories
        self.best = best
        self.stop = stop
        self.every = every
        self.extra = extra
        self.epoch = 0
        self.first_step = 0
        self.done_in_epoch = 0
        self.stopped = False
        self.loaded_extra: dict[str, Any] = {}
        self._running_metrics: dict[str, np.ndarray] | None = None
        self._states: dict[str, Any] | None = None
        self._skipped_numbers = 0

    def load(self) -> bool:
        """Restores the newest checkpoint into the model (compiled, optimiser built); False where there is none."""
        cluster = self.stop.cluster
        if cluster.is_chief:
            self.folder.tidy_up()
        cluster.wait()  # the others look when the chief has tidied up
        found = self.folder.load(tidy=False)
        where = f"The workers do not see the same checkpoints in '{self.folder.path}'; is it on a disk they share?"
        cluster.require_same(-1 if found is None else found[3], where)
        if found is None:
            return False
        arrays, best, state, number = found
        self._check_batch_size(state)
        assign(model_variables(self.model), arrays, str(self.folder.path))
        self.epoch, self.first_step = state["epoch"], state["step_in_epoch"]
        # Another batch size makes other epochs, but later checkpoints must have larger numbers all the same.
        self._skipped_numbers = number - self._number(self.epoch, self.first_step)
        self.best.weights = best
        self._states = state["callbacks"]
        self.stopped = state["stop"]
        self._remind()  # now, in case nothing is left to train
        self._running_metrics = {name: a for name, a in arrays.items() if name.partition("@")[0].startswith("metrics/")}
        self.loaded_extra = state.get("extra", {})
        return True

    def _check_batch_size(self, state: dict[str, Any]) -> None:
        saved = state.get("batch_size", self.batch_size)
        if state["step_in_epoch"] and saved != self.batch_size:
            raise UserError(
                f"batch_size: '{self.folder.path}' was saved in the middle of an epoch of batches of {saved}, received "
                f"{self.batch_size}; put {saved} back into config.yaml."
            )

    def _number(self, epoch: int, step_in_epoch: int) -> int:
        return self._skipped_numbers + epoch * self.steps_per_epoch + step_in_epoch

    def _remind(self) -> None:
        """Gives the callbacks their memory back; one that a changed configuration has added begins without."""
        for name, memory in self.memories.items():
            if self._states is not None and name in self._states:
                memory.restore(self._states[name])

    def begin_again(self, epoch: int) -> None:
        """Makes ready for another fit that begins with `epoch`: nobody forgets anything."""
        self.epoch, self.first_step = epoch, 0
        self._states = {name: memory.state() for name, memory in self.memories.items()}

    def on_train_begin(self, logs: Any = None) -> None:
        if self._states is not None:  # after the others' on_train_begin, which makes them forget
            self._remind()
            self._states = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        self.done_in_epoch = self.first_step
        if self.first_step and self._running_metrics is not None:
            # Keras has just set the running means to zero; they go on where the interrupted epoch left them.
            variables = {n: v for n, v in model_variables(self.model).items() if n.startswith("metrics/")}
            assign(variables, self._running_metrics, str(self.folder.path))
        self._running_metrics = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # `batch` counts within this call of fit; with several steps per execution it is the last one's number, which
        # may lie behind the end of the epoch.
        before = self.done_in_epoch
        self.done_in_epoch = min(self.first_step + batch + 1, self.steps_per_epoch)
        reason = self.stop.decided()
        if reason in ("nan", "max-time"):
            raise StopTraining(reason, self.stop.culprit)
        if self.done_in_epoch == self.steps_per_epoch:
            return  # `on_epoch_end` saves and stops: only then has the epoch been validated
        due = self.every is not None and self.done_in_epoch // self.every > before // self.every
        if reason is not None or due:
            self.save(self.epoch, self.done_in_epoch)
        if reason is not None:
            raise StopTraining(reason)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.first_step = 0
        self.save(epoch + 1, 0)
        reason = self.stop.decided()
        if reason is not None:
            raise StopTraining(reason)

    def save(self, epoch: int, step_in_epoch: int) -> None:
        """Writes a checkpoint that says: go on with this step of this epoch."""
        if not self.folder.keep:
            return
        cluster = self.stop.cluster
        if cluster.size > 1:
            average_statistics(self.model)  # one worker saves, for all of them
        state = {
            "epoch": epoch,
            "step_in_epoch": step_in_epoch,
            "callbacks": {name: memory.state() for name, memory in self.memories.items()},
            "batch_size": self.batch_size,
            "stop": bool(self.model.stop_training),
            "extra": self.extra(),
        }
        variables = model_variables(self.model)
        arrays = {**snapshot(variables), **differing_copies(variables)}
        for name, variable in variables.items():
            # The loss of the step was still finite, its update is not: the checkpoint before is the last good one.
            if name.startswith("model/") and not np.isfinite(arrays[name]).all():
                raise StopTraining("nan", " and ".join(diverged(self.model)) or f"weight {variable.path}")
        if cluster.is_chief:  # all have read, though: what they gather is added up over them in doing so
            self.folder.save(self._number(epoch, step_in_epoch), arrays, self.best.weights, state)


class Progress(keras.callbacks.Callback):
    """Shows a bar with the time left on a terminal, one line per epoch elsewhere.

    Args:
        epochs: Number of epochs in all.
        steps_per_epoch: Batches per epoch.
        show: Prints a finished line.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, show: Callable[[str], None]):
        super().__init__()
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.show = show
        self.first_step = 0
        self._bar: Any = None
        self._epoch = 0
        self._epoch_start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        import sys

        self._epoch = epoch
        self._epoch_start = time.monotonic()
        if sys.stdout.isatty() and self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[loss]}"),
                transient=True,
            )
            total = self.epochs * self.steps_per_epoch
            done = epoch * self.steps_per_epoch + self.first_step
            self._task = self._bar.add_task("", total=total, completed=done, loss="")
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, description=f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._bar is not None:
            done = self._epoch * self.steps_per_epoch + self.first_step + batch + 1
            losses = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in _losses(logs).items()]
            self._bar.update(self._task, completed=done, loss="  ".join(losses))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.first_step = 0
        seconds = time.monotonic() - self._epoch_start
        values = "  ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
        line = f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}  {seconds:.1f} s  {values}"
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            self.show(line)

    def close(self) -> None:
        """Takes the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
