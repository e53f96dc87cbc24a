"""Time series: real ones of statsmodels and the user's CSV files, checked, on an even axis, split by time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.csv_files import CsvFile, number, read_csv
from applications.datasets.data import FRACTIONS, SERIES_NAMES
from applications.datasets.splits import ALL_TEST, check_fractions
from applications.datasets.time_axis import TIME_NAMES, TimeAxis, axis_of, read_time

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Table:
    """Columns of a series on an even axis, nothing missing.

    Attributes:
        axis: The times.
        values: column -> (rows,) float64. Rows behind `length` belong to the future: only columns that are known in
            advance have numbers there.
        length: rows with targets.
        filled: (rows,) whether something in the row was interpolated.
        warnings: sentences about what had to be mended.
    """

    axis: TimeAxis
    values: dict[str, np.ndarray]
    length: int
    filled: np.ndarray
    warnings: tuple[str, ...] = ()

    def window(
        self, roles: Mapping[str, Sequence[str]], cycles: Sequence[str], context: int, horizon: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns past and future as `SeriesData.window` does, at the end of the table.

        Raises:
            UserError: Covariates known in advance are not known over the whole horizon.
        """
        import numpy as np

        known = roles["future_covariates"]
        for name in known:
            ahead = self.values[name][self.length : self.length + horizon]
            count = int((~np.isnan(ahead)).cumprod().sum())
            if count < horizon:
                raise UserError(
                    f"The covariate {name!r} must be known for the {horizon} steps behind the last target, "
                    f"{self.axis.label(self.length)} to {self.axis.label(self.length + horizon - 1)}; the file has "
                    f"{count} of them (rows with empty targets)."
                )
        names = [name for part in ("targets", "past_covariates", "future_covariates") for name in roles[part]]
        rows = slice(self.length - context, self.length)
        columns = np.stack([self.values[name][rows] for name in names], axis=1)
        past = np.concatenate([columns, self.axis.phases(cycles, self.length - context, context)], axis=1)
        future = [self.values[name][self.length : self.length + horizon] for name in known]
        return past, np.stack(future, axis=1) if future else np.zeros((horizon, 0))


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
        file = read_csv(csv_path(data), separator)
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


def csv_path(data: str) -> Path:
    """Returns the CSV file that `data` names."""
    path = Path(data).expanduser()
    if not path.exists() and len(path.parts) == 1 and not path.suffix:
        raise UserError(
            f"Unknown data {data!r}: neither an embedded series ({', '.join(SERIES_NAMES)}) nor a CSV file that "
            f"exists.{nearest(data, SERIES_NAMES)}"
        )
    if path.is_dir():
        raise UserError(f"Data {data!r} is a folder; name the CSV file.")
    return path


def time_column(file: CsvFile, time: str | None) -> str | None:
    """Returns the column of the times, or None where rows are the steps."""
    if time == "rows":
        return None
    if time is not None:
        if time not in file.names:
            raise UserError(f"time: {file.path.name!r} has no column {time!r}.{nearest(time, file.names)}")
        return time
    named = [name for name in file.names if name.lower() in TIME_NAMES]
    if named:
        return named[0]
    first = file.columns[0][0]
    is_date = first is not None and number(first, file.decimal) is None and read_time(first) is not None
    return file.names[0] if is_date else None


def target_names(
    file: CsvFile, targets: Sequence[str] | None, time: str | None, covariates: Sequence[str]
) -> tuple[str, ...]:
    """Returns the columns to forecast: those named, or the only one there is."""
    others = [name for name in file.names if name != time_column(file, time) and name not in covariates]
    for word, names in (("targets", targets or ()), ("covariates", covariates)):
        for name in names:
            if name not in file.names:
                raise UserError(
                    f"{word}: {file.path.name!r} has no column {name!r}; it has {', '.join(file.names)}."
                    f"{nearest(name, file.names)}"
                )
    twice = [name for name in (targets or ()) if name in covariates]
    if twice:
        raise UserError(f"targets: {twice[0]!r} is named as a covariate too; its own past goes in anyway.")
    if targets:
        return tuple(targets)
    if len(others) != 1:
        raise UserError(
            f"File {file.path.name!r} has {len(others)} columns beside time and covariates"
            f"{f' ({chr(44).join(others)})' if others else ''}; name those to forecast by --targets."
        )
    return (others[0],)


def read_table(
    file: CsvFile, roles: Mapping[str, Sequence[str]], time: str | None, time_format: str | None, interpolate: int
) -> Table:
    """Reads the columns of a series from a CSV file onto an even axis.

    Args:
        file: The cells.
        roles: "targets", "past_covariates", "future_covariates" -> names of columns.
        time, time_format, interpolate: as in `load_series`.
    """
    import numpy as np

    where = [f"line {line}" for line in file.lines]
    axis, places = _times(file, time_column(file, time), time_format, where)
    columns = {}
    for name in (column for names in roles.values() for column in names):
        cells = file.column(name)
        parsed = [None if cell is None else number(cell, file.decimal) for cell in cells]
        wrong = [row for row, cell in enumerate(cells) if cell is not None and parsed[row] is None]
        if wrong:
            raise UserError(
                f"File {file.path.name!r}, line {file.lines[wrong[0]]}: {cells[wrong[0]]!r} in column {name!r} is no "
                f"number ({len(wrong)} of {len(cells)} cells)."
            )
        values = np.full(places[-1] + 1, np.nan)
        values[places] = [np.nan if value is None else value for value in parsed]
        columns[name] = values
    line_of = dict(zip(places.tolist(), where, strict=True))
    return mended(axis, columns, roles, interpolate, line_of, file.warnings)


def _times(
    file: CsvFile, column: str | None, time_format: str | None, where: Sequence[str]
) -> tuple[TimeAxis, np.ndarray]:
    import numpy as np

    if len(file.lines) < 3:
        raise UserError(f"File {file.path.name!r} has {len(file.lines)} rows; a series needs at least 3.")
    if column is None:
        return TimeAxis("rows", 0, 1), np.arange(len(file.lines))
    cells = file.column(column)
    for cell, place in zip(cells, where, strict=True):
        if cell is None:
            raise UserError(f"File {file.path.name!r}, {place}: the time in column {column!r} is missing.")
    texts = [cell for cell in cells if cell is not None]
    if time_format is None and read_time(texts[0]) is None and number(texts[0], file.decimal) is not None:
        numbers = [number(cell, file.decimal) for cell in texts]
        bad = next((row for row, value in enumerate(numbers) if value is None), None)
        times: list[Any] = numbers
        form = ""
    else:
        read = [read_time(cell, time_format) for cell in texts]
        bad = next((row for row, found in enumerate(read) if found is None), None)
        times = [found and found[0] for found in read]
        form = read[0][1] if read[0] else ""
    if bad is not None:
        raise UserError(
            f"File {file.path.name!r}, {where[bad]}: {texts[bad]!r} in column {column!r} is no time "
            f"{f'of the form {time_format}' if time_format else 'that is understood'}; --time-format says how times "
            "are written, e.g. %d/%m/%Y."
        )
    return axis_of(times, where, form)


def mended(
    axis: TimeAxis,
    columns: Mapping[str, np.ndarray],
    roles: Mapping[str, Sequence[str]],
    interpolate: int,
    line_of: Mapping[int, str],
    warnings: Sequence[str] = (),
) -> Table:
    """Returns columns without gaps: short ones interpolated, rows without targets cut off at both ends.

    Args:
        axis: The times.
        columns: Name -> values, NaN where missing.
        roles: As in `read_table`.
        interpolate: Longest gap that is filled.
        line_of: Row -> its place in the file, for messages.
        warnings: Sentences so far.
    """
    import numpy as np

    present = ~np.all([np.isnan(columns[name]) for name in roles["targets"]], axis=0)
    if not present.any():
        raise UserError(f"Column {roles['targets'][0]!r} has no value at all.")
    complete = ~np.any(
        [np.isnan(columns[name]) for name in (*roles["targets"], *roles.get("past_covariates", ()))], axis=0
    )
    first = int(np.argmax(complete)) if complete.any() else 0
    length, said = int(np.flatnonzero(present)[-1]) + 1, list(warnings)
    if first:
        said.append(f"The first {first} rows were left out, since columns have no value there.")
        axis = dataclasses.replace(axis, start=axis.at(first))
    filled, mended_columns = np.zeros(len(present) - first, bool), {}
    for role, names in roles.items():
        for name in names:
            ahead = role == "future_covariates"
            values = columns[name][first:].copy()
            end = len(values) if ahead else length - first
            missing = np.isnan(values[:end])
            if ahead and missing.any() and int(np.argmax(missing)) >= length - first:
                end = int(np.argmax(missing))  # the future is known so far
                missing = missing[:end]
            _refuse_gaps(name, missing, interpolate, axis, {row - first: line for row, line in line_of.items()})
            if missing.any():
                rows = np.arange(end)
                values[:end][missing] = np.interp(rows[missing], rows[~missing], values[:end][~missing])
                filled[:end] |= missing
                said.append(f"Column {name!r}: {int(missing.sum())} of {end} values were interpolated.")
            mended_columns[name] = values
    return Table(axis, mended_columns, length - first, filled, tuple(said))


def _refuse_gaps(name: str, missing: np.ndarray, interpolate: int, axis: TimeAxis, line_of: Mapping[int, str]) -> None:
    """Raises UserError where a gap is longer than may be filled, or has no end."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(int)))
    gaps = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    longest = max((end - begin for begin, end in gaps), default=0)
    for begin, end in gaps:
        open_end = begin == 0 or end == len(missing)
        if end - begin > interpolate or open_end:
            place = f" ({line_of[begin]})" if begin in line_of else " (a row that is missing)"
            advice = (
                "it cannot be interpolated at an end of the series; fill it in or leave the column out"
                if open_end
                else f"correct the file, or fill gaps of up to {longest} steps by --interpolate {longest}"
            )
            raise UserError(
                f"Column {name!r} has no value at {axis.label(begin)}{place}, {int(missing.sum())} are missing in all: "
                f"{advice}."
            )
