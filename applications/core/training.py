"""Training: from a configuration to a complete run directory, interrupted and resumed at will."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
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
from applications.core.quiet import discard_output
from applications.core.run_directory import RunDirectory, environment
from applications.core.signals import Interrupted, Signals

if TYPE_CHECKING:
    import keras

    from applications.core.callbacks import BestWeights, Checkpoint
    from applications.core.meters import DataWait
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


class Fit:
    """One model and its training: built and compiled here, trained by `train`.

    Args:
        session: Application, strategy and output.
        datasets: The data with their split.

    Attributes:
        max_seconds: Longest training, or None.
        until: Epoch after which to stop although the schedule goes on to `application.epochs`, or None.
        extra_callbacks: Further callbacks by name.
        keeps_checkpoints: Whether checkpoints are written.
        keeps_best: Whether the best weights are the result, rather than the last ones.
        meter: Measures how long batches are waited for; None before `train`, where several
            devices fetch them ahead, and where everything is deterministic.
        history: One row per epoch, once trained.
    """

    def __init__(self, session: Session, datasets: Datasets):
        import keras

        from applications.core import keras_multi_worker, optimization, pipeline
        from applications.core.rematerialisation import rematerialise
        from applications.core.strategy import dtype_policy, execution_arguments

        self.session = session
        app = self.application = session.application
        datasets = self.datasets = app.prepared(datasets)
        self.samples = app.samples(datasets, "train", training=True)
        self.validation_samples = app.samples(datasets, "val", training=False)
        if app.fast_dev_run:
            limit = 2 * app.samples_per_step
            self.samples = dataclasses.replace(self.samples, size=min(limit, self.samples.size))
            self.validation_samples = dataclasses.replace(
                self.validation_samples, size=min(limit, self.validation_samples.size)
            )
        replicas = session.replicas
        # The only batch of a part that is smaller than one must be divisible too.
        small = replicas > 1 and self.samples.size < app.samples_per_step
        self.batch_size = (
            pipeline.shared_sizes(self.samples.size, app.samples_per_step, replicas)[0] * replicas
            if small
            else app.samples_per_step
        )
        self.max_seconds = seconds(app.max_time)
        self.until: int | None = None
        self.extra_callbacks: dict[str, Any] = {}
        self.keeps_checkpoints = self.keeps_best = True
        self.meter: DataWait | None = None
        self.history: list[dict[str, float]] = []
        self.steps = pipeline.steps_per_epoch(self.samples.size, self.batch_size)
        keras.utils.set_random_seed(app.seed)  # so that a fold starts as a run of its own would
        with session.strategy.scope():
            self.model = app.build(datasets, dtype_policy(app.precision))
            if app.rematerialise:
                rematerialise(self.model)
            names = optimization.optimizer_names(self.model)
            optimizer = {name: self._optimizer() for name in names} if names else self._optimizer()
            execution = execution_arguments(app.execution, app.deterministic, session.replicas)
            app.compile(self.model, optimizer, steps_per_execution=app.steps_per_execution, **execution)
        if app.ema is not None and self.model.optimizer is None:
            raise UserError(f"ema: {app.model} has several optimisers and averages of its own; leave --ema out.")
        if session.cluster.size > 1:
            keras_multi_worker.mend(self.model, session.strategy)

    def _optimizer(self) -> keras.Optimizer:
        """Makes the optimiser the options ask for, with a schedule of its own."""
        from applications.core import averaging, optimization

        app = self.application
        rate = optimization.make_schedule(
            app.schedule,
            optimization.scaled_rate(app.learning_rate, app.samples_per_step, app),
            epochs=app.epochs,
            steps_per_epoch=self.steps,
            options=app.schedule_options,
        )
        optimizer = optimization.make_optimizer(
            app.optimizer, rate, app.optimizer_options, default_beta_1=app.default_beta_1
        )
        optimizer = app.adapt(optimizer, self.model, self.steps)
        if app.ema is not None:
            averaging.keep_average(optimizer, app.ema)
        return optimizer

    def train(self, run: RunDirectory) -> dict[str, Any]:
        """Trains to the end (or on from the last checkpoint) and leaves the best weights in `self.model`.

        Args:
            run: Where checkpoints, history and logs go.

        Returns:
            Metrics of the training: best epoch, its logs, seconds, why it ended.
        """
        from applications.core.callbacks import StopTraining
        from applications.core.meters import DataWait, clock_runs

        app = self.application
        if self.session.replicas == 1 and clock_runs():
            self.meter = DataWait()
        validation, validation_steps = self._validation()
        self._build_variables(validation)
        callbacks = self._callbacks(run)
        checkpoint, best, history, clock, progress = (
            callbacks[name] for name in ("checkpoint", "best", "history", "clock", "progress")
        )
        checkpoint.set_model(self.model)
        best.set_model(self.model)
        if app.ema is not None:
            callbacks["averaged"].set_model(self.model)
        resumed = checkpoint.load()
        if resumed:
            app.restore(checkpoint.loaded_extra)
            self.session.show(f"resuming at epoch {checkpoint.epoch + 1}, step {checkpoint.first_step + 1}")
        reason, culprit = "epochs", ""
        stop_now = resumed and checkpoint.stopped
        signals = self.session.signals
        signals.training = True
        epochs = min(self.until or app.epochs, app.epochs)
        try:
            while checkpoint.epoch < epochs and not stop_now:
                # An epoch resumed in its middle is a fit of its own, since all epochs of a fit are equally long; and so
                # is each epoch whose last call of the device has fewer steps, which would reach into the next one.
                alone = checkpoint.first_step > 0 or self.steps % app.steps_per_execution > 0
                batches = self.batches(checkpoint.epoch, checkpoint.first_step, endless=not alone)
                last = checkpoint.epoch + 1 if alone else epochs
                progress.first_step = checkpoint.first_step
                self.model.fit(
                    batches,
                    initial_epoch=checkpoint.epoch,
                    epochs=last,
                    steps_per_epoch=self.steps - checkpoint.first_step,
                    validation_data=validation,
                    validation_steps=validation_steps,
                    verbose=0,
                    shuffle=False,
                    callbacks=list(callbacks.values()),
                )
                stop_now = self.model.stop_training
                if not alone:
                    break
                checkpoint.begin_again(last)
        except StopTraining as stop:
            reason, culprit = stop.reason, stop.culprit
        finally:
            signals.training = False
            progress.close()
        signals.check(run)
        if reason == "nan":
            self._diverged(culprit, checkpoint, best)
        if stop_now and reason == "epochs":
            reason = "early-stopping"
        history.write()
        self.history = history.rows
        if app.ema is not None:
            callbacks["averaged"].put_in()
        return self._finished(reason, history.rows, best, clock.seconds)

    def _diverged(self, culprit: str, checkpoint: Checkpoint, best: BestWeights) -> None:
        """Gives the model its last good weights back where there are any, and says what has become NaN."""
        app, epoch = self.application, checkpoint.epoch + 1
        kept = "best epoch"
        if best.weights is None and not app.monitor[0] and checkpoint.load():
            kept = "last checkpoint"
        elif best.weights is None:
            raise UserError(
                f"The {culprit} became infinite or NaN in epoch {epoch}: lower --learning-rate "
                f"(it is {app.learning_rate:g}) or set --optimizer-options.clip-norm 1."
            )
        self.session.show(f"The {culprit} became NaN in epoch {epoch}; the {kept} before it is kept.")

    def _finished(self, reason: str, rows: list[dict], best: BestWeights, spent: float) -> dict[str, Any]:
        from applications.core.meters import peak_memory

        if self.keeps_best:
            best.apply()
        warning = self.meter and self.meter.warning()
        if warning:
            self.session.show(f"warning: {warning}")
        row = rows[best.best_epoch] if best.best_epoch is not None and best.best_epoch < len(rows) else {}
        return {
            "best_epoch": None if best.best_epoch is None else best.best_epoch + 1,
            "best": {name: value for name, value in row.items() if name != "epoch"},
            "epochs": len(rows),
            "stopped_by": reason,
            "training_seconds": round(spent, 3),
            "params": int(self.model.count_params()),
            "peak_memory": peak_memory(),
            **(self.meter.figures() if self.meter else {}),
        }

    def batches(self, epoch: int, first_step: int, *, endless: bool) -> Any:
        """Returns the training batches from a step on; of several workers, what this one takes of them."""
        from applications.core import pipeline

        session = self.session
        make: Callable[..., Any] = pipeline.training_batches
        if session.cluster.size > 1:
            make = functools.partial(pipeline.shared_training_batches, strategy=session.strategy)
        options = {"seed": self.application.seed, "epoch": epoch, "position": first_step * self.batch_size}
        batches = make(self.samples, self.batch_size, endless=endless, **options)
        return self.meter.timed(batches) if self.meter else batches

    def _validation(self) -> tuple[Any, int]:
        """Returns the validation batches, which repeat, and how many make one pass."""
        import tensorflow as tf

        from applications.core import pipeline

        app, strategy = self.application, self.session.strategy
        samples = self.validation_samples
        if isinstance(strategy, tf.distribute.TPUStrategy):
            samples = pipeline.whole_batches(samples, app.samples_per_step, self.session.replicas)
            if samples.size < self.validation_samples.size:
                self.session.show(f"validation: {samples.size} of {self.validation_samples.size}, whole batches only")
        if self.session.replicas == 1:
            return pipeline.evaluation_batches(samples, app.samples_per_step)
        return pipeline.shared_evaluation_batches(samples, app.samples_per_step, strategy)

    def _build_variables(self, batches: Any) -> None:
        """Creates the variables of optimiser, metrics and random generators that Keras makes on the first step."""
        from applications.core.checkpoint import optimizers

        with self.session.strategy.scope():
            for optimizer in optimizers(self.model):
                if not optimizer.built:
                    optimizer.build(self.model.trainable_variables)
        self.model.evaluate(batches, steps=1, verbose=0)
        self.model.reset_metrics()

    def _callbacks(self, run: RunDirectory) -> dict[str, Any]:
        """Returns all callbacks by name, in the order they act; `checkpoint` is the last."""
        import keras

        from applications.core import callbacks as cb
        from applications.core.averaging import AveragedWeights
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
                warmup_batches=round(options.warmup_epochs * self.steps),
            )
        if app.early_stopping.patience and monitor:
            found["early_stopping"] = cb.EarlyStopping(
                monitor=monitor,
                mode=mode,
                patience=app.early_stopping.patience,
                min_delta=app.early_stopping.min_delta,
            )
        found["best"] = cb.BestWeights(monitor, mode)
        if app.ema is not None:
            found["averaged"] = AveragedWeights()
        if self.meter is not None:
            found["data_wait"] = self.meter
        chief = self.session.cluster.is_chief
        stop = cb.Stop(self.session.signals, self.session.cluster)
        found["history"] = cb.History(run / "history.csv" if chief else None)
        found["clock"] = cb.Clock(stop, self.max_seconds)
        found["nan"] = cb.StopOnNaN(stop)
        if app.tensorboard and chief:
            found["tensorboard"] = keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False)
        if self.keeps_checkpoints:
            found["samples"] = cb.Samples(run.path, lambda model: app.drawn(model, self.datasets))
        found |= self.extra_callbacks
        found["progress"] = cb.Progress(app.epochs, self.steps, self.session.show)
        memories = {name: callback for name, callback in found.items() if isinstance(callback, cb.Memory)}
        found["checkpoint"] = cb.Checkpoint(
            CheckpointFolder(run / "checkpoints", keep=2 if self.keeps_checkpoints else 0),
            steps_per_epoch=self.steps,
            batch_size=self.batch_size,
            stop=stop,
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
