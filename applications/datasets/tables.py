"""Tables with typed columns and one target: embedded data sets and the user's CSV files."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.csv_files import CsvFile, named_file, number, read_csv
from applications.datasets.data import FRACTIONS, TABLE_NAMES
from applications.datasets.readers import natural_key
from applications.datasets.splits import check_fractions, split_indices

if TYPE_CHECKING:
    import numpy as np

KINDS = ("number", "category", "ignore")
MISSING_CATEGORY = "(missing)"
MOST_CLASSES = 10  # whole numbers with more different values than this are no class numbers
MOST_CATEGORIES = 50


@dataclass(frozen=True, eq=False)
class Column:
    """One input column.

    Attributes:
        name: its name in the file.
        kind: "number" or "category".
        values: `(N,)` float64 with NaN where missing, or `(N,)` str with `MISSING_CATEGORY`.
    """

    name: str
    kind: str
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class TableData:
    """A table, checked, typed and split; the counterpart of `Datasets`.

    Attributes:
        name, description, split, ids, groups, skipped, warnings, fingerprint: as in `Datasets`.
        columns: the inputs.
        target: name of the target column.
        labels: `(N,)` int64 class numbers, or None for regression.
        values: `(N,)` float64 targets, or None for classification.
        class_names: one per class, empty for regression.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    target: str
    split: dict[str, np.ndarray]
    ids: tuple[str, ...]
    labels: np.ndarray | None = None
    values: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when names, kinds or values change (not with the split)."""
        import hashlib

        digest = hashlib.sha256(repr((self.target, self.class_names, self.ids)).encode())
        for column in self.columns:
            digest.update(repr((column.name, column.kind, column.values.tolist())).encode())
        for array in (self.labels, self.values):
            digest.update(repr(None if array is None else array.tolist()).encode())
        return digest.hexdigest()[:16]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": list(self.class_names),
            "columns": {column.name: column.kind for column in self.columns},
            "target": self.target,
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [list(entry) for entry in self.skipped],
        }


def load_table(
    data: str,
    *,
    target: str | None = None,
    problem: str = "auto",
    kinds: Mapping[str, Any] | None = None,
    separator: str = "auto",
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
) -> TableData:
    """Loads a table with one target column.

    Args:
        data: `breast_cancer`, `wine`, `diabetes`, `xor` (embedded), or a CSV file.
        target: name of the target column, default the last one.
        problem: "regression", "classification" or "auto": text and up to ten different whole numbers are classes.
        kinds: column name -> "number", "category" or "ignore" where the guess is not wanted; the name "*" stands
            for all columns not named.
        separator: as in `read_csv`.
        fractions: shares of training, validation and test.
        seed: fixes the split.

    Returns:
        The table.

    Raises:
        UserError: one sentence for the user.

    Example:
        >>> table = load_table("wine")
        >>> len(table), len(table.columns), table.num_classes
        (178, 13, 3)
    """
    check_fractions(fractions)
    if data in TABLE_NAMES:
        if target is not None or kinds:
            raise UserError(f"Data set {data!r} is typed already; target and columns are for your own CSV files.")
        from applications.datasets.embedded.tables import embedded_table

        return embedded_table(data, fractions=fractions, seed=seed)
    file = read_csv(named_file(data, TABLE_NAMES, "table"), separator)
    wanted = _wanted_kinds(kinds or {}, file)
    target = _target(target, file)
    kept = [row for row, cell in enumerate(file.column(target)) if cell is not None]
    warnings = list(file.warnings)
    if len(kept) < len(file.lines):
        warnings.append(f"{len(file.lines) - len(kept)} rows without a value of {target!r} were left out.")
    if len(kept) < 3:
        raise UserError(
            f"File {str(file.path)!r} has {len(kept)} rows with a value of {target!r}; at least 3 are needed."
        )
    columns, remarks = typed_columns(file, kept, {**wanted, target: "ignore"})
    if not columns:
        raise UserError(f"File {str(file.path)!r} has no usable input column beside the target {target!r}.")
    labels, values, class_names = _targets(file, target, kept, problem)
    split = split_indices(len(kept) if labels is None else labels, fractions=fractions, seed=seed)
    what = f"classification of {target!r} ({len(class_names)} classes)" if class_names else f"regression of {target!r}"
    return TableData(
        name=file.path.stem,
        description=f"The user's own table {str(file.path)!r}: {what} from {len(columns)} columns.",
        columns=tuple(columns),
        target=target,
        split=split,
        ids=tuple(str(file.lines[row]) for row in kept),
        labels=labels,
        values=values,
        class_names=class_names,
        warnings=(*warnings, *remarks, *_missing_remarks(columns)),
    )


def _wanted_kinds(kinds: Mapping[str, Any], file: CsvFile) -> dict[str, str]:
    """Returns the kind of each column that the user has said, names spelt as in the file."""
    flat = _flat(kinds)
    others = flat.pop("*", None)
    spelling = {_loose(name): name for name in file.names}
    wanted = {}
    for name, kind in flat.items():
        if _loose(name) not in spelling:
            raise UserError(f"columns: {file.path.name!r} has no column {name!r}.{nearest(name, file.names)}")
        wanted[spelling[_loose(name)]] = kind
    if others is not None:
        wanted = dict.fromkeys(file.names, others) | wanted
    for name, kind in wanted.items():
        if kind not in KINDS:
            raise UserError(
                f"columns.{name}: expected {', '.join(KINDS)}, received {kind!r}.{nearest(str(kind), KINDS)}"
            )
    return wanted


def _flat(kinds: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Undoes the nesting that a dot in a column's name makes on the command line."""
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        found |= _flat(kind, f"{prefix}{name}.") if isinstance(kind, Mapping) else {prefix + str(name): kind}
    return found


def _loose(name: str) -> str:
    """On the command line a hyphen in an option becomes an underscore."""
    return name.replace("-", "_")


def _target(target: str | None, file: CsvFile) -> str:
    if len(file.names) < 2:
        raise UserError(
            f"File {str(file.path)!r} has one column only ({file.names[0]!r}); a target and at least one input are "
            "needed (is the separator right? --separator sets it)."
        )
    if target is None:
        return file.names[-1]
    if target not in file.names:
        raise UserError(
            f"target: {file.path.name!r} has no column {target!r}; it has {', '.join(file.names)}."
            f"{nearest(target, file.names)}"
        )
    return target


def typed_columns(file: CsvFile, rows: Sequence[int], wanted: Mapping[str, str]) -> tuple[list[Column], list[str]]:
    """Returns the input columns with their kinds, and sentences about columns left out.

    Args:
        file: the cells.
        rows: numbers of the rows to use.
        wanted: kinds that are not to be guessed.
    """
    import numpy as np

    columns, remarks = [], []
    for name in file.names:
        cells = [file.column(name)[row] for row in rows]
        kind = wanted.get(name)
        if kind is None:
            kind, reason = _guess(file, name, cells, [file.lines[row] for row in rows])
            if kind == "ignore":
                remarks.append(f"Column {name!r} was left out: {reason}; --columns.{_loose(name)} KIND keeps it.")
        if kind == "number":
            parsed = [None if cell is None else number(cell, file.decimal) for cell in cells]
            text = sum(value is None and cell is not None for value, cell in zip(parsed, cells, strict=True))
            if text:
                remarks.append(f"Column {name!r}: {text} values are no numbers and count as missing.")
            columns.append(Column(name, kind, np.array([np.nan if v is None else v for v in parsed], np.float64)))
        elif kind == "category":
            columns.append(Column(name, kind, np.array([MISSING_CATEGORY if c is None else c for c in cells])))
    return columns, remarks


def _guess(file: CsvFile, name: str, cells: list[str | None], lines: list[int]) -> tuple[str, str]:
    """Returns the kind of a column and, where it is to be left out, why."""
    present = [cell for cell in cells if cell is not None]
    if not present:
        return "ignore", "all values are missing"
    distinct = set(present)
    if len(distinct) == 1 and len(present) == len(cells):
        return "ignore", f"its value is {present[0]!r} in every row"
    values = [number(cell, file.decimal) for cell in present]
    numbers = [value for value in values if value is not None]
    if len(numbers) == len(present):
        steps = [b - a for a, b in itertools.pairwise(numbers)]
        # Rows left out for want of a target leave gaps.
        counts_up = len(cells) == len(numbers) >= 10 and all(step >= 1 and step.is_integer() for step in steps)
        counts_up = counts_up and numbers[-1] - numbers[0] < 2 * len(numbers)
        return ("ignore", "it numbers the rows") if counts_up else ("number", "")
    if len(numbers) >= 0.8 * len(present):
        line, cell = next(
            (line, cell)
            for line, cell in zip(lines, cells, strict=True)
            if cell is not None and number(cell, file.decimal) is None
        )
        raise UserError(
            f"Column {name!r} of {str(file.path)!r} holds numbers, but {len(present) - len(numbers)} of "
            f"{len(present)} values are none, the first {cell!r} in line {line}: correct them, or give "
            f"--columns.{_loose(name)} number (they count as missing) or category."
        )
    if len(distinct) >= 10 and len(distinct) > 0.9 * len(present):
        return "ignore", f"nearly every row has another text ({len(distinct)} different ones), as an identifier has"
    return "category", ""


def _targets(file: CsvFile, target: str, rows: Sequence[int], problem: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Returns class numbers, values and class names; either of the first two is None."""
    import numpy as np

    cells = [file.column(target)[row] or "" for row in rows]
    parsed = [number(cell, file.decimal) for cell in cells]
    text = [row for row, value in zip(rows, parsed, strict=True) if value is None]
    if problem == "auto":
        if text and len(text) <= 0.2 * len(rows):
            problem = "regression"  # which then complains about the text
        elif text or (len({*parsed}) <= MOST_CLASSES and all(float(v or 0).is_integer() for v in parsed)):
            problem = "classification"
        else:
            problem = "regression"
    if problem == "regression":
        if text:
            raise UserError(
                f"Target {target!r} of {str(file.path)!r} holds text, {file.column(target)[text[0]]!r} in line "
                f"{file.lines[text[0]]} ({len(text)} of {len(rows)} rows): correct it, or choose --problem "
                "classification."
            )
        values = np.array(parsed, np.float64)
        if np.ptp(values) == 0:
            raise UserError(f"Target {target!r} of {str(file.path)!r} is {values[0]:g} in every row; nothing to learn.")
        return None, values, ()
    # 1, 1.0 and 1,0 are one class
    names = cells if text else [f"{value:g}" for value in parsed]
    class_names = tuple(sorted(set(names), key=natural_key))
    if len(class_names) < 2:
        raise UserError(
            f"Target {target!r} of {str(file.path)!r} has one class only ({class_names[0]!r}); classification needs "
            "at least two (--target names another column)."
        )
    if len(class_names) > max(MOST_CLASSES, 0.5 * len(names)):
        raise UserError(
            f"Target {target!r} of {str(file.path)!r} has {len(class_names)} different values in {len(names)} rows, "
            "too many for classes; choose --problem regression, or another column by --target."
        )
    number_of = {name: index for index, name in enumerate(class_names)}
    return np.array([number_of[name] for name in names], np.int64), None, class_names


def _missing_remarks(columns: Sequence[Column]) -> list[str]:
    import numpy as np

    remarks = []
    for column in columns:
        numeric = column.kind == "number"
        count = int(np.isnan(column.values).sum() if numeric else (column.values == MISSING_CATEGORY).sum())
        if count:
            filled = "taken as the mean of the training rows" if numeric else "a category of their own"
            remarks.append(f"Column {column.name!r}: {count} of {len(column.values)} values are missing, {filled}.")
    return remarks
