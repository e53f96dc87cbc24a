"""Average precision of boxes as COCO and Pascal VOC define it, in NumPy.

T.-Y. Lin et al., "Microsoft COCO: Common objects in context", arXiv:1405.0312, with the rules of its evaluation code;
M. Everingham et al., "The Pascal visual object classes challenge: a retrospective", IJCV 111:98-136, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.detection.boxes import Detections, as_boxes, box_areas, box_iou

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MAX_DETECTIONS = (1, 10, 100)


@dataclass(frozen=True)
class Objects:
    """The objects of one image.

    Attributes:
        boxes: (N, 4) left, top, right, bottom in pixels.
        classes: (N,) class numbers.
        crowd: (N,) whether a box stands for a crowd, which is neither to be found nor wrong to find.
        areas: (N,) areas by which objects are called small or large; `None`: those of the boxes.
    """

    boxes: Any
    classes: Any
    crowd: Any = None
    areas: Any = None


@dataclass(frozen=True)
class _Matched:
    """Detections of one class in one image, compared with its objects: rows are thresholds."""

    scores: np.ndarray  # (D,), falling
    hit: np.ndarray  # (T, D) whether an object belongs to it
    ignored: np.ndarray  # (T, D) whether it does not count
    objects: int  # objects that count


def coco_average_precision(
    truths: Sequence[Objects], founds: Sequence[Detections], num_classes: int
) -> dict[str, float | np.ndarray]:
    """Returns the twelve figures of COCO, and the average precision of each class.

    Args:
        truths: Objects of every image.
        founds: What was found in the same images; of each class the 100 most certain count.
        num_classes: Number of classes; a class without any object does not count.

    Returns:
        `ap` (mean over the thresholds of the intersection over union from 0.5 to 0.95), `ap50`, `ap75`, `ap_small`,
        `ap_medium`, `ap_large` (below 32 x 32 pixels, up to 96 x 96, above), `ar_1`, `ar_10`, `ar_100` (recall with so
        many detections per image), `ar_small`, `ar_medium`, `ar_large`, and `class_ap` (num_classes,). Not a number
        where there is no such object.

    Example:
        >>> truth = Objects([[0, 0, 10, 10]], [0])
        >>> found = Detections(np.array([[0, 0, 10, 8]]), np.array([0]), np.array([0.9]))
        >>> round(coco_average_precision([truth], [found], 1)["ap"], 3)  # 7 of 10 thresholds are at most 0.8
        0.7
    """
    if len(truths) != len(founds):
        raise ValueError(f"There must be detections for every image. Received: {len(founds)} for {len(truths)} images.")
    table = {name: _all_classes(truths, founds, num_classes, limits) for name, limits in AREAS.items()}

    def precision(area: str, rows: Any = slice(None)) -> float:
        curves = [_precisions(matched)[rows] for matched in table[area] if _countable(matched)]
        return float(np.mean(curves)) if curves else float("nan")

    def recall(area: str, most: int = MAX_DETECTIONS[-1]) -> float:
        recalls = [_recalls(matched, most) for matched in table[area] if _countable(matched)]
        return float(np.mean(recalls)) if recalls else float("nan")

    class_ap = [float(np.mean(_precisions(m))) if _countable(m) else float("nan") for m in table["all"]]
    sizes = [name for name in AREAS if name != "all"]
    return {
        "ap": precision("all"),
        "ap50": precision("all", 0),
        "ap75": precision("all", 5),
        **{f"ap_{size}": precision(size) for size in sizes},
        **{f"ar_{most}": recall("all", most) for most in MAX_DETECTIONS},
        **{f"ar_{size}": recall(size) for size in sizes},
        "class_ap": np.array(class_ap),
    }


def _all_classes(
    truths: Sequence[Objects], founds: Sequence[Detections], num_classes: int, limits: tuple[float, float]
) -> list[list[_Matched]]:
    pairs = list(zip(truths, founds, strict=True))
    return [[_match(truth, found, number, limits) for truth, found in pairs] for number in range(num_classes)]


def _match(truth: Objects, found: Detections, number: int, limits: tuple[float, float]) -> _Matched:
    """Gives each detection, the most certain first, the free object it overlaps with most, for every threshold."""
    mine = np.asarray(truth.classes, np.int64).reshape(-1) == number
    boxes = as_boxes(truth.boxes)[mine]
    crowd = np.zeros(len(boxes), bool) if truth.crowd is None else np.asarray(truth.crowd, bool).reshape(-1)[mine]
    areas = box_areas(boxes) if truth.areas is None else np.asarray(truth.areas, np.float64).reshape(-1)[mine]
    outside = crowd | (areas < limits[0]) | (areas > limits[1])
    order = np.argsort(outside, kind="stable")  # objects that count come first
    boxes, crowd, outside = boxes[order], crowd[order], outside[order]

    theirs = np.flatnonzero(np.asarray(found.classes, np.int64).reshape(-1) == number)
    scores = np.asarray(found.scores, np.float64).reshape(-1)[theirs]
    best = np.argsort(-scores, kind="stable")[: MAX_DETECTIONS[-1]]
    chosen, scores = as_boxes(found.boxes)[theirs[best]], scores[best]
    overlaps = box_iou(chosen, boxes, crowd)
    hit = np.zeros((len(IOU_THRESHOLDS), len(chosen)), bool)
    ignored = np.zeros_like(hit)
    for row, threshold in enumerate(IOU_THRESHOLDS):
        taken = np.zeros(len(boxes), bool)
        for detection, overlap in enumerate(overlaps):
            target = _best_object(overlap, taken & ~crowd, outside, threshold)
            if target >= 0:
                hit[row, detection], ignored[row, detection] = True, outside[target]
                taken[target] = True
    wrong_size = (box_areas(chosen) < limits[0]) | (box_areas(chosen) > limits[1])
    return _Matched(scores, hit, ignored | (~hit & wrong_size), int((~outside).sum()))


def _best_object(overlap: np.ndarray, taken: np.ndarray, outside: np.ndarray, threshold: float) -> int:
    """Returns the object a detection belongs to: one that counts if there is any, the last of several equal ones."""
    free = ~taken & (overlap >= min(threshold, 1 - 1e-10))
    for group in (free & ~outside, free & outside):
        if group.any():
            values = np.where(group, overlap, -1.0)
            return int(np.flatnonzero(values == values.max())[-1])
    return -1


def _countable(matched: Sequence[_Matched]) -> bool:
    return any(image.objects for image in matched)


def _in_order(matched: Sequence[_Matched], most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns hits and misses (thresholds, detections) of all images by falling score, and the number of objects."""
    order = np.argsort(-np.concatenate([image.scores[:most] for image in matched]), kind="stable")
    hit = np.concatenate([image.hit[:, :most] for image in matched], axis=1)[:, order]
    ignored = np.concatenate([image.ignored[:, :most] for image in matched], axis=1)[:, order]
    return hit & ~ignored, ~hit & ~ignored, sum(image.objects for image in matched)


def _precisions(matched: Sequence[_Matched]) -> np.ndarray:
    """Returns the interpolated precision (thresholds, 101 recalls): the best one at this recall or a higher one."""
    hits, misses, objects = _in_order(matched, MAX_DETECTIONS[-1])
    curves = np.zeros((len(hits), len(RECALLS)))
    for curve, right, wrong in zip(curves, hits.cumsum(axis=1), misses.cumsum(axis=1), strict=True):
        precision = right / (right + wrong + np.spacing(1))
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(right / objects, RECALLS, side="left")
        reached = places < len(precision)
        curve[reached] = precision[places[reached]]
    return curves


def _recalls(matched: Sequence[_Matched], most: int) -> np.ndarray:
    """Returns the recall of all detections at every threshold."""
    hits, _, objects = _in_order(matched, most)
    return hits.sum(axis=1) / objects


def voc_average_precision(
    truths: Sequence[Objects], founds: Sequence[Detections], num_classes: int, threshold: float = 0.5
) -> float:
    """Returns the mean average precision of Pascal VOC since 2010: the area below the curve of falling precision.

    A detection belongs to the object it overlaps with most; a second one of the same object is wrong. Crowds stand for
    the objects VOC calls difficult.

    Args:
        truths: Objects of every image.
        founds: What was found in the same images.
        num_classes: Number of classes; a class without any object does not count.
        threshold: Smallest intersection over union.
    """
    means = []
    for number in range(num_classes):
        scores, right, objects = _voc_matches(truths, founds, number, threshold)
        if not objects:
            continue
        order = np.argsort(-scores, kind="stable")
        counted = right[order][right[order] >= 0]
        hits = counted.cumsum()
        recall = np.concatenate([[0.0], hits / objects])
        precision = np.concatenate([hits / np.arange(1, len(hits) + 1), [0.0]])
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        means.append(float(np.sum(np.diff(recall) * precision[:-1])))
    return float(np.mean(means)) if means else float("nan")


def _voc_matches(
    truths: Sequence[Objects], founds: Sequence[Detections], number: int, threshold: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns scores, right (1), wrong (0) or not counted (-1), and the number of objects that count."""
    scores: list[float] = []
    right: list[int] = []
    objects = 0
    for truth, found in zip(truths, founds, strict=True):
        mine = np.asarray(truth.classes, np.int64).reshape(-1) == number
        boxes = as_boxes(truth.boxes)[mine]
        hard = np.zeros(len(boxes), bool) if truth.crowd is None else np.asarray(truth.crowd, bool).reshape(-1)[mine]
        objects += int((~hard).sum())
        theirs = np.flatnonzero(np.asarray(found.classes, np.int64).reshape(-1) == number)
        theirs = theirs[np.argsort(-np.asarray(found.scores, np.float64)[theirs], kind="stable")]
        taken = np.zeros(len(boxes), bool)
        for overlap, index in zip(box_iou(as_boxes(found.boxes)[theirs], boxes), theirs, strict=True):
            best = int(overlap.argmax()) if len(boxes) else -1
            near = best >= 0 and overlap[best] >= threshold
            scores.append(float(found.scores[index]))
            right.append(-1 if near and hard[best] else int(near and not taken[best]))
            if near:
                taken[best] = True
    return np.array(scores), np.array(right, np.int64), objects
