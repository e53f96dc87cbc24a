"""Texts with one class each: the embedded paragraphs, and the user's CSV files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.csv_files import named_file
from applications.datasets.data import FRACTIONS, TEXT_NAMES
from applications.datasets.splits import ALL_TEST, check_fractions, split_indices
from applications.datasets.text_files import sha256

if TYPE_CHECKING:
    import numpy as np

    from applications.datasets.csv_files import CsvFile

MOST_CLASSES = 0.5  # classes per text; with more of them the column is no class


@dataclass(frozen=True, eq=False)
class TextData:
    """Texts, checked and split; the counterpart of `Datasets`.

    Attributes:
        name, description, split, ids, groups, skipped, warnings, fingerprint: as in `Datasets`.
        texts: N texts.
        labels: `(N,)` int64 class numbers.
        class_names: one per class.
        tokenizer: the `tokenizer.json` learnt from the training texts, once there is one.
    """

    name: str
    description: str
    texts: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    split: dict[str, np.ndarray]
    ids: tuple[str, ...]
    groups: np.ndarray | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    tokenizer: str | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def sha256(self) -> str:
        """SHA-256 of all texts in their order."""
        return sha256(*self.texts)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when texts, classes or names change (not with the split)."""
        return sha256(self.sha256, repr((self.class_names, self.labels.tolist(), self.ids)))[:16]

    def part(self, split: str) -> list[str]:
        """Returns the texts of one part."""
        return [self.texts[index] for index in self.split[split]]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": list(self.class_names),
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "sha256": self.sha256,
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [list(entry) for entry in self.skipped],
        }


def load_texts(
    data: str,
    *,
    text_column: str = "text",
    label_column: str = "label",
    separator: str = "auto",
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
) -> TextData:
    """Loads texts with one class each.

    Args:
        data: `pydoc` (embedded), or a CSV file with a column of texts and a column of classes.
        text_column: name of the column of texts.
        label_column: name of the column of classes.
        separator: as in `read_csv`.
        fractions: shares of training, validation and test, of each class.
        seed: fixes the split.

    Returns:
        The texts. Rows without a text or a class are left out, of repeated texts the first is taken.

    Raises:
        UserError: one sentence for the user.

    Example:
        >>> load_texts("pydoc").class_names[:3]
        ('containers', 'debugger', 'expressions')
    """
    check_fractions(fractions)
    if data in TEXT_NAMES:
        return _pydoc(fractions, seed)
    file = read_texts(named_file(data, TEXT_NAMES, "text"), text_column, separator)
    if label_column not in file.names:
        raise UserError(_no_column(file, label_column, "label_column"))
    texts, labels = file.column(text_column), file.column(label_column)
    rows: dict[str, int] = {}
    missing, repeated, contradictory = 0, 0, 0
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if text is None or label is None:
            missing += 1
        elif (key := " ".join(text.casefold().split())) in rows:
            repeated += 1
            contradictory += labels[rows[key]] != label
        else:
            rows[key] = row
    kept = list(rows.values())
    remarks = list(file.warnings)
    if missing:
        remarks.append(f"{missing} rows without a text or without a class were left out.")
    if repeated:
        other = f" ({contradictory} of them with another class)" if contradictory else ""
        remarks.append(
            f"{repeated} texts occur again{other}; the first of each is taken, so that no part knows another."
        )
    names = sorted({str(labels[row]) for row in kept})
    _check_classes(file, label_column, names, len(kept), fractions)
    number = {name: index for index, name in enumerate(names)}
    return _data(
        [str(texts[row]) for row in kept],
        [number[str(labels[row])] for row in kept],
        names,
        name=file.path.stem,
        description=f"The user's own texts {str(file.path)!r}: {len(kept)} texts of {len(names)} classes.",
        ids=tuple(f"line {file.lines[row]}" for row in kept),
        warnings=tuple(remarks),
        fractions=fractions,
        seed=seed,
    )


def _pydoc(fractions: tuple[float, float, float], seed: int) -> TextData:
    from applications.datasets.embedded.pydoc import pydoc_paragraphs

    texts, families, left_out = pydoc_paragraphs()
    names = sorted(set(families))
    missing = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return _data(
        texts,
        [names.index(family) for family in families],
        names,
        name="pydoc",
        description="Real English: paragraphs of Python's own documentation (pydoc_data of the standard library), by "
        f"the family of their topic. Split by paragraph, each taken once (left out: {missing}).",
        ids=tuple(f"paragraph {number + 1}" for number in range(len(texts))),
        warnings=(),
        fractions=fractions,
        seed=seed,
    )


def _data(
    texts: list[str], labels: list[int], names: list[str], *, fractions: Any, seed: int, **about: Any
) -> TextData:
    import numpy as np

    numbers = np.array(labels, np.int64)
    split = split_indices(numbers, fractions=fractions, seed=seed)
    return TextData(texts=tuple(texts), labels=numbers, class_names=tuple(names), split=split, **about)


def read_texts(path: Path, text_column: str, separator: str) -> CsvFile:
    """Reads a CSV file that has a column of texts."""
    from applications.datasets.csv_files import read_csv

    try:
        file = read_csv(path, separator)
    except csv.Error as error:
        raise UserError(f"File {str(path)!r} is no table of texts: {error}.") from None
    if text_column not in file.names:
        raise UserError(_no_column(file, text_column, "text_column"))
    return file


def _no_column(file: CsvFile, name: str, option: str) -> str:
    written = option.replace("_", "-")
    return (
        f"{option}: {str(file.path)!r} has no column {name!r}; it has {', '.join(file.names)}."
        f"{nearest(name, file.names)} --{written} names it."
    )


def _check_classes(file: CsvFile, column: str, names: list[str], count: int, fractions: Any) -> None:
    """Refuses what cannot be learnt; texts that are only evaluated need not be many, nor of all classes."""
    if not count:
        raise UserError(f"File {str(file.path)!r} holds no text with a class.")
    if fractions == ALL_TEST:
        return
    if len(names) < 2:
        raise UserError(
            f"Column {column!r} of {str(file.path)!r} has one class only ({names[0]!r}); classification needs at least "
            "two."
        )
    if len(names) > max(2, MOST_CLASSES * count):
        raise UserError(
            f"Column {column!r} of {str(file.path)!r} has {len(names)} different values in {count} rows, too many for "
            "classes; --label-column names another column."
        )
