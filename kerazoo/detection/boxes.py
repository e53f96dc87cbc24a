"""Boxes as maps and back, in NumPy: what CenterNet learns from and what is read off its answer.

A box is (left, top, right, bottom) in pixels, with (0, 0) the corner of the image and not the middle of its first
pixel, so that a box around one pixel has an area of 1. The maps of an image have one channel per class (the heat map),
then the width and the height of the box in units of the stride, then what is missing to its centre, x and y, in [0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

NUM_REGRESSED = 4
"""Channels behind the heat map: width, height, and the two parts of the offset."""

SMALLEST = 0.1
"""Boxes with a side of less, in pixels, are none."""

IGNORED = -1.0
"""Value of the heat map where nothing is learnt."""


class Detections(NamedTuple):
    """What was found in one image, the most certain first.

    Attributes:
        boxes: (N, 4) left, top, right, bottom.
        classes: (N,) class numbers.
        scores: (N,) how certain, in [0, 1].
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def box_areas(boxes: Any) -> np.ndarray:
    """Returns the areas of boxes (N, 4)."""
    boxes = as_boxes(boxes)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_iou(boxes: Any, others: Any, crowd: Any = None) -> np.ndarray:
    """Returns the intersection over union of every box with every other one.

    Args:
        boxes: (N, 4).
        others: (M, 4).
        crowd: (M,) whether a box stands for a crowd of objects: then the intersection is divided by the area of the
            first box alone, since a single object cannot cover a crowd.

    Returns:
        (N, M), 0 where both boxes are empty.

    Example:
        >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [4, 4, 5, 5]])
        array([[0.33333333, 0.        ]])
    """
    boxes, others = as_boxes(boxes), as_boxes(others)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    mine, theirs = box_areas(boxes)[:, None], box_areas(others)[None]
    union = mine + theirs - common
    if crowd is not None:
        union = np.where(np.asarray(crowd, bool)[None], mine, union)
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def gaussian_radius(height: float, width: float, min_overlap: float = 0.7) -> float:
    """Returns how far both corners of a box may move, in any direction, so that it still overlaps with the true one.

    The smallest root of three quadratic equations: both corners move the same way, the box shrinks, the box grows. The
    code released with CornerNet, which CenterNet and many others took over, divides all roots by 2 instead of by twice
    the leading coefficient; the coefficients are 1, 4 and 4 `min_overlap`, so two of its three radii are too large.

    Args:
        height, width: Size of the box, in any unit.
        min_overlap: Smallest intersection over union.

    References:
        Law, Deng (2018), "CornerNet: Detecting objects as paired keypoints", https://arxiv.org/abs/1808.01244
    """
    total, area, t = height + width, height * width, min_overlap
    moved = (total - np.sqrt(max(0.0, total**2 - 4 * area * (1 - t) / (1 + t)))) / 2
    shrunk = (2 * total - np.sqrt(max(0.0, 4 * total**2 - 16 * area * (1 - t)))) / 8
    grown = (-2 * t * total + np.sqrt(4 * t**2 * total**2 + 16 * t * (1 - t) * area)) / (8 * t)
    return float(min(moved, shrunk, grown))


def encode_boxes(
    boxes: Any,
    classes: Any,
    image_size: Sequence[int],
    num_classes: int,
    *,
    stride: int = 4,
    min_overlap: float = 0.7,
    crowd: Any = None,
) -> np.ndarray:
    """Draws boxes as the maps CenterNet learns: a Gaussian bump per object, its size and offset at the centre alone.

    Args:
        boxes: (N, 4), inside the image.
        classes: (N,) class numbers.
        image_size: Height and width of the image in pixels.
        num_classes: Number of classes.
        stride: Pixels of the image per pixel of the maps.
        min_overlap: Boxes moved by the radius of the bump, three standard deviations of it, still overlap so much.
        crowd: (N,) whether a box stands for a crowd: nothing is learnt there.

    Returns:
        float32 (height / stride, width / stride, num_classes + 4), sizes rounded up; the heat map is 1 at centres and
        nowhere else, and -1 where it does not count.
    """
    boxes, classes = as_boxes(boxes), np.asarray(classes, np.int64).reshape(-1)
    crowds = np.zeros(len(boxes), bool) if crowd is None else np.asarray(crowd, bool).reshape(-1)
    height, width = (-(-int(size) // stride) for size in image_size)
    maps = np.zeros((height, width, num_classes + NUM_REGRESSED), np.float32)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    scaled = boxes / stride
    sizes = scaled[:, 2:] - scaled[:, :2]
    # Small boxes come last: where two share their centre, it is the small one's.
    order = np.argsort(-sizes.prod(axis=1), kind="stable")
    for index in order[~crowds[order]]:
        centre = (scaled[index, :2] + scaled[index, 2:]) / 2
        x, y = np.clip(centre.astype(np.int64), 0, (width - 1, height - 1))
        radius = max(0, int(gaussian_radius(sizes[index, 1], sizes[index, 0], min_overlap)))
        spread = (2 * radius + 1) / 6
        bump = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
        bump[(abs(columns - x) > radius) | (abs(rows - y) > radius)] = 0
        heat = maps[..., classes[index]]
        np.maximum(heat, bump, out=heat)
        maps[y, x, num_classes:] = *sizes[index], *(centre - (x, y))
    for index in np.flatnonzero(crowds):
        left, top, right, bottom = scaled[index]
        inside = (columns + 1 > left) & (columns < right) & (rows + 1 > top) & (rows < bottom)
        heat = maps[..., classes[index]]
        heat[inside & (heat < 1)] = IGNORED
    return maps


def decode_boxes(
    maps: np.ndarray,
    *,
    stride: int = 4,
    max_objects: int = 100,
    threshold: float = 0.0,
    image_size: Sequence[int] | None = None,
) -> Detections:
    """Reads boxes off the maps of one image: peaks of the heat map, which are the highest of their 3 x 3 neighbours.

    Boxes without any area are left out.

    Args:
        maps: (height, width, num_classes + 4), as `encode_boxes` draws them.
        stride: Pixels of the image per pixel of the maps.
        max_objects: Keep so many, the most certain ones.
        threshold: Lowest score.
        image_size: Height and width of the image, to which boxes are cut; `None` leaves them as they are.

    Returns:
        The boxes found.

    Example:
        >>> maps = encode_boxes([[8, 4, 20, 24]], [1], (32, 32), 3)
        >>> decode_boxes(maps, threshold=0.5)
        Detections(boxes=array([[ 8.,  4., 20., 24.]]), classes=array([1]), scores=array([1.]))
    """
    heat = np.asarray(maps[..., :-NUM_REGRESSED], np.float64)
    rows, columns, classes = np.nonzero(peaks(heat) & (heat >= threshold) & (heat > 0))
    scores = heat[rows, columns, classes]
    order = np.argsort(-scores, kind="stable")[:max_objects]
    rows, columns, classes = rows[order], columns[order], classes[order]
    size_and_offset = np.asarray(maps[rows, columns, -NUM_REGRESSED:], np.float64)
    half = np.maximum(size_and_offset[:, :2], 0) / 2
    centres = np.stack([columns, rows], axis=1) + size_and_offset[:, 2:]
    boxes = np.concatenate([centres - half, centres + half], axis=1) * stride
    if image_size is not None:
        height, width = image_size
        boxes = np.clip(boxes, 0, [width, height, width, height])
    # A network that has learnt little says sizes below zero.
    some = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) > SMALLEST
    return Detections(boxes[some], classes[some], scores[order][some])


def peaks(heat: np.ndarray) -> np.ndarray:
    """Returns where a map (height, width, channels) is not below any of its 8 neighbours, channel by channel."""
    framed = np.pad(heat, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    height, width = heat.shape[:2]
    highest = np.max([framed[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
    return heat >= highest


def as_boxes(boxes: Any) -> np.ndarray:
    """Returns boxes as float64 (N, 4); refuses what has another shape or a right side left of the left one."""
    array = np.asarray(boxes, np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must be rows of left, top, right, bottom. Received an array of shape {array.shape}.")
    wrong = np.flatnonzero(~(array[:, 2:] >= array[:, :2]).all(axis=1))
    if len(wrong):
        row = array[wrong[0]].tolist()
        raise ValueError(f"boxes must have left <= right and top <= bottom. Received: {row}")
    return array
