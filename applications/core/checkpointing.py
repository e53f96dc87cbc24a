"""The callback that saves a whole training and takes it up again."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from applications.core.callbacks import BestWeights, Memory
from applications.core.checkpoint import (
    CheckpointFolder,
    assign,
    average_statistics,
    differing_copies,
    model_variables,
    snapshot,
)
from applications.core.errors import UserError
from applications.core.stopping import Stop, StopTraining, diverged


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
