"""The report of a finder of points: how many were found, how far off they are, and pictures of the failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerazoo.metrics.points import PointMatching, pooled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"found": "#2ca02c", "missed": "#ff9f1c", "false": "#e63946"}


def metrics(
    datasets: Any, chosen: Sequence[int], founds: Sequence[Any], matchings: Sequence[PointMatching]
) -> dict[str, float]:
    """Returns F1, precision, recall, the share of right classes, and distances in pixels and in picometres."""
    whole = pooled(matchings)
    right = [
        datasets.point_classes[index][a] == found.classes[b]
        for index, found, matching in zip(chosen, founds, matchings, strict=True)
        for a, b in matching.pairs
    ]
    figures = {
        "f1": whole.f1,
        "precision": whole.precision,
        "recall": whole.recall,
        "class_accuracy": float(np.mean(right)) if right else float("nan"),
        "rms_px": whole.rms,
        "bias_y_px": float(whole.bias[0]),
        "bias_x_px": float(whole.bias[1]),
    }
    if datasets.pixel_size is not None:
        unit = datasets.pixel_size
        figures |= {"rms_pm": unit * whole.rms, "bias_pm": unit * float(np.hypot(*whole.bias))}
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def class_rows(
    datasets: Any, chosen: Sequence[int], founds: Sequence[Any], matchings: Sequence[PointMatching]
) -> list[tuple[Any, ...]]:
    """Returns a row per class: name, columns, those found, those found and named rightly, and recall."""
    counts = np.zeros((len(datasets.class_names), 3), np.int64)
    for index, found, matching in zip(chosen, founds, matchings, strict=True):
        classes = datasets.point_classes[index]
        np.add.at(counts[:, 0], classes, 1)
        for a, b in matching.pairs:
            counts[classes[a], 1] += 1
            counts[classes[a], 2] += int(classes[a] == found.classes[b])
    return [
        (name, int(all_), int(found), int(right), found / all_ if all_ else None)
        for name, (all_, found, right) in list(zip(datasets.class_names, counts, strict=True))[1:]
    ]


def panels(
    datasets: Any, chosen: Sequence[int], founds: Sequence[Any], matchings: Sequence[PointMatching], columns: int = 3
) -> Figure:
    """Draws images with the points that were found (dot), missed (circle) and false (cross)."""
    from applications.core.figures import _figure, show_image

    columns = max(1, min(columns, len(chosen)))
    rows = -(-len(chosen) // columns)
    figure = _figure(3.4 * columns, 3.5 * rows + 0.4)
    for place, (index, found, matching) in enumerate(zip(chosen, founds, matchings, strict=True), start=1):
        axes = figure.add_subplot(rows, columns, place)
        show_image(axes, datasets.images[index])
        missed = np.delete(datasets.points[index], matching.pairs[:, 0], axis=0)
        false = np.delete(found.places, matching.pairs[:, 1], axis=0)
        there = found.places[matching.pairs[:, 1]]
        for points, name, marker in ((there, "found", "."), (missed, "missed", "o"), (false, "false", "x")):
            hollow = {"facecolors": "none", "edgecolors": COLOURS[name]} if marker == "o" else {"color": COLOURS[name]}
            axes.scatter(points[:, 1], points[:, 0], s=22, marker=marker, linewidths=1.1, label=name, **hollow)
        axes.set_title(f"F1 {matching.f1:.2f}", fontsize=8)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def offsets(matchings: Sequence[PointMatching], pixel_size: float | None) -> Figure:
    """Draws found minus true positions, in picometres where the pixel size is known."""
    from applications.core.figures import _figure

    scale, unit = (1.0, "pixels") if pixel_size is None else (pixel_size, "pm")
    found = scale * pooled(matchings).offsets
    figure = _figure(4.2, 4)
    axes = figure.add_subplot()
    axes.scatter(found[:, 1], found[:, 0], s=3, alpha=0.3, color="#1f77b4", edgecolors="none")
    axes.axhline(0, color="#999999", linewidth=0.6)
    axes.axvline(0, color="#999999", linewidth=0.6)
    axes.set_aspect("equal")
    axes.set_xlabel(f"x, {unit}")
    axes.set_ylabel(f"y, {unit}")
    return figure


def point_overlay(image: Any, found: Any) -> np.ndarray:
    """Returns an image, small ones enlarged, with a coloured dot on every point, as uint8 RGB."""
    from PIL import Image, ImageDraw

    from applications.core.figures import class_colours, display_image

    picture = display_image(image)
    factor = max(1, round(512 / max(picture.shape[:2])))
    large = Image.fromarray(np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1))
    draw = ImageDraw.Draw(large)
    colours = class_colours(int(found.classes.max(initial=1)) + 1)
    for (y, x), kind in zip(found.places, found.classes, strict=True):
        row, column = (y + 0.5) * factor, (x + 0.5) * factor
        radius = max(2, factor)
        draw.ellipse(
            (column - radius, row - radius, column + radius, row + radius), fill=tuple(map(int, colours[kind]))
        )
    return np.asarray(large)
