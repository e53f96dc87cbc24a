"""A trial is a training of the application: its callbacks, its data, its history; only the report is left out."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.config import from_dict, merge, to_dict
from applications.core.errors import nearest
from tuning import spaces
from tuning.tuner import Failed, Impossible, Order

if TYPE_CHECKING:
    from applications.core.application import Application
    from applications.datasets.data import Datasets

GRACE = 3  # epochs before a trial can be given up
ENOUGH = 5  # finished trials a median is taken of


@dataclass(frozen=True)
class Training:
    """Trains the application with the values of a trial.

    Attributes:
        application: The configuration the values are laid over.
        datasets: The data, read once for all trials.
        space: The search space.
        objective: Name of a metric in the history, and "min" or "max".
        executions: Trainings per trial, each with another seed; their mean counts.
        prune: Whether hopeless trials end early.
    """

    application: Application
    datasets: Datasets
    space: spaces.SearchSpace
    objective: tuple[str, str]
    executions: int = 1
    prune: bool = True

    def configured(self, values: Mapping[str, Any]) -> Application:
        """Returns the application with the values of a trial."""
        chosen = spaces.options(self.space, values)
        return from_dict(type(self.application), merge(to_dict(self.application), chosen))

    def __call__(self, order: Order) -> dict[str, Any]:
        from applications.core.fitting import Fit
        from applications.core.run_directory import RunDirectory
        from applications.core.training import Session, yaml_of

        application = self.configured(order.values)
        RunDirectory(order.folder).write_text("config.yaml", yaml_of(application))
        if order.seconds is not None:
            application = application.replace(max_time=f"{order.seconds:.3f}")
        until = order.values.get("tuner/epochs")
        parts: list[dict[str, Any]] = []
        for execution in range(self.executions):
            session = Session(
                application.replace(seed=application.seed + execution), show=lambda line: None, datasets=self.datasets
            )
            splits = session.fold_splits or [self.datasets.split]
            for index, split in enumerate(splits):
                alone = self.executions * len(splits) == 1
                folder = order.folder if alone else order.folder / f"part-{len(parts) + 1}"
                self._continue_from(order, folder, len(parts))
                fit = session.first_fit if index == 0 else Fit(session, dataclasses.replace(self.datasets, split=split))
                pruner = self._pruner(order) if alone and until is None else None
                fit.extra_callbacks = {} if pruner is None else {"pruner": pruner}
                fit.keeps_checkpoints, fit.until = until is not None, until
                parts.append(self._part(fit.train(RunDirectory(folder)), fit, pruner))
        return self._result(parts)

    def _continue_from(self, order: Order, folder: Path, part: int) -> None:
        """Hyperband: copies the checkpoint of the trial that is being continued."""
        before = order.values.get("tuner/trial_id")
        if before is None:
            return
        source = order.folder.parent / f"trial_{before}"
        if folder != order.folder:
            source = source / f"part-{part + 1}"
        target = folder / "checkpoints"
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source / "checkpoints", target)

    def _pruner(self, order: Order) -> Any:
        from tuning.pruning import MedianPruner

        if not self.prune:
            return None
        curves = finished_curves(order.folder.parent, self.objective[0])
        return MedianPruner(*self.objective, curves, grace=GRACE) if len(curves) >= ENOUGH else None

    def _part(self, trained: dict[str, Any], fit: Any, pruner: Any) -> dict[str, Any]:
        name, mode = self.objective
        rows = fit.history
        curve = [row[name] for row in rows if name in row and math.isfinite(row[name])]
        if not curve:
            if rows and name not in rows[0]:
                known = [column for column in rows[0] if column not in ("epoch", "learning_rate")]
                close = nearest(name, known)
                raise Impossible(
                    f"the application does not report {name!r}, but {', '.join(known)}{'.' * bool(close)}{close}"
                )
            if trained["stopped_by"] == "max-time":
                raise Failed("the time was over before its first epoch ended")
            raise Failed(f"{name} was never a finite number")
        best = (max if mode == "max" else min)(range(len(curve)), key=lambda i: curve[i])
        return {
            "curve": curve,
            "score": curve[best],
            "best_epoch": best + 1,
            "row": {column: value for column, value in rows[best].items() if column not in ("epoch",)},
            "epochs": trained["epochs"],
            "params": trained["params"],
            "stopped_by": "pruned" if pruner is not None and pruner.pruned else trained["stopped_by"],
            "training_seconds": trained["training_seconds"],
        }

    def _result(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        scores = [part["score"] for part in parts]
        names = [name for name in parts[0]["row"] if all(name in part["row"] for part in parts)]
        metrics = {name: statistics.fmean(part["row"][name] for part in parts) for name in names}
        return {
            "metrics": {**metrics, self.objective[0]: statistics.fmean(scores)},
            "spread": statistics.stdev(scores) if len(scores) > 1 else None,
            "scores": scores,
            "curve": parts[0]["curve"] if len(parts) == 1 else None,
            "best_epoch": round(statistics.fmean(part["best_epoch"] for part in parts)),
            "epochs": sum(part["epochs"] for part in parts),
            "params": parts[0]["params"],
            "stopped_by": parts[0]["stopped_by"] if len(parts) == 1 else "",
            "training_seconds": round(sum(part["training_seconds"] for part in parts), 3),
        }


def preload(application: Application, space: spaces.SearchSpace) -> None:
    """Imports what the trials will need, so that their processes find it there."""
    from applications.core.quiet import import_tensorflow
    from kerazoo import catalog

    import_tensorflow()
    for module in ("applications.core.report", "applications.core.training", "applications.core.pipeline"):
        importlib.import_module(module)
    importlib.import_module("tuning.pruning")
    ranges = [dimension.range for dimension in spaces.dimensions(space) if dimension.path == "model"]
    models = [value for range_ in ranges for value in getattr(range_, "values", ())]
    for name in models or [application.model]:
        catalog.builder(name)


def finished_curves(folder: Path, name: str) -> list[list[float]]:
    """Returns the objective over the epochs of every finished trial of a search."""
    curves = []
    for file in sorted(folder.glob("trial_*/result.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if result.get("curve"):
            curves.append(result["curve"])
    return curves
