"""What the report of a forecast shows: the backtest against simple methods, intervals, errors by horizon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from applications import forecasting_baselines
from applications.core.figures import PALETTE, TRAIN, VALIDATION
from applications.core.report import Figure, Result, Table

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from applications.datasets.series import SeriesData

SHOWN = 6  # origins in the picture of forecasts
GREY = "#777777"
SIMPLE = (PALETTE[2], PALETTE[3], PALETTE[7], GREY)  # the methods beside the model


def point_metrics(data: SeriesData, origins: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Returns MASE, and RMSE and MAE of each target, of forecasts (origins, horizon, targets).

    MASE is the mean absolute error over that of the seasonal naive forecast, one season ahead, in everything before
    the test; of several targets it is the mean. Interpolated values are no truth and do not count.
    """
    import numpy as np

    error = found - data.truth(origins)
    metrics = {"mase": float(np.mean([np.nanmean(np.abs(error[..., i])) / s for i, s in enumerate(data.scale)]))}
    for index, name in enumerate(data.targets):
        suffix = f"_{name}" if len(data.targets) > 1 else ""
        metrics[f"rmse{suffix}"] = float(np.sqrt(np.nanmean(np.square(error[..., index]))))
        metrics[f"mae{suffix}"] = float(np.nanmean(np.abs(error[..., index])))
    return metrics


def best_of(data: SeriesData, origins: np.ndarray, simple: dict[str, np.ndarray]) -> str:
    """Returns the name of the simple method with the smallest MASE: a model has to beat all of them."""
    return min(simple, key=lambda name: point_metrics(data, origins, simple[name])["mase"])


def coverage(true: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Returns the share of true values that lie within their interval."""
    import numpy as np

    return float(((true >= low) & (true <= high))[~np.isnan(true)].mean())


def result(data: SeriesData, origins: np.ndarray, found: np.ndarray, quantiles: Sequence[float]) -> Result:
    """Returns the results of a backtest.

    Args:
        data: The series.
        origins: Rows of the first forecast of each window.
        found: Forecasts (origins, horizon, targets, quantiles).
        quantiles: Their quantiles.
    """
    middle, true = list(quantiles).index(0.5), data.truth(origins)
    median = found[..., middle]
    metrics = point_metrics(data, origins, median)
    tables, notes = [], []
    if len(quantiles) > 1:
        wide = quantiles[-1] - quantiles[0]
        metrics[f"coverage_{100 * wide:.3g}"] = coverage(true, found[..., 0], found[..., -1])
        tables.append(_coverage_table(true, found, quantiles))
        notes.append(
            f"coverage {100 * wide:.3g}: the share of true values between the outer quantiles, {wide:.3g} if the "
            "intervals were right. Windows of one backtest overlap, so this share varies a lot."
        )
    simple = forecasting_baselines.forecasts(data, origins)
    if not any(name.startswith("Holt") for name in simple):
        notes.append("Holt-Winters is left out: it needs two seasons and statsmodels, pip install 'kerazoo[forecast]'.")
    return Result(
        metrics=metrics,
        headline="mase",
        tables=[_backtest_table(data, origins, median, simple), _origin_table(data, origins, median, simple), *tables],
        figures=[
            Figure(
                "forecasts",
                "Forecasts of the test",
                _forecast_figure(data, origins, found, quantiles, simple),
                "Line: median. Band: between the outer quantiles. Dotted: the best of the simple methods.",
            ),
            Figure(
                "error_by_horizon",
                "Error by horizon",
                _horizon_figure(data, median, true, simple),
                "Mean absolute error over all forecasts of the test, over the scale of MASE.",
            ),
            Figure("series", "The series and its parts", _series_figure(data)),
        ],
        notes=[
            "MASE: mean absolute error over that of the seasonal naive forecast one season ahead in everything before "
            "the test; below 1 is better than that.",
            *notes,
            "The loss of the learning curves is the pinball loss in the units of the network.",
        ],
    )


def _backtest_table(data: SeriesData, origins: np.ndarray, median: np.ndarray, simple: dict[str, np.ndarray]) -> Table:
    rows = [
        (name, *point_metrics(data, origins, values).values()) for name, values in {"model": median, **simple}.items()
    ]
    names = tuple(word.replace("mase", "MASE").replace("_", " ") for word in point_metrics(data, origins, median))
    note = f"{len(origins)} rolling origins, {data.horizon} steps each; every method sees what lies before its origin."
    return Table("Backtest", ("method", *names), rows, note)


def _origin_table(data: SeriesData, origins: np.ndarray, median: np.ndarray, simple: dict[str, np.ndarray]) -> Table:
    methods = {"model": median, **simple}
    rows = [
        (
            data.axis.label(int(origin)),
            *(point_metrics(data, origins[i : i + 1], values[i : i + 1])["mase"] for values in methods.values()),
        )
        for i, origin in enumerate(origins[:50])
    ]
    return Table("MASE of each forecast", ("first step", *methods), rows)


def _coverage_table(true: np.ndarray, found: np.ndarray, quantiles: Sequence[float]) -> Table:
    import numpy as np

    seen = ~np.isnan(true)
    rows = [
        (f"{quantile:g}", float((true <= found[..., index])[seen].mean())) for index, quantile in enumerate(quantiles)
    ]
    return Table("Quantiles", ("quantile", "true values at or below it"), rows, "Equal numbers mean right quantiles.")


def _forecast_figure(
    data: SeriesData, origins: np.ndarray, found: np.ndarray, quantiles: Sequence[float], simple: dict[str, np.ndarray]
) -> Any:
    import numpy as np
    from matplotlib.figure import Figure as Canvas

    shown = np.unique(np.linspace(0, len(origins) - 1, min(SHOWN, len(origins))).astype(int))
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns) * len(data.targets)
    figure = Canvas(figsize=(4.2 * columns, 2.6 * rows), layout="constrained")
    name = best_of(data, origins, simple)
    best = simple[name]
    panel = 0
    for target in range(len(data.targets)):
        for index in shown:
            panel += 1
            axes = figure.add_subplot(rows, columns, panel)
            _forecast_panel(axes, data, int(origins[index]), found[index, :, target], quantiles, target)
            steps = np.arange(origins[index], origins[index] + data.horizon)
            axes.plot(steps, best[index, :, target], color=GREY, linewidth=1, linestyle=":", label=name)
            if target == 0 and index == shown[0]:
                handles = axes.get_legend_handles_labels()
        panel += -len(shown) % columns
    figure.legend(*handles, loc="outside upper center", ncols=5, frameon=False)
    return figure


def _forecast_panel(
    axes: Axes, data: SeriesData, origin: int, found: np.ndarray, quantiles: Sequence[float], target: int
) -> None:
    import numpy as np

    before = np.arange(max(0, origin - max(data.horizon, data.season)), origin)
    steps = np.arange(origin, origin + data.horizon)
    axes.plot(before, data.values[before, target], color="#000000", linewidth=1, label="known")
    true = data.truth([origin])[0, :, target]
    axes.plot(steps, true, color=VALIDATION, linewidth=1.2, label="true")
    if len(quantiles) > 1:
        label = f"{quantiles[0]:g} to {quantiles[-1]:g}"
        axes.fill_between(steps, found[:, 0], found[:, -1], color=TRAIN, alpha=0.25, linewidth=0, label=label)
    axes.plot(steps, found[:, list(quantiles).index(0.5)], color=TRAIN, linewidth=1.2, label="forecast")
    title = f"{data.targets[target]}, from {data.axis.label(origin)}"
    axes.set_title(title, loc="left", fontsize=9, parse_math=False)
    _time_ticks(axes, data, int(before[0]) if len(before) else origin, int(steps[-1]), 3)


def _time_ticks(axes: Axes, data: SeriesData, first: int, last: int, count: int) -> None:
    import numpy as np

    places = np.unique(np.linspace(first, last, count).astype(int))
    axes.set_xticks(places, [data.axis.label(int(place)) for place in places], fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(alpha=0.25)


def _horizon_figure(data: SeriesData, median: np.ndarray, true: np.ndarray, simple: dict[str, np.ndarray]) -> Any:
    import numpy as np
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    steps = np.arange(1, data.horizon + 1)
    for number, (name, values) in enumerate({"model": median, **simple}.items()):
        error = np.nanmean(np.abs(values - true), axis=0) / np.array(data.scale)
        own = {"color": TRAIN, "linewidth": 2} if number == 0 else {"color": SIMPLE[number - 1], "linewidth": 1}
        axes.plot(steps, error.mean(axis=1), label=name, **own)
    axes.set_xlabel(f"steps ahead ({data.axis.frequency} each)")
    axes.set_ylabel("scaled error")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _series_figure(data: SeriesData) -> Any:
    import numpy as np
    from matplotlib.figure import Figure as Canvas

    count = len(data.targets)
    figure = Canvas(figsize=(9, 2.2 * count + 0.5), layout="constrained")
    limits = (0, *data.ends, len(data))
    parts = zip(("training", "validation", "test"), limits, limits[1:], (TRAIN, VALIDATION, PALETTE[3]), strict=False)
    shades = [part for part in parts if part[2] > part[1]]
    for target, name in enumerate(data.targets):
        axes = figure.add_subplot(count, 1, target + 1)
        for word, begin, end, colour in shades:
            axes.axvspan(begin, end - 1, color=colour, alpha=0.12, linewidth=0, label=word)
        axes.plot(np.arange(len(data)), data.values[:, target], color="#000000", linewidth=0.8)
        axes.set_ylabel(name, parse_math=False)
        axes.margins(x=0)
        _time_ticks(axes, data, 0, len(data) - 1, 7)
        handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False)
    return figure
