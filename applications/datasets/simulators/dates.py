"""Dates as people write them: fifteen formats, every day of a hundred years, and typos in the names of months."""

from __future__ import annotations

import datetime
import string
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

# What two digits of a year mean in POSIX and to `datetime.strptime`, so that none is ambiguous.
FIRST, LAST = datetime.date(1969, 1, 1), datetime.date(2068, 12, 31)
NUM_DAYS = (LAST - FIRST).days + 1
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMES = {name: number for number, month in enumerate(MONTHS) for name in (month.lower(), month[:3].lower())}


class Format(NamedTuple):
    """One way to write a date.

    Attributes:
        example: 3 May 1997 in it.
        write: Date and name of its month -> text.
        months: How long names of months are in it: None whole, 3 cut, 0 not there at all.
        pattern: The same for `datetime.strptime`, once ordinals have lost their letters.
    """

    example: str
    write: Callable[[datetime.date, str], str]
    months: int | None
    pattern: str


def ordinal(day: int) -> str:
    """Returns 1st, 2nd, 3rd, 4th, ..."""
    last = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th") if day not in (11, 12, 13) else "th"
    return f"{day}{last}"


def _weekday(date: datetime.date) -> str:
    return DAYS[date.weekday()]


FORMATS = (
    Format("3 May 1997", lambda d, m: f"{d.day} {m} {d.year}", None, "%d %B %Y"),
    Format("May 3, 1997", lambda d, m: f"{m} {d.day}, {d.year}", None, "%B %d, %Y"),
    Format("May 3rd, 97", lambda d, m: f"{m} {ordinal(d.day)}, {d:%y}", 3, "%b %d, %y"),
    Format("the 3rd of May 1997", lambda d, m: f"the {ordinal(d.day)} of {m} {d.year}", None, "the %d of %B %Y"),
    Format("Saturday, 03.05.1997", lambda d, m: f"{_weekday(d)}, {d:%d.%m.%Y}", 0, "%A, %d.%m.%Y"),
    Format("03.05.1997", lambda d, m: f"{d:%d.%m.%Y}", 0, "%d.%m.%Y"),
    Format("3.5.97", lambda d, m: f"{d.day}.{d.month}.{d:%y}", 0, "%d.%m.%y"),
    Format("05/03/1997", lambda d, m: f"{d:%m/%d/%Y}", 0, "%m/%d/%Y"),
    Format("05/03/97", lambda d, m: f"{d:%m/%d/%y}", 0, "%m/%d/%y"),
    Format("1997/05/03", lambda d, m: f"{d:%Y/%m/%d}", 0, "%Y/%m/%d"),
    Format("19970503", lambda d, m: f"{d:%Y%m%d}", 0, "%Y%m%d"),
    Format("Sat 3 May 1997", lambda d, m: f"{_weekday(d)[:3]} {d.day} {m} {d.year}", 3, "%a %d %b %Y"),
    Format("03-May-97", lambda d, m: f"{d:%d}-{m}-{d:%y}", 3, "%d-%b-%y"),
    Format(
        "Saturday, May 3rd, 1997",
        lambda d, m: f"{_weekday(d)}, {m} {ordinal(d.day)}, {d.year}",
        None,
        "%A, %B %d, %Y",
    ),
    Format("3 May '97", lambda d, m: f"{d.day} {m} '{d:%y}", 3, "%d %b '%y"),
)


class WrittenDate(NamedTuple):
    """A date as somebody wrote it.

    Attributes:
        text: What was written.
        iso: The date, as in 1997-05-03.
        format: Number of its format.
        typo: Whether the name of the month has a typo.
    """

    text: str
    iso: str
    format: int
    typo: bool


def write_date(day: int, form: int, typo: bool, random: np.random.Generator) -> WrittenDate:
    """Writes one date.

    Args:
        day: Its number, 0 is the first of January 1969.
        form: Number of the format.
        typo: Whether to mistype the month, where it has a name.
        random: For the typo.
    """
    date, how = FIRST + datetime.timedelta(days=day), FORMATS[form]
    month = MONTHS[date.month - 1][: how.months]
    typo = typo and how.months != 0
    return WrittenDate(how.write(date, mistyped(month, random) if typo else month), date.isoformat(), form, typo)


def mistyped(month: str, random: np.random.Generator) -> str:
    """Returns the name of a month with one letter wrong, missing, added or swapped with the next.

    It is drawn anew until no other month is as near: from "Jxn" nobody can tell January from June.
    """
    letters, number = string.ascii_lowercase, _NAMES[month.lower()]
    while True:
        place, letter = int(random.integers(len(month))), letters[random.integers(26)]
        kind = random.integers(4)
        if kind == 0:
            text = month[:place] + letter + month[place + 1 :]
        elif kind == 1:
            text = month[:place] + month[place + 1 :]
        elif kind == 2:
            text = month[: place + 1] + letter + month[place + 1 :]
        else:
            text = month[:place] + month[place : place + 2][::-1] + month[place + 2 :]
        near = {other for name, other in _NAMES.items() if one_edit_apart(text.lower(), name)}
        if text.lower() not in _NAMES and near == {number}:
            return text


def one_edit_apart(a: str, b: str) -> bool:
    """Whether two words are equal, or one wrong, missing, added or swapped letter makes one of the other."""
    if len(a) < len(b):
        a, b = b, a
    if len(a) - len(b) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(b))
    if len(a) > len(b):
        return a[start + 1 :] == b[start:]
    swapped = a[start : start + 2][::-1] == b[start : start + 2] and a[start + 2 :] == b[start + 2 :]
    return swapped or a[start + 1 :] == b[start + 1 :]


def simulate_dates(count: int, per_day: int, typos: float, seed: int) -> list[WrittenDate]:
    """Writes dates.

    Args:
        count: Different calendar dates.
        per_day: Times that each is written, in different formats.
        typos: Fraction of the names of months with a typo.
        seed: Fixes dates, formats and typos.

    Returns:
        `count * per_day` dates, those of one day side by side.

    Example:
        >>> simulate_dates(1, 1, 0.0, seed=0)[0].text
        'Jan 24th, 54'
    """
    import numpy as np

    random = np.random.default_rng(seed)
    days = random.choice(NUM_DAYS, count, replace=False)
    forms = [random.permutation(len(FORMATS))[:per_day] for _ in days]
    return [
        write_date(int(day), int(form), bool(random.uniform() < typos), random)
        for day, chosen in zip(days, forms, strict=True)
        for form in chosen
    ]


def read_date(text: str) -> str:
    """Returns a date by rules: the known formats of `datetime.strptime`, or nothing.

    This is what most programs do. It is never wrong about a date without a typo, and knows nothing about others.
    """
    import re

    plain = re.sub(r"(\d)(st|nd|rd|th)\b", r"\1", text)
    for how in FORMATS:
        try:
            return datetime.datetime.strptime(plain, how.pattern).date().isoformat()
        except ValueError:
            continue
    return ""
