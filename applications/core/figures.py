"""The pictures of a report, drawn with matplotlib's objects (no pyplot, so no global state and no window)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart; the first is the background of a mask.
PALETTE = ("#000000", "#56b4e9", "#e69f00", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")
RIGHT, WRONG, TRAIN, VALIDATION = "#1a7f37", "#c62828", "#0072b2", "#d55e00"
BARS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
ERRORS = {"missed": "#e41a1c", "extra": "#2b5dff", "wrong class": "#c51b8a"}
NO_METRICS = ("epoch", "loss", "learning_rate", "seconds")
CELL_NUMBERS = 20  # a confusion matrix of more classes has no numbers in its cells
TINY = 96  # pixels; smaller images are shown with square pixels


def learning_curves(history_rows: Sequence[Mapping[str, Any]], best_epoch: int | None = None) -> Figure:
    """Draws loss, metrics and learning rate over the epochs.

    Args:
        history_rows: One mapping per epoch: `epoch` (from 1), `loss`, `val_loss`, metrics, `learning_rate`.
        best_epoch: The epoch whose weights were kept, marked with a line. Defaults to none.

    Returns:
        A figure with one panel for the loss, up to two for metrics, and one for the learning rate.

    Example:
        >>> rows = [{"epoch": 1, "loss": 1.0, "val_loss": 1.2}, {"epoch": 2, "loss": 0.5, "val_loss": 0.9}]
        >>> learning_curves(rows, best_epoch=2).savefig("curves.png")
    """
    names = list(dict.fromkeys(name for row in history_rows for name in row))
    metrics = [name for name in names if f"val_{name}" in names and name != "loss"]
    if not metrics:  # a training without validation data
        metrics = [name for name in names if name not in NO_METRICS and not name.startswith("val_")]
    panels = [name for name in ("loss", *metrics[:2], "learning_rate") if name in names]
    columns = 2 if len(panels) == 4 else max(len(panels), 1)
    rows = math.ceil(len(panels) / columns) or 1
    figure = _figure(min(4.6 * columns, 9.6), 2.9 * rows)
    for index, name in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        _curve_panel(axes, name, history_rows, best_epoch)
    if figure.axes:
        # One legend below all panels: inside a panel it would lie on the curves.
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) or 1, frameon=False)
    return figure


def _curve_panel(axes: Axes, name: str, rows: Sequence[Mapping[str, Any]], best_epoch: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    drawn: list[float] = []
    for key, label, colour in ((name, "training", TRAIN), (f"val_{name}", "validation", VALIDATION)):
        points = [(row["epoch"], row[key]) for row in rows if _is_number(row.get(key))]
        if not points:
            continue
        epochs, values = zip(*points, strict=True)
        # A short training is a handful of points, and a single one draws no line at all.
        axes.plot(epochs, values, color=colour, label=label, marker="o" if len(points) <= 15 else None, markersize=3)
        drawn += values
    if best_epoch is not None:
        axes.axvline(best_epoch, color="#777777", linewidth=1, linestyle="--", label=f"best epoch ({best_epoch})")
    wide = drawn and min(drawn) > 0 and max(drawn) > 50 * min(drawn)
    if wide or (name == "learning_rate" and drawn and min(drawn) > 0 and max(drawn) > min(drawn)):
        axes.set_yscale("log")
    axes.set_title(name.replace("_", " "), loc="left", parse_math=False)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def confusion_matrix(matrix: Any, class_names: Sequence[str]) -> Figure:
    """Draws a confusion matrix, coloured by the share of each true class.

    Args:
        matrix: Counts of shape `(num_classes, num_classes)`, rows are true classes, columns predicted ones.
        class_names: One name per class.

    Returns:
        A figure; up to 20 classes it has the counts in its cells, above that about 25 names along each side.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(class_names), len(class_names)):
        raise ValueError(f"A matrix of {len(class_names)} classes is needed, received shape {counts.shape}.")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    step = 1 if len(counts) <= CELL_NUMBERS else math.ceil(len(counts) / 25)
    ticks = range(0, len(counts), step)
    labels = [short(class_names[index], 18) for index in ticks]
    square = min(max(0.45 * len(counts), 2.4), 6.5)
    room = 0.6 + 0.08 * max(map(len, labels))
    figure = _figure(square + room + 1.0, square + room)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.04, 1)), label="share of the true class")
    axes.set_xticks(list(ticks), labels, rotation=90 if max(map(len, labels)) > 2 else 0, parse_math=False)
    axes.set_yticks(list(ticks), labels, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(counts) <= CELL_NUMBERS:
        font = 9 if counts.max(initial=0) < 1000 and len(counts) <= 12 else 7
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.55 else "#222222"
            axes.text(
                column,
                row,
                _count(counts[row, column]),
                ha="center",
                va="center",
                color=colour,
                fontsize=font,
            )
    return figure


def image_grid(
    images: Sequence[Any],
    titles: Sequence[str],
    correct: Sequence[bool | None] | None = None,
    columns: int = 6,
) -> Figure:
    """Draws images side by side, each with a title.

    Args:
        images: Arrays of shape `(height, width[, channels])`, of any dtype and of mixed sizes.
        titles: One per image; long ones are wrapped.
        correct: Per image `True` (green title with a tick), `False` (red, with a cross) or `None` (plain).
        columns: Images per row. Defaults to 6.

    Returns:
        The figure.
    """
    columns = max(1, min(columns, len(images)))
    rows = math.ceil(len(images) / columns) or 1
    figure = _figure(1.6 * columns, 2.05 * rows)
    marks = correct if correct is not None else [None] * len(images)
    for index, (image, title, mark) in enumerate(zip(images, titles, marks, strict=True)):
        axes = figure.add_subplot(rows, columns, index + 1)
        show_image(axes, image)
        sign, colour = ("", "#222222") if mark is None else ("✓ ", RIGHT) if mark else ("✗ ", WRONG)
        lines = [line for part in str(title).splitlines() for line in textwrap.wrap(part, 20)]
        text = "\n".join(short(line, 20) for line in lines[:3])
        axes.set_title(sign + text, color=colour, fontsize=8, parse_math=False)
    return figure


def segmentation_panels(
    images: Sequence[Any],
    truths: Sequence[Any],
    predictions: Sequence[Any],
    class_names: Sequence[str],
) -> Figure:
    """Draws image, truth, prediction and errors of each sample in one row.

    Args:
        images: Arrays of shape `(height, width[, channels])`, of mixed sizes.
        truths: Class indices of shape `(height, width[, 1])`; class 0 is the background.
        predictions: The same for the predictions.
        class_names: One name per class.

    Returns:
        The figure, with one legend for the classes and one for the kinds of error.
    """
    from matplotlib.patches import Patch

    figure = _figure(8.8, 2.25 * len(images) + 0.6)
    heads = ("image", "truth", "prediction", "errors")
    colours = class_colours(len(class_names))
    for row, (image, truth, prediction) in enumerate(zip(images, truths, predictions, strict=True)):
        truth, prediction = (np.asarray(mask).reshape(np.shape(mask)[:2]) for mask in (truth, prediction))
        panels = (image, colours[truth], colours[prediction], error_map(image, truth, prediction))
        for column, panel in enumerate(panels):
            axes = figure.add_subplot(len(images), 4, 4 * row + column + 1)
            show_image(axes, panel)
            if row == 0:
                axes.set_title(heads[column], fontsize=9)
    names = [(short(name, 20), colours[index] / 255) for index, name in enumerate(class_names)]
    more = [(f"{len(names) - 11} more", "white")] if len(names) > 12 else []
    kinds = [(f"error: {name}", colour) for name, colour in ERRORS.items()][: 3 if len(class_names) > 2 else 2]
    entries = [*names[: 11 if more else 12], *more, *kinds]
    handles = [Patch(facecolor=colour, edgecolor="#777777", label=name) for name, colour in entries]
    columns = max(2, min(len(handles), int(120 / (8 + max(len(name) for name, _ in entries)))))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def overlay(image: Any, mask: Any, opacity: float = 0.4) -> np.ndarray:
    """Returns the image with the classes of a mask laid over it in colour, outlined.

    Args:
        image: Array of shape `(height, width[, channels])`.
        mask: Class indices of shape `(height, width[, 1])`; class 0 stays as it is.
        opacity: Strength of the colour, from 0 to 1. Defaults to 0.4; outlines are opaque.

    Returns:
        A uint8 array of shape `(height, width, 3)`.
    """
    classes = np.asarray(mask).reshape(np.shape(mask)[:2])
    colours = class_colours(max(int(classes.max(initial=0)) + 1, 2))
    strength, levels = np.where(np.arange(len(colours)) > 0, opacity, 0.0)[:, None], np.arange(256.0)
    picture = display_image(image).copy()
    for channel in range(3):  # by a table of bytes, since images of floats would be eight times as large
        table = np.round(levels + strength * (colours[:, channel, None] - levels)).astype("uint8")
        picture[..., channel] = table[classes, picture[..., channel]]
    # A pixel belongs to the outline if the next one to the right or below is of another class.
    edge = np.zeros(classes.shape, bool)
    edge[:-1] |= classes[:-1] != classes[1:]
    edge[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    edge &= classes > 0
    picture[edge] = colours[classes[edge]]
    return picture


def error_map(image: Any, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Returns the image in pale grey with the wrong pixels in the colours of `ERRORS`, as uint8 RGB."""
    from matplotlib.colors import to_rgb

    grey = display_image(image).mean(-1, keepdims=True)
    canvas = np.repeat(0.45 * grey + 127, 3, axis=-1)
    wrong = truth != prediction
    kinds = (wrong & (prediction == 0), wrong & (truth == 0), wrong & (truth != 0) & (prediction != 0))
    for mask, colour in zip(kinds, ERRORS.values(), strict=True):
        canvas[mask] = 255 * np.array(to_rgb(colour))
    return canvas.astype("uint8")


def per_class_bars(values: Mapping[str, Sequence[float]], class_names: Sequence[str], most: int = 30) -> Figure:
    """Draws one group of horizontal bars per class, from 0 to 1.

    Args:
        values: Metric -> one value per class.
        class_names: One name per class.
        most: Where there are more classes, only this many with the lowest first metric are drawn.
            Defaults to 30.

    Returns:
        The figure.
    """
    table = {name: np.asarray(column, dtype="float64") for name, column in values.items()}
    first = next(iter(table.values()))
    order = list(range(len(class_names)))
    if len(order) > most:
        order = np.argsort(np.nan_to_num(first, nan=np.inf), kind="stable")[:most].tolist()
    figure = _figure(7.5, 1.1 + 0.24 * len(order) * max(1.0, 0.6 * len(table)))
    axes = figure.add_subplot()
    height = 0.8 / len(table)
    for index, (name, column) in enumerate(table.items()):
        places = np.arange(len(order)) + (index - (len(table) - 1) / 2) * height
        axes.barh(places, column[order], height=height, label=name, color=BARS[index % len(BARS)])
    axes.set_yticks(range(len(order)), [short(class_names[index], 28) for index in order], parse_math=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    if len(order) < len(class_names):
        axes.set_title(f"the {most} lowest of {len(class_names)} classes", loc="left", fontsize=9)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def display_image(image: Any) -> np.ndarray:
    """Returns any image as uint8 RGB of shape `(height, width, 3)`.

    8-bit images keep their values unless all of them are very dark; all others are stretched between their
    0.5 and 99.5 percentiles, since a 16-bit micrograph would otherwise be black.
    """
    array = np.asarray(image)
    array = (array[..., None] if array.ndim == 2 else array)[..., :3]
    if array.dtype != np.uint8 or array.max(initial=0) <= 64:
        array = _stretched(array)
    if array.shape[-1] == 1:
        return np.repeat(array, 3, axis=-1)
    return np.pad(array, ((0, 0), (0, 0), (0, 3 - array.shape[-1])))


def _stretched(array: np.ndarray) -> np.ndarray:
    """Returns numbers as uint8, from 0 at their 0.5 percentile to 255 at that of 99.5."""
    values = np.nan_to_num(array.astype("float32" if array.dtype.itemsize <= 4 else "float64"), copy=False)
    low, high = (float(limit) for limit in np.percentile(values, [0.5, 99.5]))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.full(values.shape, 127, "uint8")
    np.clip(values, low, high, out=values)
    values -= low
    values *= 255 / (high - low)
    return values.astype("uint8")


def show_image(axes: Axes, image: Any) -> None:
    """Shows `image` without ticks; tiny ones with square pixels."""
    picture = display_image(image)
    axes.imshow(picture, interpolation="nearest" if max(picture.shape[:2]) < TINY else "antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor("#bbbbbb")


def class_colours(num_classes: int) -> np.ndarray:
    """Returns uint8 RGB colours of shape `(num_classes, 3)`: black for class 0, then well apart."""
    import colorsys

    from matplotlib.colors import to_rgb

    colours = [to_rgb(colour) for colour in PALETTE[:num_classes]]
    for index in range(len(colours), num_classes):
        # Steps of the golden ratio keep neighbouring hues far apart.
        hue = (index * 0.618033988749895) % 1
        colours.append(colorsys.hsv_to_rgb(hue, (0.45, 0.65, 0.9)[index % 3], (0.95, 0.75)[index // 3 % 2]))
    return np.round(255 * np.array(colours)).astype("uint8")


def short(text: str, length: int) -> str:
    """Returns `text` on one line and at most `length` characters, with an ellipsis where it was cut."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def png(figure: Figure, dpi: int = 150) -> bytes:
    """Returns the figure as the bytes of a PNG file, with nothing cut off at its edges."""
    import io
    import warnings

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class name in a script that the font lacks shows boxes; it must not fill the terminal.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _count(value: float) -> str:
    """Returns a count that fits into a cell: `9999`, `12k`, `3.5M`; masks are counted in pixels."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.0f}{unit}" if scaled >= 10 else f"{scaled:.1f}{unit}"
    return f"{value:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
