"""How quick small image networks are as compiled Keras functions, as float32 and as int8 LiteRT files.

usage: python -m benchmarks.inference_formats [--rounds N]

One image at a time, everything in one process, the three in turn in every round, so that what else the machine does
falls on all of them alike. The results go to `benchmarks/results/inference_formats.json`: the median of the rounds,
each round the median of some calls, and the ratios of the medians with the smallest and the largest of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "inference_formats.json"
MODELS: dict[str, dict[str, Any]] = {
    "resnet20": {"input_shape": (32, 32, 3), "num_classes": 10},
    "mobilenet": {"input_shape": (224, 224, 3), "num_classes": 1000},
}
CALLS = 20


def runners(name: str, folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the network in its three forms, and one image."""
    import keras

    import kerazoo
    from kerazoo.exporters.file_model import ModelRunner
    from kerazoo.exporters.litert import load

    keras.utils.set_random_seed(0)
    model = kerazoo.create_model(name, **MODELS[name])
    images = np.random.default_rng(0).uniform(-1, 1, (64, *MODELS[name]["input_shape"])).astype("float32")
    settle(model, images)
    found: dict[str, Any] = {"keras": ModelRunner(model)}
    for quantize in ("none", "int8"):
        path = folder / f"{name}_{quantize}.tflite"
        given = {"quantize": quantize, "calibration": images if quantize == "int8" else None}
        # The weights are random and only the times are wanted: any noise will do.
        kerazoo.export(model, path, "litert", samples=images[:4], batch=1, tolerance=2.0, **given)
        found["float32" if quantize == "none" else quantize] = load(path, [model.inputs[0].name])
    return found, images[:1]


def settle(model: Any, images: np.ndarray) -> None:
    """Gives batch normalisation the statistics of the images; random weights make a network of it that says nothing."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images[:16], training=True)


def median_of_calls(runner: Any, image: np.ndarray) -> float:
    """Returns the milliseconds of one call."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        runner([image])
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Times one network in all forms."""
    with tempfile.TemporaryDirectory() as folder:
        forms, image = runners(name, Path(folder))
        for runner in forms.values():
            median_of_calls(runner, image)
        times: dict[str, list[float]] = {form: [] for form in forms}
        for _ in range(rounds):
            for form, runner in forms.items():
                times[form].append(median_of_calls(runner, image))
    found: dict[str, Any] = {form: round(float(np.median(values)), 4) for form, values in times.items()}
    for above, below in (("float32", "int8"), ("keras", "float32")):
        ratios = np.array(times[above]) / np.array(times[below])
        found[f"{above}_over_{below}"] = [round(float(v), 2) for v in (np.median(ratios), ratios.min(), ratios.max())]
    return found


def main() -> None:
    """Reads the command line."""
    from applications.core.run_directory import environment, write_atomically

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    content = {"packages": environment()["packages"], "cores": len(os.sched_getaffinity(0)), "rounds": options.rounds}
    results = {}
    for name in MODELS:
        results[name] = measure(name, options.rounds)
        print(name, results[name], flush=True)
        write_atomically(RESULTS, json.dumps({**content, "models": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
