"""Every model of the catalogue in every format: does the file load in its runtime and agree with the model?

usage: python -m benchmarks.exports [MODEL ...] [--again | --broken] [--files FOLDER] [--memory GB]
       python -m benchmarks.exports --latency --files FOLDER

Each model is exported in a process of its own, with the small configuration of its card, perturbed random weights and
random samples; one that crashes, takes too long or too much memory loses only the cell at hand. The results go to
`benchmarks/results/exports.json` after each model, and what is there is not measured again (`--again` does it anyway,
`--broken` those cells that do not work). The documentation shows them as a table.

`--files` keeps the exported files. `--latency` takes the times of files kept, on a machine that does nothing else, in a
minute per format: `benchmarks/results/exports_latency.json`.
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
LATENCIES = Path(__file__).parent / "results" / "exports_latency.json"
CELLS = {
    "saved_model": ("saved_model", "none"),
    "litert": ("litert", "none"),
    "litert_float16": ("litert", "float16"),
    "litert_dynamic": ("litert", "dynamic"),
    "litert_int8": ("litert", "int8"),
    "onnx": ("onnx", "none"),
}
TIMEOUT = 1800  # seconds per model
# What no converter can mend, said beside the reason it gives.
UNPOOLING = "Equal, of pooling that remembers where the largest value was: rounded values tie, unpooling moves them."
DEPTH = (
    "Rounding adds up over more than a hundred layers that take all before them; random weights leave no room for it."
)
INHERENT = {
    "deconvnet": UNPOOLING,
    "segnet": UNPOOLING,
    "luong_seq2seq": "CONCATENATION of embedding and fed input; with `input_feeding=False` it works (39 dB).",
    "voxelmorph": "A field divided by 128 and then doubled seven times has no steps of 8 bits left.",
    "perceptron": "GREATER_EQUAL, its step, turns sums that are rounded to 0 into 1.",
    **dict.fromkeys(("densenet121", "densenet169", "densenet201"), DEPTH),
}
Cells = dict[str, dict[str, Any]]


# --- one model, in a process of its own -----------------------------------------------------------


def measure(name: str, wanted: list[str], folder: Path) -> None:
    """Exports one model in some formats, in this process; prints one line of JSON before and after each cell."""
    sys.path.insert(0, str(ROOT / "tests" / "kerazoo"))
    import keras
    import numpy as np
    import zoo

    from kerazoo.exporters import preparation, suffix

    whole, all_samples = zoo.fresh(name), zoo.batch(name, count=64)[0]
    zoo.perturb(whole)
    zoo.calm(whole)
    zoo.settle(whole, all_samples)  # statistics of few samples would make networks that magnify any noise
    zoo.speak_up(whole, all_samples)
    # Networks that judge others in training are no part of what a model is used for.
    parts = {part.name: part for part in zoo.functional_parts(whole) if not part.name.startswith("discriminator")}
    for part, model in parts.items():
        samples = all_samples if model is whole else part_samples(model)
        few = keras.tree.map_structure(lambda array: array[:8], samples)
        specs = preparation.input_specs(model, few)
        names, types = preparation.input_names(specs), [spec.dtype for spec in keras.tree.flatten(specs)]
        arrays = map(np.asarray, keras.tree.flatten(few), types)
        where = folder if len(parts) == 1 else folder / part
        where.mkdir(parents=True, exist_ok=True)
        np.savez(where / "inputs.npz", **dict(zip(names, arrays, strict=True)))
        for word, (format, quantize) in CELLS.items():
            cell = word if len(parts) == 1 else f"{word}/{part}"
            if wanted and cell not in wanted:
                continue
            print(json.dumps({"cell": cell}), flush=True)
            found = measure_cell(model, where / f"{word}{suffix(format)}", format, quantize, samples, few)
            if not found["works"] and name in INHERENT:
                found["reason"] += f" {INHERENT[name]}"
            print(json.dumps({"cell": cell, "found": found}), flush=True)


def measure_cell(model: Any, path: Path, format: str, quantize: str, samples: Any, few: Any) -> dict[str, Any]:
    """Exports one model in one format and says how far the file is from it."""
    import kerazoo

    start = time.perf_counter()
    calibration = samples if quantize == "int8" else None
    options = {"quantize": quantize, "calibration": calibration, "samples": few, "overwrite": True}
    try:
        report = kerazoo.export(model, path, format, **options)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:400]
        if quantize == "int8" and "disagrees" in reason:
            reason += worst_operation(model, path, options)
        return {"works": False, "reason": reason, "seconds": since(start)}
    return {
        "works": True,
        "relative_diff": float(f"{report.relative_diff:.3g}"),
        "sqnr_db": round(report.sqnr_db, 1),
        "bytes": report.bytes,
        "notes": list(report.notes),
        "seconds": since(start),
    }


def worst_operation(model: Any, path: Path, options: dict[str, Any]) -> str:
    """Returns a sentence with the operation that 8 bits harm most."""
    import kerazoo

    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        report = kerazoo.export(model, draft, "litert", list_errors=True, tolerance=1e9, **options)
    worst = report.errors[0]
    return f" The worst operation is {worst['operation']} in {', '.join(worst['layers'])[-80:]}."


def since(start: float) -> float:
    """Returns the seconds since then."""
    return round(time.perf_counter() - start, 1)


def part_samples(model: Any) -> Any:
    """Draws inputs for one part of a model of several."""
    import keras
    import numpy as np

    from kerazoo.exporters.parity import sample_batch

    few, _ = sample_batch(model)
    return keras.tree.map_structure(lambda array: np.resize(array, (64, *array.shape[1:])), few)


# --- the whole catalogue --------------------------------------------------------------------------


def all_cells(name: str, wanted: list[str], folder: Path, memory: float) -> Cells:
    """Measures one model in as many processes as it takes: after a crash the next begins behind it."""
    found: Cells = {}
    while True:
        done, at_hand, reason = in_a_child(name, wanted, folder, memory)
        found |= done
        if reason is None:
            return found
        if at_hand is None:  # the model cannot even be built
            return found | {cell: {"works": False, "reason": reason} for cell in wanted or CELLS if cell not in found}
        found[at_hand] = {"works": False, "reason": reason}
        parts = {cell.partition("/")[2] for cell in found}
        every = wanted or [f"{word}/{part}".rstrip("/") for part in parts for word in CELLS]
        wanted = [cell for cell in every if cell not in found]
        if not wanted:
            return found


def in_a_child(name: str, wanted: list[str], folder: Path, memory: float) -> tuple[Cells, str | None, str | None]:
    """Returns the cells of one process, the one it died in, and why it died (`None`: it did not)."""
    command = [sys.executable, "-m", "benchmarks.exports", name, "--child", str(folder), "--cells", ",".join(wanted)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(command, stdout=out, stderr=log, text=True, env=environment, cwd=ROOT)
        reason = watched(child, memory)
        out.seek(0)
        log.seek(0)
        lines = [json.loads(line) for line in out if line.startswith('{"cell"')]
        if reason is None and child.returncode:
            kind = f"signal {-child.returncode}" if child.returncode < 0 else f"exit status {child.returncode}"
            reason = (log.read().strip().splitlines() or [f"its process ended with {kind}"])[-1][:400]
    done = {line["cell"]: line["found"] for line in lines if "found" in line}
    at_hand = lines[-1]["cell"] if reason and lines and "found" not in lines[-1] else None
    return done, at_hand, reason


def watched(child: subprocess.Popen[str], memory: float) -> str | None:
    """Waits for a process and ends it where it takes too much; returns why."""
    import psutil

    start, process = time.monotonic(), psutil.Process(child.pid)
    while child.poll() is None:
        time.sleep(0.5)
        reason = None
        try:
            used = sum(part.memory_info().rss for part in (process, *process.children(recursive=True)))
        except psutil.NoSuchProcess:
            continue
        if used > memory * 1e9:
            reason = f"takes more than {memory:g} GB of memory"
        elif time.monotonic() - start > TIMEOUT:
            reason = f"not done within {TIMEOUT} s"
        if reason:
            for part in (*process.children(recursive=True), process):
                part.kill()
            child.wait()
            return reason
    return None


def measure_all(models: list[str], options: argparse.Namespace) -> int:
    """Measures what is asked for; the exit status tells whether 95 % of the cells work."""
    import kerazoo

    everything = kerazoo.list_models()
    known: dict[str, Cells] = json.loads(RESULTS.read_text())["models"] if RESULTS.exists() else {}
    for number, name in enumerate(models or everything, start=1):
        broken = [cell for cell, found in known.get(name, {}).items() if not found["works"]]
        if name in known and not options.again and not (options.broken and broken):
            continue
        wanted = broken if options.broken and not options.again else []
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(options.files or scratch).absolute() / name
            found = all_cells(name, wanted, folder, options.memory)
        known[name] = (known.get(name, {}) | found) if wanted else found
        broken = [cell for cell, found in known[name].items() if not found["works"]]
        print(f"{number:3} {name:24} {', '.join(broken) or 'all work'}", flush=True)
        write(RESULTS, {key: known[key] for key in everything if key in known})
    cells = [found["works"] for model in known.values() for found in model.values()]
    print(f"{sum(cells)} of {len(cells)} cells work ({sum(cells) / len(cells):.1%}), {len(known)} models")
    return 0 if sum(cells) >= 0.95 * len(cells) else 1


def write(path: Path, models: dict[str, Any]) -> None:
    """Writes results with the machine they were measured on."""
    from applications.core.run_directory import environment, write_atomically

    content = {
        "packages": environment()["packages"],
        "cores": len(os.sched_getaffinity(0)),
        "models": models,
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")


# --- times ----------------------------------------------------------------------------------------


def latencies(files: Path) -> int:
    """Times the files kept, one process per format, so that no runtime disturbs another."""
    found: dict[str, dict[str, Any]] = {}
    for word in CELLS:
        command = [sys.executable, "-m", "benchmarks.exports", "--latency", "--files", str(files), "--child", word]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment, cwd=ROOT)
        for line in done.stdout.splitlines():
            row = json.loads(line)
            found.setdefault(row["model"], {})[row["cell"]] = row["times"]
        print(f"{word}: {len(done.stdout.splitlines())} files", flush=True)
        write(LATENCIES, dict(sorted(found.items())))
    return 0


def time_format(files: Path, word: str) -> None:
    """Times all files of one format in this process and prints one line of JSON for each."""
    import importlib

    import numpy as np

    from kerazoo.exporters import parity, suffix

    format = CELLS[word][0]
    runtime = importlib.import_module(f"kerazoo.exporters.{format}")
    for path in sorted(files.glob(f"**/{word}{suffix(format)}")):
        with np.load(path.parent / "inputs.npz") as file:
            inputs = dict(file)
        model, _, part = path.parent.relative_to(files).as_posix().partition("/")
        times = parity.timed(runtime.load(path, list(inputs)), list(inputs.values()))
        cell = f"{word}/{part}" if part else word
        print(json.dumps({"model": model, "cell": cell, "times": times.rounded()}), flush=True)


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--broken", action="store_true", help="measure again what did not work")
    parser.add_argument("--files", metavar="FOLDER", help="where the exported files are kept; none: nowhere")
    parser.add_argument("--memory", type=float, default=12.0, metavar="GB", help="most a model may take; default 12")
    parser.add_argument("--latency", action="store_true", help="take the times of the files in --files")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--cells", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.latency:
        if not options.files:
            parser.error("--latency times the files in --files FOLDER")
        if options.child:
            time_format(Path(options.files), options.child)
            return 0
        return latencies(Path(options.files).absolute())
    if options.child:
        measure(options.models[0], [cell for cell in options.cells.split(",") if cell], Path(options.child))
        return 0
    return measure_all(options.models, options)


if __name__ == "__main__":
    sys.exit(main())
