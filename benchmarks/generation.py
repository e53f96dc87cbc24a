"""Time per new token of a GPT, with keys and values kept and without.

usage: python -m benchmarks.generation [--rounds N]

Both ways are measured in turn at every position, and the medians are kept: `benchmarks/results/generation.json` and
`.png`. A network of 4.9 M weights with a context of 576 tokens, one text at a time;
in a smaller one what a call costs by itself hides what it computes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
POSITIONS = (64, 128, 192, 256, 320, 384, 448, 512)
CONTEXT = 576
SIZES = {"num_layers": 6, "num_heads": 8, "hidden_dim": 256, "mlp_dim": 1024}
GOALS = {"cached": 1.5, "whole": 4.0}
"""With the cache position 512 takes at most this many times what position 64 takes; without it at least."""


def seconds(function: Callable[[], Any]) -> float:
    """Returns how long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(rounds: int) -> dict[str, dict[int, float]]:
    """Returns the median milliseconds of a token, way -> position -> time."""
    import keras
    import numpy as np

    import kerazoo

    keras.utils.set_random_seed(0)
    model = kerazoo.gpt2_tiny(max_length=CONTEXT, **SIZES)
    stepper = kerazoo.generation.stepper_of(model)
    tokens = np.random.default_rng(0).integers(0, stepper.vocab_size, (1, CONTEXT)).astype("int32")
    states = {position: stepper.start(tokens[:, :position])[1] for position in POSITIONS}
    # The first step of a state finds its room full and makes more.
    states = {position: stepper.step(tokens[:, position], state)[1] for position, state in states.items()}
    found: dict[str, dict[int, list[float]]] = {way: {position: [] for position in POSITIONS} for way in GOALS}
    for turn in range(rounds + 3):  # the first three compile
        for position in POSITIONS:
            state, text, new = states[position], tokens[:, : position + 1], tokens[:, position + 1]
            ways = {"cached": lambda: stepper.step(new, state), "whole": lambda: stepper.start(text)}  # noqa: B023
            for way, function in ways.items():
                taken = seconds(function)
                if turn >= 3:
                    found[way][position].append(1e3 * taken)
    return {way: {p: round(float(np.median(times)), 3) for p, times in row.items()} for way, row in found.items()}


def plot(found: dict[str, dict[int, float]], path: Path) -> None:
    """Draws both curves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    labels = {"cached": "keys and values kept", "whole": "everything computed again"}
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for way, row in found.items():
        axes.plot(list(row), list(row.values()), "o-", label=labels[way])
    axes.set(xlabel="position", ylabel="milliseconds per new token", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: list[str]) -> int:
    """Measures, writes and says whether the goals are reached."""
    from applications.core.run_directory import environment, write_atomically

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="measurements at every position (default: 30)")
    rounds = parser.parse_args(arguments).rounds
    found = measure(rounds)
    ratios = {way: round(row[POSITIONS[-1]] / row[POSITIONS[0]], 2) for way, row in found.items()}
    reached = ratios["cached"] <= GOALS["cached"] and ratios["whole"] >= GOALS["whole"]
    content = {
        "packages": environment()["packages"],
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "rounds": rounds,
        "milliseconds": found,
        "position_512_over_64": ratios,
        "reached": reached,
    }
    write_atomically(RESULTS / "generation.json", json.dumps(content, indent=1) + "\n")
    plot(found, RESULTS / "generation.png")
    print(json.dumps({"milliseconds": found, "position_512_over_64": ratios, "reached": reached}, indent=1))
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
