"""Checkpoints: everything a training needs to go on exactly, in one folder that is there whole or not at all.

A checkpoint holds all variables of the model (weights, statistics, random state of its layers), of the optimiser and of
the running metrics, the best weights so far, the callbacks' memory, the history, and the place in the data. It is plain
numbers (`.npz` without pickle) and JSON.
"""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from applications.core.errors import UserError


def model_variables(model: Any) -> dict[str, Any]:
    """Returns every variable of a compiled model that training changes, by a unique name."""
    groups = {"model": list(model.variables), "metrics": list(model.metrics_variables)}
    groups["optimizer"] = [v for optimizer in optimizers(model) for v in optimizer.variables]
    known = {id(variable) for variable in groups["model"]}
    groups["optimizer"] = [v for v in groups["optimizer"] if id(v) not in known]
    metric_ids = {id(variable) for variable in groups["metrics"]}
    groups["model"] = [v for v in groups["model"] if id(v) not in metric_ids]
    # The last part of the path only: the first may be a name Keras numbers through, such as "adam_2".
    return {
        f"{group}/{number:05d}/{variable.path.rsplit('/', 1)[-1]}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def optimizers(model: Any) -> list[Any]:
    """Returns the model's optimisers: one for most models, several for pairs that train against each other."""
    import keras

    if model.optimizer is not None:
        return [model.optimizer]
    return [value for _, value in sorted(vars(model).items()) if isinstance(value, keras.Optimizer)]


def snapshot(variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """Copies the values of variables."""
    import keras

    return {name: np.array(keras.ops.convert_to_numpy(variable)) for name, variable in variables.items()}


def copies(variable: Any) -> list[Any]:
    """Returns the copies of a variable, one per device of the strategy it was made under."""
    value = variable.value
    strategy = getattr(value, "distribute_strategy", None)
    return [value] if strategy is None else list(strategy.experimental_local_results(value))


def _values_of_copies(variable: Any) -> list[np.ndarray]:
    """Returns the value of each copy, or nothing where there is only one."""
    found = copies(variable)
    return [copy.numpy() for copy in found] if len(found) > 1 else []


def differing_copies(variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the values of each copy, as `name@0`, `name@1` ..., of variables whose copies differ.

    Mirrored devices keep batch statistics and running means apart; one value for all of them would not be exact.
    """
    found: dict[str, np.ndarray] = {}
    for name, variable in variables.items():
        values = _values_of_copies(variable)
        if any(not np.array_equal(value, values[0]) for value in values[1:]):
            found |= {f"{name}@{number}": value for number, value in enumerate(values)}
    return found


def average_statistics(model: Any) -> None:
    """Gives batch statistics, which every device has gathered on its own part of the batches, their mean.

    Of other memory a mean would mean nothing: a pool of images is another one on every device. Where several workers
    train, all of them have to do it at the same step.
    """
    import tensorflow as tf

    statistics = [v for v in model.non_trainable_variables if v.path.rpartition("/")[2].startswith("moving_")]
    if statistics and isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        _average_over_workers(statistics, model.distribute_strategy)
        return
    for variable in statistics:
        values = _values_of_copies(variable)
        if values:
            variable.assign(np.mean(values, axis=0, dtype=values[0].dtype))


def _average_over_workers(variables: list[Any], strategy: Any) -> None:
    import tensorflow as tf

    def means() -> list[Any]:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(v.value) for v in variables])

    found = tf.function(lambda: strategy.run(means), autograph=False)()
    for variable, mean in zip(variables, found, strict=True):
        variable.assign(strategy.experimental_local_results(mean)[0])


def assign(variables: dict[str, Any], arrays: dict[str, np.ndarray], where: str) -> None:
    """Gives variables their saved values; checks names and shapes of all of them before it changes one.

    Copies saved by `differing_copies` are given back where there are as many devices as then.

    Raises:
        UserError: The checkpoint belongs to another model; names the first variable that does not fit.
    """
    missing = [name for name in variables if name not in arrays]
    extra = [name for name in arrays if name.partition("@")[0] not in variables]
    if missing or extra:
        name = variables[missing[0]].path if missing else extra[0]
        raise UserError(
            f"The checkpoint '{where}' belongs to another model: {name!r} is only in "
            f"{'the model' if missing else 'the checkpoint'}."
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise UserError(
                f"The checkpoint '{where}' belongs to another model: {variable.path!r} has shape "
                f"{arrays[name].shape} there and {tuple(variable.shape)} here (another number of classes?)."
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])
        own = copies(variable)
        if f"{name}@{len(own) - 1}" in arrays and f"{name}@{len(own)}" not in arrays:
            for number, copy in enumerate(own):
                copy.assign(arrays[f"{name}@{number}"])


_FILES = ("variables.npz", "state.json")


class CheckpointFolder:
    """The `checkpoints/` folder of a run: numbered checkpoints, the newest `keep` of them.

    Args:
        path: The folder; made on the first save.
        keep: Number of checkpoints kept; 0: none is written.
    """

    def __init__(self, path: Path, keep: int = 2):
        self.path = path
        self.keep = keep

    def saved(self) -> list[Path]:
        """Returns the complete checkpoints, oldest first."""
        return sorted(p for p in self.path.glob("[0-9]*") if all((p / name).is_file() for name in _FILES))

    def save(self, step: int, arrays: dict[str, np.ndarray], best: dict[str, np.ndarray] | None, state: Any) -> Path:
        """Writes one checkpoint atomically, then removes the oldest ones and leftovers of killed processes.

        Args:
            step: Number of training steps done so far; names the checkpoint.
            arrays: Values of all variables.
            best: Best weights so far, or None.
            state: Plain data.

        Returns:
            The checkpoint's folder.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.tidy_up()
        draft = Path(tempfile.mkdtemp(dir=self.path, prefix=".new-"))
        try:
            np.savez(draft / "variables.npz", **arrays)
            if best is not None:
                np.savez(draft / "best.npz", **best)
            (draft / "state.json").write_text(json.dumps(state), encoding="utf-8")
            for name in os.listdir(draft):
                _flush(draft / name)
            _flush(draft)
            final = self.path / f"{step:010d}"
            aside = self.path / f".old-{final.name}"
            if final.exists():  # the same step again: after a resume, or at the end of an epoch
                os.rename(final, aside)
            os.rename(draft, final)
            _flush(self.path)
            shutil.rmtree(aside, ignore_errors=True)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        for old in self.saved()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def tidy_up(self) -> None:
        """Removes what killed processes have left, and puts a checkpoint back that had only been moved aside."""
        for aside in self.path.glob(".old-*"):
            place = self.path / aside.name.removeprefix(".old-")
            if place.exists():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                os.rename(aside, place)
        for leftover in self.path.glob(".new-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def load(self, *, tidy: bool = True) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None, Any, int] | None:
        """Reads the newest checkpoint: values, best weights, state and number, or None where there is none.

        Args:
            tidy: Whether to look after what killed processes have left, which one worker does before the others look.
        """
        if tidy:
            self.tidy_up()
        saved = self.saved()
        if not saved:
            return None
        newest = saved[-1]
        best = _read(newest / "best.npz") if (newest / "best.npz").is_file() else None
        return (
            _read(newest / "variables.npz"),
            best,
            json.loads((newest / "state.json").read_text(encoding="utf-8")),
            int(newest.name),
        )


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _flush(path: Path) -> None:
    """Asks the system to put a file or the names in a folder on the disk, so that a power cut leaves one checkpoint."""
    with contextlib.suppress(PermissionError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
