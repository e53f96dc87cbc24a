"""What a prediction costs: `Predictor`, plain and with `execution="auto"`, the bare call and `model.predict` of Keras.

usage: python -m benchmarks.inference [--rounds N] [--models NAME ...]

One sample, and a batch of 256. Ways are measured in turn, in a random order each time, each by the median of a few
calls behind one that does not count: threads of `predict` go on for a while. The medians are kept, with the median of
the rounds' ratios: `benchmarks/results/inference.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.pinned import NETWORKS

RESULTS = Path(__file__).parent / "results"
COUNTS = (1, 256)
GOALS = {"one sample, against the bare call": 1.2, "one sample, predict": 50.0, "256 samples, predict": 1.2}


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Returns median milliseconds of each way and number of samples, and the ratios to `Predictor`."""
    import tensorflow as tf

    from applications.core.inference import Predictor

    network = NETWORKS[name]
    model = network.build()
    inputs, _ = network.data()
    while len(inputs) < max(COUNTS):
        inputs = tf.concat([inputs, inputs], 0).numpy()
    predictor, faster = Predictor(model), Predictor(model, execution="auto")
    bare = tf.function(lambda x: model(x, training=False), autograph=False)
    row: dict[str, Any] = {}
    for count in COUNTS:
        batch = inputs[:count]
        tensor = tf.constant(batch)
        ways = {
            "predictor": lambda: predictor(batch),  # noqa: B023
            "auto": lambda: faster(batch),  # noqa: B023
            "bare": lambda: tf.nest.map_structure(lambda x: x.numpy(), bare(tensor)),  # noqa: B023
            "predict": lambda: model.predict(batch, verbose=0),  # noqa: B023
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds + 1):  # the first one traces
            for way in random.Random(turn).sample(list(ways), len(ways)):  # each is behind `predict` now and then
                milliseconds = usual_time(ways[way])
                if turn:
                    times[way].append(milliseconds)
        row[str(count)] = {
            "milliseconds": {way: round(statistics.median(values), 3) for way, values in times.items()},
            "predictor_over_bare": _ratio(times["predictor"], times["bare"]),
            "predict_over_predictor": _ratio(times["predict"], times["predictor"]),
            "auto_over_bare": _ratio(times["auto"], times["bare"]),
            "predict_over_auto": _ratio(times["predict"], times["auto"]),
        }
    return row


def usual_time(function: Callable[[], Any]) -> float:
    """Returns the median of the milliseconds of up to nine calls, of fewer where they take long."""
    function()
    times: list[float] = []
    while not times or (sum(times) < 100 and len(times) < 9):
        began = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


def _ratio(above: list[float], below: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    options = parser.parse_args()
    from applications.core.run_directory import environment, write_atomically

    rows = {}
    for name in options.models:
        if not NETWORKS[name].outputs:  # draws its code at random, and gives several outputs
            continue
        rows[name] = row = measure(name, options.rounds)
        for count, found in row.items():
            print(
                f"{name}, {count}: {found['milliseconds']} ms; "
                f"{found['predictor_over_bare']} times the bare call, with auto {found['auto_over_bare']}; "
                f"predict takes {found['predict_over_predictor']} times as long, auto {found['predict_over_auto']}",
                flush=True,
            )
    content = {
        "rounds": options.rounds,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": environment()["packages"],
        "goals": GOALS,
        "models": rows,
    }
    if len(options.models) == len(NETWORKS):
        write_atomically(RESULTS / "inference.json", json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
