"""Searches: how good, and what they cost beside the trainings themselves.

usage: python -m benchmarks.tuning [branin] [digits] [grid] [overhead] [workers]

branin     the Bayesian search on Branin's function, 40 trials, ten seeds
digits     24 trials of an image classifier with five parameters: random, Bayesian and Optuna's TPE on the same five
           seeds, Hyperband for the same number of epochs in all (`pip install optuna`, which nothing else needs)
grid       a full grid of 4 x 3 x 2 points
overhead   wall time of trials less that of plain Keras on the same configurations
workers    12 trials under a chief by one worker and by two, each pinned to a core of its own; twice each, in turn

Without a word all of them. The figures go to `benchmarks/results/tuning.json`, each part replacing its own.
"""

from __future__ import annotations

import csv
import importlib.metadata
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from applications.core.search_space import Choice, Integer, Real, Space
from benchmarks.functions import BRANIN_MINIMUM, BRANIN_SPACE, branin

FILE = Path(__file__).parent / "results" / "tuning.json"
EPOCHS, TRIALS, SEEDS = 9, 24, 5
HYPERBAND_ROUNDS = 3  # 3 x 69 epochs; the others train for 24 x 9 = 216
SPACE: dict[str, Space] = {
    "learning_rate": Real(1e-5, 1.0, log=True),
    "optimizer": Choice("sgd", "momentum", "adam"),
    "batch_size": Choice(16, 32, 64, 128),
    "model_options.hidden_units": Choice([32], [128], [32, 32], [128, 128], [128, 128, 128]),
    "model_options.dropout_rate": Real(0.0, 0.8),
}
OBJECTIVE = ("val_loss", "min")
ALGORITHMS = ("random", "bayesian", "tpe", "hyperband")


def measure_branin() -> dict[str, Any]:
    """Returns how many trials each seed needed to come within 1 % of the minimum."""
    from tuning.oracles import TrialStatus, make_oracle

    needed: list[int | None] = []
    began = time.perf_counter()
    for seed in range(10):
        oracle = make_oracle("bayesian", BRANIN_SPACE, ("y", "min"), trials=40, epochs=1, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            oracle.live_in(Path(folder))
            scores: list[float] = []
            while (trial := oracle.create_trial("one")).status != TrialStatus.STOPPED:
                scores.append(branin(*(trial.hyperparameters.values[name] for name in "ab")))
                oracle.update_trial(trial.trial_id, {"y": scores[-1]})
                trial.status = TrialStatus.COMPLETED
                oracle.end_trial(trial)
        needed.append(next((k + 1 for k, score in enumerate(scores) if score < 1.01 * BRANIN_MINIMUM), None))
        print(f"branin, seed {seed}: minimum {min(scores):.4f}, within 1 % after {needed[-1]} trials", flush=True)
    return {
        "trials_needed": needed,
        "found": sum(count is not None for count in needed),
        "seconds_per_suggestion": (time.perf_counter() - began) / 400,
    }


# Digits ---------------------------------------------------------------------------------------------------------------


def application(seed: int, folder: str) -> Any:
    """Returns the trainings of the comparison: a small network without augmentation, another split for each seed."""
    from applications.core.augmentation import ImageAugmentation
    from applications.image_classification import ImageClassification

    still = ImageAugmentation(rotation=0, shift=0, zoom=0)
    return ImageClassification(model="mlp", epochs=EPOCHS, augment=still, seed=seed, out=folder, tensorboard=False)


def tpe_oracle(seed: int) -> Any:
    """Returns Optuna's TPE behind the same interface, with its own defaults."""
    import optuna

    from tuning.oracles import Oracle, TrialStatus
    from tuning.spaces import points

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    class TPE(Oracle):
        """Asks Optuna, and tells it what came of it."""

        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        asked: dict[int, Any] = {}

        def propose(self, number: int) -> dict[str, Any]:
            for known in list(self.asked):
                found = self.trials.get(f"{known:02d}")
                if found is not None and found.status == TrialStatus.COMPLETED:
                    self.study.tell(self.asked.pop(known), found.score)
                elif found is not None and found.status == TrialStatus.FAILED:
                    self.study.tell(self.asked.pop(known), state=optuna.trial.TrialState.FAIL)
            if number not in self.asked:
                self.asked[number] = self.study.ask()
            trial = self.asked[number]
            values: dict[str, Any] = {}
            for d in self.ranges:
                if isinstance(d.range, Real):
                    values[d.path] = trial.suggest_float(d.path, d.range.low, d.range.high, log=d.range.log)
                elif isinstance(d.range, Integer):
                    values[d.path] = trial.suggest_int(d.path, d.range.low, d.range.high, step=d.range.step)
                else:
                    values[d.path] = trial.suggest_categorical(d.path, points(d.range))
            return values

    return TPE(SPACE, OBJECTIVE, max_trials=TRIALS, seed=seed)


def search_digits(algorithm: str, seed: int, core: int | None = None) -> dict[str, Any]:
    """Runs one search on one core and returns its best score and what it took."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    from tuning.oracles import HyperbandOracle, make_oracle
    from tuning.trial import Training, preload
    from tuning.tuner import Tuner

    with tempfile.TemporaryDirectory() as folder:
        base = application(seed, folder)
        preload(base, SPACE)
        training = Training(base, base.datasets(), SPACE, OBJECTIVE, prune=False)
        if algorithm == "tpe":
            oracle = tpe_oracle(seed)
        else:
            oracle = make_oracle(algorithm, SPACE, OBJECTIVE, trials=TRIALS, epochs=EPOCHS, seed=seed)
        if isinstance(oracle, HyperbandOracle):
            oracle.brackets = oracle.brackets * HYPERBAND_ROUNDS
        oracle.live_in(Path(folder) / algorithm)
        results: list[dict[str, Any]] = []
        began = time.perf_counter()
        Tuner(oracle, training, Path(folder) / algorithm, on_end=results.append).search()
    done = [result for result in results if result["status"] == "COMPLETED"]
    epochs = sum(result["epochs"] - int(result["values"].get("tuner/initial_epoch", 0)) for result in done)
    best = min(done, key=lambda result: result["metrics"]["val_loss"])
    return {
        "algorithm": algorithm,
        "seed": seed,
        "best": best["metrics"]["val_loss"],
        "accuracy": best["metrics"]["val_accuracy"],
        "trials": len(results),
        "failed": len(results) - len(done),
        "epochs": epochs,
        "seconds": round(time.perf_counter() - began, 1),
        "values": {name: value for name, value in best["values"].items() if not name.startswith("tuner/")},
    }


def measure_digits() -> dict[str, Any]:
    """Compares the algorithms on the same seeds, two searches at a time, each on a core of its own."""
    jobs = [(algorithm, seed) for seed in range(SEEDS) for algorithm in ALGORITHMS]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    rows = []
    with ProcessPoolExecutor(len(cores), mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        running = [pool.submit(search_digits, *job, cores[k % len(cores)]) for k, job in enumerate(jobs)]
        for future in running:
            rows.append(future.result())
            print("  ".join(f"{k} {v}" for k, v in rows[-1].items() if k != "values"), flush=True)
    best = {algorithm: [row["best"] for row in rows if row["algorithm"] == algorithm] for algorithm in ALGORITHMS}
    summary = {name: {"mean": statistics.fmean(v), "spread": statistics.stdev(v)} for name, v in best.items()}
    paired = [ours - theirs for ours, theirs in zip(best["bayesian"], best["random"], strict=True)]
    return {
        "optuna": importlib.metadata.version("optuna"),
        "summary": summary,
        "bayesian_less_random": {
            "mean": statistics.fmean(paired),
            "spread": statistics.stdev(paired),
            "better_on": sum(difference < 0 for difference in paired),
        },
        "seeds": rows,
    }


def measure_grid() -> dict[str, Any]:
    """Runs a whole grid from Python and counts its points."""
    from tuning import search

    space = {
        "learning_rate": Choice(1e-4, 1e-3, 1e-2, 1e-1),
        "batch_size": Choice(32, 64, 128),
        "optimizer": Choice("adam", "momentum"),
    }
    with tempfile.TemporaryDirectory() as folder:
        base = application(0, folder).replace(epochs=3)
        found = search(base, space, algorithm="grid", trials=24, objective="val_loss:min", prune=False)
        points = {tuple(row["values"].values()) for row in found.rows if row["status"] == "COMPLETED"}
    assert found.best is not None
    return {"trials": len(found.rows), "different_points_completed": len(points), "best": found.best["values"]}


# Overhead -------------------------------------------------------------------------------------------------------------


def plain(configurations: list[Mapping[str, Any]], data: Any) -> list[float]:
    """Returns the seconds plain Keras takes to build and fit each configuration, one after the other."""
    import keras
    import numpy as np

    import kerazoo

    images = np.stack([data.images[k] for k in range(len(data.images))]).astype("float32") / 16.0
    labels = np.asarray(data.labels)
    train, val = data.split["train"], data.split["val"]
    makers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    times = []
    for values in configurations:
        began = time.perf_counter()
        keras.utils.set_random_seed(0)
        model = kerazoo.mlp(
            images.shape[1:],
            10,
            hidden_units=json.loads(values["model_options.hidden_units"]),
            dropout_rate=values["model_options.dropout_rate"],
        )
        rate, name = values["learning_rate"], values["optimizer"]
        optimizer = keras.optimizers.SGD(rate, momentum=0.9) if name == "momentum" else makers[name](rate)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(
            images[train],
            labels[train],
            batch_size=int(values["batch_size"]),
            epochs=EPOCHS,
            validation_data=(images[val], labels[val]),
            verbose=0,
        )
        times.append(time.perf_counter() - began)
    return times


def measure_overhead() -> dict[str, Any]:
    """Compares the wall time of trials with plain Keras on the same configurations, both in one session."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tuning.oracles import make_oracle
    from tuning.trial import Training, preload
    from tuning.tuner import Tuner

    with tempfile.TemporaryDirectory() as folder:
        base = application(0, folder)
        preload(base, SPACE)
        data = base.datasets()
        oracle = make_oracle("random", SPACE, OBJECTIVE, trials=12, epochs=EPOCHS, seed=0)
        oracle.live_in(Path(folder) / "overhead")
        results: list[dict[str, Any]] = []
        ends = [time.perf_counter()]

        def note(result: dict[str, Any]) -> None:
            results.append(result)
            ends.append(time.perf_counter())

        training = Training(base, data, SPACE, OBJECTIVE, prune=False)
        Tuner(oracle, training, Path(folder) / "overhead", on_end=note).search()
        walls = [after - before for before, after in itertools.pairwise(ends)]
        keras_alone = plain([result["values"] for result in results], data)
    differences = [ours - theirs for ours, theirs in zip(walls, keras_alone, strict=True)]
    for result, ours, theirs in zip(results, walls, keras_alone, strict=True):
        print(f"trial {result['number']}: {ours:.2f} s, plain Keras {theirs:.2f} s", flush=True)
    return {
        "trial_seconds": walls,
        "plain_seconds": keras_alone,
        "mean_overhead_seconds": statistics.fmean(differences),
        "worst_overhead_seconds": max(differences),
    }


# Workers --------------------------------------------------------------------------------------------------------------


def measure_workers() -> dict[str, Any]:
    """Times the same 12 trials done by one worker and by two, all of them processes of the command line, twice each."""
    runs: dict[str, list[dict[str, Any]]] = {"1_workers": [], "2_workers": []}
    for count in (1, 2, 1, 2):
        runs[f"{count}_workers"].append(search_with_workers(count))
    return runs


def search_with_workers(count: int) -> dict[str, Any]:
    """Starts a chief and some workers on loopback, each worker on one core, and waits for all of them."""
    cores = sorted(os.sched_getaffinity(0))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        words = ["tune", "image-classification", "--model", "cnn", "--epochs", "6", "--trials", "12", "--name", "s"]
        words += ["--set", "learning_rate=log(1e-4,1e-1)", "--no-prune", "--out", folder, "--chief", address]
        command = [sys.executable, "-m", "applications.cli", *words, "--worker-id"]
        began = time.perf_counter()
        processes = [subprocess.Popen([*command, "chief"], stdout=subprocess.DEVNULL)]
        for k in range(count):
            worker = subprocess.Popen([*command, f"worker-{k + 1}"], stdout=subprocess.DEVNULL)
            os.sched_setaffinity(worker.pid, {cores[k % len(cores)]})
            processes.append(worker)
        codes = [process.wait() for process in processes]
        if any(codes):
            raise SystemExit("a process of the search failed")
        seconds = time.perf_counter() - began
        with (Path(folder) / "tuning" / "s" / "trials.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    shares = {name: sum(row["worker"] == name for row in rows) for name in sorted({row["worker"] for row in rows})}
    print(f"{count} workers: {seconds:.1f} s, trials {shares}", flush=True)
    return {"seconds": seconds, "trials": shares}


PARTS = {
    "branin": measure_branin,
    "digits": measure_digits,
    "grid": measure_grid,
    "overhead": measure_overhead,
    "workers": measure_workers,
}


def main(words: list[str]) -> int:
    from applications.core.run_directory import environment, write_atomically

    if any(word not in PARTS for word in words):
        print(__doc__)
        return 2
    for word in words or PARTS:
        found = PARTS[word]()
        known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
        known |= {word: found, "packages": environment()["packages"], "cores": os.cpu_count()}
        write_atomically(FILE, json.dumps(known, indent=1) + "\n")
        print(json.dumps({name: value for name, value in found.items() if name != "seeds"}, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
