"""`kerazoo quickstart`: a classifier and a segmentation network, from data to checked LiteRT files, offline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from applications.core.run_directory import RunDirectory


def run_quickstart(out: str = "runs", fast_dev_run: bool = False) -> list[RunDirectory]:
    """Trains both applications on their embedded data, exports both models and says what to do next.

    Args:
        out: Folder of all runs.
        fast_dev_run: Try everything on two batches only.

    Returns:
        The two finished runs.
    """
    from applications.core.exporting import ExportOptions, export_run
    from applications.core.training import start
    from applications.image_classification import ImageClassification
    from applications.semantic_segmentation import SemanticSegmentation

    began = time.monotonic()
    presets = (
        ("Handwritten digits: which digit is it?", ImageClassification(out=out, fast_dev_run=fast_dev_run)),
        ("Cell nuclei: which pixels belong to one?", SemanticSegmentation(out=out, fast_dev_run=fast_dev_run)),
    )
    rows, runs = [], []
    for title, application in presets:
        print(f"\n== {title}  ({application.task}, {application.model} on {application.data}) ==")
        run = start(application)
        path, parity = export_run(run.path, ExportOptions("litert"))
        print(f"exported {path} ({parity.bytes / 1e6:.2f} MB), largest difference {parity.max_abs_diff:.1e}")
        metrics = run.read_json("metrics.json")
        headline = metrics["headline"]
        rows.append(
            (
                application.task,
                headline,
                metrics["test"][headline],
                metrics["baseline"].get(headline),
                metrics["baseline_name"],
                parity,
            )
        )
        runs.append(run)
    print(f"\n== Done in {time.monotonic() - began:.0f} s ==")
    for task, headline, value, beside, name, parity in rows:
        compared = f", {name}: {beside:.4f}" if beside is not None else ""
        print(f"{task}: test {headline} {value:.4f}{compared}; LiteRT file agrees on {parity.agreement:.1%}")
    print("\nreports and models:")
    for run in runs:
        print(f"  {run / 'report.html'}\n  {run / 'model.keras'}\n  {run / 'exports'}")
    print("\nnext:")
    print("  kerazoo train image-classification --data FOLDER_WITH_ONE_FOLDER_PER_CLASS")
    print(f"  kerazoo predict {runs[1].path} YOUR_IMAGE.png -o predictions")
    print("  kerazoo models")
    return runs
