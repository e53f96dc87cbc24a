"""One model and its training: built and compiled, trained, stopped at any step and gone on with."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from applications.core.application import seconds
from applications.core.errors import UserError
from applications.core.fused import use_fused_kernels

if TYPE_CHECKING:
    import keras

    from applications.core.callbacks import BestWeights
    from applications.core.checkpointing import Checkpoint
    from applications.core.execution import Plan
    from applications.core.meters import DataWait
    from applications.core.run_directory import RunDirectory
    from applications.core.training import Session
    from applications.datasets.data import Datasets


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
            steps = 1 if isinstance(app.steps_per_execution, str) else app.steps_per_execution
            app.compile(self.model, optimizer, steps_per_execution=steps, **execution)
        if session.replicas == 1:
            use_fused_kernels(self.model)
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
            optimization.scaled_rate(app.peak_rate, app.samples_per_step, app),
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
        from applications.core import execution
        from applications.core.meters import DataWait, clock_runs
        from applications.core.stopping import StopTraining

        app = self.application
        if self.session.replicas == 1 and clock_runs():
            self.meter = DataWait()
        plan, validation, validation_steps = self._made_ready(run)
        work = execution.work_of(self)
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
                alone = checkpoint.first_step > 0 or self.steps % plan.steps > 0
                blocks = work.in_blocks(plan.steps, checkpoint.first_step)
                execution.use(self.model, plan.xla, plan.steps, blocks=blocks)
                block = plan.steps if blocks else 1
                batches = self.batches(checkpoint.epoch, checkpoint.first_step, endless=not alone, block=block)
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
        about = {"execution": plan.name, "seconds_of_planning": plan.seconds}
        return self._finished(reason, history.rows, best, clock.seconds) | about

    def _made_ready(self, run: RunDirectory) -> tuple[Plan, Any, int | None]:
        """Creates all variables and chooses how to execute; returns the plan, validation batches and their steps."""
        from applications.core import execution

        validation, steps = self._validation()
        self._build_variables(validation)
        plan = execution.planned(self, run)
        if plan.steps > 1:  # a call would go on into the next pass
            validation, steps = self._validation(endless=False)
        if len(plan.milliseconds) > 1:
            ways = "; ".join(f"{name}: {milliseconds:.3g} ms" for name, milliseconds in plan.milliseconds.items())
            self.session.show(f"execution: {plan.name} (a step takes {ways})")
        return plan, validation, steps

    def _diverged(self, culprit: str, checkpoint: Checkpoint, best: BestWeights) -> None:
        """Gives the model its last good weights back where there are any, and says what has become NaN."""
        app, epoch = self.application, checkpoint.epoch + 1
        kept = "best epoch"
        if best.weights is None and not app.monitor[0] and checkpoint.load():
            kept = "last checkpoint"
        elif best.weights is None:
            raise UserError(
                f"The {culprit} became infinite or NaN in epoch {epoch}: lower --learning-rate "
                f"(it is {app.peak_rate:g}) or set --optimizer-options.clip-norm 1."
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

    def batches(self, epoch: int, first_step: int, *, endless: bool, block: int = 1) -> Any:
        """Returns the training batches from a step on; of several workers, what this one takes of them.

        Args:
            epoch: The epoch to begin with.
            first_step: Its step to begin with.
            endless: Whether the following epochs come after it.
            block: Batches that come together, on one device.
        """
        from applications.core import pipeline

        session = self.session
        make: Callable[..., Any] = pipeline.training_batches
        if session.cluster.size > 1:
            make = functools.partial(pipeline.shared_training_batches, strategy=session.strategy)
        position = first_step * self.batch_size
        options = {"seed": self.application.seed, "epoch": epoch, "position": position, "block": block}
        batches = make(self.samples, self.batch_size, endless=endless, **options)
        return self.meter.timed(batches) if self.meter else batches

    def _validation(self, *, endless: bool = True) -> tuple[Any, int | None]:
        """Returns the validation batches and how many make one pass; those that do not repeat end after one."""
        import tensorflow as tf

        from applications.core import pipeline

        app, strategy = self.application, self.session.strategy
        samples = self.validation_samples
        if isinstance(strategy, tf.distribute.TPUStrategy):
            samples = pipeline.whole_batches(samples, app.samples_per_step, self.session.replicas)
            if endless and samples.size < self.validation_samples.size:
                self.session.show(f"validation: {samples.size} of {self.validation_samples.size}, whole batches only")
        if self.session.replicas == 1:
            return pipeline.evaluation_batches(samples, app.samples_per_step, endless=endless)
        return pipeline.shared_evaluation_batches(samples, app.samples_per_step, strategy, endless=endless)

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
        from applications.core import stopping
        from applications.core.averaging import AveragedWeights
        from applications.core.checkpoint import CheckpointFolder
        from applications.core.checkpointing import Checkpoint

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
        stop = stopping.Stop(self.session.signals, self.session.cluster)
        found["history"] = cb.History(run / "history.csv" if chief else None)
        found["clock"] = stopping.Clock(stop, self.max_seconds)
        found["nan"] = stopping.StopOnNaN(stop)
        if app.tensorboard and chief:
            found["tensorboard"] = keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False)
        if self.keeps_checkpoints:
            found["samples"] = cb.Samples(run.path, lambda model: app.drawn(model, self.datasets))
        found |= self.extra_callbacks
        found["progress"] = cb.Progress(app.epochs, self.steps, self.session.show)
        memories = {name: callback for name, callback in found.items() if isinstance(callback, cb.Memory)}
        found["checkpoint"] = Checkpoint(
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
