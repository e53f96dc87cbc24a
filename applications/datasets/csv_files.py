"""One CSV file as people have them: any separator, decimal comma, byte order mark, odd names, empty lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from applications.core.errors import UserError, nearest
from applications.datasets.readers import plain

TABLE_SUFFIXES = (".csv", ".tsv")
SEPARATORS = (",", ";", "\t", "|")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "."})
_POINT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3},\d{3}")
_COMMA = re.compile(r"[-+]?(\d+,?\d*|,\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class CsvFile:
    """The cells of a CSV file, still text.

    Attributes:
        path: the file.
        names: names of the columns, each once.
        columns: one list of cells per column, stripped; a missing value is None.
        lines: line number in the file of each row.
        decimal: "." or ",".
        warnings: sentences about what had to be mended.
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[list[str | None], ...]
    lines: tuple[int, ...]
    decimal: str
    warnings: tuple[str, ...]

    def column(self, name: str) -> list[str | None]:
        """Returns the cells of a column."""
        return self.columns[self.names.index(name)]


def read_csv(path, separator: str = "auto") -> CsvFile:
    """Reads a CSV file with a line of names on top.

    Args:
        path: file name.
        separator: one character, "tab", or "auto" for whichever of comma, semicolon, tab and bar divides the first
            lines evenly.

    Returns:
        Its cells. Empty lines are left out; values such as `NA`, `?` or nothing count as missing.

    Raises:
        UserError: when the file is missing or empty, has no names, or a row has too few or too many cells.
    """
    path = Path(path)
    text, warnings = _decoded(path)
    sign = {"auto": None, "tab": "\t", "\\t": "\t"}.get(separator, separator)
    if sign is not None and len(sign) != 1:
        raise UserError(f"separator: expected one character, `tab` or `auto`, received {separator!r}.")
    sign = sign or _find_separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        what = "is empty" if not rows else "holds one line only"
        raise UserError(f"File {str(path)!r} {what}; it needs a line of column names and rows of values below.")
    names, remarks = _names(path, rows[0][1], sign)
    for line, row in rows[1:]:
        if len(row) != len(names):
            shown = {"\t": "tab"}.get(sign, sign)
            raise UserError(
                f"File {str(path)!r}, line {line}: {len(row)} cells where the names promise {len(names)} (separator "
                f"{shown!r}); mend the line, or choose another separator by --separator."
            )
    cells = [[None if cell.lower() in MISSING else plain(cell) for cell in row] for _, row in rows[1:]]
    columns = tuple(list(column) for column in zip(*cells, strict=True))
    decimal = "," if _has_decimal_comma(columns, sign) else "."
    return CsvFile(path, names, columns, tuple(line for line, _ in rows[1:]), decimal, (*warnings, *remarks))


def named_file(data: str, embedded: Sequence[str], what: str) -> Path:
    """Returns the CSV file that `data` names, also the only one in a folder.

    Args:
        data: what the user gave.
        embedded: names of the embedded data sets of the task.
        what: what these are, for the message: "table", "text", "series".

    Raises:
        UserError: an unknown name, or a folder with none or several CSV files.
    """
    path = Path(data).expanduser()
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in TABLE_SUFFIXES)
        if len(found) == 1:
            return found[0]
        raise UserError(f"Data {data!r} is a folder with {len(found)} CSV files; name the file.")
    if not path.exists() and len(path.parts) == 1 and not path.suffix:
        raise UserError(
            f"Unknown data {data!r}: neither an embedded {what} ({', '.join(embedded)}) nor a CSV file that "
            f"exists.{nearest(data, embedded)}"
        )
    return path


def find_tables(inputs: Iterable[str | Path]) -> list[Path]:
    """Returns the CSV files that inputs name; folders stand for all CSV files in them."""
    found: list[Path] = []
    for item in map(Path, inputs):
        inside = sorted(p for p in item.iterdir() if p.suffix.lower() in TABLE_SUFFIXES) if item.is_dir() else []
        if item.is_dir() and not inside:
            raise UserError(f"Folder '{item}' holds no CSV file.")
        found += inside or [item]
    return found


def number(cell: str, decimal: str) -> float | None:
    """Returns a cell as a number, or None where it is none."""
    pattern = _COMMA if decimal == "," else _POINT
    compact = cell.replace("\N{MINUS SIGN}", "-")
    return float(compact.replace(",", ".")) if pattern.fullmatch(compact) else None


def _decoded(path: Path) -> tuple[str, list[str]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"File {str(path)!r} does not exist (looked for {str(path.absolute())!r}).") from None
    except OSError as error:
        raise UserError(f"File {str(path)!r} cannot be read: {error.strerror}.") from None
    if b"\0" in content[:4096]:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16"), []
        raise UserError(f"File {str(path)!r} is no text; save the table as CSV.")
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        warning = f"File {path.name!r} is no UTF-8 text and was read as Windows-1252; check names with accents."
        return content.decode("cp1252", errors="replace"), [warning]


def _find_separator(text: str) -> str:
    """Returns the separator that divides the first lines into the same number of cells, the more the better."""
    sample = [line for line in text.splitlines()[:50] if line.strip()]
    best, most = ",", 1
    for sign in SEPARATORS:
        counts = [len(row) for row in csv.reader(sample, delimiter=sign) if row]
        if counts and counts[0] > most and sum(count == counts[0] for count in counts) >= 0.8 * len(counts):
            best, most = sign, counts[0]
    return best


def _names(path: Path, row: list[str], separator: str) -> tuple[tuple[str, ...], list[str]]:
    """Returns the names of the columns, made different where they are not."""
    if all(_POINT.fullmatch(cell) or _COMMA.fullmatch(cell) for cell in row):
        raise UserError(
            f"The first line of {str(path)!r} holds numbers only ({separator.join(row)[:60]!r}); put a line with the "
            "names of the columns on top."
        )
    names: list[str] = []
    remarks = []
    for position, cell in enumerate(row, start=1):
        name = plain(cell) or f"column {position}"
        if name in names:
            number = next(n for n in range(2, len(row) + 2) if f"{name} ({n})" not in names)
            remarks.append(f"Two columns are named {name!r}; the one at position {position} is {name} ({number}) here.")
            name = f"{name} ({number})"
        names.append(name)
    return tuple(names), remarks


def _has_decimal_comma(columns: Iterable[Iterable[str | None]], separator: str) -> bool:
    """Whether numbers are written 1,5: some cells are such numbers, and none has a point.

    Between commas 1,234 is more likely a thousand and some, so there another number has to prove it.
    """
    found = False
    for column in columns:
        for cell in column:
            if cell is not None and "," in cell and _COMMA.fullmatch(cell):
                found = found or separator != "," or not _THOUSANDS.fullmatch(cell)
            elif cell is not None and "." in cell and _POINT.fullmatch(cell):
                return False
    return found
