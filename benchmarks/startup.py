"""What a start costs: `kerazoo --help`, and the first training step of a task beside plain Keras.

usage: python -m benchmarks.startup [--rounds N]

Whole processes, in turn: the command's help; the digits trained for two steps by kerazoo; the same network on the same
images by `compile` and `fit` of Keras, TensorFlow's import included; that import alone. Processor seconds are told
beside the clock's, since other work on the machine disturbs them less: `benchmarks/results/startup.json`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
KERAZOO = "from applications.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
PLAIN = """
import numpy, sklearn.datasets, keras, kerazoo
digits = sklearn.datasets.load_digits()
images = digits.images[..., None].astype("float32")
model = kerazoo.cnn((8, 8, 1), 10, include_preprocessing=(float(1 / images.std()), 0.0))
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(images[:64], digits.target[:64], batch_size=32, verbose=0)
"""
GOALS = {"help": 0.4, "first steps over plain Keras": 1.3}


def commands(folder: str) -> dict[str, list[str]]:
    """Returns the processes that are measured."""
    first = ("train", "image-classification", "--model", "cnn", "--fast-dev-run", "--no-tensorboard", "--out", folder)
    return {
        "help": ["-c", KERAZOO, "--help"],
        "first steps": ["-c", FIRST_STEPS, *first],
        "plain Keras": ["-c", PLAIN],
        "import": ["-c", "import tensorflow"],
    }


# A training up to its first two steps: what comes after them (evaluation, report) is not of the start.
FIRST_STEPS = """
import os, sys
from applications.core import fitting, training
def stop(self, *_): os._exit(0)
fitting.Fit._finished = stop
from applications.cli import main
sys.exit(main(sys.argv[1:]))
"""


def measured(words: list[str]) -> tuple[float, float]:
    """Returns seconds by the clock and of the processor that a process takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    clock = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    from applications.core.run_directory import environment, write_atomically

    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds + 1):  # the first one reads everything from the disk
            for name, words in commands(folder).items():
                pair = measured(words)
                if turn:
                    found.setdefault(name, []).append(pair)
    rows = {
        name: {
            "seconds": round(statistics.median(clock for clock, _ in pairs), 3),
            "processor_seconds": round(statistics.median(cpu for _, cpu in pairs), 3),
        }
        for name, pairs in found.items()
    }
    ratios = [a / b for (a, _), (b, _) in zip(found["first steps"], found["plain Keras"], strict=True)]
    content = {
        "rounds": options.rounds,
        "packages": environment()["packages"],
        "goals": GOALS,
        "processes": rows,
        "first_steps_over_plain_keras": round(statistics.median(ratios), 3),
    }
    for name, row in rows.items():
        print(f"{name}: {row['seconds']} s by the clock, {row['processor_seconds']} s of the processor")
    print(f"first steps over plain Keras: {content['first_steps_over_plain_keras']}")
    write_atomically(RESULTS / "startup.json", json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
