"""Tables: a class or a number from the columns of a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import Application, ScheduleName, Serving
from applications.core.config import option
from applications.core.errors import UserError
from applications.core.regression import LOSSES as REGRESSION_LOSSES

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.regression import TargetScale
    from applications.core.report import Result
    from applications.datasets.csv_files import CsvFile
    from applications.datasets.table_encoding import TableEncoding
    from applications.datasets.tables import TableData

CLASS_LOSSES = ("binary_crossentropy", "categorical_crossentropy", "hinge")
OWN_RULE = ("perceptron", "adaline")  # models that bring their own loss
# What suits tables of some hundred rows; `--model-options` goes before it.
DEFAULTS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden_units": (16,), "activation": "relu", "kernel_initializer": "he_normal", "l2": 1e-2},
    "rbf": {"centres": 15, "width_factor": 3.0},
}
LOGIT = 2.0  # what the read-out of an RBF network is solved for where its outputs are probabilities


class Head(NamedTuple):
    """How the outputs of a model stand for the target.

    Attributes:
        units: Number of outputs.
        activation: Activation of the outputs.
        targets: What the loss wants: "values", "0 or 1", "-1 or 1", "numbers" or "one-hot".
        loss: Name of the loss; None for a model that brings its own.
        probabilities: Whether the outputs are probabilities.
        threshold: A single output from here on means the second class.
    """

    units: int
    activation: str | None
    targets: str
    loss: str | None
    probabilities: bool = False
    threshold: float = 0.0


class Prediction(NamedTuple):
    """What the model says about the rows of one file."""

    file: CsvFile
    answers: dict[str, list[Any]]


@dataclass(frozen=True, kw_only=True)
class Tabular(Application):
    """Predicts a column of a table from the others: a class or a number.

    Data: `breast_cancer`, `wine`, `diabetes` (real, from scikit-learn), `xor` (the problem of the lectures), or a
    CSV file with a line of names on top. Columns are numbers (standardised; a missing one is the mean) or
    categories (a missing one is a category of its own, an unseen one none of the known); both are found out, and
    `--columns.NAME` says otherwise.

    Example:
        >>> from applications.core.training import start
        >>> from applications.tabular import Tabular
        >>> run = start(Tabular(data="wine", model="rbf", epochs=20))
    """

    task: ClassVar[str] = "tabular"
    summary: ClassVar[str] = "a class or a number from the columns of a table"
    kinds: ClassVar[tuple[str, ...]] = ("vector",)
    own_data: ClassVar[str] = "table.csv"
    reserved_options: ClassVar[tuple[str, ...]] = (*Application.reserved_options, "output_activation")

    data: str = option("breast_cancer", "`breast_cancer`, `wine`, `diabetes`, `xor`, or a CSV file.")
    model: str = option("mlp", "`perceptron`, `adaline`, `mlp` or `rbf`.")
    epochs: int = option(150, "Passes over the training data.", minimum=1)
    learning_rate: float = option(3e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("constant", "How the learning rate changes.")
    loss: str = option(
        "auto",
        f"Numbers: {', '.join(REGRESSION_LOSSES)}. Classes: {', '.join(CLASS_LOSSES)}. auto: squared error or "
        "cross-entropy; perceptron and adaline bring their own.",
    )
    target: str | None = option(None, "Column to predict; none: the last one.")
    problem: Literal["auto", "regression", "classification"] = option(
        "auto", "What the target is; auto: text and up to ten different whole numbers are classes."
    )
    columns: dict[str, Any] = option(
        {}, "Kinds of columns where the guess is wrong: `--columns.NAME number`, `category` or `ignore`; * is the rest."
    )
    separator: str = option("auto", "Between the cells of the CSV file: one character, `tab` or auto.")
    readout: Literal["lstsq", "gradient"] = option(
        "lstsq", "`rbf`: begin with the read-out solved by least squares, or with a random one."
    )

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> TableData:  # type: ignore[override]
        from applications.datasets.tables import load_table

        found = load_table(
            self.data,
            target=self.target,
            problem=self.problem,
            kinds=self.columns,
            separator=self.separator,
            fractions=(self.split.train, self.split.val, self.split.test),
            seed=self.seed if self.split.seed is None else self.split.seed,
        )
        self.head(found.num_classes)
        return found

    def check(self) -> None:
        from applications.core.regression import check_loss

        super().check()
        check_loss(self.loss, (*REGRESSION_LOSSES, *CLASS_LOSSES), self.task)
        if self.model in OWN_RULE and self.loss != "auto":
            raise UserError(f"loss: {self.model} learns by its own rule, so leave it at auto, received {self.loss!r}.")
        if self.model == "perceptron" and self.problem == "regression":
            raise UserError(_NO_NUMBERS)

    def check_loss(self) -> None:
        """Does nothing: the names of this task's losses are known without Keras, and `check` has compared them."""

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        from applications.datasets.data import TABLE_NAMES

        if data in TABLE_NAMES:
            return self.replace(data=data, target=None, columns={}, problem="auto")
        problem = "classification" if known["class_names"] else "regression"
        return self.replace(
            data=data, target=known["target"], columns={"*": "ignore", **known["columns"]}, problem=problem
        )

    def as_trained(self, datasets: TableData, known: dict[str, Any]) -> TableData:  # type: ignore[override]
        return as_trained(datasets, known)

    def head(self, num_classes: int) -> Head:
        """Returns how the outputs of the model stand for the target (no class: a number).

        Raises:
            UserError: A loss, or a model, that does not fit the target.
        """
        from applications.core.regression import check_loss

        if not num_classes:
            if self.model == "perceptron":
                raise UserError(_NO_NUMBERS)
            check_loss(self.loss, REGRESSION_LOSSES, "a target of numbers")
            return Head(1, None, "values", None if self.model == "adaline" else self.loss)
        binary = num_classes == 2
        units = 1 if binary else num_classes
        if self.model == "perceptron":
            return Head(units, "step" if binary else None, "0 or 1" if binary else "numbers", None, threshold=0.5)
        if self.model == "adaline":
            return Head(units, None, "-1 or 1" if binary else "numbers", None)
        check_loss(self.loss, CLASS_LOSSES, "a target of classes")
        if self.loss == "binary_crossentropy" and not binary:
            raise UserError(
                f"loss: binary_crossentropy is for two classes, the target has {num_classes}; use "
                "categorical_crossentropy."
            )
        if self.loss == "hinge":
            return Head(units, None, "-1 or 1" if binary else "one-hot", "hinge" if binary else "categorical_hinge")
        if binary and self.loss != "categorical_crossentropy":
            return Head(1, "sigmoid", "0 or 1", "binary_crossentropy", True, 0.5)
        return Head(num_classes, "softmax", "one-hot", "categorical_crossentropy", True)

    def samples(self, datasets: TableData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import numpy as np
        import tensorflow as tf

        from applications.core.pipeline import Samples, balanced_weights

        encoding, rows = encoding_of(datasets), datasets.split[split]
        columns = [encoding.apply(datasets.columns)[rows], self._targets(datasets)[rows]]
        if training and self.class_weights == "balanced" and datasets.labels is not None:
            labels = datasets.labels[rows]
            columns.append(balanced_weights(np.bincount(labels, minlength=datasets.num_classes))[labels])
        columns = [tf.constant(column) for column in columns]

        def load(index: tf.Tensor, _: tf.Tensor) -> tuple:
            return tuple(tf.gather(column, index) for column in columns)

        return Samples(len(rows), load, at_once=True)

    def _targets(self, datasets: TableData) -> np.ndarray:
        """Returns the targets of all rows as the loss wants them."""
        import numpy as np

        wanted = self.head(datasets.num_classes).targets
        if datasets.labels is None:
            assert datasets.values is not None
            return target_scale(datasets).standardised(datasets.values[:, None])
        labels = datasets.labels
        if wanted == "one-hot":
            return np.eye(datasets.num_classes, dtype=np.float32)[labels]
        if wanted == "numbers":
            return labels[:, None].astype(np.int32)
        return (labels if wanted == "0 or 1" else 2 * labels - 1)[:, None].astype(np.float32)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: TableData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        encoding, head = encoding_of(datasets), self.head(datasets.num_classes)
        options = {**DEFAULTS.get(self.model, {}), "output_activation": head.activation, "dtype": dtype}
        if self.model != "rbf":
            return self.create((encoding.width,), head.units, **options)
        rows = datasets.split["train"]
        x, y = encoding.apply(datasets.columns)[rows], self._targets(datasets)[rows]
        return self._build_rbf(x, y, head, {**options, **self.model_options})

    def _build_rbf(self, x: np.ndarray, y: np.ndarray, head: Head, options: dict[str, Any]) -> keras.Model:
        """Builds an RBF network with centres from the training rows and its read-out solved on them."""
        from kerazoo.classic.rbf import choose_centres, solve_readout

        if type(options["centres"]) is int and options["centres"] > 0:
            few = min(options["centres"], len(x))
            options["centres"] = choose_centres(x[:20_000], few, seed=self.seed)
        model = self.replace(model_options={}).create(x.shape[1:], head.units, **options)
        if self.readout == "lstsq":
            solve_readout(model, x, LOGIT * (2 * y - 1) if head.probabilities else y, l2=1e-2)
        return model

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        from applications.core.optimization import make_loss
        from applications.core.regression import make_regression_loss

        activation = getattr(model.get_layer("predictions").activation, "__name__", "")
        losses = {"sigmoid": "binary_crossentropy", "softmax": "categorical_crossentropy"}
        loss: Any = None
        if activation in losses:
            loss = make_loss(losses[activation])
        elif self.loss == "hinge":
            loss = make_loss("hinge" if model.output_shape[-1] == 1 else "categorical_hinge")
        elif self.model not in OWN_RULE:
            loss = make_regression_loss(self.loss)
        metrics = ["accuracy"] if activation in (*losses, "heaviside") else None
        model.compile(optimizer=optimizer, loss=loss, metrics=metrics, **execution)

    def packaged(self, model: keras.Model, datasets: TableData) -> keras.Model:  # type: ignore[override]
        """Puts the preprocessing of the columns in front of the model, and the units of the target behind it."""
        import keras

        inputs, encoded = encoding_of(datasets).layers()
        output = model.output
        if datasets.labels is None:
            output = target_scale(datasets).in_units(output)
        core = keras.Model(model.input, output, name="core")
        return keras.Model(inputs, core(encoded), name=model.name)

    def exported(self, model: keras.Model) -> keras.Model:
        """The numeric core; `preprocessing.json` says how columns become its numbers."""
        return model.get_layer("core")

    # Results --------------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: TableData) -> Result:  # type: ignore[override]
        from applications import tabular_report
        from applications.datasets.table_encoding import run_table, unseen_by

        rows, head = datasets.split["test"], self.head(datasets.num_classes)
        outputs = run_table(model, datasets.columns, rows)
        if datasets.labels is None:
            result = tabular_report.regression(datasets, rows, outputs)
        else:
            result = tabular_report.classification(datasets, rows, head, outputs)
            result.figures += tabular_report.boundary(
                datasets, rows, lambda columns: tabular_report.decide(run_table(model, columns), head)
            )
        result.tables.append(tabular_report.columns_table(datasets))
        result.notes += unseen_by(model, datasets.columns)
        return result

    def scores(self, model: keras.Model, datasets: TableData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        from applications import tabular_report
        from applications.core.inference import predict_array

        rows = datasets.split["test"]
        outputs = predict_array(model, encoding_of(datasets).apply(datasets.columns)[rows])
        if datasets.labels is None:
            result = tabular_report.regression(datasets, rows, outputs)
        else:
            result = tabular_report.classification(datasets, rows, self.head(datasets.num_classes), outputs)
        return result.headline, result.metrics

    def baseline(self, datasets: TableData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """Logistic or ridge regression on the same numbers."""
        from applications import tabular_report

        return tabular_report.baseline(datasets, encoding_of(datasets).apply(datasets.columns))

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        from applications.datasets.csv_files import find_tables

        return find_tables(inputs)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        import sys

        from applications.datasets.csv_files import read_csv
        from applications.datasets.table_encoding import run_table, unseen_by
        from applications.datasets.tables import typed_columns
        from applications.tabular_report import answers

        head, found = self.head(len(about["class_names"])), []
        for path in inputs:
            file = read_csv(path, self.separator)
            missing = [name for name in about["columns"] if name not in file.names]
            if missing:
                raise UserError(
                    f"File '{path}' lacks the column {missing[0]!r} ({len(missing)} of {len(about['columns'])} columns "
                    "that the run was trained on are missing)."
                )
            kinds = dict.fromkeys(file.names, "ignore") | about["columns"]
            columns, remarks = typed_columns(file, range(len(file.lines)), kinds)
            columns.sort(key=lambda column: list(about["columns"]).index(column.name))
            for remark in (*file.warnings, *remarks, *unseen_by(model, columns)):
                print(f"warning: {remark}", file=sys.stderr)
            outputs = run_table(model, columns)
            found.append(Prediction(file, answers(outputs, head, about["class_names"], f"predicted {about['target']}")))
        return found

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes each table with the predictions in columns of their own: `NAME_predictions.csv`."""
        import csv
        import io

        from applications.core.run_directory import write_atomically

        written: list[Path] = []
        for file, found in predictions:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow([*file.names, *found])
            writer.writerows(
                [*("" if cell is None else cell for cell in row[: len(file.names)]), *row[len(file.names) :]]
                for row in zip(*file.columns, *found.values(), strict=True)
            )
            path = folder / f"{file.path.stem}_predictions.csv"
            number = sum(other.name.startswith(f"{file.path.stem}_predictions") for other in written)
            path = path.with_stem(f"{path.stem}-{number + 1}") if number else path
            write_atomically(path, text.getvalue())
            written.append(path)
        return written

    def serving(self, datasets: TableData) -> Serving:  # type: ignore[override]
        import json

        from applications.core.report import TEMPLATES
        from applications.datasets.csv_files import MISSING
        from applications.datasets.tables import MISSING_CATEGORY

        encoding, head = encoding_of(datasets), self.head(datasets.num_classes)
        about = {
            "columns": [column.plain() for column in encoding.columns],
            "missing": sorted(MISSING),
            "missing_category": MISSING_CATEGORY,
            "target": datasets.target,
            "classes": list(datasets.class_names),
            "probabilities": head.probabilities,
            "threshold": head.threshold,
        }
        meaning = "probabilities" if head.probabilities else "scores" if datasets.class_names else datasets.target
        return Serving(
            samples=encoding.apply(datasets.columns)[datasets.split["train"][:64]],
            labels=datasets.class_names,
            signature={
                "input": f"encoded rows, float32, (batch, {encoding.width}), made as preprocessing.json says",
                "output": f"{meaning}, float32, (batch, {head.units})",
            },
            files={
                "preprocessing.json": json.dumps(about, indent=1, ensure_ascii=False) + "\n",
                "table_example.py": (TEMPLATES / "table_example.py.txt").read_text(encoding="utf-8"),
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Integer, Real, Space

        # Not the L2 penalty: it is part of the loss that is watched, so that a search would choose the smallest.
        mlp: dict[str, Space] = {
            "model_options.hidden_units": Choice([16], [64], [16, 16], [64, 64]),
            "model_options.dropout_rate": Real(0.0, 0.5),
        }
        rbf: dict[str, Space] = {
            "model_options.centres": Integer(5, 45, 10),
            "model_options.width_factor": Real(1.0, 6.0),
        }
        return {
            **super().search_space(),
            "learning_rate": Real(1e-4, 3e-2, log=True),
            "model": Choice("mlp", "rbf", children={"mlp": mlp, "rbf": rbf}),
        }


_NO_NUMBERS = "The perceptron decides between classes and gives no numbers; use adaline, mlp or rbf for regression."


def encoding_of(datasets: TableData) -> TableEncoding:
    """Returns how columns become numbers, from the training rows alone."""
    from applications.datasets.table_encoding import TableEncoding

    return TableEncoding.fit(datasets.columns, datasets.split["train"])


def target_scale(datasets: TableData) -> TargetScale:
    """Returns mean and spread of the target in the training rows."""
    from applications.core.regression import TargetScale

    assert datasets.values is not None
    return TargetScale.fit(datasets.values[datasets.split["train"]][:, None])


def as_trained(datasets: TableData, known: dict[str, Any]) -> TableData:
    """Returns another table with the columns and classes of the run, all rows in the test split."""
    import dataclasses

    import numpy as np

    columns = {column.name: column for column in datasets.columns}
    wrong = [name for name, kind in known["columns"].items() if name not in columns or columns[name].kind != kind]
    if wrong:
        raise UserError(f"The data have no column {wrong[0]!r} ({known['columns'][wrong[0]]}), the run needs it.")
    names, labels = tuple(known["class_names"]), datasets.labels
    strangers = [name for name in datasets.class_names if name not in names]
    if strangers or bool(names) != bool(datasets.class_names):
        raise UserError(
            f"The data have {datasets.num_classes} classes ({', '.join(datasets.class_names)}), the run was trained on "
            f"{len(names)} ({', '.join(names)})."
        )
    if labels is not None:
        labels = np.asarray([names.index(name) for name in datasets.class_names])[labels]
    everything = np.arange(len(datasets))
    split = {"train": everything[:0], "val": everything[:0], "test": everything}
    ordered = tuple(columns[name] for name in known["columns"])
    return dataclasses.replace(datasets, columns=ordered, labels=labels, class_names=names, split=split)
