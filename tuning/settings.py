"""What one can say about a search: its settings, and what follows from them before the first trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.core.application import seconds
from applications.core.errors import UserError, nearest
from tuning import spaces

if TYPE_CHECKING:
    from applications.core.application import Application

ALGORITHMS = ("grid", "random", "bayesian", "hyperband")
LARGER_IS_BETTER = ("accuracy", "auc", "iou", "dice", "f1", "precision", "recall", "r2", "psnr", "ssim")
SMALLER_IS_BETTER = ("loss", "error", "mse", "mae", "rmse", "crossentropy", "perplexity")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to search.

    Attributes:
        algorithm: One of `ALGORITHMS`.
        trials: Largest number of trials; Hyperband has a number of its own.
        objective: `name`, or `name:min` or `name:max`; None takes what the application watches.
        executions: Trainings per trial; their mean counts.
        workers: Trials at the same time on this machine.
        budget: Longest search, such as "30m".
        prune: Whether trials behind the median of the others end early.
        retrain: Whether the winner is trained on training and validation data and evaluated on the test data.
        name: Name of the search; None makes one from the settings, so that the same command goes on.
        chief: "HOST:PORT" where several machines search together.
        worker_id: Name of this process there; "chief" keeps the trials, all others do them.
        wait: Seconds a worker looks for its chief, and the chief waits for a first worker.
    """

    algorithm: str = "random"
    trials: int = 20
    objective: str | None = None
    executions: int = 1
    workers: int = 1
    budget: str | None = None
    prune: bool = True
    retrain: bool = False
    name: str | None = None
    chief: str | None = None
    worker_id: str | None = None
    wait: float = 600.0

    def check(self) -> None:
        """Refuses values that cannot work."""
        if self.algorithm not in ALGORITHMS:
            raise UserError(
                f"--search: expected {', '.join(ALGORITHMS)}, received {self.algorithm!r}."
                f"{nearest(self.algorithm, ALGORITHMS)}"
            )
        for name in ("trials", "executions", "workers"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: expected a whole number of at least 1, received {getattr(self, name)}.")
        if self.budget is not None:
            seconds(self.budget)
        if (self.chief is None) != (self.worker_id is None):
            raise UserError("--chief HOST:PORT and --worker-id ID belong together; the chief's own id is `chief`.")


def objective_of(application: Application, text: str | None) -> tuple[str, str]:
    """Reads an objective such as `val_accuracy:max`; without a direction, the usual one of such a metric.

    Raises:
        UserError: The direction is missing and cannot be known, or is neither "min" nor "max".
    """
    if text is None and not application.monitor[0]:
        raise UserError(f"--objective: no validation loss says how good {application.model} is; name one, as NAME:min.")
    if text is None:
        return application.monitor
    name, colon, mode = text.partition(":")
    if colon and mode not in ("min", "max"):
        raise UserError(f"--objective: expected NAME:min or NAME:max, received {text!r}.")
    if colon:
        return name, mode
    for mode, words in (("min", SMALLER_IS_BETTER), ("max", LARGER_IS_BETTER)):
        if any(word in name for word in words):
            return name, mode
    raise UserError(f"--objective {name}: add :min or :max, to say whether small or large values are good.")


def planned_trials(settings: Settings, epochs: int, space: spaces.SearchSpace) -> int:
    """Returns how many trials the whole search has."""
    if settings.algorithm == "hyperband":
        from tuning.oracles import hyperband_brackets

        return sum(count for bracket in hyperband_brackets(epochs) for count, _ in bracket)
    points = spaces.size(space)
    if settings.algorithm == "grid":
        return points
    return min(settings.trials, points) if spaces.finite(space) else settings.trials
