"""From the results of an application to one self-contained `report.html` that explains the run."""

from __future__ import annotations

import base64
import csv
import json
import math
import re
import shlex
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.run_directory import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    import matplotlib.figure
    import numpy as np

TEMPLATES = Path(__file__).parent / "templates"
DASH = "\N{EN DASH}"


@dataclass
class Table:
    """A table of the report.

    Attributes:
        title: Heading.
        columns: Names of the columns.
        rows: One tuple per row; numbers are formatted, everything else is shown as text.
        note: One or two sentences below the heading.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    note: str = ""


@dataclass
class Figure:
    """A picture of the report.

    Attributes:
        name: Stem of the file in `figures/`.
        title: Heading, also the text for readers who cannot see the picture.
        figure: The matplotlib figure.
        note: One or two sentences below the heading.
    """

    name: str
    title: str
    figure: matplotlib.figure.Figure
    note: str = ""


@dataclass
class Animation:
    """A moving picture of the report.

    Attributes:
        name: Stem of the GIF file in `figures/`.
        title: Heading, also the text for readers who cannot see the picture.
        frames: uint8 arrays of one shape (height, width, 1 or 3).
        note: One or two sentences below the heading.
        milliseconds: Time of each frame.
    """

    name: str
    title: str
    frames: Sequence[np.ndarray]
    note: str = ""
    milliseconds: int = 80


@dataclass(kw_only=True)
class Result:
    """What an application reports about its trained model.

    Attributes:
        metrics: Name -> value, of the model on the untouched test split.
        headline: Name of the main metric.
        baseline: The same names for the simple method beside it; empty where there is none.
        baseline_name: What the simple method is, e.g. `"SVM on pixels"`.
        tables: Tables, in the order of the report.
        figures: Pictures, in the order of the report.
        animations: Moving pictures, shown behind them.
        notes: Sentences for the reader.
        commands: What one does with the run next, `{run}` being its folder; `evaluate`, `export` and `report` go
            without saying.
    """

    metrics: dict[str, float]
    headline: str
    baseline: dict[str, float] = field(default_factory=dict)
    baseline_name: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    animations: list[Animation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=lambda: ["predict {run} INPUT... -o predictions/"])


def save_result(folder: Path, result: Result) -> None:
    """Writes the pictures to `figures/` and everything else to `report.json`, each file whole or not at all.

    Args:
        folder: The run directory.
        result: What the application reports.

    Raises:
        ValueError: If the headline is none of the metrics, or two figures have one name.
    """
    from applications.core.figures import png
    from applications.core.pictures import gif

    folder = Path(folder)
    if result.headline not in result.metrics:
        raise ValueError(f"The headline {result.headline!r} is none of the metrics {', '.join(result.metrics)}.")
    shown: list[Figure | Animation] = [*result.figures, *result.animations]
    stems = [_stem(figure.name) for figure in shown]
    if len(set(stems)) < len(stems):
        raise ValueError(f"Figures need different names, received {', '.join(stems)}.")
    for stem, figure in zip(stems, shown, strict=True):
        if isinstance(figure, Animation):
            write_atomically(folder / "figures" / f"{stem}.gif", gif(figure.frames, figure.milliseconds))
        else:
            write_atomically(folder / "figures" / f"{stem}.png", png(figure.figure))
    content = {
        "metrics": result.metrics,
        "baseline": result.baseline,
        "baseline_name": result.baseline_name,
        "headline": result.headline,
        "tables": [vars(table) for table in result.tables],
        "figures": [
            {"name": stem, "title": figure.title, "note": figure.note}
            for stem, figure in zip(stems, shown, strict=True)
        ],
        "notes": result.notes,
        "commands": result.commands,
    }
    # report.json comes last: whoever sees it finds every picture it names.
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "report.json", text + "\n")


def write_html(folder: Path) -> Path:
    """Writes `report.html`: one file with pictures inside, without scripts or links to other places.

    Reads `report.json` (from `save_result`) and, where they exist, `config.yaml`, `history.csv`,
    `environment.json`, `metrics.json` (`best_epoch`, `params`, `training_seconds`, and `folds`: a list
    of metrics per fold) and `data.json` (`name`, `description`, `splits`: name -> number of samples,
    `warnings`, and `skipped`: pairs of file and reason).

    Args:
        folder: The run directory.

    Returns:
        The path of `report.html`.

    Raises:
        FileNotFoundError: If there is no `report.json`.
    """
    import jinja2

    folder = Path(folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(number=number, label=label)
    html = environment.get_template("report.html.j2").render(**_content(folder))
    write_atomically(folder / "report.html", html)
    return folder / "report.html"


def _content(folder: Path) -> dict[str, Any]:
    """Collects everything the template shows."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    metrics, data = _read_json(folder / "metrics.json"), _read_json(folder / "data.json")
    # A later evaluation is a folder inside its run, and the run is what one goes on with.
    run = folder.parent.parent if folder.parent.name == "evaluations" else folder
    config = _read_yaml(run / "config.yaml")
    history = read_history(folder / "history.csv")
    best_epoch = metrics.get("best_epoch")
    task = str(config.get("task") or run.resolve().parent.name)
    name = run.resolve().name
    return {
        "report": report,
        "css": (TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "run_name": name if run == folder else f"{name} on {folder.name}",
        "heading": "Result on other data" if data.get("source") else "Result on the test split",
        "quoted": shlex.quote(str(run)),
        "task": task,
        "model": config.get("model"),
        "training": {**_read_json(run / "metrics.json"), **metrics},
        "best_epoch": best_epoch,
        "epochs": len(history),
        "duration": duration(metrics.get("training_seconds")),
        "duration_of_all": duration(metrics.get("training_seconds_of_all_folds")),
        "comparison": _comparison(report),
        "curves": _curves(folder, history, best_epoch),
        "filmstrip": _filmstrip(folder),
        "figures": [{**figure, "image": embedded(folder, figure["name"])} for figure in report["figures"]],
        "tables": [{**table, "numeric": numeric_columns(table)} for table in report["tables"]],
        "folds": fold_table(metrics.get("folds") or []),
        "data": data,
        "splits": data.get("splits") or {},
        "config": flattened(config),
        "environment": flattened(_read_json(run / "environment.json")),
    }


def _comparison(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of figures, the headline first."""
    metrics, baseline = report["metrics"], report["baseline"]
    names = [report["headline"], *(name for name in metrics if name != report["headline"])]
    rows: list[dict[str, Any]] = []
    for name in names:
        ours, simple = metrics[name], baseline.get(name)
        known = isinstance(ours, int | float) and isinstance(simple, int | float)
        rows.append({"name": name, "model": ours, "baseline": simple, "difference": ours - simple if known else None})
    return rows


def numeric_columns(table: dict[str, Any]) -> list[bool]:
    """Says which columns hold numbers (and nothing else but gaps), for their alignment.

    Args:
        table: A mapping with `columns` and `rows`, as in `report.json`.

    Returns:
        One answer per column.
    """
    columns = list(zip(*table["rows"], strict=True)) or [()] * len(table["columns"])
    return [
        any(value is not None for value in column)
        and all(value is None or (isinstance(value, int | float) and value is not True) for value in column)
        for column in columns
    ]


def _curves(folder: Path, history: list[dict[str, float]], best_epoch: int | None) -> dict[str, Any] | None:
    """Draws the learning curves anew from `history.csv` and returns them for embedding."""
    from applications.core.figures import learning_curves, png

    if not history:
        return None
    write_atomically(folder / "figures" / "learning_curves.png", png(learning_curves(history, best_epoch)))
    return embedded(folder, "learning_curves")


def _filmstrip(folder: Path) -> dict[str, Any] | None:
    """Draws the samples of a training anew from `samples/` and returns them for embedding."""
    from applications.core.figures import png
    from applications.core.pictures import filmstrip

    figure = filmstrip(folder)
    if figure is None:
        return None
    write_atomically(folder / "figures" / "filmstrip.png", png(figure))
    return embedded(folder, "filmstrip")


def embedded(folder: Path, name: str) -> dict[str, Any] | None:
    """Returns a picture for embedding, with the width at which its letters have the size of the page's.

    Args:
        folder: The run directory.
        name: Stem of a PNG or GIF file in `figures/`.

    Returns:
        `base64`, `kind` and `width` in pixels of the page; None where there is no such file.
    """
    still, moving = (folder / "figures" / f"{name}.{kind}" for kind in ("png", "gif"))
    path = still if still.is_file() else moving
    if not path.is_file():
        return None
    content, kind = path.read_bytes(), path.suffix[1:]
    # the width field of the header; letters are drawn for 150 points per inch, and a GIF has none
    width = int.from_bytes(content[6:8], "little") if kind == "gif" else int.from_bytes(content[16:20], "big") * 0.68
    return {"base64": base64.b64encode(content).decode("ascii"), "kind": kind, "width": round(width)}


def read_history(path: Path) -> list[dict[str, float]]:
    """Reads `history.csv` as one mapping of numbers per epoch; an empty list where there is no file."""
    if not path.is_file():
        return []
    rows: list[dict[str, float]] = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values = {name: float(value) for name, value in row.items() if name and value}
            values["epoch"] = int(values.get("epoch", len(rows) + 1))
            rows.append(values)
    return rows


def fold_table(folds: list[dict[str, float]]) -> dict[str, Any] | None:
    """Returns columns and rows for a cross-validation: one row per fold, then mean and standard deviation."""
    if not folds:
        return None
    names = [name for name, value in folds[0].items() if name != "fold" and isinstance(value, int | float)]
    rows: list[tuple[Any, ...]] = [(index + 1, *(fold.get(name) for name in names)) for index, fold in enumerate(folds)]
    columns = [[fold[name] for fold in folds if isinstance(fold.get(name), int | float)] for name in names]
    means = [statistics.fmean(column) if column else None for column in columns]
    spreads = [statistics.stdev(column) if len(column) > 1 else None for column in columns]
    return {"columns": ("fold", *names), "rows": rows, "mean": means, "spread": spreads}


def number(value: Any) -> str:
    """Formats a value for a reader: four significant digits, separated thousands, a dash for nothing."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if abs(value) >= 9999.5:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.3e}"
    return f"{value:#.4g}".rstrip(".")


def label(name: str) -> str:
    """Returns a metric's name as words: `mean_iou` becomes `mean iou`."""
    return str(name).replace("_", " ")


def duration(seconds: Any) -> str:
    """Returns `"2 h 5 min"`, `"3 min 20 s"` or `"41 s"`; an empty string where the time is unknown."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return ""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _plain(value: Any) -> Any:
    """Turns numpy scalars and arrays, tuples and numbers that are not finite into plain JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _stem(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "figure"


def _literal(value: Any) -> str:
    """Returns a setting as one would type it, unrounded."""
    if value is None or value in ("", {}, []):
        return DASH
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def flattened(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Flattens nested settings to rows of a table.

    Args:
        values: Nested mappings.
        prefix: What stands before every path.

    Returns:
        Pairs of dotted path and text as one would type it, in the order of the mappings.
    """
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            pairs += flattened(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", _literal(value)))
    return pairs


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
