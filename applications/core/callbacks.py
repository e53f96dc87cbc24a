"""Callbacks whose memory is part of a checkpoint, and those that show what a training does.

Keras' own callbacks forget their memory in `on_train_begin`. The ones here can say it (`state()`) and take it back
(`restore(state)`); `checkpointing.Checkpoint` saves all of them together with the model.
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
    assign,
    average_statistics,
    model_variables,
    optimizers,
    snapshot,
)
from applications.core.pictures import save_sheet, sheet_path
from applications.core.run_directory import write_atomically


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


def losses_of(logs: Any) -> dict[str, float]:
    """Returns the losses among the metrics of a step: `loss`, or one for each of several networks."""
    return {name: value for name, value in (logs or {}).items() if name.endswith("loss")}


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
            losses = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in losses_of(logs).items()]
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
