"""Classes of the objects in label images: a table `classes.csv` with the columns image, object, class."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError, nearest
from applications.datasets.readers import plain

if TYPE_CHECKING:
    import numpy as np

CLASS_TABLE = "classes.csv"
COLUMNS = ("image", "object", "class")


def object_classes(
    root: Path, names: Sequence[str], ids: Sequence[Sequence[int]]
) -> tuple[tuple[str, ...], tuple[np.ndarray, ...]] | None:
    """Reads the table of classes.

    Args:
        root: The folder that has it, or not.
        names: The images; the table names them with or without folder and suffix.
        ids: For each image the numbers that its objects 1 to n have in the file.

    Returns:
        The names, the background first, and for each image the classes of its objects, numbers in these; None where
        there is no table.

    Raises:
        UserError: The table lacks a column or an object, or names an image or an object that there is not.
    """
    import numpy as np

    path = root / CLASS_TABLE
    if not path.is_file():
        return None
    table = _read(path)
    known: dict[str, int] = {}
    for index, name in enumerate(names):
        for word in (name, Path(name).name, Path(name).stem):
            known.setdefault(_key(word), index)
    given: list[dict[int, str]] = [{} for _ in names]
    for line, (image, number, name) in table:
        if _key(image) in known:  # images may have been left out
            given[known[_key(image)]][_number(number, path, line)] = name
    if not any(given):
        first = table[0][1][0]
        raise UserError(f"{CLASS_TABLE} names the image {first!r}, which there is not.{nearest(first, names)}")
    class_names = ("background", *sorted({name for classes in given for name in classes.values()}))
    found = []
    for name, numbers, classes in zip(names, ids, given, strict=True):
        missing = [number for number in numbers if number not in classes]
        if missing:
            raise UserError(f"{CLASS_TABLE} has no class for object {missing[0]} of {name!r}; every object needs one.")
        strangers = sorted(set(classes) - set(numbers))
        if strangers:
            raise UserError(
                f"{CLASS_TABLE} names object {strangers[0]} of {name!r}, whose label image has "
                f"{'no numbered objects' if not numbers else f'the numbers {numbers[0]} to {numbers[-1]}'}."
            )
        found.append(np.array([class_names.index(classes[number]) for number in numbers], np.int64))
    return class_names, tuple(found)


def _read(path: Path) -> list[tuple[int, tuple[str, str, str]]]:
    """Returns line number and the three values of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{str(path)!r} cannot be read ({error}).") from None
    have = [] if not rows else [name for name in rows[0] if name]
    lacking = [name for name in COLUMNS if name not in have]
    if lacking:
        raise UserError(
            f"{CLASS_TABLE} needs the columns {', '.join(COLUMNS)} and at least one row, but has "
            f"{', '.join(have) or 'none'}."
        )
    found = [(line, tuple((row[name] or "").strip() for name in COLUMNS)) for line, row in enumerate(rows, start=2)]
    for line, values in found:
        if not all(values):
            raise UserError(f"{CLASS_TABLE} lacks a value in line {line}.")
    return found  # type: ignore[return-value]


def _number(text: str, path: Path, line: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{path.name} has {text!r} in line {line}, where the number of an object belongs.") from None


def _key(name: str) -> str:
    return plain(name).casefold()
