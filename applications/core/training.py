"""Training: from a configuration to a complete run directory, interrupted and resumed at will."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from applications.core import report as reports
from applications.core.application import Application, seconds
from applications.core.cluster import Cluster
from applications.core.config import from_dict, read_yaml, to_dict
from applications.core.errors import UserError
from applications.core.fitting import Fit
from applications.core.quiet import discard_output
from applications.core.run_directory import RunDirectory, environment
from applications.core.signals import Interrupted, Signals

if TYPE_CHECKING:
    import keras

    from applications.datasets.data import Datasets

Show = Callable[[str], None]


def say(line: str) -> None:
    """Prints a line at once, also where the output is a file or a pipe; work goes on when nobody reads it."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        discard_output()


def start(application: Application, show: Show = say) -> RunDirectory:
    """Trains an application in a new run directory.

    The data are read and the model is built before anything is written, so a configuration that cannot work leaves
    nothing behind.

    Args:
        application: The task with its whole configuration.
        show: Prints one line.

    Returns:
        The finished run.

    Raises:
        UserError: The configuration, the data or the training cannot work.
        Interrupted: SIGINT or SIGTERM; the run can be resumed.
    """
    application.check()
    cluster = Cluster.around(application.strategy)
    if cluster.size > 1 and application.name is None:
        raise UserError("name: with several workers the run needs one, so that all of them mean the same folder.")
    if cluster.is_chief:
        RunDirectory.check_free(application.out, application.task, application.name)
    application = with_absolute_paths(application)
    session = Session(application, show)
    if not cluster.is_chief:
        return session.work(RunDirectory(Path(application.out) / application.task / str(application.name)))
    config = yaml_of(application.replace(batch_size=session.application.batch_size))
    run = RunDirectory.create(application.out, application.task, config, application.name)
    with run.lock():
        run.write_json("environment.json", environment())
        show(f"run directory: {run.path}")
        return session.work(run)


def resume(path: str | Path, show: Show = say) -> RunDirectory:
    """Goes on with an interrupted run from its last checkpoint, or afresh where there is none yet.

    Args:
        path: The run directory.
        show: Prints one line.

    Returns:
        The finished run.
    """
    run = RunDirectory.open(path)
    if run.status == "finished":
        show(f"{run.path} is finished already.")
        return run
    application = load_application(run)
    if not Cluster.around(application.strategy).is_chief:
        return Session(application, show).work(run)
    with run.lock():
        if not (run / "environment.json").exists():
            run.write_json("environment.json", environment())
        return Session(application, show).work(run)


def load_application(run: RunDirectory) -> Application:
    """Reads the application of a run from its `config.yaml`."""
    values = read_yaml(run / "config.yaml")
    from applications.core.registry import application_class

    task = values.pop("task", None)
    if not isinstance(task, str):
        raise UserError(f"'{run / 'config.yaml'}' does not say which task it belongs to (`task: ...`).")
    application = from_dict(application_class(task), values)
    application.check()
    return application


def yaml_of(application: Application) -> str:
    """Returns the whole configuration as the text of `config.yaml`, its task first."""
    import yaml

    values = {"task": application.task, **to_dict(application)}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def with_absolute_paths(application: Application) -> Application:
    """Returns the application with paths a later `resume` finds from any folder."""
    from applications.datasets.data import EMBEDDED_NAMES

    changes: dict[str, Any] = {}
    if application.data_dir is not None:
        changes["data_dir"] = os.path.abspath(os.path.expanduser(application.data_dir))
    path = Path(application.data).expanduser()
    if application.data not in EMBEDDED_NAMES and path.exists():
        changes["data"] = str(path.absolute())
    return application.replace(**changes)


def about(datasets: Datasets) -> dict[str, Any]:
    """Returns what later commands and the report must know about the data (`data.json`)."""
    return {**datasets.about(), "split": split_hash(datasets.split)}


def split_hash(split: dict[str, Any]) -> str:
    """Returns 16 hexadecimal digits that change when a sample goes to another part."""
    import hashlib

    parts = {name: indices.tolist() for name, indices in sorted(split.items())}
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def refuse_changes(run: RunDirectory, datasets: Datasets, data: str) -> None:
    """Refuses to go on with a run whose data, or their division, are no longer what they were when it began.

    Args:
        run: The run; one that has just begun has no `data.json` yet, and nothing to compare.
        datasets: The data as they are now.
        data: Where they come from, for the message.
    """
    known = run.read_json("data.json")
    if not known:
        return
    if known["fingerprint"] != datasets.fingerprint:
        then, now = len(known["class_names"]), len(datasets.class_names)
        what = f"{then} classes then, {now} now" if then != now else "other files or pixels"
        raise UserError(
            f"The data '{data}' changed since '{run.path}' began ({what}): put the old files back or start a new run."
        )
    if known.get("split", "") not in ("", split_hash(datasets.split)):
        raise UserError(
            f"The division into training, validation and test is another one than when '{run.path}' began: put the old "
            "values of seed, split and k_folds back into config.yaml or start a new run."
        )


class Session:
    """One process's work on a run: data and strategy are made here, in this order, before the run is touched.

    Args:
        application: The task.
        show: Prints one line.
        datasets: The data, where they have been read already.
    """

    def __init__(self, application: Application, show: Show = say, datasets: Datasets | None = None):
        from applications.core import batch_size
        from applications.core.quiet import import_tensorflow
        from applications.core.strategy import make_strategy, prepare

        import_tensorflow()
        if application.fast_dev_run:
            application = application.replace(epochs=1, k_folds=0)
        self.application = application
        prepare(application.seed, application.deterministic)
        self.cluster = Cluster.around(application.strategy)
        self.strategy = make_strategy(application.strategy, self.cluster)
        self.show = show if self.cluster.is_chief else lambda line: None
        show = self.show
        if application.batch_size != "max":
            check_batch_size(application.samples_per_step, self.replicas)
        application.check_loss()
        self.signals = Signals()
        self.datasets = datasets or application.datasets(progress=reading_progress())
        show(f"data: {self.datasets.description}")
        for warning in self.datasets.warnings:
            show(f"warning: {warning}")
        if self.datasets.skipped:
            show(f"warning: {len(self.datasets.skipped)} unreadable files were left out; the report lists them.")
        content = crc32(f"{self.datasets.fingerprint} {split_hash(self.datasets.split)}".encode())
        self.cluster.require_same(content, "The workers read different data; give all of them the same files")
        self.fold_splits = self._fold_splits()
        first = dataclasses.replace(self.datasets, split=self.fold_splits[0]) if self.fold_splits else self.datasets
        if application.batch_size == "max":
            self.application = application.replace(batch_size=self.replicas)
            self.application = application.replace(batch_size=batch_size.largest(Fit(self, first)))
            show(f"batch size: {self.application.batch_size}, the largest that fits")
        self.first_fit = Fit(self, first)

    @property
    def replicas(self) -> int:
        """Number of devices that share a batch."""
        return self.strategy.num_replicas_in_sync

    def _fold_splits(self) -> list[dict[str, Any]]:
        """Returns one split per fold: training and validation are divided anew, the test split stays untouched."""
        if not self.application.k_folds:
            return []
        import numpy as np

        from applications.datasets.splits import k_fold_indices

        datasets = self.datasets
        pool = np.sort(np.concatenate([datasets.split["train"], datasets.split["val"]]))
        labels = len(pool) if datasets.labels is None else datasets.labels[pool]
        groups = None if datasets.groups is None else datasets.groups[pool]
        folds = k_fold_indices(labels, self.application.k_folds, seed=self.application.seed, groups=groups)
        return [{"train": pool[a], "val": pool[b], "test": datasets.split["test"]} for a, b in folds]

    def work(self, run: RunDirectory) -> RunDirectory:
        """Trains, evaluates and reports into `run`, whose lock the caller holds; who is not the chief only trains."""
        if not self.cluster.is_chief:
            with self.signals.caught(run):
                self.first_fit.train(run)
                self.cluster.wait()  # for the chief's report: to TensorFlow, a worker that has left has crashed
            return run
        refuse_changes(run, self.datasets, self.application.data)
        run.write_json("data.json", about(self.datasets))
        try:
            with self.signals.caught(run):
                run.set_status("running", process=os.getpid())
                if self.fold_splits:
                    self._work_folds(run)
                else:
                    finish(run, self.first_fit, self.first_fit.train(run))
                self.signals.check(run)  # in case a library has swallowed the exception
                self.cluster.wait()
        except Interrupted:
            run.set_status("interrupted")
            raise
        except UserError as error:
            run.set_status("failed", reason=str(error))
            raise
        run.set_status("finished")
        return run

    def _work_folds(self, run: RunDirectory) -> None:
        """Trains one model per fold in `folds/`, then gathers mean and spread; the best fold's model is the run's."""
        import shutil

        metrics: list[dict[str, Any]] = []
        budget = seconds(self.application.max_time)
        for number, split in enumerate(self.fold_splits, start=1):
            fold = RunDirectory(run / "folds" / f"fold-{number}")
            if fold.status != "finished":
                self.show(f"fold {number}/{len(self.fold_splits)}")
                datasets = dataclasses.replace(self.datasets, split=split)
                refuse_changes(fold, datasets, self.application.data)
                fold.path.mkdir(parents=True, exist_ok=True)
                fold.write_text("config.yaml", yaml_of(self.application))
                fold.write_json("data.json", about(datasets))
                fit = self.first_fit if number == 1 else Fit(self, datasets)
                if budget is not None:  # what the folds before have left is shared by this one and those to come
                    spent = sum(done["training_seconds"] for done in metrics)
                    fit.max_seconds = (budget - spent) / (len(self.fold_splits) - number + 1)
                try:
                    finish(fold, fit, fit.train(fold))
                    self.signals.check(run)
                except Interrupted as interrupted:
                    raise Interrupted(interrupted.signal_name, run) from None
                fold.set_status("finished")
            metrics.append(fold.read_json("metrics.json"))
        monitor, mode = self.application.monitor
        sign = 1 if mode == "max" else -1
        best = max(range(len(metrics)), key=lambda i: sign * metrics[i]["best"].get(monitor, -sign * math.inf))
        winner = RunDirectory(run / "folds" / f"fold-{best + 1}")
        for name in ("history.csv", "report.json", "model.keras", *self.application.files(self.first_fit.datasets)):
            if not (winner / name).exists():  # no history where the time was over within the first epoch
                continue
            shutil.copyfile(winner / name, run / f".{name}.new")
            os.replace(run / f".{name}.new", run / name)
        for name in ("figures", "samples"):
            if (winner / name).exists():
                shutil.copytree(winner / name, run / name, dirs_exist_ok=True)
        folds = [fold_row(fold) for fold in metrics]
        total = {"training_seconds_of_all_folds": round(sum(fold["training_seconds"] for fold in metrics), 3)}
        run.write_json("metrics.json", {**metrics[best], **total, "folds": folds, "best_fold": best + 1})
        # Sizes of the parts are the winner's; the hash is that of the division all folds come from.
        run.write_json("data.json", {**about(self.datasets), "splits": winner.read_json("data.json")["splits"]})
        reports.write_html(run.path)
        for name, value, spread in mean_and_spread(folds):
            self.show(f"{name}: {value:.4g} +- {spread:.2g} over {len(metrics)} folds")


def fold_row(metrics: dict[str, Any]) -> dict[str, float]:
    """Returns what the report shows of one fold: its validation and its test metrics."""
    validation = {name: value for name, value in metrics["best"].items() if name.startswith("val_")}
    return {**validation, **{f"test_{name}": value for name, value in metrics["test"].items()}}


def mean_and_spread(rows: list[dict[str, float]]) -> list[tuple[str, float, float]]:
    """Returns (name, mean, standard deviation) of every metric that all folds have."""
    import statistics

    names = [name for name in rows[0] if all(name in row for row in rows)]
    columns = {name: [row[name] for row in rows] for name in names}
    return [(name, statistics.mean(values), statistics.stdev(values)) for name, values in columns.items()]


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Refuses a batch without equal parts for all devices, from which Keras learns its shape."""
    if batch_size % replicas:
        raise UserError(
            f"batch_size: {batch_size} samples cannot be divided equally over {replicas} devices; "
            f"{batch_size - batch_size % replicas or replicas} or {batch_size + replicas - batch_size % replicas} can."
        )


def finish(run: RunDirectory, fit: Fit, training: dict[str, Any]) -> None:
    """Saves the model, evaluates it on the test split and writes the report."""
    app, datasets = fit.application, fit.datasets
    model = app.build(datasets)  # float32 and not compiled: loads anywhere, whatever it was trained with
    model.set_weights(fit.model.get_weights())
    model = app.packaged(model, datasets)
    save_model(model, run / "model.keras")
    datasets = app.chosen(model, datasets)
    for name, text in app.files(datasets).items():
        run.write_text(name, text)
    began = time.monotonic()
    if app.fast_dev_run:
        datasets = limited(datasets, app.samples_per_step)
    result = app.report(model, datasets)
    result.baseline_name, result.baseline = app.baseline(datasets)
    training["evaluation_seconds"] = round(time.monotonic() - began, 3)
    run.write_json(
        "metrics.json",
        {
            "test": result.metrics,
            "baseline": result.baseline,
            "baseline_name": result.baseline_name,
            "headline": result.headline,
            **training,
        },
    )
    reports.save_result(run.path, result)
    reports.write_html(run.path)
    value = result.metrics[result.headline]
    beside = ""
    if result.headline in result.baseline:
        beside = f"  ({result.baseline_name}: {result.baseline[result.headline]:.4g})"
    fit.session.show(f"test {result.headline}: {value:.4g}{beside}")


def limited(datasets: Datasets, count: int) -> Datasets:
    """Returns the data with at most `count` samples per split, for a quick try."""
    return dataclasses.replace(datasets, split={name: i[:count] for name, i in datasets.split.items()})


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a `.keras` file whole or not at all."""
    draft = path.with_name(f".draft-{path.name}")
    try:
        model.save(draft)
        os.replace(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def reading_progress() -> Callable[[int, int, str], None]:
    """Returns a function that shows how many files were read, on a terminal at every call, elsewhere every 1000."""
    import sys

    last = [0.0]

    def show(done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if sys.stderr.isatty():
            if now - last[0] > 0.1 or done == total:
                last[0] = now
                print(f"\r{what} {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif done and done % 1000 == 0:
            print(f"{what} {done}/{total}", file=sys.stderr, flush=True)

    return show
