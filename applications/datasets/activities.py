"""Windows of signals with a class each: the simulated `imu`, and recordings or windows in the user's CSV files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.csv_files import CsvFile, named_file, number, read_csv
from applications.datasets.data import ACTIVITY_NAMES, FRACTIONS, Progress
from applications.datasets.readers import natural_key
from applications.datasets.splits import check_fractions, split_indices
from applications.datasets.time_axis import TIME_NAMES, read_time

if TYPE_CHECKING:
    import numpy as np

LABELS = ("label", "activity", "class", "target", "y")
SUBJECTS = ("subject", "person", "user", "participant", "group")
WINDOW = "window"
GAP = 1.5  # a time step this many times the usual one begins a new stretch


@dataclass(frozen=True, eq=False)
class ActivityData:
    """Windows of signals; the counterpart of `Datasets`.

    Attributes:
        name, description, split, class_names, warnings, skipped: as in `Datasets`.
        windows: `(N, steps, channels)` float32.
        channels: names of the signals.
        labels: `(N,)` class numbers.
        groups: `(N,)` what must not lie in two splits: the subject, or the stretch of the recording.
        subjects: `(N,)` names of the subjects, or None.
        starts: `(N,)` where each window begins: a line of the file, or a sample of the recording.
        rate: samples per second, or None where it is not known.
    """

    name: str
    description: str
    windows: np.ndarray
    channels: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    groups: np.ndarray
    subjects: np.ndarray | None
    starts: np.ndarray
    split: dict[str, np.ndarray]
    rate: float | None = None
    warnings: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when names, labels or signals change (not with the split)."""
        import hashlib

        import numpy as np

        digest = hashlib.sha256(repr((self.channels, self.class_names, self.windows.shape)).encode())
        digest.update(np.ascontiguousarray(self.windows).tobytes() + self.labels.tobytes())
        digest.update(repr(self.groups.tolist()).encode())
        return digest.hexdigest()[:16]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": list(self.class_names),
            "channels": list(self.channels),
            "window": int(self.windows.shape[1]),
            "rate": self.rate,
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "subjects": None if self.subjects is None else len(set(self.subjects.tolist())),
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [],
        }


@dataclass(frozen=True, eq=False)
class Recording:
    """The windows of one CSV file.

    Attributes:
        windows: `(N, steps, channels)` float32.
        rows: `(N,)` first row of each window.
        stretches: `(N,)` number of the stretch each window was cut from.
        rate: samples per second, or None.
        left_out: rows that no window holds.
    """

    windows: np.ndarray
    rows: np.ndarray
    stretches: np.ndarray
    rate: float | None
    left_out: int


def load_activities(
    data: str,
    *,
    channels: Sequence[str] | None = None,
    label: str | None = None,
    subject: str | None = None,
    window: int = 128,
    overlap: float = 0.5,
    separator: str = "auto",
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    data_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> ActivityData:
    """Loads windows of signals with a class each.

    Args:
        data: `imu` (embedded simulator) or a CSV file: one row per sample, with columns for label, subject (optional)
            and time (optional). A column `window` says which rows make one window; otherwise stretches of one subject
            and label are cut into windows.
        channels: columns of the signals; None takes all other columns.
        label, subject: their columns; None finds them by name.
        window: samples of a window.
        overlap: share of a window that the next one has, too.
        separator: as in `read_csv`.
        fractions: shares of training, validation and test; a subject is never divided.
        seed: fixes the split.
        data_dir, options, progress: as in `load_segmentation`.

    Returns:
        The windows.

    Raises:
        UserError: one sentence for the user.
    """
    check_fractions(fractions)
    if data in ACTIVITY_NAMES:
        return _imu(window, overlap, fractions, seed, data_dir, options, progress)
    file = read_csv(named_file(data, ACTIVITY_NAMES, "data set"), separator)
    return _own(file, channels, label, subject, window, overlap, fractions, seed)


def _own(file: CsvFile, channels, label, subject, window, overlap, fractions, seed) -> ActivityData:
    import numpy as np

    label_column = column_of(file, "label", label, LABELS)
    if label_column is None:
        raise UserError(f"File {file.path.name!r} has no column of labels; name it by --label.")
    subject_column = column_of(file, "subject", subject, SUBJECTS)
    cells = file.column(label_column)
    for cell, line in zip(cells, file.lines, strict=True):
        if cell is None:
            raise UserError(f"File {file.path.name!r}, line {line}: the label in column {label_column!r} is missing.")
    people = [cell or "" for cell in file.column(subject_column)] if subject_column else [""] * len(cells)
    names = channel_names(file, channels, (label_column, subject_column))
    cut = cut_file(file, names, window, overlap, list(zip(people, cells, strict=True)))
    class_names = tuple(sorted({str(cell) for cell in cells}, key=natural_key))
    if len(class_names) < 2 and fractions[0]:
        raise UserError(f"Column {label_column!r} has one class only ({class_names[0]!r}); at least two are needed.")
    labels = np.array([class_names.index(str(cells[row])) for row in cut.rows], np.int64)
    warnings = list(file.warnings)
    if cut.left_out:
        warnings.append(f"{cut.left_out} of {len(cells)} rows fill no window of {cut.windows.shape[1]} samples.")
    missing = [name for index, name in enumerate(class_names) if not (labels == index).any()]
    if missing:
        warnings.append(f"No stretch of {missing[0]!r} is long enough for a window; the class was left out.")
        kept = sorted(set(labels.tolist()))
        class_names = tuple(class_names[index] for index in kept)
        labels = np.searchsorted(kept, labels)
    subjects = np.array([people[row] for row in cut.rows]) if subject_column else None
    groups = cut.stretches if subjects is None else subjects
    if subjects is None:
        warnings.append("There is no column of subjects, so the figures hold for the same people only; see --subject.")
    if fractions[0] and len(np.unique(groups)) < 3:
        raise UserError(
            f"{len(np.unique(groups))} {'stretches' if subjects is None else 'subjects'} cannot be divided into "
            "training, validation and test; at least 3 are needed."
        )
    return ActivityData(
        name=file.path.stem,
        description=f"The user's own signals {str(file.path)!r}: {len(names)} channels, {len(class_names)} classes.",
        windows=cut.windows,
        channels=names,
        labels=labels,
        class_names=class_names,
        groups=groups,
        subjects=subjects,
        starts=np.array([file.lines[row] for row in cut.rows]),
        split=split_indices(labels, fractions=fractions, seed=seed, groups=groups),
        rate=cut.rate,
        warnings=tuple(warnings),
    )


def column_of(file: CsvFile, role: str, name: str | None, usual: Sequence[str]) -> str | None:
    """Returns the column with a role: the one named, or one with a usual name, or None."""
    if name is None:
        return next((column for column in file.names if column.lower() in usual), None)
    if name not in file.names:
        raise UserError(f"{role}: {file.path.name!r} has no column {name!r}.{nearest(name, file.names)}")
    return name


def channel_names(file: CsvFile, channels: Sequence[str] | None, others: Sequence[str | None]) -> tuple[str, ...]:
    """Returns the columns of the signals: those named, or all that have no other role."""
    for name in channels or ():
        if name not in file.names:
            raise UserError(
                f"channels: {file.path.name!r} has no column {name!r}; it has {', '.join(file.names)}."
                f"{nearest(name, file.names)}"
            )
    used = {*others, WINDOW, column_of(file, "time", None, TIME_NAMES)}
    names = tuple(channels or (name for name in file.names if name not in used))
    if not names:
        raise UserError(f"File {file.path.name!r} has no column of signals beside label, subject and time.")
    return names


def cut_file(
    file: CsvFile, channels: Sequence[str], window: int, overlap: float, same: Sequence[Any] | None = None
) -> Recording:
    """Cuts the rows of a file into windows.

    Args:
        file: the cells.
        channels: columns of the signals.
        window, overlap: as in `load_activities`.
        same: one value per row; a window never holds two different ones.

    Raises:
        UserError: cells that are no numbers, windows of different lengths, or none at all.
    """
    import numpy as np

    signals = np.stack([_numbers(file, name) for name in channels], axis=1).astype(np.float32)
    same = [None] * len(signals) if same is None else list(same)
    times = _times(file)
    if WINDOW in file.names:
        marks: list[Any] = list(zip(file.column(WINDOW), same, strict=True))
    else:
        steps = np.diff(times) if times is not None else np.ones(len(signals) - 1)
        usual = float(np.median(steps)) if len(steps) else 1.0
        breaks = np.concatenate([[False], (steps > GAP * usual) | (steps <= 0)]).cumsum()
        marks = list(zip(breaks.tolist(), same, strict=True))
    begins = [0, *(row for row in range(1, len(marks)) if marks[row] != marks[row - 1]), len(marks)]
    stretches = list(pairwise(begins))
    if WINDOW in file.names:
        rows, numbers = _whole(file, stretches), list(range(len(stretches)))
        window = stretches[0][1] - stretches[0][0]
    else:
        step = max(1, round(window * (1 - overlap)))
        pairs = [
            (row, number)
            for number, (begin, end) in enumerate(stretches)
            for row in range(begin, end - window + 1, step)
        ]
        rows, numbers = [row for row, _ in pairs], [number for _, number in pairs]
    if not rows:
        longest = max(end - begin for begin, end in stretches)
        raise UserError(
            f"File {file.path.name!r}: the longest stretch without a break has {longest} samples, too few for a window "
            f"of {window}; choose a smaller --window."
        )
    held = np.zeros(len(signals), bool)
    for row in rows:
        held[row : row + window] = True
    rate = None if times is None else 1 / float(np.median(np.diff(times))) if np.median(np.diff(times)) > 0 else None
    windows = np.stack([signals[row : row + window] for row in rows])
    return Recording(windows, np.array(rows), np.array(numbers), rate, int((~held).sum()))


def _whole(file: CsvFile, stretches: Sequence[tuple[int, int]]) -> list[int]:
    """Returns the first row of each window that the column `window` names; all must be equally long."""
    sizes = [end - begin for begin, end in stretches]
    odd = next((index for index, size in enumerate(sizes) if size != sizes[0]), None)
    if odd is not None:
        raise UserError(
            f"File {file.path.name!r}, line {file.lines[stretches[odd][0]]}: window "
            f"{file.column(WINDOW)[stretches[odd][0]]!r} has {sizes[odd]} rows, the first one has {sizes[0]}; all must "
            "be equally long and of one subject and label."
        )
    return [begin for begin, _ in stretches]


def _numbers(file: CsvFile, name: str) -> np.ndarray:
    import numpy as np

    values = []
    for cell, line in zip(file.column(name), file.lines, strict=True):
        value = None if cell is None else number(cell, file.decimal)
        if value is None:
            what = "is missing" if cell is None else f"{cell!r} is no number"
            raise UserError(
                f"File {file.path.name!r}, line {line}: the value in column {name!r} {what}; correct it, or choose "
                "other columns by --channels."
            )
        values.append(value)
    return np.array(values, np.float64)


def _times(file: CsvFile) -> np.ndarray | None:
    """Returns the time of each row in seconds (or whatever the file counts in), None where there is none."""
    import numpy as np

    column = column_of(file, "time", None, TIME_NAMES)
    if column is None:
        return None
    found = []
    for cell, line in zip(file.column(column), file.lines, strict=True):
        value = None if cell is None else number(cell, file.decimal)
        if value is None and cell is not None:
            read = read_time(cell)
            value = None if read is None else read[0].timestamp()
        if value is None:
            raise UserError(f"File {file.path.name!r}, line {line}: {cell!r} in column {column!r} is no time.")
        found.append(value)
    return np.array(found)


def _imu(window, overlap, fractions, seed, data_dir, options, progress) -> ActivityData:
    import numpy as np

    from applications.datasets.embedded.imu import DESCRIPTION, Imu, imu_config
    from applications.datasets.embedded.prepare import prepare
    from applications.datasets.simulators.inertial import ACTIVITIES, CHANNELS
    from applications.datasets.sources import read_examples

    builder = prepare(Imu, data_dir, imu_config(options), progress)
    step = max(1, round(window * (1 - overlap)))
    parts, labels, subjects, starts = [], [], [], []
    for example in read_examples(builder, "train"):
        signal = example["signal"]
        if len(signal) < window:
            raise UserError(f"window: the recordings of 'imu' have {len(signal)} samples, received {window}.")
        for begin in range(0, len(signal) - window + 1, step):
            parts.append(signal[begin : begin + window])
            labels.append(int(example["label"]))
            subjects.append(int(example["subject"]))
            starts.append(begin)
    people = np.array(subjects)
    return ActivityData(
        name="imu",
        description=DESCRIPTION,
        windows=np.stack(parts),
        channels=CHANNELS,
        labels=np.array(labels, np.int64),
        class_names=ACTIVITIES,
        groups=people,
        subjects=np.array([f"person {number}" for number in subjects]),
        starts=np.array(starts),
        split=split_indices(np.array(labels), fractions=fractions, seed=seed, groups=people),
        rate=builder.builder_config.parameters.rate,
    )
