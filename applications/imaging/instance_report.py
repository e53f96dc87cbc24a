"""What the report of an instance segmentation shows: scores over thresholds, outlines, the worst images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerazoo.metrics.instances import InstanceMatching, match_all, match_instances, seg_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from applications.core.report import Table

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MATCHED, MISSED, EXTRA = "#35e06a", "#ff3b30", "#f0e442"


def instance_metrics(truths: Sequence[np.ndarray], founds: Sequence[np.ndarray]) -> dict[str, float]:
    """Returns the metrics of all test images together."""
    pooled = match_all(truths, founds, (0.5, 0.75, 0.9))
    half = pooled[0]
    return {
        "ap_50": half.average_precision,
        "ap_75": pooled[1].average_precision,
        "ap_90": pooled[2].average_precision,
        "f1_50": half.f1,
        "panoptic_quality": half.panoptic_quality,
        "seg": seg_score(truths, founds),
        "mean_matched_iou": half.mean_matched_score,
    }


def precision_table(truths: Sequence[np.ndarray], founds: Sequence[np.ndarray]) -> Table:
    """Returns matches, errors and scores for each intersection over union asked for."""
    from applications.core.report import Table

    rows = [
        (f"{m.threshold:.2f}", m.average_precision, m.precision, m.recall, m.f1, m.panoptic_quality, m.tp, m.fp, m.fn)
        for m in match_all(truths, founds, THRESHOLDS)
    ]
    return Table(
        "Objects found, by the overlap asked for",
        ("IoU", "AP", "precision", "recall", "F1", "PQ", "found", "false", "missed"),
        rows,
        "AP is found / (found + false + missed), all test images together; it is no average over confidences.",
    )


def image_table(
    names: Sequence[str], truths: Sequence[np.ndarray], founds: Sequence[np.ndarray]
) -> tuple[Table, list[int]]:
    """Returns one row per image, the worst first, and the images in that order."""
    from applications.core.report import Table

    each = [match_instances(truth, found) for truth, found in zip(truths, founds, strict=True)]
    order = sorted(range(len(each)), key=lambda index: each[index].average_precision)
    rows = [(names[i], each[i].average_precision, each[i].tp, each[i].fp, each[i].fn) for i in order]
    columns = ("image", "AP at 0.5", "found", "false", "missed")
    return Table("Test images, the worst first", columns, rows[:20]), order


def matched_panels(
    names: Sequence[str], images: Sequence[np.ndarray], truths: Sequence[np.ndarray], founds: Sequence[np.ndarray]
) -> Figure:
    """Draws images with the outlines of what was found, of what was not, and of what is not there.

    Of a volume it shows the plane in the middle; what became of an object is that of the whole object.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from applications.core import figures

    figure = Figure(figsize=(9, 4.6 * len(images)), layout="constrained")
    for row, (name, image, truth, found) in enumerate(zip(names, images, truths, founds, strict=True)):
        matching = match_instances(truth, found)
        if truth.ndim == 3:
            image, truth, found = (part[len(part) // 2] for part in (image, truth, found))
        judged = _judged(image, truth, found, matching)
        ap = f"AP {matching.average_precision:.2f} at 0.5"
        for column, (picture, title) in enumerate(((figures.display_image(image), name), (judged, ap))):
            axes = figure.add_subplot(len(images), 2, 2 * row + column + 1)
            figures.show_image(axes, picture)
            axes.set_title(figures.short(title, 40), fontsize=9, parse_math=False)
    entries = (("found", MATCHED), ("missed", MISSED), ("false", EXTRA))
    figure.legend(
        [Line2D([], [], color=colour, linewidth=2) for _, colour in entries],
        [name for name, _ in entries],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    return figure


def _judged(image: np.ndarray, truth: np.ndarray, found: np.ndarray, matching: InstanceMatching) -> np.ndarray:
    """Returns the image with outlines in the colours of what became of the objects."""
    from matplotlib.colors import to_rgb

    from applications.core.figures import display_image
    from applications.imaging.objects import outlines

    picture = display_image(image).copy()
    right = np.isin(found, matching.pairs[:, 1]) & outlines(found)
    extra = outlines(found) & ~right
    missed = outlines(truth) & ~np.isin(truth, matching.pairs[:, 0])
    for pixels, colour in ((right, MATCHED), (extra, EXTRA), (missed, MISSED)):
        picture[pixels] = np.round(255 * np.array(to_rgb(colour)))
    return picture
