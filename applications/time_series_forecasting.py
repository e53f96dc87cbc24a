"""Forecasting: the next steps of a time series, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import SEQUENCE_OPTIONS, Application, ScheduleName, Serving
from applications.core.config import option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.series import SeriesData
    from applications.datasets.series_scaling import SeriesScaling

RECURRENT = ("lstm", "gru", "simple_rnn")
# Some thousand windows that overlap: small networks do; `--model-options` goes before it.
DEFAULTS: dict[str, dict[str, Any]] = {
    **{name: {"units": 32} for name in RECURRENT},
    "transformer_encoder": {"hidden_dim": 32, "mlp_dim": 64},
}


class Forecast(NamedTuple):
    """What the model says about the steps behind the end of one file.

    Attributes:
        file: The file.
        times: Label of each step.
        targets: What is forecast.
        values: (horizon, targets, quantiles).
    """

    file: Path
    times: list[str]
    targets: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TimeSeriesForecasting(Application):
    """Forecasts the next steps of one or several columns of a series, all at once, with intervals by quantiles.

    Data: `co2` (weekly, Mauna Loa), `sunspots` (yearly), both real and from statsmodels, or a CSV file with a column
    of times (or none) and columns of numbers. The series is divided by time: training, then validation, then the test,
    in which rolling origins are forecast. Scales come from the training part.

    Example:
        >>> from applications.core.training import start
        >>> from applications.time_series_forecasting import TimeSeriesForecasting
        >>> run = start(TimeSeriesForecasting(data="co2", epochs=2))
    """

    task: ClassVar[str] = "time-series-forecasting"
    summary: ClassVar[str] = "the next steps of a time series, with intervals"
    kinds: ClassVar[tuple[str, ...]] = ("sequence",)
    further_models: ClassVar[tuple[str, ...]] = ("cnn",)
    own_data: ClassVar[str] = "series.csv --targets sales"
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        *SEQUENCE_OPTIONS,
        "embedding_dim",
    )

    data: str = option("co2", "`co2`, `sunspots`, or a CSV file.")
    model: str = option("lstm", "Sequence model of the catalogue, or `cnn`.")
    epochs: int = option(15, "Passes over the training windows.", minimum=1)
    learning_rate: float = option(3e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    loss: str = option("auto", "pinball; auto: the same.")
    targets: tuple[str, ...] | None = option(None, "Columns to forecast, comma-separated; none: the only one there is.")
    past_covariates: tuple[str, ...] = option((), "Columns known up to the forecast, comma-separated.")
    future_covariates: tuple[str, ...] = option((), "Columns known in advance, such as holidays or prices.")
    time: str | None = option(
        None, "Column of the times; none: found by name or content; the word `rows`: rows are the steps."
    )
    time_format: str | None = option(None, "How times are written, e.g. %d/%m/%Y; none: ISO 8601 and a few others.")
    separator: str = option("auto", "Between the cells of the CSV file: one character, `tab` or auto.")
    interpolate: int = option(0, "Longest gap in steps that is filled by a straight line; 0: gaps are refused.")
    horizon: int | None = option(None, "Steps to forecast; none: one season, or 8.", minimum=1)
    context: int | None = option(None, "Steps the model looks back; none: three seasons or more.", minimum=2)
    season: int | None = option(None, "Steps in a season, 1 for none; none: that of the calendar.", minimum=1)
    differencing: Literal["auto", "seasonal", "window", "none"] = option(
        "auto",
        "What is learnt: `seasonal` changes from one season to the next, values in means and spreads of their "
        "`window` or of the training (`none`); auto: seasonal where the calendar or --season says so, else window.",
    )
    calendar: Literal["auto", "none"] = option("auto", "Place in the year, week and day as inputs, as far as they fit.")
    quantiles: tuple[float, ...] = option((0.1, 0.5, 0.9), "Quantiles to forecast; 0.5 among them.")
    val_length: int | None = option(None, "Steps for validation; none: the share in split.", minimum=1)
    test_length: int | None = option(None, "Last steps, for the test; none: the share in split.", minimum=1)
    origins: int = option(9, "Forecasts of the test, their beginnings spread evenly over it; 0: all.", minimum=0)

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> SeriesData:  # type: ignore[override]
        from applications.datasets.series import load_series

        sizes = ("context", "horizon", "season", "val_length", "test_length", "origins")
        found = load_series(
            self.data,
            targets=self.targets,
            past=self.past_covariates,
            future=self.future_covariates,
            time=self.time,
            time_format=self.time_format,
            separator=self.separator,
            interpolate=self.interpolate,
            calendar=() if self.calendar == "none" else None,
            sizes={name: getattr(self, name) for name in sizes},
            fractions=(self.split.train, self.split.val, self.split.test),
        )
        self._check_sizes(found)
        return found

    def check(self) -> None:
        from applications.core.regression import check_loss

        super().check()
        check_loss(self.loss, ("pinball",), self.task)
        rising = all(low < high for low, high in zip(self.quantiles, self.quantiles[1:], strict=False))
        if 0.5 not in self.quantiles or not rising or self.quantiles[0] <= 0 or self.quantiles[-1] >= 1:
            raise UserError(
                f"quantiles: expected rising numbers between 0 and 1 with 0.5 among them, received "
                f"{', '.join(map(str, self.quantiles))}."
            )
        if self.k_folds:
            raise UserError("k_folds: folds would mix past and future; the test has rolling origins instead.")
        if self.class_weights != "none":
            raise UserError(f"class_weights: there are no classes in {self.task}; leave it at none.")

    def check_loss(self) -> None:
        """Does nothing: there is one loss, and `check` has compared its name."""

    def _check_sizes(self, datasets: SeriesData) -> None:
        """Refuses contexts that are too short for what is done with them."""
        context, season = datasets.context, datasets.season
        seasonal = self.mode(datasets) == "seasonal"
        if seasonal and context <= season:
            raise UserError(f"context: expected more than the season of {season} steps, received {context}.")
        if datasets.future and context - seasonal * season < datasets.horizon:
            raise UserError(
                f"context: with covariates known in advance at least {datasets.horizon + seasonal * season} steps are "
                f"needed (horizon{' + season' if seasonal else ''}), received {context}."
            )

    def mode(self, datasets: SeriesData) -> str:
        """Returns what `differencing` means for a series."""
        if self.differencing != "auto":
            return self.differencing
        known = datasets.axis.season if self.season is None else self.season
        return "seasonal" if known > 1 else "window"

    def scaling(self, datasets: SeriesData) -> SeriesScaling:
        """Returns how windows become inputs, from the training part alone."""
        from applications.datasets.series_scaling import SeriesScaling

        return SeriesScaling.fit(datasets, self.mode(datasets))

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        from applications.core.application import Split
        from applications.datasets.data import SERIES_NAMES

        changes: dict[str, Any] = {name: known[name] for name in ("context", "horizon", "season")}
        if data not in SERIES_NAMES:
            changes |= {
                name: tuple(known[name]) or None if name == "targets" else tuple(known[name])
                for name in ("targets", "past_covariates", "future_covariates")
            }
        return self.replace(data=data, split=Split(train=0.0, val=0.0, test=1.0), **changes)

    def as_trained(self, datasets: SeriesData, known: dict[str, Any]) -> SeriesData:  # type: ignore[override]
        import dataclasses

        if datasets.axis.frequency != known["frequency"]:
            raise UserError(
                f"The series has a step of {datasets.axis.frequency}, the run was trained on {known['frequency']}."
            )
        return dataclasses.replace(datasets, scale=tuple(known["scale"]))

    def samples(self, datasets: SeriesData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import numpy as np
        import tensorflow as tf

        from applications.core.pipeline import Samples

        scaling, context, horizon = self.scaling(datasets), datasets.context, datasets.horizon
        first, covariates = scaling.covariates
        known = np.concatenate([datasets.values[:, first : first + covariates], datasets.ahead[:, :covariates]])
        values, known = tf.constant(datasets.values, tf.float32), tf.constant(known, tf.float32)
        origins, targets = tf.constant(datasets.split[split], tf.int64), len(datasets.targets)

        def rows(series: tf.Tensor, begin: tf.Tensor, count: int) -> tf.Tensor:
            return tf.gather(series, begin[:, None] + tf.range(count, dtype=tf.int64))

        def load(index: tf.Tensor, _: tf.Tensor) -> tuple:
            origin = tf.gather(origins, index)
            past, future = rows(values, origin - context, context), rows(known, origin, horizon)
            truth = rows(values, origin, horizon)[:, :, :targets]
            return scaling.inputs(past, future), scaling.learnt(truth, past)

        return Samples(len(datasets.split[split]), load, at_once=True)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: SeriesData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        scaling = self.scaling(datasets)
        return self.create(
            (scaling.length(datasets.context), scaling.width()),
            datasets.horizon * len(datasets.targets) * len(self.quantiles),
            **{**DEFAULTS.get(self.model, {}), "classifier_activation": None, "dtype": dtype},
        )

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        from kerazoo.losses import Pinball

        model.compile(optimizer=optimizer, loss=Pinball(quantiles=self.quantiles), **execution)

    def packaged(self, model: keras.Model, datasets: SeriesData) -> keras.Model:  # type: ignore[override]
        """Puts differences and scales around the model: windows in units go in, forecasts in units come out."""
        import keras

        scaling = self.scaling(datasets)
        past = keras.Input((datasets.context, datasets.values.shape[1]), name="past")
        inputs, future = {"past": past}, None
        if datasets.future:
            inputs["future"] = future = keras.Input((datasets.horizon, len(datasets.future)), name="future")
        core = keras.Model(model.input, model.output, name="core")
        outputs = scaling.in_units(core(scaling.inputs(past, future)), past, len(self.quantiles))
        return keras.Model(inputs if datasets.future else past, outputs, name=model.name)

    # Results --------------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: SeriesData) -> Result:  # type: ignore[override]
        from applications import forecasting_report

        origins = datasets.split["test"]
        found = run_windows(model, *datasets.windows(origins))
        return forecasting_report.result(datasets, origins, found, self.quantiles)

    def baseline(self, datasets: SeriesData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """The best of the simple methods on the test: the last season again, with and without drift, Holt-Winters."""
        from applications import forecasting_baselines, forecasting_report

        origins = datasets.split["test"]
        simple = forecasting_baselines.forecasts(datasets, origins)
        name = forecasting_report.best_of(datasets, origins, simple)
        return name, forecasting_report.point_metrics(datasets, origins, simple[name])

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        from applications.datasets.csv_files import find_tables

        return find_tables(inputs)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Forecast]:
        return [self._continue(model, path, about) for path in inputs]

    def _continue(self, model: keras.Model, path: Path, about: dict[str, Any]) -> Forecast:
        """Forecasts what comes after the last row of a file."""
        import sys

        from applications.datasets.csv_files import read_csv
        from applications.datasets.series_files import read_table

        file, context, horizon = read_csv(path, self.separator), about["context"], about["horizon"]
        roles = {name: about[name] for name in ("targets", "past_covariates", "future_covariates")}
        missing = [name for names in roles.values() for name in names if name not in file.names]
        if missing:
            raise UserError(f"File '{path}' lacks the column {missing[0]!r}, which the run was trained on.")
        table = read_table(file, roles, self.time, self.time_format, self.interpolate)
        for remark in table.warnings:
            print(f"warning: {remark}", file=sys.stderr)
        if table.axis.frequency != about["frequency"]:
            raise UserError(
                f"File '{path}' has a step of {table.axis.frequency}, the run was trained on {about['frequency']}."
            )
        if table.length < context:
            raise UserError(f"File '{path}' has {table.length} steps; the model looks back {context}.")
        past, future = table.window(roles, about["calendar"], context, horizon)
        values = run_windows(model, past[None], future[None])[0]
        times = [table.axis.label(table.length + step) for step in range(horizon)]
        return Forecast(path, times, tuple(about["targets"]), values)

    def write(self, predictions: list[Forecast], folder: Path) -> list[Path]:
        """Writes one table per file, `NAME_forecast.csv`: time, and a column per target and quantile."""
        import csv
        import io

        from applications.core.inference import unique_stems
        from applications.core.run_directory import write_atomically

        written = []
        for stem, found in zip(unique_stems(p.file for p in predictions), predictions, strict=True):
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            names = [f"{name}_q{quantile:g}" for name in found.targets for quantile in self.quantiles]
            writer.writerow(["time", *names])
            for time, row in zip(found.times, found.values, strict=True):
                writer.writerow([time, *(f"{value:.7g}" for value in row.ravel())])
            write_atomically(folder / f"{stem}_forecast.csv", text.getvalue())
            written.append(folder / f"{stem}_forecast.csv")
        return written

    def serving(self, datasets: SeriesData) -> Serving:  # type: ignore[override]
        import json

        from applications.core.report import TEMPLATES

        past, future = datasets.windows(datasets.split["train"][:64])
        about = datasets.about()
        described = {
            "columns": [*datasets.targets, *datasets.past, *datasets.future],
            **{name: about[name] for name in ("targets", "past_covariates", "future_covariates", "calendar")},
            **{name: about[name] for name in ("frequency", "context", "horizon")},
            "quantiles": list(self.quantiles),
        }
        shape = f"{datasets.horizon}, {len(datasets.targets)}, {len(self.quantiles)}"
        goes_in = f"past: float32, (batch, {', '.join(map(str, past.shape[1:]))}), columns and calendar in units"
        if datasets.future:
            goes_in += f"; future: float32, (batch, {', '.join(map(str, future.shape[1:]))}), covariates of the horizon"
        return Serving(
            samples={"past": past, "future": future} if datasets.future else past,
            labels=(),
            signature={
                "input": goes_in,
                "output": f"forecasts in units, float32, (batch, {shape}): steps, targets, quantiles",
            },
            files={
                "preprocessing.json": json.dumps(described, indent=1, ensure_ascii=False) + "\n",
                "series_example.py": (TEMPLATES / "series_example.py.txt").read_text(encoding="utf-8"),
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real, Space

        recurrent: dict[str, Space] = {
            "model_options.units": Choice(16, 32, 64),
            "model_options.num_layers": Choice(1, 2),
            "model_options.dropout_rate": Real(0.0, 0.5),
        }
        return {
            **super().search_space(),
            "learning_rate": Real(3e-4, 1e-2, log=True),
            "model": Choice(
                "lstm", "gru", "tcn", "transformer_encoder", children={"lstm": recurrent, "gru": recurrent}
            ),
        }


def run_windows(model: keras.Model, past: np.ndarray, future: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Returns the forecasts of a saved model, (windows, horizon, targets, quantiles).

    Args:
        model: A model of `TimeSeriesForecasting.packaged`.
        past: (windows, context, columns).
        future: (windows, horizon, covariates); not used by a model without covariates known in advance.
        batch_size: Windows computed at once.
    """
    from applications.core.inference import Predictor

    return Predictor(model, batch_size)({"past": past, "future": future} if isinstance(model.input, dict) else past)
