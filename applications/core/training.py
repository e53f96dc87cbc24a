"""Training: from a configuration to a complete run directory, interrupted and resumed at will."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core import report as reports
from applications.core.application import Application, seconds
from applications.core.config import from_dict, read_yaml, to_dict
from applications.core.errors import UserError
from applications.core.run_directory import RunDirectory, environment

if TYPE_CHECKING:
    import keras

    from applications.core.callbacks import BestWeights
    from applications.datasets.data import Datasets

Show = Callable[[str], None]


def say(line: str) -> None:
    """Prints a line at once, also where the output is a file or a pipe."""
    print(line, flush=True)


class Interrupted(Exception):
    """A signal ended the training; a checkpoint was saved. `status` is the exit status to leave with."""

    def __init__(self, signal_name: str, run: RunDirectory):
        super().__init__(f"Interrupted by {signal_name}; saved. Go on with: kerazoo resume {run.path}")
        self.signal_name = signal_name
        self.status = 128 + getattr(signal, signal_name)


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
    application = with_absolute_paths(application)
    session = Session(application, show)
    config = yaml_of(application)
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
    with run.lock():
        if run.status == "finished":
            show(f"{run.path} is finished already.")
            return run
        application = load_application(run)
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
    from applications.datasets.data import CLASSIFICATION_NAMES, SEGMENTATION_NAMES

    changes: dict[str, Any] = {}
    if application.data_dir is not None:
        changes["data_dir"] = os.path.abspath(os.path.expanduser(application.data_dir))
    path = Path(application.data).expanduser()
    if application.data not in CLASSIFICATION_NAMES + SEGMENTATION_NAMES and path.exists():
        changes["data"] = str(path.absolute())
    return application.replace(**changes)


def about(datasets: Datasets) -> dict[str, Any]:
    """Returns what later commands and the report must know about the data (`data.json`)."""
    return {
        "name": datasets.name,
        "description": datasets.description,
        "class_names": list(datasets.class_names),
        "channels": datasets.channels,
        "value_range": list(datasets.value_range),
        "image_shape": [int(n) for n in datasets.images.max_shape] if datasets.images.uniform else None,
        "splits": {name: len(indices) for name, indices in datasets.split.items()},
        "fingerprint": datasets.fingerprint,
        "warnings": list(datasets.warnings),
        "skipped": [list(entry) for entry in datasets.skipped],
    }


class Session:
    """One process's work on a run: data and strategy are made here, in this order, before the run is touched.

    Args:
        application: The task.
        show: Prints one line.
    """

    def __init__(self, application: Application, show: Show = say):
        from applications.core.quiet import import_tensorflow
        from applications.core.strategy import make_strategy, prepare

        import_tensorflow()
        if application.fast_dev_run:
            application = application.replace(epochs=1, k_folds=0)
        self.application = application
        self.show = show
        prepare(application.seed, application.deterministic)
        self.strategy = make_strategy(application.strategy)
        self.datasets = application.datasets(progress=reading_progress())
        show(f"data: {self.datasets.description}")
        for warning in self.datasets.warnings:
            show(f"warning: {warning}")
        if self.datasets.skipped:
            show(f"warning: {len(self.datasets.skipped)} unreadable files were left out; the report lists them.")
        self.fold_splits = self._fold_splits()
        first = dataclasses.replace(self.datasets, split=self.fold_splits[0]) if self.fold_splits else self.datasets
        self.first_fit = Fit(self, first)

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
        """Trains, evaluates and reports into `run`; the caller holds its lock."""
        known = run.read_json("data.json")
        if known and known["fingerprint"] != self.datasets.fingerprint:
            classes = len(known["class_names"]), self.datasets.num_classes
            what = (
                f"{classes[0]} classes then, {classes[1]} now" if classes[0] != classes[1] else "other files or pixels"
            )
            raise UserError(
                f"The data '{self.application.data}' changed since '{run.path}' began ({what}): put the old files "
                "back or start a new run."
            )
        run.write_json("data.json", about(self.datasets))
        run.set_status("running", process=os.getpid())
        try:
            if self.fold_splits:
                self._work_folds(run)
            else:
                finish(run, self.first_fit, self.first_fit.train(run))
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

        metrics = []
        for number, split in enumerate(self.fold_splits, start=1):
            fold = RunDirectory(run / "folds" / f"fold-{number}")
            if fold.status != "finished":
                self.show(f"fold {number}/{len(self.fold_splits)}")
                datasets = dataclasses.replace(self.datasets, split=split)
                fold.path.mkdir(parents=True, exist_ok=True)
                fold.write_text("config.yaml", yaml_of(self.application))
                fold.write_json("data.json", about(datasets))
                fit = self.first_fit if number == 1 else Fit(self, datasets)
                try:
                    finish(fold, fit, fit.train(fold))
                except Interrupted as interrupted:
                    raise Interrupted(interrupted.signal_name, run) from None
                fold.set_status("finished")
            metrics.append(fold.read_json("metrics.json"))
        monitor, mode = self.application.monitor
        sign = 1 if mode == "max" else -1
        best = max(range(len(metrics)), key=lambda i: sign * metrics[i]["best"].get(monitor, -sign * math.inf))
        winner = run / "folds" / f"fold-{best + 1}"
        for name in ("history.csv", "report.json", "model.keras"):
            if not (winner / name).exists():  # no history where the time was over within the first epoch
                continue
            shutil.copyfile(winner / name, run / f".{name}.new")
            os.replace(run / f".{name}.new", run / name)
        shutil.copytree(winner / "figures", run / "figures", dirs_exist_ok=True)
        folds = [fold_row(fold) for fold in metrics]
        run.write_json("metrics.json", {**metrics[best], "folds": folds, "best_fold": best + 1})
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


class Fit:
    """One model and its training: built and compiled here, trained by `train`.

    Args:
        session: Application, strategy and output.
        datasets: The data with their split.
    """

    def __init__(self, session: Session, datasets: Datasets):
        import keras

        from applications.core import optimization, pipeline
        from applications.core.strategy import dtype_policy, execution_arguments

        self.session = session
        self.datasets = datasets
        app = self.application = session.application
        self.samples = app.samples(datasets, "train", training=True)
        self.validation_samples = app.samples(datasets, "val", training=False)
        if app.fast_dev_run:
            limit = 2 * app.batch_size
            self.samples = dataclasses.replace(self.samples, size=min(limit, self.samples.size))
            self.validation_samples = dataclasses.replace(
                self.validation_samples, size=min(limit, self.validation_samples.size)
            )
        self.steps = pipeline.steps_per_epoch(self.samples.size, app.batch_size)
        keras.utils.set_random_seed(app.seed)  # so that a fold starts as a run of its own would
        with session.strategy.scope():
            self.model = app.build(datasets, dtype_policy(app.precision))
            rate = optimization.make_schedule(
                app.schedule,
                app.learning_rate,
                epochs=app.epochs,
                steps_per_epoch=self.steps,
                options=app.schedule_options,
            )
            optimizer = optimization.make_optimizer(app.optimizer, rate, app.optimizer_options)
            optimizer = app.adapt(optimizer, self.model, self.steps)
            execution = execution_arguments(app.execution, app.deterministic)
            app.compile(self.model, optimizer, steps_per_execution=app.steps_per_execution, **execution)

    def train(self, run: RunDirectory) -> dict[str, Any]:
        """Trains to the end (or on from the last checkpoint) and leaves the best weights in `self.model`.

        Args:
            run: Where checkpoints, history and logs go.

        Returns:
            Metrics of the training: best epoch, its logs, seconds, why it ended.
        """
        from applications.core import pipeline
        from applications.core.callbacks import StopTraining

        app = self.application
        self.place = pipeline.Place()
        validation = pipeline.evaluation_batches(self.validation_samples, app.batch_size)
        self._build_variables(validation)
        callbacks = self._callbacks(run)
        checkpoint, best, history, clock, progress = (
            callbacks[name] for name in ("checkpoint", "best", "history", "clock", "progress")
        )
        checkpoint.set_model(self.model)
        best.set_model(self.model)
        resumed = checkpoint.load()
        if resumed:
            app.restore(checkpoint.loaded_extra)
            self.session.show(f"resuming at epoch {checkpoint.epoch + 1}, step {checkpoint.first_step + 1}")
        reason = "epochs"
        stop_now = resumed and checkpoint.stopped
        try:
            with caught_signals(checkpoint):
                while checkpoint.epoch < app.epochs and not stop_now:
                    # An epoch resumed in its middle is a fit of its own, since all epochs of a fit are equally long.
                    partial = checkpoint.first_step > 0
                    self.place.set(checkpoint.epoch, checkpoint.first_step * app.batch_size)
                    batches = pipeline.training_batches(self.samples, app.batch_size, seed=app.seed, place=self.place)
                    last = checkpoint.epoch + 1 if partial else app.epochs
                    progress.first_step = checkpoint.first_step
                    self.model.fit(
                        batches,
                        initial_epoch=checkpoint.epoch,
                        epochs=last,
                        validation_data=validation,
                        verbose=0,
                        shuffle=False,
                        callbacks=list(callbacks.values()),
                    )
                    stop_now = self.model.stop_training
                    if not partial:
                        break
                    checkpoint.begin_again(last)
        except StopTraining as stop:
            reason = stop.reason
        finally:
            progress.close()
        if reason in ("SIGINT", "SIGTERM"):
            raise Interrupted(reason, run)
        if reason == "nan" and best.weights is None:
            raise UserError(
                f"The loss became infinite or NaN in epoch {checkpoint.epoch + 1}: lower --learning-rate "
                f"(it is {app.learning_rate:g}) or set --optimizer-options.clip-norm 1."
            )
        if reason == "nan":
            self.session.show(f"The loss became NaN in epoch {checkpoint.epoch + 1}; the best epoch before it is kept.")
        if stop_now and reason == "epochs":
            reason = "early-stopping"
        if not resumed or history.rows:
            history.write()
        return self._finished(reason, history.rows, best, clock.seconds)

    def _finished(self, reason: str, rows: list[dict], best: BestWeights, spent: float) -> dict[str, Any]:
        best.apply()
        row = rows[best.best_epoch] if best.best_epoch is not None and best.best_epoch < len(rows) else {}
        return {
            "best_epoch": None if best.best_epoch is None else best.best_epoch + 1,
            "best": {name: value for name, value in row.items() if name != "epoch"},
            "epochs": len(rows),
            "stopped_by": reason,
            "training_seconds": round(spent, 3),
            "params": int(self.model.count_params()),
        }

    def _build_variables(self, batches: Any) -> None:
        """Creates the variables of optimiser, metrics and random generators that Keras makes on the first step."""
        from applications.core.checkpoint import optimizers

        with self.session.strategy.scope():
            for optimizer in optimizers(self.model):
                if not optimizer.built:
                    optimizer.build(self.model.trainable_variables)
        self.model.evaluate(batches.take(1), verbose=0)
        self.model.reset_metrics()

    def _callbacks(self, run: RunDirectory) -> dict[str, Any]:
        """Returns all callbacks by name, in the order they act; `checkpoint` is the last."""
        import keras

        from applications.core import callbacks as cb
        from applications.core.checkpoint import CheckpointFolder

        app = self.application
        monitor, mode = app.monitor
        found: dict[str, Any] = {}
        if app.schedule == "plateau":
            options = app.schedule_options
            found["plateau"] = cb.Plateau(
                monitor=monitor,
                mode=mode,
                factor=options.decay_rate,
                patience=options.patience,
                min_lr=options.minimum,
                warmup_steps=round(options.warmup_epochs * self.steps),
            )
        if app.early_stopping.patience:
            found["early_stopping"] = cb.EarlyStopping(
                monitor=monitor,
                mode=mode,
                patience=app.early_stopping.patience,
                min_delta=app.early_stopping.min_delta,
            )
        found["best"] = cb.BestWeights(monitor, mode)
        found["history"] = cb.History(run / "history.csv")
        found["clock"] = cb.Clock(seconds(app.max_time))
        found["nan"] = cb.StopOnNaN()
        if app.tensorboard:
            found["tensorboard"] = keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False)
        found["progress"] = cb.Progress(app.epochs, self.steps, self.session.show)
        memories = {name: callback for name, callback in found.items() if isinstance(callback, cb.Memory)}
        found["checkpoint"] = cb.Checkpoint(
            CheckpointFolder(run / "checkpoints"),
            self.place,
            steps_per_epoch=self.steps,
            batch_size=app.batch_size,
            memories=memories,
            best=found["best"],
            every=app.checkpoint_every,
            extra=app.state,
        )
        return found


def finish(run: RunDirectory, fit: Fit, training: dict[str, Any]) -> None:
    """Saves the model, evaluates it on the test split and writes the report."""
    app, datasets = fit.application, fit.datasets
    model = app.build(datasets)  # float32 and not compiled: loads anywhere, whatever it was trained with
    model.set_weights(fit.model.get_weights())
    save_model(model, run / "model.keras")
    began = time.monotonic()
    if app.fast_dev_run:
        datasets = limited(datasets, app.batch_size)
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


@contextlib.contextmanager
def caught_signals(checkpoint: Any) -> Iterator[None]:
    """While active, SIGINT and SIGTERM ask for a checkpoint and the end; a second signal ends at once."""

    def handle(number: int, _: Any) -> None:
        if checkpoint.signal is not None:
            raise KeyboardInterrupt
        checkpoint.signal = signal.Signals(number).name

    try:
        old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread, which alone may handle signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


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
