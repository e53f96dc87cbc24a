"""The protocol of an application: its configuration, and the few methods that make a task.

A task is a frozen dataclass (its configuration) with the methods `datasets`, `samples`, `build`, `compile`, `report`,
and, where the defaults do not fit, `baseline`, `predict`, `write`, `search_space`, `serving`, `state` and `restore`.
Everything else (strategy, precision, callbacks, resume, progress, files) is written once in `applications.core`.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from applications.core.config import group, option
from applications.core.errors import UserError, nearest
from applications.core.optimization import OptimizerOptions, ScheduleOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.core.run_directory import RunDirectory
    from applications.core.search_space import Space
    from applications.datasets.data import Datasets
    from kerazoo.exporters import ImageBytes


LARGEST_SEED = 2**32 - 1  # what NumPy takes

OptimizerName = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
ScheduleName = Literal["constant", "step", "exponential", "inverse-time", "cosine", "linear", "plateau"]


@dataclass(frozen=True)
class Split:
    """How samples are divided where the data come without a division of their own."""

    train: float = option(0.7, "Fraction for training.", minimum=0, maximum=1)
    val: float = option(
        0.15, "Fraction for validation (early stopping, choice of the best epoch).", minimum=0, maximum=1
    )
    test: float = option(0.15, "Fraction for the one test at the end.", minimum=0, maximum=1)
    seed: int | None = option(None, "Seed of the division; none: the run's seed.", minimum=0, maximum=LARGEST_SEED)


@dataclass(frozen=True)
class StoppingOptions:
    """When a training ends before its last epoch."""

    patience: int = option(20, "Epochs without improvement before the training ends; 0 never ends it.", minimum=0)
    min_delta: float = option(0.0, "Smallest change that counts as an improvement.", minimum=0)


@dataclass(frozen=True)
class Serving:
    """What an exported model needs beside its weights.

    Attributes:
        samples: Real inputs of the run, for the comparison after the export; by name where there are several.
        labels: Names of the classes, in the order of the outputs.
        signature: What goes in and what comes out, one sentence each.
        files: Further files to write beside the export: name -> text.
    """

    samples: np.ndarray | dict[str, np.ndarray]
    labels: tuple[str, ...]
    signature: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)


# What follows from the data or the task wherever a model of the catalogue reads sequences.
SEQUENCE_OPTIONS = ("vocab_size", "mode", "classifier_activation", "stateful", "batch_size", "mask_value")


@dataclass(frozen=True, kw_only=True)
class Application:
    """Configuration shared by all tasks. Subclasses add their own options and the methods of their task."""

    task: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ()
    further_models: ClassVar[tuple[str, ...]] = ()  # models of other kinds that fit, too
    own_data: ClassVar[str] = "path/to/images"  # what a user's data look like in the documentation
    # What says which epoch is best, and its direction; ("", "") where nothing does and the last epoch counts.
    monitor: ClassVar[tuple[str, str]] = ("val_loss", "min")
    default_beta_1: ClassVar[float] = 0.9  # decay of Adam's mean gradient in the papers of the task's models
    request: ClassVar[type | None] = None  # a dataclass, the options of `kerazoo generate`; none: makes nothing new
    reserved_options: ClassVar[tuple[str, ...]] = (
        "input_shape",
        "num_classes",
        "num_outputs",
        "weights",
        "dtype",
        "name",
        "include_preprocessing",
        "include_top",
    )

    data: str = option("", "Embedded data set, `tfds:NAME`, or a path to your own files.")
    model: str = option("", "Model of the catalogue (`kerazoo models`).")
    model_options: dict[str, Any] = option({}, "Arguments of the builder, e.g. `--model-options.filters 32`.")
    epochs: int = option(30, "Passes over the training data.", minimum=1)
    batch_size: int | Literal["max"] = option(
        32, "Samples per step, over all devices together; max: as many as the memory has room for.", minimum=1
    )
    learning_rate: float = option(1e-3, "Largest learning rate.", minimum=0)
    optimizer: OptimizerName = option("adam", "Optimiser.")
    schedule: ScheduleName = option("constant", "How the learning rate changes.")
    seed: int = option(
        0,
        "Fixes the split, the initial weights, the order of the data and the augmentation.",
        minimum=0,
        maximum=LARGEST_SEED,
    )
    strategy: Literal["auto", "single", "mirrored", "multi-worker", "tpu"] = option("auto", "Devices to compute on.")
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = option("float32", "Precision of the training.")
    out: str = option("runs", "Folder of all runs.")
    name: str | None = option(None, "Name of the run; none: date and time.")
    ema: float | None = option(
        None, "Momentum of a moving average of the weights, e.g. 0.999, which is what is kept.", above=0, maximum=1
    )
    rematerialise: bool = option(
        False, "Compute the inner values of layers twice, rather than keep them for the gradient: slower, less memory."
    )
    loss: str = option("auto", "Loss of Keras or kerazoo.losses by its snake_case name; auto: the task's own.")
    class_weights: Literal["none", "balanced"] = option(
        "none", "`balanced` weighs each class by the inverse of its frequency."
    )
    deterministic: bool = option(False, "Make every operation repeat bit for bit (slower).")
    execution: Literal["auto", "plain", "xla"] = option(
        "auto", "How steps are compiled; auto: as is fastest, which long trainings on one device try out."
    )
    steps_per_execution: int | Literal["auto"] = option(
        "auto", "Steps handed to the device at once, checkpoints lie between them; auto: likewise.", minimum=1
    )
    checkpoint_every: int | None = option(None, "Steps between checkpoints within an epoch.", minimum=1)
    max_time: str | None = option(None, "Longest training, e.g. 90s, 30m, 2h.")
    fast_dev_run: bool = option(False, "Try everything on two batches and one epoch.")
    k_folds: int = option(0, "Cross-validation with this number of folds; 0: none.", minimum=0)
    channels: Literal[1, 3] | None = option(None, "Channels of the images; none: 1 where all are grey, else 3.")
    on_bad_file: Literal["error", "skip"] = option("error", "Unreadable files: end with a message, or go on without.")
    data_dir: str | None = option(None, "Where prepared TFDS data lie; none: the usual place of TFDS.")
    data_options: dict[str, Any] = option({}, "Options of an embedded data set, e.g. `--data-options.photons 10`.")
    tensorboard: bool = option(True, "Write TensorBoard logs.")
    split: Split = group(Split, "Training, validation and test.")
    early_stopping: StoppingOptions = group(StoppingOptions, "Early end.")
    optimizer_options: OptimizerOptions = group(OptimizerOptions, "Optimiser.")
    schedule_options: ScheduleOptions = group(ScheduleOptions, "Learning rate.")

    # The task -------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> Datasets:
        """Reads, checks and splits the data."""
        raise NotImplementedError

    def prepared(self, datasets: Datasets) -> Datasets:
        """Returns the data with what is learnt from the training split before there is a model (a tokeniser)."""
        return datasets

    def chosen(self, model: keras.Model, datasets: Datasets) -> Datasets:
        """Returns the data with what is chosen on the validation split once the model is trained (a threshold)."""
        return datasets

    def files(self, datasets: Datasets) -> dict[str, str]:
        """Returns further files of a run, name -> text: what `prepared` has learnt and `chosen` has chosen."""
        return {}

    def recalled(self, datasets: Datasets, known: dict[str, Any]) -> Datasets:
        """Returns the data with what a run has in its `files`; `known`: as in `as_trained`."""
        return datasets

    def samples(self, datasets: Datasets, split: str, *, training: bool) -> Samples:
        """Returns one split as functions for the pipeline; augmented where it is for training."""
        raise NotImplementedError

    def build(self, datasets: Datasets, dtype: str | None = None) -> keras.Model:
        """Builds the model, preprocessing inside, from what is known about the data."""
        raise NotImplementedError

    def compile(self, model: keras.Model, optimizer: Any, **execution: Any) -> None:
        """Compiles the model with the task's loss and metrics.

        `optimizer` is one `keras.Optimizer`, or for networks that train against each other one per name of an argument
        of `model.compile` that ends in `_optimizer`.
        """
        raise NotImplementedError

    def adapt(self, optimizer: keras.Optimizer, model: keras.Model, steps_per_epoch: int) -> keras.Optimizer:
        """Returns the optimiser the model is compiled with, e.g. one with a learning rate per layer."""
        return optimizer

    def report(self, model: keras.Model, datasets: Datasets) -> Result:
        """Evaluates the trained model on the untouched test split."""
        raise NotImplementedError

    def drawn(self, model: keras.Model, datasets: Datasets) -> np.ndarray | None:
        """Returns a fixed set of pictures that show what the model can do by now, drawn after each epoch, or None.

        The same inputs and seeds every time, so that a filmstrip shows the model's change alone; no random state of the
        model may change.

        Returns:
            uint8 of shape (count, height, width, 1 or 3).
        """
        return None

    def packaged(self, model: keras.Model, datasets: Datasets) -> keras.Model:
        """Returns what is saved as `model.keras`: the trained model with what of its data's units lies outside it."""
        return model

    def exported(self, model: keras.Model) -> keras.Model:
        """Returns the part of the saved model that is exported."""
        return model

    def scores(self, model: keras.Model, datasets: Datasets) -> tuple[str, dict[str, float]]:
        """Returns the main metric's name and the metrics on the test split, of what is exported or of a file of it.

        ("", {}) where what is exported is a part that cannot be judged alone.
        """
        result = self.report(model, datasets)
        return result.headline, result.metrics

    def image_bytes(self, model: keras.Model, datasets: Datasets) -> ImageBytes | None:
        """Returns how a SavedModel takes image files, or None where it takes none."""
        return None

    def parts_options(self, datasets: Datasets) -> dict[str, Any]:
        """Returns further arguments of `kerazoo.export_parts`, such as the token every target begins with."""
        return {}

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        """Returns the files to predict that files and folders stand for."""
        from applications.core.inference import find_images

        return find_images(inputs)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> Any:
        """Predicts the user's files; `about` is the run's `data.json`, and its `folder`."""
        raise NotImplementedError

    def write(self, predictions: Any, folder: Path) -> list[Path]:
        """Writes predictions to a folder and returns the files."""
        raise NotImplementedError

    def generate(self, run: RunDirectory, request: Any) -> str:
        """Makes something new with the model of a run, as a `request` says; returns what is shown on the terminal."""
        raise NotImplementedError

    def baseline(self, datasets: Datasets) -> tuple[str, dict[str, float]]:
        """Returns the name and the test metrics of the simple method shown beside the result, or ("", {})."""
        return "", {}

    def serving(self, datasets: Datasets) -> Serving:
        """Returns what an exported model needs beside its weights."""
        raise NotImplementedError

    def search_space(self) -> dict[str, Space]:
        """Returns the ranges a hyperparameter search starts from: dotted option -> range."""
        from applications.core.search_space import Choice, Real

        return {
            "learning_rate": Real(1e-4, 1e-1, log=True),
            "batch_size": Choice(16, 32, 64),
            "optimizer": Choice("adam", "adamw", "nesterov"),
            "schedule": Choice("constant", "cosine"),
            "optimizer_options.weight_decay": Real(1e-6, 1e-2, log=True),
        }

    def state(self) -> dict[str, Any]:
        """Returns further plain data a checkpoint must hold (an image pool, a growth phase)."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` returned."""

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        """Returns the application for other data, which are to be read as the run's were.

        `known` is the run's `data.json`, and its `folder`.

        All of them are for testing, so that a few images, or those of a single class, will do.
        """
        split = Split(train=0.0, val=0.0, test=1.0)
        return self.replace(data=data, data_options={}, channels=known["channels"], split=split)

    def as_trained(self, datasets: Datasets, known: dict[str, Any]) -> Datasets:
        """Returns other data in the numbering and units of the run, all samples in the test split."""
        from applications.core.evaluation import images_as_trained

        return images_as_trained(datasets, known)

    # Checks that need neither Keras nor data ------------------------------------------------------------------------

    def check(self) -> None:
        """Refuses values that cannot work together.

        Raises:
            UserError: One sentence that names the option and what would work.
        """
        self._check_model()
        if not self.data.strip():
            raise UserError(f"data: expected the name of a data set or a folder, received {self.data!r}.")
        total = self.split.train + self.split.val + self.split.test
        if abs(total - 1) > 1e-6:
            raise UserError(f"split: train, val and test must add up to 1, received {total:g}.")
        if min(self.split.train, self.split.val, self.split.test) <= 0:
            raise UserError("split: train, val and test must each be above 0.")
        if self.k_folds == 1:
            raise UserError("k_folds: expected 0 (none) or at least 2, received 1.")
        if self.k_folds and self.strategy == "multi-worker":
            raise UserError("k_folds: cross-validation works on one machine; leave it out, or use another --strategy.")
        if self.steps_per_execution not in (1, "auto") and self.strategy == "multi-worker":
            raise UserError("steps_per_execution: several workers take one step at a time; leave it at 1.")
        if self.batch_size == "max" and self.strategy == "multi-worker":
            raise UserError("batch_size: max is found on one machine; give a number, or use another --strategy.")
        if self.peak_rate <= 0:
            raise UserError(f"learning_rate: expected a value above 0, received {self.peak_rate:g}.")
        if self.name is not None and (not self.name.strip() or Path(self.name).name != self.name or self.name == ".."):
            raise UserError(f"name: expected a folder name without slashes, received {self.name!r}.")
        if self.name is not None and len(os.fsencode(self.name)) > 200:
            raise UserError(f"name: expected at most 200 bytes, received {len(os.fsencode(self.name))}.")
        if self.schedule == "plateau" and not self.monitor[0]:
            raise UserError(
                f"schedule: a plateau needs a validation loss that says how good {self.model} is, and it has none; "
                "linear or cosine do without."
            )
        if self.k_folds and not self.monitor[0]:
            raise UserError(f"k_folds: no validation loss says which fold's {self.model} is best; leave it at 0.")
        if self.schedule == "plateau" and not 0 < self.schedule_options.decay_rate < 1:
            rate = self.schedule_options.decay_rate
            raise UserError(
                f"schedule_options.decay_rate: a plateau needs a factor between 0 and 1, received {rate:g}."
            )
        if self.deterministic and self.execution == "xla":
            raise UserError(
                "execution: xla cannot be deterministic; use --execution plain or leave --deterministic out."
            )
        clips = self.optimizer_options
        if clips.clip_norm is not None and clips.clip_value is not None:
            raise UserError("optimizer_options: give clip_norm or clip_value, not both.")
        seconds(self.max_time)

    def takes(self, model: str) -> bool:
        """Returns whether a model of the catalogue can do this task."""
        import kerazoo

        return model in self.further_models or kerazoo.model_card(model).kind in self.kinds

    def _check_model(self) -> None:
        import kerazoo
        from kerazoo.catalog import builder_parameters

        fitting = [name for name in kerazoo.list_models() if self.takes(name)]
        if self.model not in kerazoo.list_models():
            raise UserError(
                f"Unknown model {self.model!r}.{nearest(self.model, fitting)} `kerazoo models` lists all of them."
            )
        if self.model not in fitting:
            kind = kerazoo.model_card(self.model).kind.replace("_", " ")
            raise UserError(f"{self.model!r} is a {kind} model, {self.task} needs one of: {', '.join(fitting)}.")
        parameters = [name for name in builder_parameters(self.model) if name not in self.reserved_options]
        for name in self.model_options:
            if name in self.reserved_options:
                raise UserError(f"model_options.{name} follows from the data and cannot be set.")
            if name not in parameters:
                raise UserError(
                    f"{self.model} has no argument {name!r}; it has {', '.join(parameters)}.{nearest(name, parameters)}"
                )

    def check_loss(self) -> None:
        """Refuses a loss that does not exist, before the data are read (the names are known to Keras only)."""
        from applications.core.optimization import make_loss

        if self.loss != "auto":
            make_loss(self.loss)

    # What core asks -------------------------------------------------------------------------------------------------

    @property
    def peak_rate(self) -> float:
        """The largest learning rate; a task may choose it by the model where the option leaves it open."""
        return self.learning_rate

    @property
    def samples_per_step(self) -> int:
        """The batch size, where it is a number (by now)."""
        if isinstance(self.batch_size, str):
            raise ValueError(f"The batch size is still to be found, it is {self.batch_size!r}.")
        return self.batch_size

    def create(self, *arguments: Any, **options: Any) -> keras.Model:
        """Calls the model's builder; its complaints become sentences for the user."""
        import kerazoo

        try:
            return kerazoo.create_model(self.model, *arguments, **{**options, **self.model_options})
        except (ValueError, TypeError) as error:
            raise UserError(f"--model {self.model}: {error}") from error

    def loading(self, progress: Callable | None) -> dict[str, Any]:
        """Returns the arguments all readers of data sets share."""
        return {
            "fractions": (self.split.train, self.split.val, self.split.test),
            "seed": self.seed if self.split.seed is None else self.split.seed,
            "on_bad_file": self.on_bad_file,
            "data_dir": self.data_dir,
            "channels": self.channels,
            "options": self.data_options or None,
            "progress": progress,
        }

    def replace(self, **changes: Any) -> Application:
        """Returns a copy with some options changed."""
        return dataclasses.replace(self, **changes)


def seconds(text: str | None) -> float | None:
    """Reads a length of time such as "90s", "30m", "1.5h" or a bare number of seconds."""
    if text is None:
        return None
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        value = float(number) * units[unit]
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise UserError(f"max_time: expected a time such as 90s, 30m or 2h, received {text!r}.")
    return value
