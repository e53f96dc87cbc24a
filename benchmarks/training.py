"""Training steps per second: kerazoo beside plain Keras (`compile` and `fit` as in its guide), and PyTorch where it is.

usage: python -m benchmarks.training [--rounds N] [--models NAME ...] [--without-torch]

The same network with the same weights, batch and data for all; who is measured changes within a round and the rounds
are repeated, so that a noisy machine disturbs all alike. A round is a `fit` of two epochs, of which the second counts:
what a `fit` does before its first step would weigh more here than in a training. Ratios are the medians of the rounds'
ratios. kerazoo is trained beside itself without the fused kernels, too, so that one sees what they do. What looking for
the fastest execution costs is told beside them. `benchmarks/results/training.json` and `.png` keep the figures, beside
the rate of a matrix product on this machine and the share of it that training reaches.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.pinned import BATCH, NETWORKS, Pinned, matmul_rate

RESULTS = Path(__file__).parent / "results"
GOALS = {"keras": 2.0, "torch": 1.0}
LOWEST_RATIO = 0.97


def fit_timer() -> Any:
    """Returns a callback whose `seconds` are those of the last epoch."""
    import keras

    class Timer(keras.callbacks.Callback):
        began = seconds = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds = time.perf_counter() - self.began

    return Timer()


def plain_keras(network: Pinned) -> tuple[Callable[[], float], dict[str, Any]]:
    """Returns what trains for one round as Keras' guide does it: arrays, and every argument at its default."""
    model = network.build()
    network.compile(model)
    inputs, targets = network.data()
    arrays = (inputs, targets) if network.outputs else (inputs,)

    def train() -> float:
        timer = fit_timer()
        model.fit(*arrays, batch_size=BATCH, epochs=2, verbose=0, callbacks=[timer])
        return timer.seconds

    return train, {}


def with_kerazoo(network: Pinned, fuse: bool = True) -> tuple[Callable[[], float], dict[str, Any]]:
    """Returns what trains for one round with the pipeline and the plan of kerazoo's applications, and the plan."""
    import tensorflow as tf

    from applications.core import execution, fused, pipeline

    model = network.build()
    network.compile(model, jit_compile=False)
    if fuse:
        fused.use_fused_kernels(model)
    model.optimizer.build(model.trainable_variables)
    inputs, targets = (tf.constant(array) for array in network.data())

    def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
        found = tf.gather(inputs, index)
        return (found, tf.gather(targets, index)) if network.outputs else (found,)

    samples = pipeline.Samples(len(inputs), load, at_once=True)

    def batches(block: int) -> tf.data.Dataset:
        return pipeline.training_batches(samples, BATCH, seed=0, endless=True, block=block)

    model.evaluate(batches(1), steps=1, verbose=0)  # makes the variables of the metrics
    began = time.perf_counter()
    epochs = 10**6 // network.steps  # long enough for everything to be tried
    work = execution.Work(model=model, batches=batches, steps=network.steps, epochs=epochs)
    plan = execution.fastest(work, execution.Memory())
    blocks = work.in_blocks(plan.steps)
    execution.use(model, plan.xla, plan.steps, blocks=blocks)
    endless = batches(plan.steps if blocks else 1)
    looked = time.perf_counter() - began

    def train() -> float:
        timer = fit_timer()
        options = {"steps_per_epoch": network.steps, "epochs": 2, "verbose": 0, "shuffle": False}
        model.fit(endless, callbacks=[timer], **options)
        return timer.seconds

    return train, {"plan": plan.name, "seconds_of_planning": round(looked, 2), "ways": plan.milliseconds}


def with_torch(name: str) -> Callable[[Pinned], tuple[Callable[[], float], dict[str, Any]]]:
    """Returns the maker of the same network in PyTorch, trained eagerly."""

    def make(network: Pinned) -> tuple[Callable[[], float], dict[str, Any]]:
        from benchmarks import pinned_torch

        return pinned_torch.trainer(name, network), {}

    return make


def measure(name: str, rounds: int, torch: bool) -> dict[str, Any]:
    """Returns milliseconds per step of everybody, ratios to kerazoo and the plan."""
    import keras

    import kerazoo

    network = NETWORKS[name]
    makers: dict[str, Callable[..., Any]] = {
        "kerazoo": with_kerazoo,
        "unfused": functools.partial(with_kerazoo, fuse=False),
        "keras": plain_keras,
    }
    if torch:
        makers["torch"] = with_torch(name)
    trainers, about = {}, {}
    for peer, make in makers.items():
        trainers[peer], about[peer] = make(network)
    times: dict[str, list[float]] = {peer: [] for peer in makers}
    order = list(makers)
    for turn in range(rounds + 1):  # the first one traces and compiles
        for peer in order:
            taken = trainers[peer]()
            if turn:
                times[peer].append(1e3 * taken / network.steps)
        order = order[1:] + order[:1]
    model = network.build()
    row = {
        "milliseconds": {peer: round(statistics.median(values), 3) for peer, values in times.items()},
        "spread": {peer: round(statistics.stdev(values), 3) if rounds > 1 else 0.0 for peer, values in times.items()},
        "ratios": {
            peer: round(statistics.median(a / b for a, b in zip(times[peer], times["kerazoo"], strict=True)), 3)
            for peer in makers
            if peer != "kerazoo"
        },
        "params": int(model.count_params()),
        "is_convolutional": network.is_convolutional,
        **about["kerazoo"],
    }
    if model.inputs is not None:
        with_gradient = 3 * kerazoo.count_flops(model) * BATCH
        row["gflops_per_second"] = round(with_gradient / row["milliseconds"]["kerazoo"] / 1e6, 2)
    keras.backend.clear_session()
    return row


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.mean(map(math.log, values)))


def summary(rows: dict[str, Any]) -> dict[str, Any]:
    """Returns the geometric means of the ratios, of all networks and of those that convolve, and the lowest."""
    found: dict[str, Any] = {}
    for peer in GOALS:
        ratios = {name: row["ratios"][peer] for name, row in rows.items() if peer in row["ratios"]}
        if not ratios:
            continue
        convolutional = [ratio for name, ratio in ratios.items() if rows[name]["is_convolutional"]]
        found[peer] = {
            "geometric_mean": round(geometric_mean(list(ratios.values())), 3),
            "convolutional": round(geometric_mean(convolutional), 3) if convolutional else None,
            "lowest": min(ratios.values()),
        }
    return found


def plot(rows: dict[str, Any], path: Path) -> None:
    """Draws how many times as fast as each peer kerazoo is."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    peers = [peer for peer in GOALS if any(peer in row["ratios"] for row in rows.values())]
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for number, peer in enumerate(peers):
        places = np.arange(len(rows)) + 0.8 * (number - (len(peers) - 1) / 2) / len(peers)
        heights = [row["ratios"].get(peer, 0) for row in rows.values()]
        axes.bar(places, heights, 0.8 / len(peers), label={"keras": "plain Keras", "torch": "PyTorch"}[peer])
    axes.axhline(1, color="0.3", linewidth=0.8)
    axes.set(ylabel="times as fast as", xticks=range(len(rows)), xticklabels=list(rows))
    axes.tick_params(axis="x", rotation=30)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--without-torch", action="store_true")
    options = parser.parse_args()
    from applications.core.run_directory import environment, write_atomically

    torch = importlib.util.find_spec("torch") is not None and not options.without_torch
    rate = matmul_rate()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # no plan is known from before
        for name in options.models:
            rows[name] = row = measure(name, options.rounds, torch)
            times = ", ".join(f"{peer} {value:.2f} ms" for peer, value in row["milliseconds"].items())
            ratios = ", ".join(f"{ratio:.2f} times {peer}" for peer, ratio in row["ratios"].items())
            print(f"{name}: {times}; {ratios}; {row['plan']}, planned in {row['seconds_of_planning']} s", flush=True)
    content = {
        "batch": BATCH,
        "rounds": options.rounds,
        "matmul_gflops_per_second": round(rate, 1),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": environment()["packages"],
        "models": rows,
        "summary": summary(rows),
    }
    if set(rows) == set(NETWORKS):
        write_atomically(RESULTS / "training.json", json.dumps(content, indent=1) + "\n")
        plot(rows, RESULTS / "training.png")
    for peer, figures in content["summary"].items():
        reached = figures["geometric_mean"] >= GOALS[peer] and (peer == "torch" or figures["lowest"] >= LOWEST_RATIO)
        print(
            f"against {peer}: geometric mean {figures['geometric_mean']}, convolutional {figures['convolutional']}, "
            f"lowest {figures['lowest']} (wanted {GOALS[peer]}: {'reached' if reached else 'not reached'})"
        )


if __name__ == "__main__":
    sys.exit(main())
