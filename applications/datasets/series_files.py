"""Series in CSV files: which column is what, the times, and gaps filled or named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.csv_files import CsvFile, number
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
