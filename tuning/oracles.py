"""What to try next: Keras Tuner's oracles, with proposals that follow from the finished trials alone.

Keras Tuner keeps the trials, hands them to workers (also over gRPC) and takes their results back. The oracles here
say which values a trial gets. None of them has a memory of its own: a proposal is a function of the seed and of the
trials on disk, so a search that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from applications.core.run_directory import write_atomically
from applications.core.search_space import Choice, Integer, Real, Space
from tuning.spaces import Dimension, dimensions, finite, from_unit, grid, points, to_unit

ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)
WAIT = "wait"
RETRIES = 1


def hyperparameters(ranges: list[Dimension]) -> keras_tuner.HyperParameters:
    """Returns the ranges as Keras Tuner's hyperparameters, conditions included."""
    found = keras_tuner.HyperParameters()
    for dimension in ranges:
        _declare(found, dimension, list(dimension.condition))
    return found


def _declare(found: keras_tuner.HyperParameters, dimension: Dimension, condition: list[tuple[str, str]]) -> None:
    if condition:
        (parent, value), *rest = condition
        with found.conditional_scope(parent, [value]):
            _declare(found, dimension, rest)
        return
    name, range_ = dimension.path, dimension.range
    if isinstance(range_, Choice):
        found.Choice(name, points(range_))
    elif isinstance(range_, Integer):
        found.Int(name, range_.low, range_.high, step=range_.step)
    else:
        found.Float(name, range_.low, range_.high, sampling="log" if range_.log else "linear")


class Oracle(keras_tuner.Oracle):
    """What every search shares.

    Args:
        space: The search space.
        objective: Name of the metric and "min" or "max".
        max_trials: Trials to run at most; None: until the search is complete.
        seed: Fixes all proposals.
    """

    def __init__(
        self,
        space: Mapping[str, Space],
        objective: tuple[str, str],
        *,
        max_trials: int | None = None,
        seed: int = 0,
    ):
        self.space = space
        self.ranges = dimensions(space)
        self.search_seed = seed
        self.last_seen: dict[str, float] = {}
        super().__init__(
            objective=keras_tuner.Objective(*objective),
            max_trials=max_trials,
            hyperparameters=hyperparameters(self.ranges),
            allow_new_entries=False,
            tune_new_entries=False,
            seed=seed + 1,  # Keras Tuner takes 0 for "any"
            max_retries_per_trial=RETRIES,
            max_consecutive_failed_trials=10**9,  # the search says itself when nothing works
        )
        self.verbose = 0

    # Proposals ------------------------------------------------------------------------------------------------------

    def propose(self, number: int) -> dict[str, Any] | str | None:
        """Returns the values of trial `number`, `WAIT` while running trials must end first, or None at the end."""
        raise NotImplementedError

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Answers Keras Tuner's question for the next trial."""
        values = self.propose(len(self.trials))
        if values == WAIT:
            return {"status": TrialStatus.IDLE, "values": None}
        status = TrialStatus.STOPPED if values is None else TrialStatus.RUNNING
        return {"status": status, "values": values}

    def tried(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial with these values exists."""
        return self._duplicate(dict(values))

    def random(self, number: int) -> dict[str, Any] | None:
        """Returns values nobody has tried, drawn at random, or None where all have been."""
        for attempt in range(200):
            draw = np.random.default_rng([self.search_seed, number, attempt])
            values = self.at(draw.random(len(self.ranges)))
            if not self.tried(values):
                return values
        if finite(self.space):
            left = [values for values in grid(self.ranges) if not self.tried(values)]
            return left[int(np.random.default_rng([self.search_seed, number]).integers(len(left)))] if left else None
        return None

    def at(self, units: Any) -> dict[str, Any]:
        """Returns the values at a point of the unit cube, one coordinate per range; inactive ranges are left out."""
        values: dict[str, Any] = {}
        for dimension, unit in zip(self.ranges, units, strict=True):
            if dimension.active(values):
                values[dimension.path] = from_unit(dimension.range, float(unit))
        return values

    def ended(self) -> list[Trial]:
        """Returns the finished and the failed trials, oldest first."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.status in ENDED]

    # On disk: one file per trial, written whole or not at all, is all there is --------------------------------------

    def live_in(self, folder: Path) -> None:
        """Keeps the trials in a folder, and goes on with those that lie there.

        Args:
            folder: The search's directory; made where there is none.
        """
        self._set_project_dir(str(folder.parent), folder.name)
        self.reload()

    def save(self) -> None:
        """Does nothing: the trials' files say everything."""

    def _save_trial(self, trial: Trial) -> None:
        text = json.dumps(trial.get_state(), default=float, indent=1)
        write_atomically(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", text + "\n")

    def reload(self) -> None:
        """Reads the trials of an interrupted search; those that had not ended are to be run again."""
        for file in sorted(Path(self._project_dir).glob("trial_*/trial.json")):
            trial = Trial.load(str(file))
            self.trials[trial.trial_id] = trial
            self.start_order.append(trial.trial_id)
            self._record_values(trial)
            if trial.status in ENDED:
                self.end_order.append(trial.trial_id)
            else:
                self._retry_queue.insert(0, trial.trial_id)  # Keras Tuner takes the last one first

    # Workers --------------------------------------------------------------------------------------------------------

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Returns a trial to do; its status says to wait while trials that may come back are with others."""
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED and self.ongoing_trials:
            self.tuner_ids.add(tuner_id)
            trial.status = TrialStatus.IDLE
        self.last_seen[trial.trial_id] = time.monotonic()
        return trial

    @keras_tuner.synchronized
    def get_trial(self, trial_id: str) -> Trial:
        """Returns a trial; a worker that asks for its own says that it is alive."""
        self.last_seen[trial_id] = time.monotonic()
        return super().get_trial(trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Takes a result; one that comes again, from a worker thought lost, is not counted twice."""
        if trial.trial_id in self.end_order:
            return
        if trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
        super().end_trial(trial)

    @keras_tuner.synchronized
    def release(self, trial_id: str) -> None:
        """Puts a running trial back into the queue, as its worker is gone."""
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == trial_id:
                del self.ongoing_trials[tuner_id]
                self._retry_queue.append(trial_id)

    @keras_tuner.synchronized
    def release_silent(self, seconds: float) -> list[str]:
        """Puts back the trials whose workers have not been heard of for some time, and returns their numbers."""
        now = time.monotonic()
        silent = [t.trial_id for t in self.ongoing_trials.values() if now - self.last_seen[t.trial_id] > seconds]
        for trial_id in silent:
            self.release(trial_id)
        return silent

    @keras_tuner.synchronized
    def complete(self) -> bool:
        """Whether no trial is running or waiting and no further one will be proposed."""
        if self.ongoing_trials or self._retry_queue:
            return False
        if self.max_trials and len(self.trials) >= self.max_trials:
            return True
        return self.propose(len(self.trials)) is None


class GridOracle(Oracle):
    """Every point of the grid, each once, in order."""

    def propose(self, number: int) -> dict[str, Any] | None:
        return next((values for values in grid(self.ranges) if not self.tried(values)), None)


class RandomOracle(Oracle):
    """Points drawn independently; no point twice.

    References:
        Bergstra, Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13 (2012).
    """

    def propose(self, number: int) -> dict[str, Any] | None:
        return self.random(number)


class HyperbandOracle(Oracle):
    """Many short trainings, of which the better ones are continued.

    Bracket s begins with n configurations of `max_epochs / factor**s` epochs; the best 1/factor of each round goes on
    for `factor` times as long. A promoted trial continues from its predecessor's checkpoint, optimiser included.

    Args:
        space: The search space.
        objective: Name of the metric and "min" or "max".
        max_epochs: Epochs of the longest training.
        factor: What remains after a round is one in `factor`.
        seed: Fixes all proposals.

    References:
        Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband", JMLR 18 (2018), algorithm 1.
    """

    def __init__(
        self, space: Mapping[str, Space], objective: tuple[str, str], *, max_epochs: int, factor: int = 3, seed: int = 0
    ):
        super().__init__(space, objective, seed=seed)
        self.brackets = hyperband_brackets(max_epochs, factor)

    def propose(self, number: int) -> dict[str, Any] | str | None:
        waiting = False
        for bracket, rounds in enumerate(self.brackets):
            for index, (size, epochs) in enumerate(rounds):
                here = self._trials(bracket, index)
                if len(here) >= size:
                    continue
                if index == 0:
                    values = self.random(number)
                    if values is None:  # a small finite space has no more
                        break
                    return {**values, "tuner/bracket": bracket, "tuner/round": 0, "tuner/epochs": epochs}
                before = self._trials(bracket, index - 1)
                if len(before) < rounds[index - 1][0] or any(trial.status not in ENDED for trial in before):
                    waiting = True
                    break
                promoted = {trial.hyperparameters.values["tuner/trial_id"] for trial in here}
                best = self._best(before, size)
                following = next((trial for trial in best if trial.trial_id not in promoted), None)
                if following is None:  # so many failed that fewer than planned go on
                    continue
                values = dict(following.hyperparameters.values)
                return values | {
                    "tuner/round": index,
                    "tuner/epochs": epochs,
                    "tuner/initial_epoch": rounds[index - 1][1],
                    "tuner/trial_id": following.trial_id,
                }
        return WAIT if waiting else None

    def tried(self, values: Mapping[str, Any]) -> bool:
        own = {name: value for name, value in values.items() if not name.startswith("tuner/")}
        return any(own == own_values(trial) for trial in self.trials.values())

    def _trials(self, bracket: int, index: int) -> list[Trial]:
        place = {"tuner/bracket": bracket, "tuner/round": index}
        return [t for _, t in sorted(self.trials.items()) if place.items() <= t.hyperparameters.values.items()]

    def _best(self, trials: list[Trial], count: int) -> list[Trial]:
        done = [trial for trial in trials if trial.status == TrialStatus.COMPLETED]
        return sorted(done, key=lambda trial: trial.score, reverse=self.objective.direction == "max")[:count]


def own_values(trial: Trial) -> dict[str, Any]:
    """Returns a trial's hyperparameters without what Hyperband notes beside them."""
    return {name: v for name, v in trial.hyperparameters.values.items() if not name.startswith("tuner/")}


def hyperband_brackets(max_epochs: int, factor: int = 3) -> list[list[tuple[int, int]]]:
    """Returns (number of trials, epochs) of every round of every bracket, the most aggressive bracket first.

    Example:
        >>> hyperband_brackets(9)
        [[(9, 1), (3, 3), (1, 9)], [(5, 3), (1, 9)], [(3, 9)]]
    """
    deepest = 0
    while factor ** (deepest + 1) <= max_epochs:
        deepest += 1
    brackets = []
    for s in range(deepest, -1, -1):
        n = math.ceil((deepest + 1) / (s + 1) * factor**s)
        rounds = [(n // factor**i, max(round(max_epochs / factor ** (s - i)), 1)) for i in range(s + 1)]
        brackets.append([(count, epochs) for count, epochs in rounds if count])
    return brackets


class BayesianOracle(Oracle):
    """A Gaussian process of the objective, and where it expects the largest improvement.

    Begins with a scrambled Sobol sequence. The process has a Matern 5/2 kernel with a length per coordinate and a noise
    term; scores far beyond the median are cut first, so that a few diverged trainings do not flatten the rest.
    Unordered choices take one coordinate per value. Failed trials count as bad as the worst, running ones as the
    process expects them.

    References:
        Snoek, Larochelle, Adams, "Practical Bayesian Optimization", arXiv:1206.2944 (2012).
        Jones, Schonlau, Welch, "Efficient Global Optimization of Expensive Black-Box Functions" (1998).
    """

    def propose(self, number: int) -> dict[str, Any] | None:
        from tuning.gaussian import suggest

        scored = [trial for trial in self.ended() if trial.status == TrialStatus.COMPLETED]
        if len(scored) < max(4, min(2 * len(self.ranges), 10)):
            return self._sobol(number)
        sign = 1.0 if self.objective.direction == "min" else -1.0
        losses = [sign * float(trial.score) for trial in scored]
        failed = [trial for trial in self.ended() if trial.status == TrialStatus.FAILED]
        values = suggest(
            self,
            known=[own_values(trial) for trial in scored + failed],
            losses=losses + [max(losses)] * len(failed),
            running=[own_values(trial) for trial in self.trials.values() if trial.status not in ENDED],
            random=np.random.default_rng([self.search_seed, number]),
            greedy=number % 4 == 3,
        )
        return values if values is not None else self.random(number)

    def _sobol(self, number: int) -> dict[str, Any] | None:
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.ranges), seed=self.search_seed)
        values = self.at(sequence.fast_forward(number).random(1)[0] if number else sequence.random(1)[0])
        return self.random(number) if self.tried(values) else values

    def encode(self, values: Mapping[str, Any]) -> np.ndarray:
        """Returns values as a vector: ordered ranges in [0, 1] (0.5 if inactive), other choices one-hot."""
        found: list[float] = []
        for dimension in self.ranges:
            active = dimension.active(values)
            if ordered(dimension.range):
                found.append(to_unit(dimension.range, values[dimension.path]) if active else 0.5)
            else:
                known = points(dimension.range)
                found += [float(active and values[dimension.path] == value) for value in known]
        return np.array(found)


def ordered(range_: Space) -> bool:
    """Whether the values of a range have an order: numbers do, words do not."""
    if isinstance(range_, Real | Integer):
        return True
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in range_.values)


def make_oracle(
    algorithm: str,
    space: Mapping[str, Space],
    objective: tuple[str, str],
    *,
    trials: int | None,
    epochs: int,
    seed: int,
) -> Oracle:
    """Returns the oracle of an algorithm by name."""
    if algorithm == "hyperband":
        return HyperbandOracle(space, objective, max_epochs=epochs, seed=seed)
    kind = {"grid": GridOracle, "random": RandomOracle, "bayesian": BayesianOracle}[algorithm]
    return kind(space, objective, max_trials=None if algorithm == "grid" else trials, seed=seed)
