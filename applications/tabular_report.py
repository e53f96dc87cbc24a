"""What the report of a table shows: figures of merit, pictures, the simple method beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from applications.core.report import Figure, Result, Table

if TYPE_CHECKING:
    import numpy as np

    from applications.datasets.tables import Column, TableData
    from applications.tabular import Head


def decide(outputs: np.ndarray, head: Head) -> np.ndarray:
    """Returns the class numbers that outputs (rows, units) stand for."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] >= head.threshold).astype(int)
    return outputs.argmax(axis=1)


def probabilities(outputs: np.ndarray, head: Head, num_classes: int) -> np.ndarray:
    """Returns one column per class; models without probabilities are sure of their decision."""
    import numpy as np

    if not head.probabilities:
        return np.eye(num_classes)[decide(outputs, head)]
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


def answers(outputs: np.ndarray, head: Head, class_names: Sequence[str], title: str) -> dict[str, list[Any]]:
    """Returns the columns a file of predictions gets."""
    if not class_names:
        return {title: [f"{value:.7g}" for value in outputs[:, 0]]}
    found = {title: [class_names[index] for index in decide(outputs, head)]}
    if head.probabilities:
        likeliest = probabilities(outputs, head, len(class_names)).max(axis=1)
        found["probability"] = [f"{value:.6f}" for value in likeliest]
    return found


def classification(datasets: TableData, rows: np.ndarray, head: Head, outputs: np.ndarray) -> Result:
    """Returns the results of a classifier on some rows."""
    import numpy as np
    from sklearn.metrics import confusion_matrix

    from applications.core import figures
    from applications.image_classification import classification_metrics

    assert datasets.labels is not None
    labels, names = datasets.labels[rows], datasets.class_names
    shares = probabilities(outputs, head, len(names))
    metrics, table = classification_metrics(labels, shares, names, unit="rows")
    if not head.probabilities:
        del metrics["log_loss"]
    matrix = confusion_matrix(labels, shares.argmax(axis=1), labels=np.arange(len(names)))
    figure = Figure("confusion_matrix", "Confusion matrix of the test split", figures.confusion_matrix(matrix, names))
    return Result(metrics=metrics, headline="accuracy", tables=[table], figures=[figure])


def regression(datasets: TableData, rows: np.ndarray, outputs: np.ndarray) -> Result:
    """Returns the results of predicted numbers on some rows."""
    from applications.core.regression import regression_figures, regression_metrics, worst_table

    assert datasets.values is not None
    true, names = datasets.values[rows][:, None], (datasets.target,)
    return Result(
        metrics=regression_metrics(true, outputs, names),
        headline="rmse",
        tables=[worst_table(true, outputs, [datasets.ids[row] for row in rows], names)],
        figures=regression_figures(true, outputs, names),
        notes=["The learning curves are in standard deviations of the target, all other figures in its own units."],
    )


def columns_table(datasets: TableData) -> Table:
    """Returns what each column is and how many of its values are missing."""
    import numpy as np

    from applications.datasets.tables import MISSING_CATEGORY

    rows: list[tuple[Any, ...]] = []
    for column in datasets.columns:
        if column.kind == "number":
            missing = int(np.isnan(column.values).sum())
            low, high = np.nanmin(column.values), np.nanmax(column.values)
            what = f"{low:.4g} to {high:.4g}"
        else:
            missing = int((column.values == MISSING_CATEGORY).sum())
            names = np.unique(column.values).tolist()
            what = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        rows.append((column.name, column.kind, missing, what))
    return Table("Columns", ("column", "kind", "missing", "values"), rows)


def boundary(datasets: TableData, rows: np.ndarray, classify: Callable[[Sequence[Column]], np.ndarray]) -> list[Figure]:
    """Returns the picture of the decisions in the plane where two numbers make them, else nothing.

    Args:
        datasets: The table.
        rows: Numbers of the rows to show.
        classify: Columns -> class numbers.
    """
    import numpy as np
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure as Canvas

    from applications.core.figures import class_colours
    from applications.datasets.tables import Column

    if [column.kind for column in datasets.columns] != ["number"] * 2 or datasets.labels is None:
        return []
    x, y = (column.values for column in datasets.columns)
    ends = [
        (np.nanmin(v) - 0.1 * np.ptp(v[~np.isnan(v)]), np.nanmax(v) + 0.1 * np.ptp(v[~np.isnan(v)])) for v in (x, y)
    ]
    grid = np.meshgrid(*(np.linspace(low, high, 150) for low, high in ends))
    plane = [
        Column(column.name, "number", values.ravel()) for column, values in zip(datasets.columns, grid, strict=True)
    ]
    decisions = classify(plane).reshape(grid[0].shape)
    colours = class_colours(datasets.num_classes + 1)[1:] / 255
    figure = Canvas(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    extent = (*ends[0], *ends[1])
    limits = {"vmin": -0.5, "vmax": datasets.num_classes - 0.5, "cmap": ListedColormap(colours.tolist())}
    axes.imshow(decisions, origin="lower", extent=extent, aspect="auto", alpha=0.3, interpolation="nearest", **limits)
    for index, name in enumerate(datasets.class_names):
        mine = rows[datasets.labels[rows] == index]
        axes.scatter(x[mine], y[mine], s=18, color=colours[index], edgecolors="#333333", linewidths=0.5, label=name)
    axes.set_xlabel(datasets.columns[0].name, parse_math=False)
    axes.set_ylabel(datasets.columns[1].name, parse_math=False)
    figure.legend(loc="outside right upper", frameon=False, title=datasets.target)
    note = "Background: what the model decides. Points: the rows of the test split with their true class."
    return [Figure("decision_boundary", "Decision boundary", figure, note)]


def baseline(datasets: TableData, numbers: np.ndarray) -> tuple[str, dict[str, float]]:
    """Returns name and test metrics of logistic or ridge regression on the same split.

    Args:
        datasets: The table.
        numbers: Its encoded columns (rows, width), standardised on the training rows.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression, RidgeCV

    from applications.core.regression import regression_metrics
    from applications.image_classification import classification_metrics

    train, test = datasets.split["train"], datasets.split["test"]
    if datasets.labels is None:
        assert datasets.values is not None
        # Centred and scaled, so that the candidates for the penalty suit targets of any unit.
        mean, spread = datasets.values[train].mean(), datasets.values[train].std() or 1.0
        ridge = RidgeCV(np.logspace(-3, 3, 25)).fit(numbers[train], (datasets.values[train] - mean) / spread)
        predicted = (ridge.predict(numbers[test]) * spread + mean)[:, None]
        return "ridge regression", regression_metrics(datasets.values[test][:, None], predicted, (datasets.target,))
    if len(np.unique(datasets.labels[train])) < 2:
        return "", {}
    logistic = LogisticRegression(max_iter=2000).fit(numbers[train], datasets.labels[train])
    shares = np.zeros((len(test), datasets.num_classes))
    shares[:, logistic.classes_] = logistic.predict_proba(numbers[test])  # a class may lack training rows
    metrics, _ = classification_metrics(datasets.labels[test], shares, datasets.class_names)
    return "logistic regression", metrics
