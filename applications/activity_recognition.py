"""Activity recognition: one class for each window of a signal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import SEQUENCE_OPTIONS, Application, ScheduleName, Serving
from applications.core.config import group, option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.activities import ActivityData

# What suits some thousand windows of some seconds; `--model-options` goes before it. Dropping whole channels, as `tcn`
# does by default, made it worse on the simulated people.
DEFAULTS: dict[str, dict[str, Any]] = {
    "tcn": {"filters": 32, "num_levels": 5, "kernel_size": 5, "dropout_rate": 0.0},
    "cnn": {"kernel_size": 7},
    **{name: {"units": 64} for name in ("lstm", "gru", "simple_rnn")},
}


class Prediction(NamedTuple):
    """What the model says about the windows of one file.

    Attributes:
        file: The file.
        lines: (windows, 2) first and last line of each window in the file.
        subjects: Subject of each window, or None.
        labels: Likeliest class of each window.
        probabilities: (windows, classes).
    """

    file: Path
    lines: list[tuple[int, int]]
    subjects: list[str] | None
    labels: list[str]
    probabilities: np.ndarray


@dataclass(frozen=True)
class SignalAugmentation:
    """Random changes made to training windows; for signals that are vectors, three channels each."""

    turn: float = option(0.0, "Largest turn of the sensor in degrees.", minimum=0, maximum=180)
    gain: float = option(0.0, "Largest relative change of all channels.", minimum=0, maximum=0.9)


@dataclass(frozen=True, kw_only=True)
class ActivityRecognition(Application):
    """Says what somebody (or something) does in each window of a signal.

    Data: `imu` (simulated inertial signals of virtual people, embedded), or a CSV file with one row per sample and
    columns for label, subject, time (both optional) and signals. Windows of one subject never lie in two splits.

    Example:
        >>> from applications.core.training import start
        >>> from applications.activity_recognition import ActivityRecognition
        >>> run = start(ActivityRecognition(data="imu", epochs=2))
    """

    task: ClassVar[str] = "activity-recognition"
    summary: ClassVar[str] = "one class for each window of a signal"
    kinds: ClassVar[tuple[str, ...]] = ("sequence",)
    further_models: ClassVar[tuple[str, ...]] = ("cnn",)
    own_data: ClassVar[str] = "recordings.csv"
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        *SEQUENCE_OPTIONS,
        "embedding_dim",
    )

    data: str = option("imu", "`imu`, or a CSV file with one row per sample.")
    model: str = option("cnn", "Sequence model of the catalogue, or `cnn`.")
    epochs: int = option(15, "Passes over the training windows.", minimum=1)
    learning_rate: float = option(3e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    loss: str = option("auto", "categorical_crossentropy; auto: the same.")
    channels: tuple[str, ...] | None = option(  # type: ignore[assignment]
        None, "Columns of the signals, comma-separated; none: all but label, subject, time and window."
    )
    label: str | None = option(None, "Column of the classes; none: `label`, `activity`, `class` or the like.")
    subject: str | None = option(None, "Column of the subjects; none: `subject`, `person` or the like, if there.")
    separator: str = option("auto", "Between the cells of the CSV file: one character, `tab` or auto.")
    window: int = option(128, "Samples of a window; a column `window` in the file goes before it.", minimum=8)
    overlap: float = option(0.5, "Share of a window that the next one has, too.", minimum=0, maximum=0.95)
    readout: Literal["mean", "last"] = option(
        "mean", "Sequence models: the mean of the answers at all steps, or the answer at the last one."
    )
    augment: SignalAugmentation = group(SignalAugmentation, "Random changes of the training windows.")

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> ActivityData:  # type: ignore[override]
        from applications.datasets.activities import load_activities

        found = load_activities(
            self.data,
            channels=self.channels,
            label=self.label,
            subject=self.subject,
            window=self.window,
            overlap=self.overlap,
            separator=self.separator,
            fractions=(self.split.train, self.split.val, self.split.test),
            seed=self.seed if self.split.seed is None else self.split.seed,
            data_dir=self.data_dir,
            options=self.data_options or None,
            progress=progress,
        )
        if self.augment.turn and len(found.channels) % 3:
            raise UserError(f"augment.turn: needs channels in threes (x, y, z), the data have {len(found.channels)}.")
        return found

    def check(self) -> None:
        from applications.core.regression import check_loss

        super().check()
        check_loss(self.loss, ("categorical_crossentropy",), self.task)

    def check_loss(self) -> None:
        """Does nothing: there is one loss, and `check` has compared its name."""

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        from applications.core.application import Split
        from applications.datasets.data import ACTIVITY_NAMES

        channels = None if data in ACTIVITY_NAMES else tuple(known["channels"])
        split = Split(train=0.0, val=0.0, test=1.0)
        return self.replace(data=data, data_options={}, channels=channels, window=known["window"], split=split)

    def as_trained(self, datasets: ActivityData, known: dict[str, Any]) -> ActivityData:  # type: ignore[override]
        import dataclasses

        import numpy as np

        names = tuple(known["class_names"])
        strangers = [name for name in datasets.class_names if name not in names]
        if strangers:
            raise UserError(
                f"The data have the class {strangers[0]!r}, the run was trained on {len(names)} ({', '.join(names)})."
            )
        if len(datasets.channels) != len(known["channels"]) or datasets.windows.shape[1] != known["window"]:
            raise UserError(
                f"The data have windows of {datasets.windows.shape[1]} samples of {len(datasets.channels)} channels, "
                f"the run was trained on {known['window']} samples of {len(known['channels'])} channels."
            )
        labels = np.array([names.index(name) for name in datasets.class_names])[datasets.labels]
        return dataclasses.replace(datasets, labels=labels, class_names=names)

    def samples(self, datasets: ActivityData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import numpy as np
        import tensorflow as tf

        from applications.core.pipeline import Samples, balanced_weights

        chosen = datasets.split[split]
        mean, spread = scale_of(datasets)
        labels = datasets.labels[chosen]
        columns = [datasets.windows[chosen], np.eye(datasets.num_classes, dtype=np.float32)[labels]]
        if training and self.class_weights == "balanced":
            columns.append(balanced_weights(np.bincount(labels, minlength=datasets.num_classes))[labels])
        columns = [tf.constant(column) for column in columns]

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            windows, *rest = (tf.gather(column, index) for column in columns)
            windows = changed(windows, draws, self.augment) if training else windows
            return ((windows - mean) / spread, *rest)

        return Samples(len(chosen), load, num_draws=5 if training else 0, at_once=True)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: ActivityData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        import keras
        from keras import layers

        options = {**DEFAULTS.get(self.model, {}), "dtype": dtype}
        if self.readout == "last" or self.model == "cnn":
            return self.create(datasets.windows.shape[1:], datasets.num_classes, **options)
        options |= {"mode": "many_to_many", "classifier_activation": None}
        steps = self.create(datasets.windows.shape[1:], datasets.num_classes, **options)
        mean = layers.GlobalAveragePooling1D(dtype="float32", name="mean_over_time")(steps.output)
        answer = layers.Activation("softmax", dtype="float32", name="probabilities")(mean)
        return keras.Model(steps.input, answer, name=steps.name)

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"], **execution)

    def packaged(self, model: keras.Model, datasets: ActivityData) -> keras.Model:  # type: ignore[override]
        """Puts the scales of the channels before the model, which then takes signals in their units."""
        import keras
        from keras import layers

        mean, spread = scale_of(datasets)
        signals = keras.Input(datasets.windows.shape[1:], name="signals")
        scaled = layers.Rescaling((1 / spread).tolist(), (-mean / spread).tolist(), name="standardised")(signals)
        core = keras.Model(model.input, model.output, name="core")
        return keras.Model(signals, core(scaled), name=model.name)

    # Results --------------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: ActivityData) -> Result:  # type: ignore[override]
        from applications import activity_report
        from applications.core.inference import predict_array

        test = datasets.split["test"]
        return activity_report.result(datasets, test, predict_array(model, datasets.windows[test]))

    def baseline(self, datasets: ActivityData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """A random forest on statistics of the windows."""
        from applications import activity_report

        return activity_report.baseline(datasets)

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        from applications.datasets.csv_files import find_tables

        return find_tables(inputs)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        import sys

        from applications.core.inference import predict_array
        from applications.datasets.activities import SUBJECTS, column_of, cut_file
        from applications.datasets.csv_files import read_csv

        found = []
        for path in inputs:
            file = read_csv(path, self.separator)
            missing = [name for name in about["channels"] if name not in file.names]
            if missing:
                raise UserError(f"File '{path}' lacks the channel {missing[0]!r}, which the run was trained on.")
            column = self.subject if self.subject in file.names else column_of(file, "subject", None, SUBJECTS)
            people = None if column is None else [cell or "" for cell in file.column(column)]
            cut = cut_file(file, about["channels"], about["window"], self.overlap, people)
            size = cut.windows.shape[1]
            if size != about["window"]:
                raise UserError(
                    f"File '{path}' has windows of {size} samples, the run was trained on {about['window']}."
                )
            for remark in (*file.warnings, *([f"{cut.left_out} rows fill no window."] if cut.left_out else [])):
                print(f"warning: {remark}", file=sys.stderr)
            shares = predict_array(model, cut.windows)
            names = [about["class_names"][index] for index in shares.argmax(axis=1)]
            lines = [(file.lines[row], file.lines[row + size - 1]) for row in cut.rows]
            subjects = None if people is None else [people[row] for row in cut.rows]
            found.append(Prediction(path, lines, subjects, names, shares))
        return found

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes one table per file, `NAME_predictions.csv`: first and last line of each window, class, probability."""
        import csv
        import io

        from applications.core.inference import unique_stems
        from applications.core.run_directory import write_atomically

        written = []
        for stem, found in zip(unique_stems(p.file for p in predictions), predictions, strict=True):
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            who = ["subject"] if found.subjects else []
            writer.writerow(["first line", "last line", *who, "class", "probability"])
            for index, (first, last) in enumerate(found.lines):
                person = [found.subjects[index]] if found.subjects else []
                likeliest = f"{found.probabilities[index].max():.6f}"
                writer.writerow([first, last, *person, found.labels[index], likeliest])
            write_atomically(folder / f"{stem}_predictions.csv", text.getvalue())
            written.append(folder / f"{stem}_predictions.csv")
        return written

    def serving(self, datasets: ActivityData) -> Serving:  # type: ignore[override]
        samples = datasets.windows[datasets.split["train"][:64]]
        steps, channels = samples.shape[1:]
        at = f" at {datasets.rate:g} samples per second" if datasets.rate else ""
        return Serving(
            samples=samples,
            labels=datasets.class_names,
            signature={
                "input": f"windows, float32, (batch, {steps}, {channels}): {', '.join(datasets.channels)} in the units "
                f"of the training{at}",
                "output": f"probabilities, float32, (batch, {datasets.num_classes}), in the order of labels.txt",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real, Space

        tcn: dict[str, Space] = {
            "model_options.filters": Choice(16, 32, 64),
            "model_options.kernel_size": Choice(3, 5, 7),
            "model_options.dropout_rate": Real(0.0, 0.4),
        }
        recurrent: dict[str, Space] = {
            "model_options.units": Choice(32, 64, 128),
            "model_options.dropout_rate": Real(0.0, 0.5),
        }
        cnn: dict[str, Space] = {
            "model_options.filters": Choice([16, 32], [16, 32, 64], [32, 64, 128]),
            "model_options.dropout_rate": Real(0.0, 0.5),
        }
        children = {"tcn": tcn, "cnn": cnn, "gru": recurrent, "lstm": recurrent}
        return {
            **super().search_space(),
            "learning_rate": Real(3e-4, 1e-2, log=True),
            "model": Choice("tcn", "cnn", "gru", "lstm", children=children),
        }


def scale_of(datasets: ActivityData) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and spread of each channel in the training windows, float32."""
    import numpy as np

    windows = datasets.windows[datasets.split["train"]].astype(np.float64)
    mean, spread = windows.mean(axis=(0, 1)), windows.std(axis=(0, 1))
    return mean.astype(np.float32), (spread + (spread == 0)).astype(np.float32)


def changed(windows: tf.Tensor, draws: tf.Tensor, options: SignalAugmentation) -> tf.Tensor:
    """Returns windows (batch, steps, channels) as other sensors, worn otherwise, would have given them.

    Args:
        windows: Signals in units.
        draws: Uniform numbers (batch, 5): axis and angle of the turn, and the gain.
        options: How far to go.
    """
    import numpy as np
    import tensorflow as tf

    if options.gain:
        windows = windows * (1 + options.gain * (2 * draws[:, 4, None, None] - 1))
    if not options.turn:
        return windows
    height, round_ = 2 * draws[:, 0] - 1, 2 * np.pi * draws[:, 1]
    flat = tf.sqrt(tf.maximum(1 - height**2, 0.0))
    axis = tf.stack([flat * tf.cos(round_), flat * tf.sin(round_), height], axis=-1)
    angle = np.deg2rad(options.turn) * draws[:, 2, None, None, None]
    vectors = tf.reshape(windows, [tf.shape(windows)[0], windows.shape[1], windows.shape[2] // 3, 3])
    along = axis[:, None, None, :] + tf.zeros_like(vectors)
    # Rodrigues' formula
    turned = (
        vectors * tf.cos(angle)
        + tf.linalg.cross(along, vectors) * tf.sin(angle)
        + along * tf.reduce_sum(along * vectors, axis=-1, keepdims=True) * (1 - tf.cos(angle))
    )
    return tf.reshape(turned, tf.shape(windows))
