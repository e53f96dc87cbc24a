"""The answer of a search: a table of all trials and one self-contained page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core import report as core
from applications.core.run_directory import write_atomically
from tuning import spaces

if TYPE_CHECKING:
    from tuning.job import Search

TEMPLATES = Path(__file__).parent / "templates"


def write_table(found: Search) -> Path:
    """Writes `trials.csv`: one row per trial, with its values and its metrics."""
    names = list(dict.fromkeys(name for row in found.rows for name in row["values"]))
    metrics = list(dict.fromkeys(name for row in found.rows for name in row["metrics"]))
    fixed = (
        "number",
        "status",
        "score",
        "spread",
        "epochs",
        "stopped_by",
        "began",
        "seconds",
        "worker",
        "params",
        "reason",
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*fixed, *names, *(f"metric:{name}" for name in metrics)])
    for row in found.rows:
        values = [row["values"].get(name) for name in names] + [row["metrics"].get(name) for name in metrics]
        writer.writerow([row[name] for name in fixed] + values)
    write_atomically(found.folder / "trials.csv", text.getvalue())
    return found.folder / "trials.csv"


def write_report(found: Search, space: spaces.SearchSpace, description: dict[str, Any]) -> Path:
    """Writes `report.html`: the best trial, how the search went, which parameters matter, and what failed.

    Args:
        found: The search.
        space: Its space.
        description: Its settings, as in `search.yaml`.

    Returns:
        The path of the page.
    """
    import jinja2

    from applications.core.figures import png
    from tuning.figures import figures

    pictures = []
    for figure in figures(found, spaces.dimensions(space)):
        write_atomically(found.folder / "figures" / f"{figure.name}.png", png(figure.figure))
        pictures.append({"title": figure.title, "note": figure.note, "image": core.embedded(found.folder, figure.name)})
    states = [row["status"] for row in found.rows]
    finished, failed = states.count("COMPLETED"), states.count("FAILED")
    content = {
        "css": (core.TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "task": description["task"],
        "name": found.folder.name,
        "algorithm": description["search"],
        "objective": found.objective[0],
        "mode": found.objective[1],
        "counts": {"finished": finished, "failed": failed, "open": len(states) - finished - failed},
        "duration": core.duration(sum(row["seconds"] or 0 for row in found.rows)) if found.rows else "",
        "best": found.best,
        "best_file": found.folder / "best.yaml",
        "retrained": _retrained(found.folder),
        "figures": pictures,
        "tables": [{**table, "numeric": core.numeric_columns(table)} for table in _tables(found)],
        "space": "\n".join(spaces.lines(space, indent="")),
        "configuration": core.flattened(description["application"]),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(number=core.number, label=core.label)
    html = environment.get_template("search.html.j2").render(**content)
    write_atomically(found.folder / "report.html", html)
    return found.folder / "report.html"


def _retrained(folder: Path) -> dict[str, Any] | None:
    file = folder / "retrained" / "metrics.json"
    if not file.is_file():
        return None
    metrics = json.loads(file.read_text(encoding="utf-8"))
    return {"name": metrics["headline"], "value": metrics["test"][metrics["headline"]]}


def _tables(found: Search) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for row in found.rows for name in row["values"]))
    done = [row for row in found.rows if row["status"] == "COMPLETED"]
    done.sort(key=lambda row: row["score"], reverse=found.objective[1] == "max")
    failed = [row for row in found.rows if row["status"] == "FAILED"]

    def values(row: dict[str, Any]) -> list[Any]:
        return [row["values"].get(name) for name in names]

    return [
        {
            "title": "Trials, the best first",
            "columns": ("trial", found.objective[0], "spread", "epochs", "ended by", "seconds", *names),
            "rows": [
                [
                    row["number"],
                    row["score"],
                    row["spread"],
                    row["epochs"],
                    row["stopped_by"],
                    row["seconds"],
                    *values(row),
                ]
                for row in done
            ],
        },
        {
            "title": "Failed trials",
            "columns": ("trial", "reason", *names),
            "rows": [[row["number"], row["reason"], *values(row)] for row in failed],
        },
    ]
