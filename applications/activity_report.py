"""What the report of activity recognition shows: confusion, subjects, example signals, a random forest beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from applications.core import figures
from applications.core.figures import BARS, RIGHT, WRONG
from applications.core.report import Figure, Result, Table

if TYPE_CHECKING:
    import numpy as np

    from applications.datasets.activities import ActivityData

TREES = 300
SHOWN = 12


def result(datasets: ActivityData, rows: np.ndarray, probabilities: np.ndarray) -> Result:
    """Returns the results on some windows.

    Args:
        datasets: The windows.
        rows: Numbers of those evaluated.
        probabilities: (rows, classes).
    """
    import numpy as np
    from sklearn.metrics import confusion_matrix

    from applications.image_classification import classification_metrics

    labels, names = datasets.labels[rows], datasets.class_names
    metrics, table = classification_metrics(labels, probabilities, names, unit="windows")
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(names)))
    return Result(
        metrics=metrics,
        headline="macro_f1",
        tables=[table, *_subject_table(datasets, rows, predicted)],
        figures=[
            Figure("confusion_matrix", "Confusion matrix of the test split", figures.confusion_matrix(matrix, names)),
            Figure(
                "signals",
                "Windows of the test split",
                _signals(datasets, rows, predicted),
                "The first three channels; wrong answers first.",
            ),
        ],
    )


def _subject_table(datasets: ActivityData, rows: np.ndarray, predicted: np.ndarray) -> list[Table]:
    """Returns one row per subject, the worst first."""
    from sklearn.metrics import accuracy_score, f1_score

    if datasets.subjects is None:
        return []
    people, labels = datasets.subjects[rows], datasets.labels[rows]
    found = []
    for person in sorted(set(people.tolist())):
        mine = people == person
        f1 = f1_score(labels[mine], predicted[mine], average="macro", zero_division=0)
        found.append((person, float(accuracy_score(labels[mine], predicted[mine])), float(f1), int(mine.sum())))
    found.sort(key=lambda row: row[1])
    note = "None of them was seen in training."
    return [Table("Subjects of the test split", ("subject", "accuracy", "macro F1", "windows"), found, note)]


def _signals(datasets: ActivityData, rows: np.ndarray, predicted: np.ndarray) -> Any:
    import numpy as np
    from matplotlib.figure import Figure as Canvas

    right = predicted == datasets.labels[rows]
    wrong_first = np.flatnonzero(~right)[: SHOWN // 2].tolist()
    others: list[int] = []
    for label in range(datasets.num_classes):  # then one of each class, and whatever fills the picture
        others += np.flatnonzero(right & (datasets.labels[rows] == label))[:1].tolist()
    rest = [i for i in np.linspace(0, len(rows) - 1, SHOWN).astype(int).tolist() if right[i] and i not in others]
    shown = [*wrong_first, *others, *rest][:SHOWN]
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Canvas(figsize=(3.6 * columns, 1.7 * lines + 0.4), layout="constrained")
    seconds = np.arange(datasets.windows.shape[1]) / (datasets.rate or 1.0)
    for place, index in enumerate(shown):
        axes = figure.add_subplot(lines, columns, place + 1)
        signal = datasets.windows[rows[index]]
        for channel in range(min(3, signal.shape[1])):
            axes.plot(seconds, signal[:, channel], color=BARS[channel], linewidth=0.9, label=datasets.channels[channel])
        true, said = (datasets.class_names[k] for k in (datasets.labels[rows[index]], predicted[index]))
        title = true if right[index] else f"{true}, taken for {said}"
        axes.set_title(title, loc="left", fontsize=9, color=RIGHT if right[index] else WRONG, parse_math=False)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        if place >= len(shown) - columns:
            axes.set_xlabel("seconds" if datasets.rate else "samples", fontsize=8)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def statistics(windows: np.ndarray) -> np.ndarray:
    """Returns mean, spread, ends, quantiles and mean step of each channel, (windows, 8 * channels)."""
    import numpy as np

    quantiles = np.quantile(windows, [0.1, 0.5, 0.9], axis=1)
    steps = np.abs(np.diff(windows, axis=1)).mean(axis=1)
    parts = [windows.mean(axis=1), windows.std(axis=1), windows.min(axis=1), windows.max(axis=1), *quantiles, steps]
    return np.concatenate(parts, axis=1)


def baseline(datasets: ActivityData) -> tuple[str, dict[str, float]]:
    """Returns name and test metrics of a random forest on statistics of the windows, on the same split."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    from applications.image_classification import classification_metrics

    train, test = datasets.split["train"], datasets.split["test"]
    forest = RandomForestClassifier(TREES, random_state=0, n_jobs=-1)
    forest.fit(statistics(datasets.windows[train]), datasets.labels[train])
    shares = np.zeros((len(test), datasets.num_classes))
    shares[:, forest.classes_] = forest.predict_proba(statistics(datasets.windows[test]))
    metrics, _ = classification_metrics(datasets.labels[test], shares, datasets.class_names, unit="windows")
    return "random forest on window statistics", metrics
