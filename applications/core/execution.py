"""How training steps are executed: compiled by XLA or not, one at a time or several in one call of the device.

No rule holds for all models: XLA makes recurrent networks faster and plain convolutional ones slower, and several steps
per call pay for small networks alone. So a training that is long enough times a few real steps of each way first, puts
every variable back, and keeps the fastest.

Several steps in one call take one block of batches and go through it in one graph (`BlockFunction`), which XLA compiles
as a whole. Keras' own loop asks the pipeline for every batch and enters XLA for every step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from applications.core.fitting import Fit
    from applications.core.run_directory import RunDirectory

FILE = "execution.json"
SHORTEST_TRAINING = 20.0  # seconds; of a shorter one nothing can be gained
FEWEST_STEPS = 60  # of a training with fewer steps the first ones would be too large a part
SHARE = 0.1  # of the expected training time is the most that is spent looking
SHORT_STEP = 0.05  # seconds; in longer steps the way into the device does not count
FEWEST_AT_ONCE = 4  # below which nothing is gained
MOST_STEPS = 32  # in one call of the device, so that signals and progress do not wait long
LARGEST_BLOCK = 64 << 20  # bytes of the batches of one call, of which some are made ahead
GAIN = 0.95  # another way is taken when its steps need less than this share of the time
# XLA compiles for about this many times as long as TensorFlow needs to trace the same step.
COMPILE_PER_TRACE = 6.0
LEAST_SECONDS = 0.3  # for which steps of one way are timed
REMEMBERED = 500


@dataclasses.dataclass(frozen=True)
class Plan:
    """A way to execute steps.

    Attributes:
        xla: Whether XLA compiles them.
        steps: Steps in one call of the device.
        milliseconds: Median time of a step for every way that was timed.
        seconds: Time spent looking; 0 for a plan that was known.
    """

    xla: bool
    steps: int = 1
    milliseconds: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The way in words, as in `xla, 8 steps at once`."""
        return _name(self.xla, self.steps)


def _name(xla: bool, steps: int) -> str:
    return ("xla" if xla else "plain") + (f", {steps} steps at once" if steps > 1 else "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a plan is made for.

    Attributes:
        model: A compiled model whose variables are all there.
        batches: Returns training batches without an end, in blocks of the given number (1: one by one).
        steps: Steps of an epoch.
        epochs: Their number.
        way: "plain" or "xla"; "auto": what is faster.
        at_once: Steps in one call of the device; "auto": what is faster.
        checkpoint_every: Steps between checkpoints, or None.
        longest: Seconds after which the training ends, however many epochs are left, or None.
        devices: That share the batches.
        about: Whatever else the speed depends on and the model does not say, for the signature.
    """

    model: Any
    batches: Callable[[int], Any]
    steps: int
    epochs: int
    way: str = "auto"
    at_once: int | str = "auto"
    checkpoint_every: int | None = None
    longest: float | None = None
    devices: int = 1
    about: tuple[Any, ...] = ()

    @functools.cached_property
    def parts(self) -> list[Any]:
        """What is known about the parts of a batch: their shapes and types."""
        import tensorflow as tf

        return tf.nest.flatten(self.batches(1).element_spec)

    @property
    def bytes_of_batch(self) -> int:
        """The memory of a batch; an axis of unknown length counts as one."""
        return sum(math.prod(size or 1 for size in part.shape) * part.dtype.size for part in self.parts)

    def in_blocks(self, steps: int, position: int = 0) -> bool:
        """Whether the batches of one call may come as a block: one device, arrays of one shape, not too large, and
        blocks fill the epoch.

        Args:
            steps: In one call.
            position: Step of the epoch to begin with.
        """
        import tensorflow as tf

        if self.devices > 1 or steps == 1 or position % steps or self.steps % steps:
            return False
        if not all(isinstance(part, tf.TensorSpec) and part.shape.is_fully_defined() for part in self.parts):
            return False
        return steps * self.bytes_of_batch <= LARGEST_BLOCK

    @property
    def own_steps(self) -> int:
        """The steps in one call that it begins with."""
        return 1 if isinstance(self.at_once, str) else self.at_once

    @property
    def several(self) -> int:
        """The most steps in one call that divide an epoch and the way to the next checkpoint, if any pay."""
        if self.at_once != "auto":
            return self.own_steps
        every = self.checkpoint_every or self.steps
        most = min(MOST_STEPS, LARGEST_BLOCK // max(1, self.bytes_of_batch))
        fitting = [n for n in range(1, most + 1) if self.steps % n == 0 and every % n == 0]
        return fitting[-1] if fitting and fitting[-1] >= FEWEST_AT_ONCE else 1

    @property
    def worth_a_look(self) -> bool:
        """Whether there is a choice, and a training that is long enough."""
        choice = self.way == "auto" or self.at_once == "auto"
        return choice and self.steps * self.epochs >= FEWEST_STEPS


def planned(fit: Fit, run: RunDirectory) -> Plan:
    """Makes a model's training function the fastest one, and returns which that is.

    A run keeps its plan, so that one that goes on does so in the same way. Nothing is timed where the options say how
    to execute, on several devices, in deterministic and in short trainings.

    Args:
        fit: A compiled model and its data. Its variables have the same values afterwards.
        run: Where the plan is kept.
    """
    app, work = fit.application, work_of(fit)
    if app.deterministic or fit.session.replicas > 1 or not work.worth_a_look:
        return Plan(bool(fit.model.jit_compile), work.own_steps)
    known = run.read_json(FILE)
    plan = Plan(**known) if known else fastest(work, Memory())
    if not known:
        run.write_json(FILE, dataclasses.asdict(plan))
    use(fit.model, plan.xla, plan.steps, blocks=work.in_blocks(plan.steps))
    return plan


def work_of(fit: Fit) -> Work:
    """Returns what a plan for a training is made for."""
    app = fit.application
    return Work(
        model=fit.model,
        batches=lambda block: fit.batches(0, 0, endless=True, block=block),
        steps=fit.steps,
        epochs=min(fit.until or app.epochs, app.epochs),
        way=app.execution,
        at_once=app.steps_per_execution,
        checkpoint_every=app.checkpoint_every,
        longest=fit.max_seconds,
        devices=fit.session.replicas,
        about=(app.optimizer, app.loss, app.precision, app.rematerialise, app.ema is None),
    )


def use(model: Any, xla: bool, steps: int, *, blocks: bool = False) -> None:
    """Makes a model execute its training steps in a way; functions that were traced in it already are kept.

    Args:
        model: A compiled model.
        xla: Whether XLA compiles its steps.
        steps: Steps in one call.
        blocks: Whether the batches of one call come as a block (`pipeline.training_batches`).
    """
    now = bool(model.jit_compile), model.steps_per_execution, isinstance(model.train_function, BlockFunction)
    if now == (xla, steps, blocks):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, that the model cannot be compiled, which the caller sees
        model.jit_compile = xla
    model.steps_per_execution = steps
    model.train_function = BlockFunction(model) if blocks else None
    model.test_function = None


class BlockFunction:
    """Stands for the training function that Keras makes: takes a block of batches, and all its steps in one graph.

    Args:
        model: A compiled model on one device, with as many steps per execution as a block has batches.
    """

    def __init__(self, model: Any):
        import tensorflow as tf

        self.steps = model.steps_per_execution
        self._step = tf.function(model.train_step, autograph=False)
        self._graph = tf.function(self._all_steps, autograph=False, jit_compile=bool(model.jit_compile))

    def __call__(self, iterator: Any) -> Any:
        """Trains on the next block; returns what the last step says."""
        return self._graph(next(iterator))

    def _all_steps(self, block: Any) -> Any:
        import tensorflow as tf

        def batch(number: Any) -> Any:
            return tf.nest.map_structure(lambda part: part[number], block)

        # The loop begins with logs of the same form as those of a step.
        said = self._step.get_concrete_function(batch(0)).structured_outputs
        logs = tf.nest.map_structure(lambda log: tf.zeros(log.shape, log.dtype), said)
        return tf.while_loop(
            lambda number, _: number < self.steps,
            lambda number, _: (number + 1, self._step(batch(number))),
            (tf.constant(0), logs),
            maximum_iterations=self.steps,
        )[1]


def fastest(work: Work, memory: Memory) -> Plan:
    """Returns the plan that is remembered for such a training, or the fastest of those there is time to try.

    Args:
        work: The training. Variables of the model have the same values afterwards; how it executes may have changed.
        memory: Where plans are remembered.
    """
    from applications.core.checkpoint import assign, model_variables, snapshot

    began = time.monotonic()
    key = signature(work)
    known = memory.get(key)
    if known is not None:
        return Plan(known["xla"], work.several if known["several"] else work.own_steps, known["milliseconds"])
    variables = model_variables(work.model)
    before = snapshot(variables)
    try:
        plan = _tried(work, began)
    finally:
        assign(variables, before, "memory")
    plan = dataclasses.replace(plan, seconds=round(time.monotonic() - began, 3))
    if len(plan.milliseconds) > 1:
        memory.put(key, {"xla": plan.xla, "several": plan.steps > 1, "milliseconds": plan.milliseconds})
    return plan


def _tried(work: Work, began: float) -> Plan:
    xla, steps = bool(work.model.jit_compile), work.own_steps
    quick = _timed(work, xla, steps, least_seconds=0)
    known = quick is not None  # whether XLA knows all operations of the model, as far as was tried
    if quick is None:
        xla, quick = False, _timed(work, False, steps, least_seconds=0)
    assert quick is not None  # without XLA an error is raised
    expected = min(quick.step * work.steps * work.epochs, work.longest or math.inf)
    if expected < SHORTEST_TRAINING:
        return Plan(xla, steps, _milliseconds({(xla, steps): quick.step}))
    first = _timed(work, xla, steps) or quick
    found = {(xla, steps): first.step}
    deadline = began + SHARE * expected
    several = work.several if first.step < SHORT_STEP else steps
    ways = [steps]
    if several > steps:
        ways.append(several)
        timed = _timed(work, xla, several)
        if timed is not None:
            found[xla, several] = timed.step
            if timed.step < GAIN * first.step:
                steps = several
    costs = quick.trace * (1 if xla else 1 + COMPILE_PER_TRACE)
    # The compiler may make a loop over small steps fast and one over convolutions slow, so both are tried.
    others = sorted(ways, key=lambda way: way != steps) if work.way == "auto" and known else []
    best = xla, steps
    for way in others:
        if time.monotonic() + costs >= deadline:
            break
        timed = _timed(work, not xla, way)
        if timed is None:
            break
        found[not xla, way] = timed.step
        if timed.step < GAIN * found[best]:
            best = not xla, way
    return Plan(*best, _milliseconds(found))


def _milliseconds(found: dict[tuple[bool, int], float]) -> dict[str, float]:
    return {_name(*way): round(1000 * seconds, 3) for way, seconds in found.items()}


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of the first call beside its steps (tracing, compiling), and of a step."""

    trace: float
    step: float


def xla_refusals() -> tuple[type[Exception], ...]:
    """Returns what is raised where XLA cannot compile: by the compiler, or by an operation's kernel for it."""
    import tensorflow as tf

    return tf.errors.OpError, NotImplementedError, ValueError


def _timed(work: Work, xla: bool, steps: int, least_seconds: float = LEAST_SECONDS) -> Timing | None:
    """Times real training steps; None where XLA, unless it was asked for, cannot compile the model."""
    import keras

    model = work.model
    blocks = work.in_blocks(steps)
    use(model, xla, steps, blocks=blocks)
    if bool(model.jit_compile) != xla:
        return None
    model.make_train_function()
    batches = iter(work.batches(steps if blocks else 1))

    def call() -> float:
        began = time.monotonic()
        keras.tree.map_structure(keras.ops.convert_to_numpy, model.train_function(batches))  # waits for the device
        return time.monotonic() - began

    try:
        first = call()
    except xla_refusals():
        if not xla or work.way == "xla":
            raise
        return None
    calls = [call(), call()]
    while sum(calls) < least_seconds:
        calls.append(call())
    usual = statistics.median(calls)
    return Timing(max(0.0, first - usual), usual / steps)


def signature(work: Work) -> str:
    """Returns what a plan depends on, as a hash: network, optimiser, loss, batches, device, versions."""
    import keras
    import tensorflow as tf

    from kerazoo._version import __version__

    gpus = tf.config.list_physical_devices("GPU")
    parts = [
        json.dumps(work.model.get_config(), sort_keys=True, default=str),
        (work.about, work.way, work.at_once),
        str(work.parts),
        [tf.config.experimental.get_device_details(gpu).get("device_name", "") for gpu in gpus],
        (os.cpu_count(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0),
        (tf.__version__, keras.__version__, __version__),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


class Memory:
    """Plans of trainings before this one, in the user's cache folder; a file that cannot be used is as good as none."""

    def __init__(self) -> None:
        from applications.datasets.store import cache_folder

        self.path = cache_folder() / FILE

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return {}

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns what is known about a signature, or None."""
        found = self._read().get(key)
        good = isinstance(found, dict) and set(found) == {"xla", "several", "milliseconds"}
        return found if good else None

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Remembers a plan, and forgets the oldest ones."""
        from applications.core.run_directory import write_atomically

        known = {**self._read(), key: value}
        newest = dict(list(known.items())[-REMEMBERED:])
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(newest, indent=1) + "\n")
