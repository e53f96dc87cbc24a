"""Every model of the catalogue in every format: does the file load in its runtime and agree with the model?

usage: python -m benchmarks.exports [MODEL ...] [--again]

Each model is exported in a process of its own, with the small configuration of its card, perturbed random weights and
random samples. The results go to `benchmarks/results/exports.json` after each model, and those that are there are
not measured again (`--again` does it anyway). The documentation shows them as a table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "exports.json"
CELLS = {
    "saved_model": ("saved_model", "none"),
    "litert": ("litert", "none"),
    "litert_float16": ("litert", "float16"),
    "litert_dynamic": ("litert", "dynamic"),
    "litert_int8": ("litert", "int8"),
    "onnx": ("onnx", "none"),
}
TIMEOUT = 1800  # seconds per model


def measure(name: str) -> dict[str, Any]:
    """Exports one model in all formats, in this process."""
    sys.path.insert(0, str(ROOT / "tests" / "kerazoo"))
    import keras
    import zoo

    import kerazoo
    from kerazoo.exporters import suffix

    cells: dict[str, Any] = {}
    parts = {part.name: part for part in zoo.functional_parts(zoo.built(name))}
    for cell, (format, quantize) in CELLS.items():
        for part, model in parts.items():
            samples = zoo.batch(name, count=64)[0] if len(parts) == 1 else part_samples(model)
            few = keras.tree.map_structure(lambda array: array[:8], samples)
            with tempfile.TemporaryDirectory() as folder:
                path, start = Path(folder) / f"model{suffix(format)}", time.perf_counter()
                calibration = samples if quantize == "int8" else None
                try:
                    report = kerazoo.export(
                        model, path, format, quantize=quantize, calibration=calibration, samples=few
                    )
                    found: dict[str, Any] = {
                        "works": True,
                        "relative_diff": float(f"{report.relative_diff:.3g}"),
                        "sqnr_db": round(report.sqnr_db, 1),
                        "bytes": report.bytes,
                        "latency_ms": float(f"{report.latency_ms:.3g}"),
                        "notes": list(report.notes),
                    }
                except Exception as error:
                    found = {"works": False, "reason": f"{type(error).__name__}: {error}"[:400]}
                found["seconds"] = round(time.perf_counter() - start, 1)
            cells[cell if len(parts) == 1 else f"{cell}/{part}"] = found
    return cells


def part_samples(model: Any) -> Any:
    """Draws inputs for one part of a model of several."""
    import keras
    import numpy as np

    from kerazoo.exporters.parity import sample_batch

    few, _ = sample_batch(model)
    return keras.tree.map_structure(lambda array: np.resize(array, (64, *array.shape[1:])), few)


def main() -> int:
    """Measures what is asked for; the exit status tells whether 95 % of the cells work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.models[0])))
        return 0

    import kerazoo
    from applications.core.run_directory import environment, write_atomically

    everything = kerazoo.list_models()
    known = json.loads(RESULTS.read_text())["models"] if RESULTS.exists() else {}
    for number, name in enumerate(options.models or everything, start=1):
        if name in known and not options.again:
            continue
        known[name] = _in_a_child(name)
        broken = [cell for cell, found in known[name].items() if not found["works"]]
        print(f"{number:3} {name:24} {', '.join(broken) or 'all work'}", flush=True)
        content = {
            "packages": environment()["packages"],
            "cores": len(os.sched_getaffinity(0)),
            "models": {key: known[key] for key in everything if key in known},
        }
        write_atomically(RESULTS, json.dumps(content, indent=1) + "\n")
    cells = [found["works"] for model in known.values() for found in model.values()]
    print(f"{sum(cells)} of {len(cells)} cells work ({sum(cells) / len(cells):.1%}), {len(known)} models")
    return 0 if sum(cells) >= 0.95 * len(cells) else 1


def _in_a_child(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.exports", "--child", name]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT, env=environment, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return {cell: {"works": False, "reason": f"not done within {TIMEOUT} s"} for cell in CELLS}
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:400]
        return {cell: {"works": False, "reason": reason} for cell in CELLS}
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
