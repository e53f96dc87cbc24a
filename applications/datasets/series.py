"""Time series: real ones of statsmodels and the user's CSV files, checked, on an even axis, split by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError
from applications.datasets.csv_files import named_file, read_csv
from applications.datasets.data import FRACTIONS, SERIES_NAMES
from applications.datasets.series_files import Table, read_table, target_names
from applications.datasets.splits import ALL_TEST, check_fractions
from applications.datasets.time_axis import TimeAxis

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class SeriesData:
    """A time series with its windows; the counterpart of `Datasets`.

    A window is known by its origin, the row of its first forecast: `context` rows before it go in, `horizon` rows from
    it on come out.

    Attributes:
        name, description, warnings: as in `Datasets`.
        axis: the times.
        values: `(N, columns)` float64: targets, past covariates, future covariates, calendar.
        ahead: `(M, future covariates)`: what is known of them behind the last row.
        filled: `(N,)` whether something in the row was interpolated.
        targets, past, future, cycles: names of the columns; of the calendar its cycles, two columns each.
        context, horizon, season: in steps.
        split: "train", "val", "test" -> origins.
        ends: row where the training part ends, and row where the test begins.
    """

    name: str
    description: str
    axis: TimeAxis
    values: np.ndarray
    ahead: np.ndarray
    filled: np.ndarray
    targets: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    cycles: tuple[str, ...]
    context: int
    horizon: int
    season: int
    split: dict[str, np.ndarray]
    ends: tuple[int, int]
    scale: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    labels: None = None
    groups: None = None
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def window(self, origin: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns what is known at an origin: past `(context, columns)` and future `(horizon, covariates)`."""
        import numpy as np

        first = len(self.targets) + len(self.past)
        known = np.concatenate([self.values[:, first : first + len(self.future)], self.ahead])
        return self.values[origin - self.context : origin], known[origin : origin + self.horizon]

    def windows(self, origins: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the windows of several origins as two float32 arrays."""
        import numpy as np

        past, future = zip(*(self.window(int(origin)) for origin in origins), strict=True)
        return np.stack(past).astype(np.float32), np.stack(future).astype(np.float32)

    def truth(self, origins: Sequence[int] | np.ndarray) -> np.ndarray:
        """Returns what happened, `(origins, horizon, targets)`; NaN where it was interpolated."""
        import numpy as np

        rows = np.asarray(origins)[:, None] + np.arange(self.horizon)
        true = self.values[rows][..., : len(self.targets)]
        return np.where(self.filled[rows][..., None], np.nan, true)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when names, times or values change (not with the split)."""
        import hashlib

        digest = hashlib.sha256(repr((self.targets, self.past, self.future, self.cycles, self.axis)).encode())
        digest.update(self.values.tobytes() + self.ahead.tobytes())
        return digest.hexdigest()[:16]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": [],
            "targets": list(self.targets),
            "past_covariates": list(self.past),
            "future_covariates": list(self.future),
            "calendar": list(self.cycles),
            "frequency": self.axis.frequency,
            "context": self.context,
            "horizon": self.horizon,
            "season": self.season,
            "scale": list(self.scale),
            "splits": {name: len(origins) for name, origins in self.split.items()},
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [],
        }


def load_series(
    data: str,
    *,
    targets: Sequence[str] | None = None,
    past: Sequence[str] = (),
    future: Sequence[str] = (),
    time: str | None = None,
    time_format: str | None = None,
    separator: str = "auto",
    interpolate: int = 0,
    calendar: Sequence[str] | None = None,
    sizes: Mapping[str, int | None] | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> SeriesData:
    """Loads a time series.

    Args:
        data: `co2`, `sunspots` (embedded), or a CSV file.
        targets: columns to forecast; None takes the only one there is.
        past: columns known up to the forecast.
        future: columns known in advance, over the horizon too.
        time: column of the times, None finds it, "rows" takes rows as steps.
        time_format: how times are written, as in `strptime`; None reads ISO 8601 and a few others.
        separator: as in `read_csv`.
        interpolate: longest gap in steps that is filled by a straight line.
        calendar: cycles whose sine and cosine go in: "year", "week", "day"; None takes those that fit the step.
        sizes: `context`, `horizon`, `season`, `val_length`, `test_length`, `origins` in steps; None follows from the
            data.
        fractions: shares of training, validation and test, where their lengths are not given.

    Returns:
        The series.

    Raises:
        UserError: one sentence for the user.
    """
    check_fractions(fractions)
    wanted = {name: value for name, value in (sizes or {}).items() if value is not None}
    if data in SERIES_NAMES:
        from applications.datasets.embedded.series import embedded_series

        if targets is not None or past or future or time is not None:
            raise UserError(f"Data set {data!r} has one column; targets, covariates and time are for your own files.")
        table, description, recipe = embedded_series(data)
        names: tuple[str, ...] = tuple(table.values)
        wanted = recipe | wanted
    else:
        file = read_csv(named_file(data, SERIES_NAMES, "series"), separator)
        names = target_names(file, targets, time, (*past, *future))
        roles = {"targets": names, "past_covariates": tuple(past), "future_covariates": tuple(future)}
        table = read_table(file, roles, time, time_format, interpolate)
        description = f"The user's own series {str(file.path)!r}, a step of {table.axis.frequency}."
        data = file.path.stem
    return assembled(table, data, description, names, past, future, calendar, wanted, fractions)


def assembled(
    table: Table,
    name: str,
    description: str,
    targets: Sequence[str],
    past: Sequence[str],
    future: Sequence[str],
    calendar: Sequence[str] | None,
    wanted: Mapping[str, int],
    fractions: tuple[float, float, float],
) -> SeriesData:
    """Puts a table, its sizes and its split together; the arguments are those of `load_series`."""
    import numpy as np

    axis, length = table.axis, table.length
    cycles = axis.calendar() if calendar is None else tuple(calendar)
    if cycles and axis.unit not in ("seconds", "months"):
        raise UserError(f"calendar: the series has no dates, so it has no {cycles[0]}; leave it at none.")
    values = [table.values[column][:length] for column in (*targets, *past, *future)]
    rows = np.concatenate([np.stack(values, axis=1), axis.phases(cycles, 0, length)], axis=1)
    season = wanted.get("season", axis.season)
    horizon = wanted.get("horizon", season if season > 1 else 8)
    ahead = np.zeros((horizon, 0))
    if future:
        ahead = np.stack([table.values[column][length:] for column in future], axis=1)
    context = wanted.get("context", max(3 * season, season + 2 * horizon))
    lengths = _lengths(length, horizon, wanted, fractions)
    split, ends = _split(table, context, horizon, lengths, wanted.get("origins", 0))
    scale = ()
    if ends[1] > season:
        before = rows[: ends[1], : len(targets)]
        scale = tuple(np.abs(before[season:] - before[:-season]).mean(axis=0).tolist())
        if not all(scale):
            flat = targets[scale.index(0.0)]
            raise UserError(f"Column {flat!r} repeats itself exactly before the test; there is nothing to forecast.")
    return SeriesData(
        name=name,
        description=description,
        axis=axis,
        values=rows,
        ahead=ahead,
        filled=table.filled[:length],
        targets=tuple(targets),
        past=tuple(past),
        future=tuple(future),
        cycles=cycles,
        context=context,
        horizon=horizon,
        season=season,
        split=split,
        ends=ends,
        scale=scale,
        warnings=table.warnings,
    )


def _lengths(length: int, horizon: int, wanted: Mapping[str, int], fractions: tuple) -> tuple[int, int]:
    """Returns the rows of validation and test; each holds a whole horizon."""
    if fractions == ALL_TEST:
        return 0, length
    found = []
    for name, share in zip(("val_length", "test_length"), fractions[1:], strict=True):
        rows = wanted.get(name, max(horizon, round(share * length)))
        if rows < horizon:
            raise UserError(f"{name}: expected at least the horizon of {horizon} steps, received {rows}.")
        found.append(rows)
    return found[0], found[1]


def _split(
    table: Table, context: int, horizon: int, lengths: tuple[int, int], origins: int
) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    """Returns the origins of each part, and where the training ends and the test begins.

    What a window has to forecast lies in one part entirely; what it knows may come from the parts before. An origin
    right behind an interpolated row is left out: that row was made with what came after.
    """
    import numpy as np

    begin_test = table.length - lengths[1]
    begin_val = begin_test - lengths[0]
    bounds = {"train": (0, begin_val), "val": (begin_val, begin_test), "test": (begin_test, table.length)}
    split = {}
    for name, (low, high) in bounds.items():
        found = np.arange(max(low, context), high - horizon + 1)
        split[name] = found[~table.filled[found - 1]]
    needed = ("train", "val", "test") if lengths[0] else ("test",)
    words = {"train": "training", "val": "validation", "test": "the test"}
    short = [words[name] for name in needed if not len(split[name])]
    if short:
        parts = f", of which {lengths[0]} are for validation and {lengths[1]} for the test" if lengths[0] else ""
        raise UserError(
            f"The series has {table.length} steps{parts}: too few for one window of context {context} + horizon "
            f"{horizon} in {short[0]}; give a longer series "
            "or a smaller --context or --horizon."
        )
    if origins and len(split["test"]) > origins:
        split["test"] = split["test"][np.linspace(0, len(split["test"]) - 1, origins).astype(np.int64)]
    return split, (begin_val, begin_test)
