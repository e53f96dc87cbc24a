"""The pictures of a search, drawn with matplotlib's objects (no pyplot)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from applications.core.report import Figure
from applications.core.search_space import Choice, Real
from tuning.spaces import Dimension, points, to_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tuning.job import Search

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
FEWEST = 6  # finished trials below which an importance means nothing


def figures(found: Search, ranges: list[Dimension]) -> list[Figure]:
    """Returns the pictures that the finished trials allow."""
    done = [row for row in found.rows if row["status"] == "COMPLETED"]
    if not done:
        return []
    drawn = [
        Figure(
            "progress",
            "Best value so far",
            _progress(found, done),
            "Each point is a trial, in the order of their ends.",
        ),
    ]
    varied = _varied(ranges, done)
    if len(done) > 1 and varied:
        note = "Each line is a trial; the darker, the better. A gap means that the parameter did not count there."
        drawn.append(Figure("parallel", "Parallel coordinates", _parallel(found, done, varied), note))
    if len(done) >= FEWEST and varied:
        note = (
            "By how much a random forest's prediction of the objective worsens when the values of one parameter are "
            "shuffled (permutation importance, mean of 20 shuffles; 100 % is the sum). With few trials it is a "
            "hint, not a finding."
        )
        drawn.append(Figure("importance", "Importance of the parameters", _importance(done, varied), note))
    if varied:
        drawn.append(Figure("slices", "Objective over each parameter", _slices(found, done, varied)))
    if any(row["began"] for row in found.rows):
        note = "Each bar is a trial; failed ones in orange."
        drawn.append(Figure("timeline", "Who worked when", _timeline(found), note))
    return drawn


def _canvas(width: float, height: float) -> Any:
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained")


def _varied(ranges: list[Dimension], done: list[dict[str, Any]]) -> list[Dimension]:
    """Returns one range per option that had more than one value among the trials."""
    unique = {dimension.path: dimension for dimension in reversed(ranges)}
    return [d for path, d in reversed(unique.items()) if len({str(row["values"].get(path)) for row in done}) > 1]


def _progress(found: Search, done: list[dict[str, Any]]) -> Any:
    order = sorted(done, key=lambda row: (row["began"] or 0) + (row["seconds"] or 0))
    scores = np.array([row["score"] for row in order])
    best = np.maximum.accumulate(scores) if found.objective[1] == "max" else np.minimum.accumulate(scores)
    canvas = _canvas(7.2, 3.4)
    axes = canvas.add_subplot()
    numbers = np.arange(1, len(order) + 1)
    axes.plot(numbers, scores, "o", color=GREY, markersize=4, label="trial")
    axes.step(numbers, best, where="post", color=BLUE, label="best so far")
    spreads = [row["spread"] or 0.0 for row in order]
    if any(spreads):
        axes.errorbar(numbers, scores, spreads, fmt="none", color=GREY, linewidth=1)
    _objective_axis(axes, found, scores)
    axes.set_xlabel("finished trials")
    axes.legend(frameon=False)
    return canvas


def _objective_axis(axes: Axes, found: Search, scores: np.ndarray) -> None:
    axes.set_ylabel(found.objective[0], parse_math=False)
    axes.grid(alpha=0.25)
    finite = scores[np.isfinite(scores)]
    if len(finite) and finite.min() > 0 and finite.max() > 20 * finite.min():
        axes.set_yscale("log")


def _goodness(found: Search, done: list[dict[str, Any]]) -> np.ndarray:
    """Returns the rank of each trial from 0, the worst, to 1."""
    scores = np.array([row["score"] for row in done])
    ranks = np.argsort(np.argsort(scores if found.objective[1] == "max" else -scores))
    return ranks / max(len(done) - 1, 1)


def _parallel(found: Search, done: list[dict[str, Any]], varied: list[Dimension]) -> Any:
    import matplotlib

    canvas = _canvas(max(6.0, 1.5 * (len(varied) + 1)), 4.2)
    axes = canvas.add_subplot()
    colours = matplotlib.colormaps["viridis_r"]
    good = _goodness(found, done)
    heights = np.array([[_height(d, row["values"]) for d in varied] + [g] for row, g in zip(done, good, strict=True)])
    for index in np.argsort(good):
        axes.plot(heights[index], color=colours(0.05 + 0.9 * good[index]), linewidth=1 + 1.5 * good[index], alpha=0.75)
    names = [d.path for d in varied] + [f"{found.objective[0]} (rank)"]
    axes.set_xticks(range(len(names)), [name.split(".")[-1] for name in names], parse_math=False)
    axes.set_yticks([])
    axes.set_xlim(-0.3, len(names) - 0.6)
    for x, dimension in enumerate(varied):
        axes.axvline(x, color="black", linewidth=0.8)
        for text, height in _marks(dimension):
            axes.text(x + 0.03, height, text, fontsize=7, va="center", parse_math=False, bbox=_PAPER)
    axes.axvline(len(varied), color="black", linewidth=0.8)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    return canvas


_PAPER = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}


def _height(dimension: Dimension, values: dict[str, Any]) -> float:
    return to_unit(dimension.range, values[dimension.path]) if dimension.path in values else math.nan


def _marks(dimension: Dimension) -> list[tuple[str, float]]:
    known = points(dimension.range)
    if isinstance(dimension.range, Real):
        known = [dimension.range.low, dimension.range.high]
    elif not isinstance(dimension.range, Choice) and len(known) > 6:
        known = [known[0], known[-1]]
    return [(_text(value), to_unit(dimension.range, value)) for value in known]


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def importances(done: list[dict[str, Any]], varied: list[Dimension]) -> np.ndarray:
    """Returns the share of each parameter in what a random forest needs to predict the objective."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    x = np.array([[_height(d, row["values"]) for d in varied] for row in done])
    x = np.nan_to_num(x, nan=-1.0)
    scores = np.array([row["score"] for row in done])
    ranks = np.argsort(np.argsort(scores)).astype(float)  # a few diverged trials would hide everything else
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0).fit(x, ranks)
    found = permutation_importance(forest, x, ranks, n_repeats=20, random_state=0).importances_mean
    found = np.maximum(found, 0.0)
    return found / found.sum() if found.sum() > 0 else found


def _importance(done: list[dict[str, Any]], varied: list[Dimension]) -> Any:
    shares = importances(done, varied)
    order = np.argsort(shares)
    canvas = _canvas(6.4, 0.9 + 0.36 * len(varied))
    axes = canvas.add_subplot()
    axes.barh([varied[i].path for i in order], 100 * shares[order], color=BLUE)
    axes.set_xlabel("share of the importance, %")
    axes.grid(axis="x", alpha=0.25)
    return canvas


def _slices(found: Search, done: list[dict[str, Any]], varied: list[Dimension]) -> Any:
    columns = min(3, len(varied))
    rows = math.ceil(len(varied) / columns)
    canvas = _canvas(3.3 * columns, 2.6 * rows)
    for index, dimension in enumerate(varied):
        axes = canvas.add_subplot(rows, columns, index + 1)
        here = [row for row in done if dimension.path in row["values"]]
        scores = np.array([row["score"] for row in here])
        if isinstance(dimension.range, Choice):
            known = points(dimension.range)
            places = np.array([known.index(row["values"][dimension.path]) for row in here])
            jitter = np.random.default_rng(0).uniform(-0.15, 0.15, len(here))
            axes.plot(places + jitter, scores, "o", color=BLUE, markersize=4, alpha=0.7)
            axes.set_xticks(range(len(known)), known, parse_math=False, rotation=30 if max(map(len, known)) > 8 else 0)
            axes.set_xlim(-0.5, len(known) - 0.5)
        else:
            axes.plot([row["values"][dimension.path] for row in here], scores, "o", color=BLUE, markersize=4, alpha=0.7)
            if isinstance(dimension.range, Real) and dimension.range.log:
                axes.set_xscale("log")
        _objective_axis(axes, found, scores)
        if index % columns:
            axes.set_ylabel("")
        axes.set_title(dimension.path, fontsize=9, loc="left", parse_math=False)
    return canvas


def _timeline(found: Search) -> Any:
    rows = [row for row in found.rows if row["began"] and row["seconds"] is not None]
    names = sorted({row["worker"] or "worker" for row in rows})
    start = min(row["began"] for row in rows)
    canvas = _canvas(7.2, 0.9 + 0.4 * len(names))
    axes = canvas.add_subplot()
    for row in rows:
        colour = ORANGE if row["status"] == "FAILED" else BLUE
        place = names.index(row["worker"] or "worker")
        axes.barh(place, row["seconds"], left=row["began"] - start, color=colour, edgecolor="white", height=0.7)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("seconds since the first trial began")
    axes.grid(axis="x", alpha=0.25)
    return canvas
