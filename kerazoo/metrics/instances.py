"""How well objects of an image were found: matching, average precision, panoptic quality, SEG.

All functions take label images: arrays of whole numbers of any number of dimensions, 0 for the background, one number
per object, in any order and with gaps. Pixels with a negative number in the truth do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class InstanceMatching:
    """Which true objects were found.

    Attributes:
        threshold: Smallest intersection over union of a match.
        tp: Matches.
        fp: Objects found that match nothing.
        fn: True objects that nothing matches.
        pairs: (tp, 2) numbers of true and found objects.
        ious: (tp,) their intersections over unions.
    """

    threshold: float
    tp: int
    fp: int
    fn: int
    pairs: np.ndarray
    ious: np.ndarray

    @property
    def precision(self) -> float:
        """Share of the found objects that match, 1 if none was found."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the true objects that were found, 1 if there is none."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), 1 if there is nothing and nothing was found."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN), 1 if there is nothing and nothing was found; no average over confidences as in COCO."""
        return _share(self.tp, self.tp + self.fp + self.fn)

    @property
    def mean_matched_score(self) -> float:
        """Mean intersection over union of the matches, 0 without any."""
        return float(self.ious.mean()) if self.tp else 0.0

    @property
    def mean_true_score(self) -> float:
        """Mean intersection over union of the true objects, 0 for those that were not found."""
        return float(self.ious.sum() / max(self.tp + self.fn, 1))

    @property
    def panoptic_quality(self) -> float:
        """Sum of the intersections over unions / (TP + FP/2 + FN/2); usual with a threshold of 0.5."""
        return self.mean_matched_score * self.f1 if self.tp else float(self.fp + self.fn == 0)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


class _Overlaps(NamedTuple):
    """The pairs of objects that share pixels."""

    true_ids: np.ndarray
    found_ids: np.ndarray
    true_areas: np.ndarray
    found_areas: np.ndarray
    rows: np.ndarray  # Positions among `true_ids` of the pairs.
    columns: np.ndarray  # Positions among `found_ids`.
    shared: np.ndarray  # Pixels in common.

    @property
    def ious(self) -> np.ndarray:
        return self.shared / (self.true_areas[self.rows] + self.found_areas[self.columns] - self.shared)


def relabel_sequential(labels: np.ndarray) -> np.ndarray:
    """Gives the objects the numbers 1, 2, 3 ... in the order of their old ones; 0 and negative numbers stay.

    Args:
        labels: Label image.

    Returns:
        int32 array of the same shape.

    Raises:
        ValueError: If the labels are no whole numbers.

    Example:
        >>> relabel_sequential(np.array([[0, 7], [7, 3]]))
        array([[0, 2],
               [2, 1]], dtype=int32)
    """
    labels = _whole_numbers("labels", labels)
    ids, places = np.unique(labels, return_inverse=True)
    numbers = np.where(ids > 0, np.cumsum(ids > 0), ids)
    return numbers.astype(np.int32)[places].reshape(labels.shape)


def match_instances(truth: np.ndarray, found: np.ndarray, threshold: float = 0.5) -> InstanceMatching:
    """Matches true and found objects one to one: as many as possible, and of those the best overlapping.

    Args:
        truth: Label image.
        found: Label image of the same shape.
        threshold: Smallest intersection over union of a match, above 0, at most 1.

    Returns:
        The matching.

    Raises:
        ValueError: If shapes differ, labels are no whole numbers, or the threshold is out of range.

    Example:
        >>> match_instances(np.array([[1, 1, 0]]), np.array([[9, 9, 9]]), 0.6).tp
        1

    References:
        Schmidt et al. (2018), https://arxiv.org/abs/1806.03535
        Kirillov et al. (2019), https://arxiv.org/abs/1801.00868
    """
    return _assigned(_overlaps(truth, found), threshold)


def match_all(
    truths: Iterable[np.ndarray], founds: Iterable[np.ndarray], thresholds: Sequence[float] = (0.5,)
) -> list[InstanceMatching]:
    """Matches the objects of each image and adds up over the images, for several thresholds.

    Args:
        truths: Label images.
        founds: As many label images, each of the shape of its truth.
        thresholds: Smallest intersections over unions.

    Returns:
        One matching per threshold; its pairs are numbers in the objects' own images, in their order.
    """
    pairs = [_overlaps(truth, found) for truth, found in zip(truths, founds, strict=True)]
    results = []
    for threshold in thresholds:
        each = [_assigned(overlaps, threshold) for overlaps in pairs]
        results.append(
            InstanceMatching(
                threshold,
                sum(matching.tp for matching in each),
                sum(matching.fp for matching in each),
                sum(matching.fn for matching in each),
                np.concatenate([np.empty((0, 2), np.int64), *(matching.pairs for matching in each)]),
                np.concatenate([np.empty(0), *(matching.ious for matching in each)]),
            )
        )
    return results


def average_precision(
    truths: Iterable[np.ndarray], founds: Iterable[np.ndarray], thresholds: Sequence[float] = (0.5, 0.75, 0.9)
) -> np.ndarray:
    """Computes TP / (TP + FP + FN) of all images together, as the papers of nuclear and cell segmentation do.

    Args:
        truths: Label images.
        founds: As many label images.
        thresholds: Smallest intersections over unions of a match.

    Returns:
        One number per threshold.

    Example:
        >>> average_precision([np.array([[1, 1, 0, 2]])], [np.array([[1, 1, 1, 0]])], [0.5, 0.75])
        array([0.5, 0. ])
    """
    return np.array([matching.average_precision for matching in match_all(truths, founds, thresholds)])


def seg_score(truths: Iterable[np.ndarray], founds: Iterable[np.ndarray]) -> float:
    """Computes SEG of the Cell Tracking Challenge: the mean over all true objects of the intersection over union with
    the one found object that covers more than half of it, 0 if none does.

    Objects found too many cost nothing here.

    Args:
        truths: Label images.
        founds: As many label images.

    Returns:
        A number from 0 to 1, NaN where there is no true object.

    References:
        Ulman et al. (2017), https://doi.org/10.1038/nmeth.4473
    """
    total, count = 0.0, 0
    for truth, found in zip(truths, founds, strict=True):
        overlaps = _overlaps(truth, found)
        total += float(overlaps.ious[2 * overlaps.shared > overlaps.true_areas[overlaps.rows]].sum())
        count += len(overlaps.true_ids)
    return total / count if count else float("nan")


def _whole_numbers(name: str, labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iub":
        raise ValueError(f"{name} must be whole numbers, one per object. Received: dtype {labels.dtype}")
    return labels


def _overlaps(truth: np.ndarray, found: np.ndarray) -> _Overlaps:
    truth, found = _whole_numbers("truth", truth), _whole_numbers("found", found)
    if truth.shape != found.shape:
        raise ValueError(f"truth and found must have one shape. Received: shapes {truth.shape} and {found.shape}")
    counted = truth >= 0
    true_ids, true_places = np.unique(truth[counted], return_inverse=True)
    found_ids, found_places = np.unique(np.where(found > 0, found, 0)[counted], return_inverse=True)
    pairs, shared = np.unique(true_places * max(len(found_ids), 1) + found_places, return_counts=True)
    rows, columns = np.divmod(pairs, max(len(found_ids), 1))
    objects = (true_ids[rows] > 0) & (found_ids[columns] > 0)
    # The background, where there is some, comes first of the ids.
    first_true, first_found = int((true_ids == 0).any()), int((found_ids == 0).any())
    return _Overlaps(
        true_ids[first_true:],
        found_ids[first_found:],
        np.bincount(true_places, minlength=len(true_ids))[first_true:],
        np.bincount(found_places, minlength=len(found_ids))[first_found:],
        rows[objects] - first_true,
        columns[objects] - first_found,
        shared[objects],
    )


def _assigned(overlaps: _Overlaps, threshold: float) -> InstanceMatching:
    from scipy.optimize import linear_sum_assignment

    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1. Received: threshold={threshold!r}")
    # Only objects with a possible match take part, so that the table stays small in crowded images.
    possible = overlaps.ious >= threshold
    ious = overlaps.ious[possible]
    rows, row_places = np.unique(overlaps.rows[possible], return_inverse=True)
    columns, column_places = np.unique(overlaps.columns[possible], return_inverse=True)
    gains = np.zeros((len(rows), len(columns)))
    # One more match is worth more than any sum of overlaps.
    gains[row_places, column_places] = 1 + ious / (2 * max(min(gains.shape, default=1), 1))
    table = np.zeros_like(gains)
    table[row_places, column_places] = ious
    chosen = linear_sum_assignment(gains, maximize=True)
    real = gains[chosen] > 0
    true_rows, found_columns = (places[real] for places in chosen)
    tp = len(true_rows)
    pairs = [overlaps.true_ids[rows[true_rows]], overlaps.found_ids[columns[found_columns]]]
    return InstanceMatching(
        threshold,
        tp,
        len(overlaps.found_ids) - tp,
        len(overlaps.true_ids) - tp,
        np.stack(pairs, axis=1).astype(np.int64),
        table[true_rows, found_columns],
    )
