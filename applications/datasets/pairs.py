"""Pairs of texts, one to be turned into the other: written dates, and the user's own TSV files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.data import FRACTIONS, PAIR_NAMES
from applications.datasets.splits import check_fractions, split_indices
from applications.datasets.text_files import read_text, sha256

if TYPE_CHECKING:
    import numpy as np

DATE_OPTIONS: dict[str, Any] = {"dates": 12_000, "per_day": 3, "typos": 0.3}


@dataclass(frozen=True, eq=False)
class PairData:
    """Pairs of texts, checked and split; the counterpart of `Datasets`.

    Attributes:
        name, description, split, ids, groups, skipped, warnings, fingerprint: as in `Datasets`; pairs of one group
            never lie in two parts.
        sources: N texts.
        targets: what they are to be turned into.
        kinds: how each source is written, for the report; empty where nothing is known about it.
        noisy: `(N,)` bool, whether a source has a typo, or None where nothing is known about it.
        tokenizers: the `tokenizer.json` of sources and of targets, once they are learnt.
    """

    name: str
    description: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    split: dict[str, np.ndarray]
    ids: tuple[str, ...]
    groups: np.ndarray | None = None
    kinds: tuple[str, ...] = ()
    noisy: np.ndarray | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    tokenizers: tuple[str, str] | None = None
    labels: None = None

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def class_names(self) -> tuple[str, ...]:
        """None: a target is a text."""
        return ()

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when texts change (not with the split)."""
        return sha256(*self.sources, *self.targets)[:16]

    def part(self, split: str) -> tuple[list[str], list[str]]:
        """Returns sources and targets of one part."""
        rows = self.split[split]
        return [self.sources[row] for row in rows], [self.targets[row] for row in rows]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": [],
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [list(entry) for entry in self.skipped],
        }


def load_pairs(
    data: str,
    *,
    options: dict[str, Any] | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
) -> PairData:
    """Loads pairs of texts.

    Args:
        data: `dates` (embedded simulator), or a TSV file: source, tab, target in each line, without names on top.
        options: Of `dates`: `dates` (calendar dates, at most 36525), `per_day` (times that each is written, 1 to 15),
            and `typos` (fraction of the names of months with one).
        fractions: Shares of training, validation and test.
        seed: Fixes the split; the same source, or the same calendar date, never lies in two parts.

    Returns:
        The pairs.

    Raises:
        UserError: One sentence for the user.

    Example:
        >>> pairs = load_pairs("dates", options={"dates": 100, "per_day": 1})
        >>> len(pairs), len(pairs.split["train"])
        (100, 70)
    """
    check_fractions(fractions)
    if data in PAIR_NAMES:
        return written_dates(options or {}, fractions, seed)
    if options:
        raise UserError(f"data_options belong to {', '.join(PAIR_NAMES)}, received {', '.join(options)} for {data!r}.")
    path = Path(data).expanduser()
    if not path.is_file():
        raise UserError(
            f"Unknown data {data!r}: neither an embedded set of pairs ({', '.join(PAIR_NAMES)}) nor a TSV file that "
            f"exists.{nearest(data, PAIR_NAMES)}"
        )
    return _of_file(path, fractions, seed)


def written_dates(options: dict[str, Any], fractions: tuple[float, float, float], seed: int) -> PairData:
    """Simulates dates in fifteen formats and what they are in ISO 8601; parts have no calendar date in common."""
    import numpy as np

    from applications.datasets.simulators.dates import FORMATS, NUM_DAYS, simulate_dates

    chosen = {**DATE_OPTIONS, **options}
    _check_date_options(chosen, NUM_DAYS, len(FORMATS))
    dates = simulate_dates(chosen["dates"], chosen["per_day"], chosen["typos"], seed)
    targets = tuple(date.iso for date in dates)
    groups = np.unique(targets, return_inverse=True)[1]
    return PairData(
        name="dates",
        description=(
            f"{chosen['dates']} simulated calendar dates from 1969 to 2068, each in {chosen['per_day']} of 15 formats, "
            f"{chosen['typos']:.0%} of the names of months with a typo"
        ),
        sources=tuple(date.text for date in dates),
        targets=targets,
        split=split_indices(len(dates), fractions=fractions, seed=seed, groups=groups),
        ids=tuple(str(number) for number in range(len(dates))),
        groups=groups,
        kinds=tuple(FORMATS[date.format].example for date in dates),
        noisy=np.array([date.typo for date in dates]),
    )


def _check_date_options(options: dict[str, Any], most_days: int, most_formats: int) -> None:
    for name, value in options.items():
        if name not in DATE_OPTIONS:
            raise UserError(f"data_options: dates has no option {name!r}.{nearest(name, list(DATE_OPTIONS))}")
        if name == "typos" and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
            raise UserError(f"data_options.typos: expected a number from 0 to 1, received {value!r}.")
        smallest, largest = {"dates": (3, most_days), "per_day": (1, most_formats)}.get(name, (0, 1))
        if name != "typos" and (type(value) is not int or not smallest <= value <= largest):
            raise UserError(f"data_options.{name}: expected a number from {smallest} to {largest}, received {value!r}.")


def _of_file(path: Path, fractions: tuple[float, float, float], seed: int) -> PairData:
    import numpy as np

    pairs, lines, warnings = read_pairs(path)
    seen: dict[tuple[str, str], int] = {}
    for row, pair in enumerate(pairs):
        seen.setdefault(pair, row)
    rows = list(seen.values())
    if len(rows) < len(pairs):
        warnings.append(f"{len(pairs) - len(rows)} pairs stand in {path.name} more than once and count once.")
    sources, targets = (tuple(pairs[row][side] for row in rows) for side in (0, 1))
    groups = np.unique(sources, return_inverse=True)[1]
    if groups.max() + 1 < 3 and fractions[0]:
        raise UserError(f"File {str(path)!r} holds {groups.max() + 1} different sources; at least 3 are needed.")
    return PairData(
        name=path.stem,
        description=f"{len(rows)} pairs of texts in {str(path)!r}",
        sources=sources,
        targets=targets,
        split=split_indices(len(rows), fractions=fractions, seed=seed, groups=groups),
        ids=tuple(f"line {lines[row]}" for row in rows),
        groups=groups,
        warnings=tuple(warnings),
    )


def read_pairs(path: Path) -> tuple[list[tuple[str, str]], list[int], list[str]]:
    """Reads a TSV file of pairs.

    Returns:
        Pairs, their line numbers, and sentences about what was left out.

    Raises:
        UserError: A line has no tab, or nothing on one side of it.
    """
    pairs, lines, more = [], [], 0
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        cells = [cell.strip() for cell in text.split("\t")]
        if len(cells) < 2:
            raise UserError(f"File {str(path)!r}, line {line}: no tab between source and target ({text[:40]!r}).")
        for cell, what in zip(cells, ("source", "target"), strict=False):
            if not cell:
                raise UserError(f"File {str(path)!r}, line {line}: the {what} is empty.")
        more += len(cells) > 2
        pairs.append((cells[0], cells[1]))
        lines.append(line)
    remarks = [f"{more} lines of {path.name} have more than two columns, of which the first two count."] if more else []
    return pairs, lines, remarks


def read_sources(path: Path) -> tuple[list[str], list[int]]:
    """Reads texts to be turned, one per line (of a TSV file the first column), and their line numbers.

    Raises:
        UserError: A line is empty.
    """
    lines = read_text(path).rstrip("\n").split("\n")
    sources = [line.split("\t")[0].strip() for line in lines]
    empty: Sequence[int] = [number for number, source in enumerate(sources, start=1) if not source]
    if empty:
        raise UserError(f"File {str(path)!r}, line {empty[0]}: nothing stands there to be turned into anything.")
    return sources, list(range(1, len(lines) + 1))
