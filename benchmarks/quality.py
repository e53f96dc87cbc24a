"""Quality of an application over several seeds, its baseline beside it on the very same splits.

usage: python -m benchmarks.quality TASK [--seeds 5] [--option value ...]

Every seed is a whole run of `kerazoo train TASK --seed N`. The figures go to `benchmarks/results/quality_TASK.json`
after each seed, so an interrupted measurement goes on with the next one; other options begin a new file. A task with
several measurements (`MEASUREMENTS`) is measured in all of them unless options are given.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
MEASUREMENTS = {
    "tabular": (
        ("--data", "breast_cancer", "--model", "mlp"),
        ("--data", "diabetes", "--model", "mlp"),
        ("--data", "diabetes", "--model", "rbf"),
    ),
    "sequence-to-sequence": (
        ("--data", "dates", "--model", "bahdanau_seq2seq"),
        ("--data", "dates", "--model", "luong_seq2seq", "--epochs", "8"),
    ),
    "time-series-forecasting": (
        ("--data", "co2", "--model", "lstm"),
        ("--data", "sunspots", "--model", "lstm", "--epochs", "60"),
    ),
    "activity-recognition": (
        ("--data", "imu", "--model", "cnn"),
        ("--data", "imu", "--model", "gru"),
        ("--data", "imu", "--model", "lstm"),
        ("--data", "imu", "--model", "tcn"),
    ),
    "instance-segmentation": (
        ("--data", "nuclei", "--model", "stardist"),
        ("--data", "nuclei", "--model", "cellpose"),
    ),
    "object-detection": (("--data", "scenes", "--model", "centernet"),),
    "atom-finding": (
        ("--data", "lattices", "--model", "unet_small", "--data-options.dose", "1000"),
        ("--data", "lattices", "--model", "unet_small", "--data-options.dose", "300"),
    ),
    "image-registration": (("--data", "ellipses", "--model", "voxelmorph"),),
    "particle-tracking": (
        ("--data", "particles", "--model", "unet_small"),
        ("--data", "cells", "--model", "unet_small", "--spot", "4", "--max-distance", "12", "--splitting"),
    ),
    "denoising": (
        ("--data", "noisy_camera", "--model", "noise2void"),
        ("--data", "noisy_camera", "--model", "noise2void", "--epochs", "60"),
        (
            *("--data", "noisy_photographs", "--model", "care", "--epochs", "40"),
            *("--learning-rate", "0.0015", "--model-options.kernel_size", "3"),
        ),
    ),
    "node-classification": (("--data", "karate", "--model", "gcn"), ("--data", "karate", "--model", "gat")),
    "autoencoding": (
        ("--data", "digits", "--model", "autoencoder"),
        ("--data", "digits", "--model", "denoising_autoencoder", "--learning-rate", "0.003"),
        ("--data", "digits", "--model", "vae"),
    ),
    "image-generation": (
        ("--data", "digits", "--model", "dcgan"),
        ("--data", "digits", "--model", "conditional_dcgan"),
        ("--data", "digits", "--model", "acgan"),
        ("--data", "digits", "--model", "cgan"),
        ("--data", "digits", "--model", "conditional_vae"),
        ("--data", "digits", "--model", "ddpm_small"),
        ("--data", "digits", "--model", "pixelcnn"),
        ("--data", "digits", "--model", "vae"),
    ),
    "image-translation": (
        ("--data", "nuclei", "--model", "pix2pix_small"),
        ("--data", "nuclei", "--model", "cyclegan_small", "--direction", "b-to-a"),
    ),
}
LOWER_IS_BETTER = (
    *("rmse", "mase", "bits_per_character", "bits_per_masked_token"),
    *("mse", "bits_per_dimension", "kernel_distance"),
)


def measure(task: str, seeds: int, words: list[str]) -> dict[str, Any]:
    """Trains `task` once per seed and returns all figures; finished seeds of an earlier call are kept."""
    from applications.core.config import from_dict, parse_arguments, to_dict
    from applications.core.registry import application_class
    from applications.core.run_directory import environment, write_atomically
    from applications.core.training import start

    cls = application_class(task)
    values, rest = parse_arguments(cls, words)
    if rest:
        raise SystemExit(f"unexpected word {rest[0]!r}")
    options = to_dict(from_dict(cls, values))
    further = dict(options["data_options"])
    if options["epochs"] != cls().epochs:
        further["epochs"] = options["epochs"]
    parts = (options["data"], options["model"], *(f"{key}_{value}" for key, value in further.items()))
    several = "".join(f"_{part}" for part in parts) if task in MEASUREMENTS else ""
    file = RESULTS / f"quality_{task}{several}.json"
    for changing in ("seed", "out", "name"):
        options.pop(changing)
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    rows = known["seeds"] if known.get("options") == options else []
    for seed in range(seeds):
        if any(row["seed"] == seed for row in rows):
            continue
        with tempfile.TemporaryDirectory() as folder:
            run = start(from_dict(cls, {**values, "seed": seed, "out": folder, "tensorboard": False}))
            metrics = run.read_json("metrics.json")
        rows.append(
            {
                "seed": seed,
                "test": metrics["test"],
                "baseline": metrics["baseline"],
                "training_seconds": metrics["training_seconds"],
                "epochs": metrics["epochs"],
                "cores": len(os.sched_getaffinity(0)),
            }
        )
        about = environment()
        content = {
            "task": task,
            "model": options["model"],
            "data": options["data"],
            "headline": metrics["headline"],
            "baseline_name": metrics["baseline_name"],
            "params": metrics["params"],
            "options": options,
            "packages": about["packages"],
            "seeds": rows,
        }
        content["summary"] = summary(content)
        write_atomically(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))


def summary(content: dict[str, Any]) -> dict[str, Any]:
    """Returns mean, spread (standard deviation) and worst seed of the headline, for model and baseline."""
    name = content["headline"]

    def line(key: str) -> dict[str, float]:
        values = [row[key][name] for row in content["seeds"] if name in row[key]]
        if not values:
            return {}
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        worst = max(values) if name in LOWER_IS_BETTER else min(values)
        return {"mean": statistics.mean(values), "spread": spread, "worst": worst}

    seconds = [row["training_seconds"] for row in content["seeds"]]
    return {
        "model": line("test"),
        "baseline": line("baseline"),
        "median_training_seconds": statistics.median(seconds),
    }


def describe(content: dict[str, Any]) -> str:
    """Returns a few lines about a measurement for a reader."""
    name, figures = content["headline"], content["summary"]
    lines = [f"{content['task']}: {content['model']} on {content['data']}, {len(content['seeds'])} seeds"]
    for label, key in ((content["model"], "model"), (content["baseline_name"], "baseline")):
        if figures[key]:
            numbers = figures[key]
            lines.append(
                f"  {name} {numbers['mean']:.4f} +- {numbers['spread']:.4f}, worst {numbers['worst']:.4f}: {label}"
            )
    lines.append(f"  median training time {figures['median_training_seconds']:.0f} s")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--seeds", type=int, default=5)
    known, words = parser.parse_known_args()
    for options in [tuple(words)] if words else MEASUREMENTS.get(known.task, ((),)):
        print(describe(measure(known.task, known.seeds, list(options))))


if __name__ == "__main__":
    sys.exit(main())
