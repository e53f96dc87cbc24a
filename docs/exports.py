"""The page of the exports of all models that `benchmarks/` measured."""

from pathlib import Path
from typing import Any

from markup import json_of, page, section, table

FORMATS = {
    "saved_model": "SavedModel",
    "litert": "LiteRT",
    "litert_float16": "LiteRT float16",
    "litert_dynamic": "LiteRT 8-bit weights",
    "litert_int8": "LiteRT int8",
    "onnx": "ONNX",
}


def exports_page(results: Path, models_in_all: int) -> str:
    """Returns the page of what `python -m benchmarks.exports` measured of so many models of the catalogue."""
    models, times = (json_of(results, name).get("models", {}) for name in ("exports", "exports_latency"))
    rows, broken, works, total = [], [], 0, 0
    for name, cells in models.items():
        parts = sorted({cell.partition("/")[2] for cell in cells})
        for part in parts:
            label = f"[{name}](models/{name}.md)" + (f" {part}" if part else "")
            keys = {word: f"{word}/{part}" if part else word for word in FORMATS}
            found = {word: cells[key] for word, key in keys.items() if key in cells}
            taken = {word: times.get(name, {}).get(key) for word, key in keys.items()}
            rows.append([label, *(export_cell(word, found.get(word), taken[word]) for word in FORMATS)])
            broken += [[label, FORMATS[word], cell["reason"]] for word, cell in found.items() if not cell["works"]]
            works, total = works + sum(cell["works"] for cell in found.values()), total + len(found)
    head = (
        f"{len(models)} of the {models_in_all} models of the catalogue, in the small configuration of its card with "
        "perturbed random weights (batch normalisation shifted so far that deep networks do not magnify every "
        "rounding, class tokens as large as patches), exported, loaded in the runtime of its format and compared with "
        "the model on random samples: the largest difference relative to the largest output, with 8 bits the signal "
        "above the noise in dB, then the size of the file and the median time of one sample. A dash is a format that "
        "does not work, for the reason below. "
        f"{works} of {total} cells work. `python -m benchmarks.exports` measures those that are missing."
    )
    return page(
        "# Exports",
        head,
        table(["model", *FORMATS.values()], rows),
        section("What does not work", table(["model", "format", "reason"], broken)) if broken else "",
        trained_section(json_of(results, "trained_formats").get("tasks", {})),
        inference_section(json_of(results, "inference_formats").get("models", {})),
    )


def export_cell(word: str, cell: dict[str, Any] | None, times: dict[str, float] | None) -> str:
    """Returns how far a file is from its model, how large and how quick."""
    if cell is None or not cell["works"]:
        return "-"
    far = f"{cell['sqnr_db']:.0f} dB" if word in ("litert_dynamic", "litert_int8") else f"{cell['relative_diff']:.0e}"
    return f"{far}, {cell['bytes'] / 1e3:,.0f} kB" + (f", {times['one']:.2g} ms" if times else "")


def trained_section(tasks: dict[str, Any]) -> str:
    """Returns what `python -m benchmarks.trained_formats` found; nothing where it has not been run."""
    rows = []
    for task, found in tasks.items():
        for word, row in found["formats"].items():
            if "reason" in row:
                rows.append([task, word, "-", row["reason"], ""])
                continue
            size = f"{row['bytes'] / 1e3:,.0f} kB" if "bytes" in row else ""
            same = f"{row['agreement']:.2%}" if row.get("agreement") is not None else ""
            rows.append([task, word, f"{found['metric']} {row['metric']:.4f}", same, size])
    head = ["task", "format", "metric of the test split", "equal decisions", "size"]
    return section("Trained models: the presets of `kerazoo quickstart`", table(head, rows)) if rows else ""


def inference_section(models: dict[str, Any]) -> str:
    """Returns the times of `python -m benchmarks.inference_formats`; nothing where it has not been measured."""
    rows = [
        [f"`{name}`", *(f"{found[form]:.3g} ms" for form in ("keras", "float32", "int8")),
         *(f"{found[ratio][0]:.2f}" for ratio in ("keras_over_float32", "float32_over_int8"))]
        for name, found in models.items()
    ]  # fmt: skip
    columns = ["model", "compiled Keras", "LiteRT float32", "LiteRT int8", "Keras / float32", "float32 / int8"]
    return section("One image at a time", table(columns, rows)) if rows else ""
