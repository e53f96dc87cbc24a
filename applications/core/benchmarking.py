"""One run in every format: what each does to the task's metric, how quick it is and what it takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from applications.core.errors import UserError, nearest
from applications.core.exporting import ExportOptions, RunExport
from applications.core.run_directory import RunDirectory

FORMATS = {
    "saved_model": ("saved_model", "none"),
    "litert": ("litert", "none"),
    "litert-float16": ("litert", "float16"),
    "litert-dynamic": ("litert", "dynamic"),
    "litert-int8": ("litert", "int8"),
    "onnx": ("onnx", "none"),
}
COLUMNS = ("format", "metric", "same", "difference", "1: ms", "95 %", "32: ms", "95 %", "MB", "peak MB")


def chosen(words: str) -> list[str]:
    """Returns the formats named by `all` or a list with commas.

    Raises:
        UserError: One is unknown.
    """
    if words == "all":
        return list(FORMATS)
    found = [word.strip() for word in words.split(",") if word.strip()]
    for word in found:
        if word not in FORMATS:
            raise UserError(
                f"--formats: unknown {word!r}; there are all, {', '.join(FORMATS)}.{nearest(word, FORMATS)}"
            )
    if not found:
        raise UserError(f"--formats: expected all or some of {', '.join(FORMATS)}, received {words!r}.")
    return found


def benchmark_run(path: str | Path, formats: Sequence[str], show: Callable[[str], None] = print) -> dict[str, Any]:
    """Exports a run in several formats, measures each, and writes `exports/benchmark.json`; the files are not kept.

    Args:
        path: The run directory.
        formats: Keys of `FORMATS`.
        show: Prints one line.

    Returns:
        What is in `benchmark.json`: the name of the metric, and per format its figures, or the `reason` it fails.
    """
    work = RunExport.of(path)
    metric, before = work.examination.before
    rows: dict[str, dict[str, Any]] = {"keras": {"metric": before.get(metric), **work.model_times().rounded()}}
    judged = f"{metric} on the test split" if metric else "No metric for what is exported"
    show(f"{judged}, times of 1 and 32 samples, largest memory of a process that runs the file")
    show(_line(COLUMNS))
    show(_line(_cells("keras", rows["keras"])))
    for word in formats:
        format, quantize = FORMATS[word]
        with tempfile.TemporaryDirectory() as folder:
            options = ExportOptions(format, quantize)
            target = options.target(Path(folder), "model")
            try:
                report = work.export(target, options)
            except UserError as error:
                rows[word] = {"reason": str(error)}
                show(f"{word:<15} does not work: {error}")
                continue
        rows[word] = {
            "metric": report.metric_after,
            "agreement": report.agreement,
            "relative_diff": report.relative_diff,
            **report.times.rounded(),
            "bytes": report.bytes,
            "peak_memory": report.peak_memory,
        }
        show(_line(_cells(word, rows[word])))
    found = {"metric": metric, "formats": rows}
    (work.run / "exports").mkdir(exist_ok=True)
    RunDirectory(work.run / "exports").write_json("benchmark.json", found)
    return found


def _cells(word: str, row: dict[str, Any]) -> tuple[str, ...]:
    def number(name: str, form: str, factor: float = 1.0) -> str:
        return "-" if row.get(name) is None else f"{row[name] * factor:{form}}"

    return (
        word,
        number("metric", ".4f"),
        number("agreement", ".1%"),
        number("relative_diff", ".1e"),
        *(number(name, ".3g") for name in ("one", "one_p95", "many", "many_p95")),
        number("bytes", ".2f", 1e-6),
        number("peak_memory", ".0f", 1e-6),
    )


def _line(cells: Sequence[str]) -> str:
    return f"{cells[0]:<15}" + "".join(f"{cell:>11}" for cell in cells[1:])
