"""Evenly spaced times: read from text, checked, continued beyond their end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

TIME_NAMES = ("time", "date", "datetime", "timestamp", "datum", "zeit", "ds", "year", "month", "week", "day", "t")
FORMS = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S")
DAY = 86400.0
# Step in seconds -> steps in the season people look for first; months have their own.
SEASONS = {900.0: 96, 1800.0: 48, 3600.0: 24, DAY: 7, 7 * DAY: 52}
_YEAR = re.compile(r"[12]\d{3}")
_MONTH = re.compile(r"([12]\d{3})-(\d{1,2})")
_QUARTER = re.compile(r"([12]\d{3})[- ]?[qQ]([1-4])")


@dataclass(frozen=True)
class TimeAxis:
    """Times `start`, `start + step`, `start + 2 step` ...

    Attributes:
        unit: "seconds", "months", "number" (a time that is a plain number) or "rows" (no time at all).
        start: datetime, or a number.
        step: in the unit.
        form: How dates are written, as in `strftime`.
        month_end: Whether dates are the last days of their months.
    """

    unit: str
    start: Any
    step: float
    form: str = ""
    month_end: bool = False

    @property
    def frequency(self) -> str:
        """The step in words."""
        if self.unit == "rows":
            return "1 row"
        if self.unit == "number":
            return f"{self.step:g}"
        if self.unit == "months":
            count, word = (self.step / 12, "year") if self.step % 12 == 0 else (self.step, "month")
        else:
            sizes = (("day", DAY), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))
            word, size = next((pair for pair in sizes if self.step % pair[1] == 0), sizes[-1])
            count = self.step / size
        return f"{count:g} {word}{'s' * (count != 1)}"

    @property
    def season(self) -> int:
        """Steps in the season that such times usually have; 1 where there is none."""
        if self.unit == "months":
            return int(12 // self.step) if 12 % self.step == 0 else 1
        return SEASONS.get(self.step, 1) if self.unit == "seconds" else 1

    def at(self, index: int) -> Any:
        """Returns the time of a step: a datetime, or a number."""
        if self.unit == "seconds":
            return self.start + timedelta(seconds=self.step * index)
        if self.unit != "months":
            return self.start + self.step * index
        months = self.start.month - 1 + round(self.step) * index
        day = self.start.replace(year=self.start.year + months // 12, month=months % 12 + 1, day=1)
        if not self.month_end:
            return day.replace(day=self.start.day)
        return (day + timedelta(days=32)).replace(day=1) - timedelta(days=1)

    def label(self, index: int) -> str:
        """Returns the time of a step as it would stand in the file."""
        time = self.at(index)
        return time.strftime(self.form) if isinstance(time, datetime) else f"{time:.10g}"

    def calendar(self) -> tuple[str, ...]:
        """Returns the cycles of the calendar that mean something at this step: "year", "week", "day"."""
        if self.unit not in ("seconds", "months"):
            return ()
        step = self.step * (1.0 if self.unit == "seconds" else 30 * DAY)
        return tuple(
            name
            for name, low, high in (("year", DAY, 200 * DAY), ("week", 0.0, 3 * DAY), ("day", 0.0, 12 * 3600.0))
            if low <= step <= high
        )

    def phases(self, cycles: Sequence[str], first: int, count: int) -> np.ndarray:
        """Returns sine and cosine of the place in each cycle, (count, 2 * cycles)."""
        import numpy as np

        turns = np.array([[phase(self.at(index), name) for name in cycles] for index in range(first, first + count)])
        angles = 2 * np.pi * turns.reshape(count, len(cycles))
        return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(count, 2 * len(cycles))


def phase(time: datetime, cycle: str) -> float:
    """Returns how much of the year, the week or the day is over, from 0 to 1."""
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    day = (time - midnight).total_seconds() / DAY
    if cycle == "day":
        return day
    if cycle == "week":
        return (time.weekday() + day) / 7
    begin = time.replace(month=1, day=1)
    return ((midnight - begin.replace(hour=0, minute=0, second=0, microsecond=0)).days + day) / 365.25


def read_time(cell: str, form: str | None = None) -> tuple[datetime, str] | None:
    """Reads a time: ISO 8601, a year, a month, a quarter, day.month.year, or as `form` says.

    Returns:
        The time (of another zone: in UTC) and the form to write such times in; None where it is no time.
    """
    if form is not None:
        try:
            return datetime.strptime(cell, form), form
        except ValueError:
            return None
    if _YEAR.fullmatch(cell):
        return datetime(int(cell), 1, 1), "%Y"
    if found := _MONTH.fullmatch(cell):
        return (datetime(int(found[1]), int(found[2]), 1), "%Y-%m") if 1 <= int(found[2]) <= 12 else None
    if found := _QUARTER.fullmatch(cell):
        return datetime(int(found[1]), 3 * int(found[2]) - 2, 1), "%Y-%m"
    for pattern in (None, *FORMS):
        try:
            time = datetime.fromisoformat(cell) if pattern is None else datetime.strptime(cell, pattern)
        except ValueError:
            continue
        if time.tzinfo is not None:
            time = time.astimezone(UTC).replace(tzinfo=None)
        return time, pattern or ("%Y-%m-%d" if len(cell) <= 10 else "%Y-%m-%d %H:%M:%S")
    return None


def axis_of(times: Sequence[Any], where: Sequence[str], form: str = "%Y-%m-%d") -> tuple[TimeAxis, np.ndarray]:
    """Finds the even axis that times lie on.

    Args:
        times: Datetimes, or numbers, in the order of the file.
        where: The place of each for messages, such as "line 3".
        form: How dates are written.

    Returns:
        The axis and the step number of each time; numbers are left out where times are missing.

    Raises:
        UserError: Times that are doubled, unsorted, or do not lie on an even axis.
    """
    import numpy as np

    dates = isinstance(times[0], datetime)

    def text(time: Any) -> str:
        return time.strftime(form) if dates else f"{time:.10g}"

    differences = [
        (after - before).total_seconds() if dates else float(after - before) for before, after in pairwise(times)
    ]
    for row, difference in enumerate(differences, start=1):
        if difference == 0:
            raise UserError(f"The time {text(times[row])} comes twice, in {where[row - 1]} and {where[row]}; keep one.")
        if difference < 0:
            raise UserError(
                f"The time {text(times[row])} in {where[row]} comes before that of {where[row - 1]}, "
                f"{text(times[row - 1])}; sort the rows by time."
            )
    ends = dates and all((time + timedelta(days=1)).day == 1 for time in times)
    unit = "seconds" if dates else "number"
    if dates and min(differences) >= 28 * DAY and (ends or len({time.day for time in times}) == 1):
        unit, counts = "months", [12 * time.year + time.month for time in times]
        differences = [float(after - before) for before, after in pairwise(counts)]
    step = _step(differences)
    axis = TimeAxis(unit, times[0], step, form if dates else "", ends)
    steps = np.cumsum([0.0, *differences]) / step
    numbers = np.rint(steps).astype(np.int64)
    for row, difference in enumerate(differences, start=1):
        if abs(difference / step - round(difference / step)) > 1e-3:
            raise UserError(
                f"The times are irregular: {text(times[row])} in {where[row]} does not lie a whole number of steps "
                f"({axis.frequency}) after {text(times[row - 1])}; resample the series to even times."
            )
    return axis, numbers


def _step(differences: Sequence[float]) -> float:
    """Returns the commonest difference; of several numbers that are nearly equal, their middle."""
    rounded = Counter(float(f"{difference:.5g}") for difference in differences)
    common = max(rounded, key=lambda value: (rounded[value], -value))
    near = sorted(difference for difference in differences if abs(difference - common) <= 1e-4 * common)
    return near[len(near) // 2] if near else common
