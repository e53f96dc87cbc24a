"""What every format does to the metric of a trained model: the quick presets of digits and nuclei, test splits.

usage: python -m benchmarks.trained_formats [RUN ...]

Without runs both presets are trained first, as `kerazoo quickstart` does. `results/trained_formats.json` gets
per task the metric of the model and of each format, the share of decisions that agree, and the bytes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "trained_formats.json"


def presets(folder: str) -> list[Path]:
    """Trains both quick presets and returns their runs."""
    from applications.core.training import start
    from applications.image_classification import ImageClassification
    from applications.semantic_segmentation import SemanticSegmentation

    return [start(task(out=folder)).path for task in (ImageClassification, SemanticSegmentation)]


def main() -> None:
    """Reads the command line."""
    from applications.core.benchmarking import FORMATS, benchmark_run
    from applications.core.run_directory import RunDirectory, environment, write_atomically

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*")
    options = parser.parse_args()
    known = json.loads(RESULTS.read_text())["tasks"] if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for run in options.runs or presets(folder):
            found = benchmark_run(run, list(FORMATS))
            rows = {
                word: {key: row[key] for key in ("metric", "agreement", "bytes", "reason") if key in row}
                for word, row in found["formats"].items()
            }
            known[RunDirectory.open(run).path.parent.name] = {"metric": found["metric"], "formats": rows}
            content = {"packages": environment()["packages"], "tasks": known}
            write_atomically(RESULTS, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
