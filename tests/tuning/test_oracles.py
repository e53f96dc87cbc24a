"""What the searches try next, without any training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from applications.core.search_space import Choice, Integer, Real
from benchmarks.functions import BRANIN_MINIMUM, BRANIN_SPACE, branin
from tuning.oracles import TrialStatus, hyperband_brackets, make_oracle, own_values
from tuning.settings import ALGORITHMS
from tuning.spaces import size

SPACE = {
    "rate": Real(1e-4, 1.0, log=True),
    "kind": Choice("a", "b", children={"b": {"width": Choice(8, 16, 32)}}),
    "depth": Integer(1, 3),
}
SMALL = {"kind": SPACE["kind"], "depth": SPACE["depth"]}


def make(folder: Path, algorithm: str, space=SPACE, trials=12, seed=0, epochs=9, mode="min"):
    oracle = make_oracle(algorithm, space, ("score", mode), trials=trials, epochs=epochs, seed=seed)
    oracle.live_in(folder)
    return oracle


def go_on(oracle, score, stop_after=10**6) -> list[dict]:
    """Runs trials in this process and returns their values."""
    found = []
    while len(found) < stop_after:
        trial = oracle.create_trial("worker")
        if trial.status == TrialStatus.STOPPED:
            break
        assert trial.status == TrialStatus.RUNNING
        values = dict(trial.hyperparameters.values)
        found.append(values)
        value = score(values)
        if value is None:
            trial.status = TrialStatus.FAILED
        else:
            oracle.update_trial(trial.trial_id, {"score": value})
            trial.status = TrialStatus.COMPLETED
        oracle.end_trial(trial)
    return found


def simple(values: dict) -> float:
    return values["depth"] + values.get("width", "8").__len__() + (values["kind"] == "a")


def test_grid_is_complete_and_each_point_comes_once(tmp_path) -> None:
    found = go_on(make(tmp_path, "grid", SMALL), simple)
    assert len(found) == size(SMALL) == 12
    assert len({str(values) for values in found}) == 12


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_a_finite_space_is_used_up_and_nothing_is_tried_twice(tmp_path, algorithm) -> None:
    found = go_on(make(tmp_path, algorithm, SMALL, trials=50), simple)
    assert len(found) == len({str(values) for values in found}) == size(SMALL)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path, algorithm) -> None:
    space = SMALL if algorithm == "grid" else SPACE
    score = (lambda v: simple(v)) if algorithm == "grid" else (lambda v: abs(math.log10(v["rate"]) + 2) + v["depth"])
    whole = go_on(make(tmp_path / "whole", algorithm, space), score)
    parts: list[dict] = []
    for _ in range(50):
        oracle = make(tmp_path / "parts", algorithm, space)
        done = go_on(oracle, score, stop_after=5)
        parts += done
        if not done:
            break
        oracle.create_trial("worker")  # was running when the process died
        # It is the first to be run again, with the same number.
        again = make(tmp_path / "parts", algorithm, space)
        assert set(again.trials) == set(oracle.trials)
    assert [str(values) for values in parts] == [str(values) for values in whole]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_hyperband_promotes_the_best(tmp_path, mode) -> None:
    assert hyperband_brackets(9) == [[(9, 1), (3, 3), (1, 9)], [(5, 3), (1, 9)], [(3, 9)]]
    assert sum(n * r for bracket in hyperband_brackets(27) for n, r in bracket) > 0
    sign = 1 if mode == "min" else -1
    oracle = make(tmp_path, "hyperband", mode=mode)
    go_on(oracle, lambda values: sign * values["rate"])
    trials = [trial for _, trial in sorted(oracle.trials.items())]
    first = [t for t in trials if t.hyperparameters.values["tuner/bracket"] == 0]
    rounds = [[t for t in first if t.hyperparameters.values["tuner/round"] == k] for k in range(3)]
    assert [len(r) for r in rounds] == [9, 3, 1]
    lowest = sorted(rounds[0], key=lambda t: t.hyperparameters.values["rate"])
    assert [own_values(t) for t in rounds[1]] == [own_values(t) for t in lowest[:3]]
    assert rounds[2][0].hyperparameters.values["tuner/trial_id"] == rounds[1][0].trial_id
    assert rounds[2][0].hyperparameters.values["tuner/initial_epoch"] == 3
    assert len(trials) == 9 + 3 + 1 + 5 + 1 + 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_failed_trials_do_not_stop_a_search(tmp_path, algorithm) -> None:
    space = SMALL if algorithm == "grid" else SPACE
    oracle = make(tmp_path, algorithm, space)
    found = go_on(oracle, lambda values: None if values["kind"] == "b" else values["depth"])
    states = [trial.status for trial in oracle.trials.values()]
    assert len(found) == len(states)
    assert {TrialStatus.COMPLETED, TrialStatus.FAILED} == set(states)
    assert oracle.complete()


def test_a_lost_trial_goes_back_once_and_its_late_result_counts_once(tmp_path) -> None:
    oracle = make(tmp_path, "random", trials=2)
    lost = oracle.create_trial("one")
    assert oracle.release_silent(60) == []
    oracle.last_seen[lost.trial_id] -= 61
    assert oracle.release_silent(60) == [lost.trial_id]
    again = oracle.create_trial("two")
    assert again.trial_id == lost.trial_id
    for _ in range(2):  # the second worker, then the one thought lost
        oracle.update_trial(again.trial_id, {"score": 1.0})
        again.status = TrialStatus.COMPLETED
        oracle.end_trial(again)
    assert oracle.end_order == [again.trial_id]


def test_bayesian_finds_the_minimum_of_branin(tmp_path) -> None:
    """Two seeds here; `python -m benchmarks.tuning branin` runs ten."""
    for seed in range(2):
        oracle = make(tmp_path / str(seed), "bayesian", BRANIN_SPACE, 40, seed)
        found = go_on(oracle, lambda values: branin(values["a"], values["b"]))
        assert len(found) == 40
        assert min(branin(values["a"], values["b"]) for values in found) < 1.01 * BRANIN_MINIMUM
