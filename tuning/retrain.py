"""The winner of a search, trained once more on training and validation data and evaluated once on the test data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from applications.core.fitting import Fit
from applications.core.run_directory import RunDirectory, environment
from applications.core.training import Session, about, finish, split_hash, yaml_of

if TYPE_CHECKING:
    from tuning.job import Search, Show


def retrain(found: Search, show: Show) -> RunDirectory:
    """Trains the best configuration on training and validation data, for as many epochs as were best in its trial.

    There is nothing left to stop the training early or to choose an epoch by, so the last weights are kept.

    Args:
        found: The finished search.
        show: Prints one line.

    Returns:
        The finished run, in `retrained/` of the search.
    """
    assert found.application is not None
    assert found.best is not None
    run = RunDirectory(found.folder / "retrained")
    if run.status == "finished":
        show(f"{run.path} is finished already.")
        return run
    application = found.application.replace(
        k_folds=0, early_stopping=dataclasses.replace(found.application.early_stopping, patience=0)
    )
    session = Session(application, show)
    split = dict(session.datasets.split)
    split["train"] = np.sort(np.concatenate([split["train"], split["val"]]))
    datasets = dataclasses.replace(session.datasets, split=split)
    run.path.mkdir(parents=True, exist_ok=True)
    with run.lock():
        run.write_text("config.yaml", yaml_of(application))
        run.write_json("environment.json", environment())
        run.write_json("data.json", about(datasets))  # `kerazoo resume` is refused: it would train on less
        fit = Fit(session, datasets)
        fit.until, fit.keeps_best = found.best["best_epoch"] or None, False
        show(f"retraining on {len(split['train'])} samples for {fit.until} epochs: {run.path}")
        finish(run, fit, fit.train(run))
        # Evaluations of the finished run divide the data by config.yaml, and take the test split alone.
        run.write_json("data.json", {**about(datasets), "split": split_hash(session.datasets.split)})
        run.set_status("finished")
    return run
