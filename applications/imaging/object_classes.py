"""How well objects and their classes were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerazoo.metrics.instances import InstanceMatching, match_all, match_instances

if TYPE_CHECKING:
    from applications.core.report import Table
    from applications.datasets.instances import InstanceData
    from applications.imaging.objects import Objects


def class_metrics(datasets: InstanceData, truths: Sequence[np.ndarray], found: Sequence[Objects]) -> dict[str, float]:
    """Returns the mean average precision of the classes, and how many of the objects found have the right class."""
    each = matched_by_class(datasets, truths, found)
    seen = [matching.average_precision for matching in each if matching.tp + matching.fp + matching.fn]
    right = count = 0
    for classes, truth, objects in zip(_true_classes(datasets), truths, found, strict=True):
        pairs = match_instances(truth, objects.labels).pairs
        assert objects.classes is not None
        right += int((classes[pairs[:, 0] - 1] == objects.classes[pairs[:, 1] - 1]).sum())
        count += len(pairs)
    accuracy = right / count if count else 0.0
    return {"mean_class_ap_50": float(np.mean(seen)) if seen else 0.0, "class_accuracy": accuracy}


def class_table(datasets: InstanceData, truths: Sequence[np.ndarray], found: Sequence[Objects]) -> Table:
    """Returns one row per class: an object of another class, or of none, was not found."""
    from applications.core.report import Table

    rows = [
        (name, m.tp + m.fn, m.average_precision, m.precision, m.recall, m.f1, m.tp, m.fp, m.fn)
        for name, m in zip(datasets.class_names[1:], matched_by_class(datasets, truths, found), strict=True)
    ]
    columns = ("class", "objects", "AP", "precision", "recall", "F1", "found", "false", "missed")
    return Table("Objects by class, at an overlap of 0.5", columns, rows)


def matched_by_class(
    datasets: InstanceData, truths: Sequence[np.ndarray], found: Sequence[Objects]
) -> list[InstanceMatching]:
    """Matches, for each class, the objects that are of it with those that were said to be."""
    matchings = []
    for number in range(1, len(datasets.class_names)):
        own = [_only(truth, classes == number) for truth, classes in zip(truths, _true_classes(datasets), strict=True)]
        said = [_only(objects.labels, np.asarray(objects.classes) == number) for objects in found]
        matchings.append(match_all(own, said)[0])
    return matchings


def _true_classes(datasets: InstanceData) -> list[np.ndarray]:
    return [datasets.object_classes[index] for index in datasets.split["test"]]


def _only(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns the labels of some objects; pixels that do not count stay as they are."""
    numbers = np.append(0, np.where(chosen, np.arange(1, len(chosen) + 1), 0))
    return np.where(labels < 0, labels, numbers[np.maximum(labels, 0)])
