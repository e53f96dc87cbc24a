"""The report of a detector: what was found, missed, wrong or taken for something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerazoo.detection.boxes import Detections, box_iou
from kerazoo.metrics.detection import Objects, coco_average_precision, voc_average_precision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"found": "#2ca02c", "missed": "#ff9f1c", "false": "#e63946", "confused": "#c77dff"}
SHOWN = ("ap50", "ap", "ap75", "ap_small", "ap_medium", "ap_large", "ar_100")


class Outcome(NamedTuple):
    """What became of the objects of one image.

    Attributes:
        pairs: (object, detection) that belong together, of the same class or not.
        missed: objects that nothing belongs to.
        false: detections that belong to nothing, and to no crowd.
        confused: those of the pairs whose classes differ.
    """

    pairs: list[tuple[int, int]]
    missed: list[int]
    false: list[int]
    confused: list[tuple[int, int]]

    @property
    def failures(self) -> int:
        """How much went wrong."""
        return len(self.missed) + len(self.false) + len(self.confused)


def outcome(truth: Objects, found: Detections, threshold: float = 0.5) -> Outcome:
    """Gives detections to objects of any class, pairs that overlap most first."""
    crowd = np.zeros(len(truth.boxes), bool) if truth.crowd is None else np.asarray(truth.crowd, bool)
    overlaps = box_iou(found.boxes, truth.boxes, crowd)
    same = np.asarray(found.classes)[:, None] == np.asarray(truth.classes)[None]
    pairs: list[tuple[int, int]] = []
    # A detection of the right class goes first where two objects lie on each other.
    ranked = np.where((overlaps >= threshold) & ~crowd[None], overlaps + same, -1.0)
    for place in np.argsort(-ranked, axis=None, kind="stable"):
        detection, target = (int(n) for n in np.unravel_index(place, ranked.shape))
        if ranked[detection, target] < 0:
            break
        if all(target != a and detection != b for a, b in pairs):
            pairs.append((target, detection))
    paired = {b for _, b in pairs}
    in_crowd = (overlaps[:, crowd] >= threshold).any(axis=1)
    return Outcome(
        pairs=pairs,
        missed=[i for i in np.flatnonzero(~crowd).tolist() if all(i != a for a, _ in pairs)],
        false=[i for i in range(len(found.boxes)) if i not in paired and not in_crowd[i]],
        confused=[(a, b) for a, b in pairs if truth.classes[a] != found.classes[b]],
    )


def confident(found: Detections, threshold: float) -> Detections:
    """Returns the detections whose score reaches a threshold."""
    keep = found.scores >= threshold
    return Detections(found.boxes[keep], found.classes[keep], found.scores[keep])


def metrics(truths: Sequence[Objects], founds: Sequence[Detections], num_classes: int) -> dict[str, float]:
    """Returns COCO's figures that there are (no average precision of large objects where none is large) and VOC's."""
    figures = coco_average_precision(truths, founds, num_classes)
    named = {name: float(figures[name]) for name in SHOWN if np.isfinite(figures[name])}
    return {**named, "voc_ap50": voc_average_precision(truths, founds, num_classes)}


def class_rows(
    truths: Sequence[Objects], founds: Sequence[Detections], names: Sequence[str], threshold: float
) -> list[tuple[Any, ...]]:
    """Returns a row per class: name, AP, objects, and those found, missed, confused, and false at a score threshold."""
    precision: Any = coco_average_precision(truths, founds, len(names))["class_ap"]
    counts = np.zeros((len(names), 5), np.int64)
    for truth, found in zip(truths, founds, strict=True):
        sure = confident(found, threshold)
        result = outcome(truth, sure)
        crowd = np.zeros(len(truth.boxes), bool) if truth.crowd is None else np.asarray(truth.crowd, bool)
        np.add.at(counts[:, 0], np.asarray(truth.classes, np.int64)[~crowd], 1)
        for target, detection in result.pairs:
            column = 1 if truth.classes[target] == sure.classes[detection] else 3
            counts[truth.classes[target], column] += 1
        np.add.at(counts[:, 2], [int(truth.classes[i]) for i in result.missed], 1)
        np.add.at(counts[:, 4], [int(sure.classes[i]) for i in result.false], 1)
    return [
        (name, None if np.isnan(precision[k]) else float(precision[k]), *(int(n) for n in counts[k]))
        for k, name in enumerate(names)
    ]


def confusion_counts(
    truths: Sequence[Objects], founds: Sequence[Detections], num_classes: int, threshold: float
) -> np.ndarray:
    """Returns counts (true class, class found) with "nothing" as the last row and column."""
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for truth, found in zip(truths, founds, strict=True):
        sure = confident(found, threshold)
        result = outcome(truth, sure)
        for target, detection in result.pairs:
            counts[truth.classes[target], sure.classes[detection]] += 1
        for target in result.missed:
            counts[truth.classes[target], num_classes] += 1
        for detection in result.false:
            counts[num_classes, sure.classes[detection]] += 1
    return counts


def failure_panels(
    images: Sequence[Any],
    truths: Sequence[Objects],
    founds: Sequence[Detections],
    names: Sequence[str],
    columns: int = 4,
) -> Figure:
    """Draws images with the boxes that were found, missed, wrong, or of another class, each in its colour."""
    from matplotlib.patches import Patch, Rectangle

    from applications.core.figures import _figure, short, show_image

    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    figure = _figure(2.9 * columns, 2.9 * rows + 0.4)
    for place, (image, truth, found) in enumerate(zip(images, truths, founds, strict=True), start=1):
        axes = figure.add_subplot(rows, columns, place)
        show_image(axes, image)
        result = outcome(truth, found)
        confused = dict(result.confused)
        drawn = [(found.boxes[b], "found", names[found.classes[b]]) for a, b in result.pairs if a not in confused]
        drawn += [(truth.boxes[i], "missed", names[truth.classes[i]]) for i in result.missed]
        drawn += [(found.boxes[i], "false", names[found.classes[i]]) for i in result.false]
        drawn += [
            (found.boxes[b], "confused", f"{names[truth.classes[a]]} as {names[found.classes[b]]}")
            for a, b in result.confused
        ]
        for box, kind, text in drawn:
            left, top, right, bottom = (float(value) - 0.5 for value in box)
            axes.add_patch(
                Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=COLOURS[kind], linewidth=1.3)
            )
            if kind != "found":
                axes.text(left, top, short(text, 22), color=COLOURS[kind], fontsize=6, va="bottom", parse_math=False)
    handles = [Patch(facecolor=colour, label=name) for name, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def box_overlay(image: Any, found: Detections, names: Sequence[str]) -> np.ndarray:
    """Returns an image with boxes, class names and scores drawn on it, as uint8 RGB."""
    from PIL import Image, ImageDraw

    from applications.core.figures import class_colours, display_image

    picture = Image.fromarray(display_image(image))
    draw, colours = ImageDraw.Draw(picture), class_colours(len(names) + 1)[1:]
    for box, kind, score in zip(found.boxes, found.classes, found.scores, strict=True):
        left, top, right, bottom = (round(float(value)) for value in box)
        colour = tuple(int(value) for value in colours[kind])
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=1)
        draw.text((left + 2, top + 1), f"{names[kind]} {score:.2f}", fill=colour)
    return np.asarray(picture)
