"""Series on an even axis: times, gaps, splits by time, and nothing of the future in a window."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets.series import load_series
from applications.datasets.series_scaling import SeriesScaling
from applications.datasets.time_axis import axis_of, read_time

SIZES = {"context": 21, "horizon": 7, "val_length": 20, "test_length": 30, "origins": 4}


def daily(path: Path, rows: int = 150, ahead: int = 0, **changes: dict[int, str]) -> Path:
    """A table of days, `sales` with a weekly season, `heat` and, known in advance, `promo`.

    Args:
        path: Where to write.
        rows: Rows with sales.
        ahead: Further rows with `promo` only.
        **changes: column -> row -> cell to write instead.
    """
    random = np.random.default_rng(0)
    lines = ["date,sales,heat,promo"]
    for row in range(rows + ahead):
        promo, heat = int(random.random() < 0.2), random.normal()
        sales = 50 + 0.1 * row + 10 * np.sin(2 * np.pi * row / 7) + 5 * promo + random.normal()
        cells = {
            "date": (datetime(2024, 1, 1) + timedelta(days=row)).strftime("%Y-%m-%d"),
            "sales": f"{sales:.3f}" if row < rows else "",
            "heat": f"{heat:.3f}" if row < rows else "",
            "promo": str(promo),
        }
        cells |= {column: changed[row] for column, changed in changes.items() if row in changed}
        lines.append(",".join(cells.values()))
    path.write_text("\n".join(lines) + "\n")
    return path


def load(path: Path, **options):
    options = {"targets": ("sales",), "past": ("heat",), "future": ("promo",), "sizes": SIZES, **options}
    return load_series(str(path), **options)


@pytest.mark.parametrize("name", ["co2", "sunspots"])
def test_embedded_series_have_the_sizes_of_the_benchmark(name):
    data = load_series(name, sizes={"origins": 9})
    assert {part: len(origins) for part, origins in data.split.items()}["test"] == 9
    if name == "co2":
        assert (len(data), data.horizon, data.season, data.ends[1]) == (2284, 52, 52, 2284 - 208)
        assert data.split["test"][[0, -1]].tolist() == [2284 - 208, 2284 - 52]
        assert data.scale[0] == pytest.approx(1.2655, abs=1e-4)
        assert (data.axis.label(0), data.axis.label(2283)) == ("1958-03-29", "2001-12-29")
    else:
        assert (len(data), data.axis.label(308), data.axis.frequency) == (309, "2008", "1 year")


def test_parts_follow_each_other_and_targets_lie_in_one_part(tmp_path):
    data = load(daily(tmp_path / "a.csv"))
    train, val, test = (data.split[name] for name in ("train", "val", "test"))
    assert data.ends == (100, 120)
    assert train[0] == data.context
    assert train[-1] + data.horizon == val[0] == 100
    assert val[-1] + data.horizon == test[0] == 120
    assert test[-1] + data.horizon == len(data) == 150
    assert len(test) == 4


def test_a_window_holds_what_was_known_and_what_is_known_in_advance(tmp_path):
    data = load(daily(tmp_path / "a.csv"))
    origin = int(data.split["test"][0])
    past, future = data.window(origin)
    later = data.values.copy()
    later[origin:, :2] += 100  # targets and past covariates from the origin on
    object.__setattr__(data, "values", later)
    again, ahead = data.window(origin)
    np.testing.assert_array_equal(past, again)
    np.testing.assert_array_equal(future, ahead)
    np.testing.assert_array_equal(future[:, 0], later[origin : origin + 7, 2])
    assert not np.array_equal(past, data.window(origin + 1)[0])


@pytest.mark.parametrize("differencing", ["seasonal", "window", "none"])
def test_scales_come_from_the_training_part_alone(differencing, tmp_path):
    path = daily(tmp_path / "a.csv")
    data, other = load(path), load(path)
    other.values[data.ends[0] :] *= 3
    assert SeriesScaling.fit(data, differencing) == SeriesScaling.fit(other, differencing)
    other.values[data.ends[0] - 1] *= 3
    assert SeriesScaling.fit(data, differencing) != SeriesScaling.fit(other, differencing)


@pytest.mark.parametrize("horizon", [7, 10])
@pytest.mark.parametrize("differencing", ["seasonal", "window", "none"])
def test_what_is_learnt_becomes_units_again(differencing, horizon, tmp_path):
    data = load(daily(tmp_path / "a.csv"), sizes={**SIZES, "horizon": horizon})
    scaling, origins = SeriesScaling.fit(data, differencing), data.split["val"][:5]
    past, future = data.windows(origins)
    learnt = np.asarray(scaling.learnt(data.truth(origins), past))
    assert learnt.shape == (5, horizon)
    assert np.abs(learnt).max() < 8
    found = np.asarray(scaling.in_units(np.repeat(learnt, 3, axis=1), past, 3))
    np.testing.assert_allclose(found, np.repeat(data.truth(origins)[..., None], 3, axis=-1), rtol=1e-4)
    seen = np.asarray(scaling.inputs(past, future))
    assert seen.shape == (5, scaling.length(21), scaling.width())
    # The last feature is the covariate a horizon later: its last steps are those of the forecast.
    promo = np.asarray(future)[..., 0]
    assert [len(np.unique(x)) for x in (promo, seen[:, -horizon:, -1])] == [2, 2]
    np.testing.assert_array_equal(promo > 0.5, seen[:, -horizon:, -1] > 0)


def test_short_gaps_are_filled_where_asked_and_no_forecast_begins_behind_one(tmp_path):
    gap = {40: "", 41: "NA", 130: ""}
    path = daily(tmp_path / "a.csv", sales=gap)
    with pytest.raises(UserError, match=r"'sales' has no value at 2024-02-10 \(line 42\), 3 are missing in"):
        load(path)
    data = load(path, interpolate=2)
    middle = data.values[[39, 40, 41, 42], 0]
    np.testing.assert_allclose(np.diff(middle), np.diff(middle).mean())
    assert "3 of 150 values were interpolated" in data.warnings[0]
    origins = np.concatenate(list(data.split.values()))
    assert not {41, 42, 131} & set(origins.tolist())
    assert {40, 43} <= set(origins.tolist())
    assert np.isnan(data.truth([128])[0, 2, 0])
    # What the row behind the gap holds changes no window before it.
    other = load(daily(tmp_path / "b.csv", sales={**gap, 42: "500"}), interpolate=2)
    assert other.values[41, 0] != data.values[41, 0]
    for origin in origins[origins <= 42]:
        np.testing.assert_array_equal(data.window(origin)[0], other.window(origin)[0])


def test_missing_rows_are_gaps(tmp_path):
    lines = daily(tmp_path / "a.csv").read_text().splitlines()
    (tmp_path / "a.csv").write_text("\n".join([*lines[:50], *lines[51:]]))
    with pytest.raises(UserError, match=r"no value at 2024-02-19 \(a row that is missing\)"):
        load(tmp_path / "a.csv")
    assert len(load(tmp_path / "a.csv", interpolate=1)) == 150


def test_rows_behind_the_last_target_are_the_future(tmp_path):
    data = load(daily(tmp_path / "a.csv", ahead=9))
    assert (len(data), data.ahead.shape) == (150, (9, 1))
    past, future = data.window(150)
    assert (past.shape, future.shape) == ((21, 7), (7, 1))  # columns: sales, heat, promo, year and week


AXES = {
    "days": (["2024-01-01", "2024-01-02", "2024-01-03"], "1 day", 7, "2024-01-04"),
    "quarter hours": (["2024-01-01 00:00", "2024-01-01T00:15", "2024-01-01 00:30"], "15 minutes", 96, None),
    "months": (["2024-01-31", "2024-02-29", "2024-03-31"], "1 month", 12, "2024-04-30"),
    "German": (["31.01.2024", "29.02.2024", "31.03.2024"], "1 month", 12, "30.04.2024"),
    "quarters": (["2023Q3", "2023Q4", "2024Q1"], "3 months", 4, "2024-04"),
    "years": (["1999", "2000", "2001"], "1 year", 1, "2002"),
    "zones": (["2024-03-31T00:00+00:00", "2024-03-31T03:00+02:00", "2024-03-31T04:00+02:00"], "1 hour", 24, None),
}


@pytest.mark.parametrize(("texts", "frequency", "season", "following"), AXES.values(), ids=AXES)
def test_times_of_many_kinds_are_understood_and_continued(texts, frequency, season, following):
    read = [read_time(text) for text in texts]
    axis, places = axis_of([time for time, _ in read], ["line 2", "line 3", "line 4"], read[0][1])
    assert (axis.frequency, axis.season, places.tolist()) == (frequency, season, [0, 1, 2])
    if following:
        assert axis.label(3) == following


BAD = {
    "twice": ({"date": {9: "2024-01-09"}}, {}, "2024-01-09 comes twice, in line 10 and line 11"),
    "unsorted": ({"date": {9: "2023-05-01"}}, {}, "2023-05-01 in line 11 comes before that of line 10"),
    "irregular": ({"date": {9: "2024-01-10 07:00:00"}}, {}, "line 11 does not lie a whole number of steps .1 day."),
    "no time": ({"date": {9: "soon"}}, {}, "line 11: 'soon' in column 'date' is no time that is understood; --time-"),
    "no cell": ({"date": {9: ""}}, {}, "line 11: the time in column 'date' is missing"),
    "text": ({"heat": {9: "hot"}}, {}, "line 11: 'hot' in column 'heat' is no number"),
    "hole in a covariate": ({"promo": {9: ""}}, {}, "'promo' has no value at 2024-01-10"),
    "open end": ({"heat": {149: ""}}, {"interpolate": 5}, "cannot be interpolated at an end"),
    "short": ({}, {"sizes": {**SIZES, "context": 99}}, "too few for one window of context 99 . horizon 7 in training"),
    "short test": ({}, {"sizes": {**SIZES, "test_length": 5}}, "test_length: expected at least the horizon of 7"),
    "no target": ({}, {"targets": None, "past": ()}, "has 2 columns beside time and covariates .sales,heat.; name"),
    "unknown": ({}, {"targets": ("sale",)}, "no column 'sale'; .* Did you mean 'sales'"),
    "double role": ({}, {"past": ("sales",)}, "'sales' is named as a covariate too"),
    "flat": ({"sales": dict.fromkeys(range(150), "1")}, {}, "'sales' repeats itself exactly"),
    "no calendar": ({}, {"time": "rows", "calendar": ("year",)}, "has no dates, so it has no year"),
}


@pytest.mark.parametrize(("changes", "options", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_series_is_one_sentence(changes, options, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence) as caught:
        load(daily(tmp_path / "a.csv", **changes), **options)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_has_a_suggestion():
    with pytest.raises(UserError, match="Did you mean 'sunspots'"):
        load_series("sunspot")
