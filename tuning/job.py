"""A search from its settings to its answer: trials, best configuration, report."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.application import seconds
from applications.core.config import read_yaml, to_dict
from applications.core.errors import UserError
from applications.core.run_directory import RunDirectory, write_atomically
from tuning import machines, spaces
from tuning.settings import Settings, objective_of, planned_trials

if TYPE_CHECKING:
    from applications.core.application import Application
    from tuning.oracles import Oracle

HOPELESS = 5  # failed trials at the beginning after which nothing seems to work


@dataclass
class Search:
    """What a search found.

    Attributes:
        folder: Its directory.
        objective: Name of the metric and "min" or "max".
        rows: One mapping per trial, in the order of their numbers: number, status, score, values, ...
        application: The configuration of the best trial; None where no trial succeeded.
    """

    folder: Path
    objective: tuple[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    application: Application | None = None

    @property
    def best(self) -> dict[str, Any] | None:
        """Returns the row of the best trial."""
        done = [row for row in self.rows if row["status"] == "COMPLETED"]
        if not done:
            return None
        pick = max if self.objective[1] == "max" else min
        return pick(done, key=lambda row: row["score"])


Show = Callable[[str], None]


def say(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)


def search(
    application: Application,
    space: spaces.SearchSpace | None = None,
    *,
    settings: Settings | None = None,
    show: Show = say,
    fixed: tuple[str, ...] = (),
    **options: Any,
) -> Search:
    """Searches for good values of an application's options.

    Args:
        application: The configuration the trials start from.
        space: Dotted options and their ranges; None takes the application's own.
        settings: How to search; or give its fields as keywords (`algorithm="bayesian", trials=30`).
        show: Prints one line.
        fixed: Options that are not searched although the application's own space has them.
        **options: Fields of `Settings`.

    Returns:
        The finished search.

    Raises:
        UserError: The space, the settings or every trial cannot work.

    Example:
        >>> from applications.core.search_space import Real
        >>> found = search(ImageClassification(epochs=5), {"learning_rate": Real(1e-4, 1e-1, log=True)}, trials=10)
        >>> found.best["values"]
    """
    settings = settings or Settings(**options)
    settings.check()
    application.check()
    ranges = spaces.space_of(application, given=space, fixed=fixed)
    return Job(application, ranges, settings, show).run()


class Job:
    """One process's work on a search.

    Args:
        application: The configuration the trials start from.
        space: The checked search space.
        settings: How to search.
        show: Prints one line.
    """

    def __init__(self, application: Application, space: spaces.SearchSpace, settings: Settings, show: Show = say):
        from applications.core.training import with_absolute_paths

        self.application = with_absolute_paths(application)
        self.space = space
        self.settings = settings
        self.show = show
        self.objective = objective_of(application, settings.objective)
        self.description = self._description()
        name = settings.name or f"{application.task}-{settings.algorithm}-{self._hash()}"
        self.folder = Path(application.out) / "tuning" / name

    def _description(self) -> dict[str, Any]:
        """Returns what makes this search this search; more trials, workers or time leave it the same."""
        base = to_dict(self.application)
        for name in ("out", "name", "max_time", "tensorboard"):
            base.pop(name, None)
        return {
            "task": self.application.task,
            "search": self.settings.algorithm,
            "objective": ":".join(self.objective),
            "executions_per_trial": self.settings.executions,
            "prune": self.settings.prune,
            "space": spaces.plain(self.space),
            "application": base,
        }

    def _hash(self) -> str:
        return hashlib.sha256(json.dumps(self.description, sort_keys=True).encode()).hexdigest()[:8]

    # The work -------------------------------------------------------------------------------------------------------

    def run(self) -> Search:
        """Does the search, or what is left of it."""
        from tuning.elsewhere import can_be_sent, search_elsewhere
        from tuning.tuner import tensorflow_runs

        if tensorflow_runs() and can_be_sent(self.application):
            search_elsewhere(self)
            return self._found()
        self.announce()
        if self.settings.chief is not None and self.settings.worker_id != "chief":
            return self._work_for_a_chief(self.settings.chief, str(self.settings.worker_id))
        self._check_folder()
        fresh = not self.folder.exists()
        run = RunDirectory(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with run.lock():
            if not (self.folder / "search.yaml").exists():
                import yaml

                run.write_text("search.yaml", yaml.safe_dump(self.description, sort_keys=False, allow_unicode=True))
            self.show(f"search directory: {self.folder}")
            oracle = self._oracle()
            oracle.live_in(self.folder)
            if oracle.trials:
                self.show(f"going on: {len(oracle.ended())} of {len(oracle.trials)} trials have ended")
            try:
                if self.settings.chief is not None:
                    self._serve(oracle, self.settings.chief)
                elif not oracle.complete():
                    self._work(oracle)
            except UserError:
                if fresh and not oracle.ended():
                    shutil.rmtree(self.folder)  # nothing half-written stays: another try may have other settings
                raise
            finally:
                if self.folder.exists():
                    found = self.answer(oracle)
            if self.settings.retrain and found.application is not None:
                from tuning.retrain import retrain

                retrain(found, self.show)
        return found

    def announce(self) -> None:
        """Says what will be searched; refuses a grid that is larger than allowed."""
        self.show(f"search: {self.settings.algorithm}, objective {':'.join(self.objective)}")
        for line in spaces.lines(self.space):
            self.show(line)
        points = spaces.size(self.space)
        self.show(
            f"grid: {points} points" + ("" if spaces.finite(self.space) else " (real numbers at a few values each)")
        )
        if self.settings.algorithm == "grid" and points > self.settings.trials:
            raise UserError(
                f"The grid has {points} points, more than --trials {self.settings.trials}: allow --trials {points}, "
                "give fewer values, or use --search random."
            )
        if self.settings.algorithm == "hyperband":
            from tuning.oracles import hyperband_brackets

            rounds = [entry for bracket in hyperband_brackets(self.application.epochs) for entry in bracket]
            self.show(
                f"hyperband: {sum(count for count, _ in rounds)} trials in rounds of "
                f"{', '.join(f'{count} x {epochs} epochs' for count, epochs in rounds)}"
            )

    def _check_folder(self) -> None:
        file = self.folder / "search.yaml"
        if not file.exists():
            return
        known = read_yaml(file)
        mine = json.loads(json.dumps(self.description))
        if known != mine:
            raise UserError(
                f"'{self.folder}' is another search ({'; '.join(differences(known, mine))}): give this one another "
                "--name, or go on with the old settings."
            )

    def _oracle(self) -> Oracle:
        from tuning.oracles import make_oracle

        return make_oracle(
            self.settings.algorithm,
            self.space,
            self.objective,
            trials=self.settings.trials,
            epochs=self.application.epochs,
            seed=self.application.seed,
        )

    def _training(self) -> Any:
        """Reads the data and imports what trials need, once for all of them."""
        from applications.core.training import reading_progress
        from tuning.trial import Training, preload

        preload(self.application, self.space)
        datasets = self.application.datasets(progress=reading_progress())
        self.show(f"data: {datasets.description}")
        for warning in datasets.warnings:
            self.show(f"warning: {warning}")
        training = Training(
            self.application.replace(tensorboard=False),
            datasets,
            self.space,
            self.objective,
            executions=self.settings.executions,
            prune=self.settings.prune,
        )
        gc.collect()
        gc.freeze()  # children would otherwise copy every page the collector touches
        return training

    def _work(self, oracle: Oracle, name: str = "worker") -> None:
        from tuning.tuner import Tuner, tensorflow_runs

        limit = seconds(self.settings.budget)
        Tuner(
            oracle,
            self._training(),
            self.folder,
            workers=self.settings.workers,
            name=name,
            isolate=not tensorflow_runs(),
            deadline=None if limit is None else time.monotonic() + limit,
            on_end=self._progress(oracle),
        ).search()

    def _progress(self, oracle: Oracle) -> Callable[[dict[str, Any]], None]:
        counts = {"done": 0, "failed": 0}
        began = time.monotonic()
        total = planned_trials(self.settings, self.application.epochs, self.space)
        known = len(oracle.ended())
        name, mode = self.objective
        best: list[float] = []

        def show(result: dict[str, Any]) -> None:
            values = "  ".join(f"{k}={_short(v)}" for k, v in result["values"].items() if not k.startswith("tuner/"))
            if result["status"] != "COMPLETED":
                counts["failed"] += 1
                self.show(f"trial {result['number']}  {result['status'].lower()}: {result['reason']}  ({values})")
                if counts["failed"] >= HOPELESS and not counts["done"] and not known:
                    raise UserError(
                        f"The first {HOPELESS} trials all failed, the last one because {result['reason']}; see "
                        f"'{self.folder}'."
                    )
                return
            counts["done"] += 1
            score = result["metrics"][name]
            best[:] = [(max if mode == "max" else min)([*best, score])]
            ended = counts["done"] + counts["failed"]
            left = (time.monotonic() - began) / ended * max(total - known - ended, 0)
            self.show(
                f"trial {result['number']}  {name} {score:.4g} (best {best[0]:.4g})  {result['seconds']:.1f} s  "
                f"{known + ended}/{total}, {left:.0f} s left  {values}"
            )

        return show

    def _serve(self, oracle: Oracle, chief: str) -> None:
        limit = seconds(self.settings.budget)
        machines.serve(oracle, self.folder, chief, wait=self.settings.wait, limit=limit, show=self.show)

    def _work_for_a_chief(self, chief: str, name: str) -> Search:
        host, port = machines.set_environment(chief, name)
        machines.wait_for(host, port, self.settings.wait, self.show)
        self._work(self._oracle(), name)
        return self._found()

    # The answer -----------------------------------------------------------------------------------------------------

    def _found(self, oracle: Oracle | None = None) -> Search:
        """Returns what was found so far; without an oracle, by what lies in the folder."""
        from applications.core.config import from_dict, merge

        found = Search(self.folder, self.objective)
        if oracle is None and self.settings.worker_id in (None, "chief"):
            oracle = self._oracle()
            oracle.live_in(self.folder)
        if oracle is not None:
            found.rows = rows_of(oracle, self.folder)
        if found.best is not None:
            chosen = spaces.options(self.space, found.best["values"])
            found.application = from_dict(type(self.application), merge(to_dict(self.application), chosen))
        return found

    def answer(self, oracle: Oracle) -> Search:
        """Writes `trials.csv`, `best.yaml` and `report.html` from what there is."""
        from tuning.report import write_report, write_table

        found = self._found(oracle)
        write_table(found)
        if found.application is not None:
            from applications.core.training import yaml_of

            write_atomically(self.folder / "best.yaml", yaml_of(found.application.replace(name=None)))
        write_report(found, self.space, self.description)
        self._tell(found)
        return found

    def _tell(self, found: Search) -> None:
        states = [row["status"] for row in found.rows]
        self.show(
            f"{states.count('COMPLETED')} trials finished, {states.count('FAILED')} failed"
            + (f", {len(states) - states.count('COMPLETED') - states.count('FAILED')} not ended" if states else "")
        )
        if found.best is None:
            return
        best = found.best
        spread = f" +- {best['spread']:.2g}" if best.get("spread") is not None else ""
        self.show(f"best: trial {best['number']} with {found.objective[0]} {best['score']:.4g}{spread}")
        for name, value in best["values"].items():
            self.show(f"  {name}: {_short(value)}")
        self.show(f"report: {found.folder / 'report.html'}")
        self.show(f"next:   kerazoo train {self.application.task} --config {found.folder / 'best.yaml'}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def differences(known: Any, mine: Any, path: str = "") -> list[str]:
    """Returns what differs between two settings, one phrase each."""
    if isinstance(known, dict) and isinstance(mine, dict):
        return [
            phrase
            for key in dict.fromkeys([*known, *mine])
            for phrase in differences(known.get(key), mine.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if known == mine else [f"{path} was {known!r}, now {mine!r}"]


def rows_of(oracle: Oracle, folder: Path) -> list[dict[str, Any]]:
    """Returns one row per trial: what the oracle knows and what the trial itself wrote down."""
    from tuning.oracles import own_values

    rows = []
    for number, trial in sorted(oracle.trials.items()):
        result = RunDirectory(folder / f"trial_{number}").read_json("result.json", {})
        rows.append(
            {
                "number": number,
                "status": trial.status,
                "score": None if trial.score is None else float(trial.score),
                "spread": result.get("spread"),
                "values": own_values(trial),
                "epochs": result.get("epochs"),
                "best_epoch": result.get("best_epoch"),
                "rung": trial.hyperparameters.values.get("tuner/epochs"),
                "stopped_by": result.get("stopped_by", ""),
                "began": result.get("began"),
                "seconds": result.get("seconds"),
                "worker": result.get("worker", ""),
                "params": result.get("params"),
                "reason": result.get("reason", "") if trial.status != "COMPLETED" else "",
                "metrics": result.get("metrics", {}),
            }
        )
    return rows
