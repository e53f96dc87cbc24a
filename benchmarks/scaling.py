"""What several workers cost and gain: one training by one process, and by workers beside each other.

usage: python -m benchmarks.scaling [--workers 1 2] [--rounds N] [--models NAME ...]

Workers share this machine's cores, so what is lost to their talking shows, and what a second machine would gain does
not: the ratio to one process is at best about 1 here. Seconds are those of the epochs after the first one, in which
everything is traced. `benchmarks/results/scaling.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
KERAZOO = "from applications.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
EPOCHS = 4


def seconds(model: str, workers: int) -> float:
    """Returns the seconds of an epoch of the digits at 32 x 32 pixels."""
    words = ["train", "image-classification", "--model", model, "--image-size", "32", "--batch-size", "64"]
    words += ["--epochs", str(EPOCHS), "--no-tensorboard", "--execution", "plain", "--steps-per-execution", "1"]
    launch = ["launch", "--workers", str(workers)] if workers > 1 else []
    with tempfile.TemporaryDirectory() as out:
        words += ["--out", out, "--name", "run"]
        ran = subprocess.run(
            [sys.executable, "-c", KERAZOO, *launch, *words], check=True, capture_output=True, text=True
        )
    times = re.findall(r"epoch +(\d+)/\d+ +([\d.]+) s", ran.stdout)
    return statistics.median(float(taken) for epoch, taken in times if int(epoch) > 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--models", nargs="+", default=["lenet5", "resnet20"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    from applications.core.run_directory import environment, write_atomically

    rows: dict[str, Any] = {}
    for model in options.models:
        times: dict[int, list[float]] = {workers: [] for workers in options.workers}
        for _ in range(options.rounds):
            for workers, found in times.items():
                found.append(seconds(model, workers))
        first = times[options.workers[0]]
        rows[model] = {
            str(workers): {
                "seconds_per_epoch": round(statistics.median(found), 3),
                "times_as_fast": round(statistics.median(a / b for a, b in zip(first, found, strict=True)), 3),
            }
            for workers, found in times.items()
        }
        print(f"{model}: {json.dumps(rows[model])}", flush=True)
    content = {
        "rounds": options.rounds,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": environment()["packages"],
        "models": rows,
    }
    write_atomically(RESULTS / "scaling.json", json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
