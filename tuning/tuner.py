"""Runs the trials an oracle proposes: each in a process of its own, several at once, here or on other machines.

A trial is a forked child of the process that has imported TensorFlow and read the data once. It costs no second import
and no second copy of the data, gives its memory back when it ends, and cannot take the search down with it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus

from applications.core.errors import UserError
from applications.core.run_directory import write_atomically
from tuning.machines import Chief, Heart


@dataclass(frozen=True)
class Order:
    """What a trial is to do.

    Attributes:
        number: Number of the trial, as text.
        values: Values of its hyperparameters; `tuner/...` beside them for Hyperband.
        folder: Where its files go.
        seconds: Time left for the whole search; None: no limit.
    """

    number: str
    values: Mapping[str, Any]
    folder: Path
    seconds: float | None = None


Evaluate = Callable[[Order], dict[str, Any]]
"""Does a trial and returns plain data with at least the objective under `metrics`."""


class Failed(Exception):
    """A trial cannot work; trying again would not help. The message says why."""


class Impossible(Failed):
    """No trial of this search can work. The message says why."""


def perform(evaluate: Evaluate, order: Order) -> dict[str, Any]:
    """Does a trial and writes what came of it to `result.json`, success or not."""
    began = time.time()
    try:
        result: dict[str, Any] = {"status": TrialStatus.COMPLETED, **evaluate(order)}
    except (Failed, UserError) as error:
        result = {"status": TrialStatus.FAILED, "reason": str(error), "impossible": isinstance(error, Impossible)}
    except MemoryError:
        result = {"status": TrialStatus.FAILED, "reason": "out of memory"}
    except Exception as error:
        result = {"status": TrialStatus.FAILED, "reason": _reason(error), "traceback": traceback.format_exc()}
    result |= {"number": order.number, "began": began, "seconds": round(time.time() - began, 3)}
    write_atomically(order.folder / "result.json", json.dumps(result, default=float, indent=1) + "\n")
    return result


def _reason(error: Exception) -> str:
    if type(error).__name__ == "ResourceExhaustedError":
        return "out of memory on the device"
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0] if first else 'no message'}"


@dataclass
class Slot:
    """A place where one trial at a time is done.

    Attributes:
        name: Who asks the oracle for trials.
        cores: Processor cores it may use.
        trial: The trial at work, if any.
        process: Its process.
    """

    name: str
    cores: tuple[int, ...] = ()
    trial: Trial | None = None
    process: Any = None
    began: float = field(default_factory=time.monotonic)


def shares(workers: int) -> list[tuple[int, ...]]:
    """Divides this process's cores among the workers; more workers than cores share them."""
    if not hasattr(os, "sched_getaffinity"):  # not on macOS
        return [()] * workers
    cores = sorted(os.sched_getaffinity(0))
    if workers > len(cores):
        return [(cores[k % len(cores)],) for k in range(workers)]
    return [tuple(cores[k * len(cores) // workers : (k + 1) * len(cores) // workers]) for k in range(workers)]


class Tuner(BaseTuner):
    """Asks an oracle for trials and does them.

    Args:
        oracle: Proposes the trials.
        evaluate: Does one.
        folder: Where the search lives; a search found there goes on.
        workers: Trials at the same time.
        name: Name of this process among the workers of a chief.
        isolate: Whether each trial has a process of its own (not possible on Windows).
        deadline: `time.monotonic()` after which no trial begins.
        on_end: Called with every result.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        evaluate: Evaluate,
        folder: Path,
        *,
        workers: int = 1,
        name: str = "worker",
        isolate: bool = True,
        deadline: float | None = None,
        on_end: Callable[[dict[str, Any]], None] = lambda result: None,
    ):
        self.folder = folder
        self.evaluate = evaluate
        self.deadline = deadline
        self.on_end = on_end
        self.isolate = isolate and hasattr(os, "fork")
        if workers > 1 and not self.isolate:
            raise UserError("--workers: several trials at once need processes that can be forked; use --workers 1.")
        own = shares(workers)
        self.slots = [Slot(f"{name}-{k + 1}" if workers > 1 else name, own[k]) for k in range(workers)]
        super().__init__(oracle=oracle, directory=str(folder.parent), project_name=folder.name)
        if self._is_worker():
            self.oracle: Any = Chief(self.oracle)

    def save(self) -> None:
        """Does nothing: the trials' files say everything."""

    def serve(self) -> None:
        """Hands the oracle's trials to the workers that ask for them, as the chief of several machines.

        Ends by itself some time after a worker has been told that there are no more.
        """
        super().search()

    # The loop -------------------------------------------------------------------------------------------------------

    def search(self) -> None:
        """Does trials until the oracle has no more, the time is over, or nothing works.

        Raises:
            UserError: No trial can work, or the first ones all failed.
            KeyboardInterrupt: The user or the system asked for the end; running trials will be run again.
        """
        previous = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)
        heart = Heart(self.oracle, self.slots) if self._is_worker() else None
        try:
            while self._fill() or any(slot.trial is not None for slot in self.slots):
                if heart is not None:
                    heart.check()
                self._collect()
        finally:
            for slot in self.slots:
                self._kill(slot)
            if heart is not None:
                heart.stop()
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, previous)

    def _fill(self) -> bool:
        """Gives every free slot a trial; returns whether there may be more to do."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            return False
        for slot in self.slots:
            if slot.trial is not None:
                continue
            trial = self.oracle.create_trial(slot.name)
            if trial.status == TrialStatus.STOPPED:
                return False
            if trial.status == TrialStatus.IDLE:
                time.sleep(0.05)  # a round of Hyperband waits for its last trial
                continue
            slot.trial, slot.began = trial, time.monotonic()
            self._begin(slot)
        return True

    def _begin(self, slot: Slot) -> None:
        assert slot.trial is not None
        number = slot.trial.trial_id
        folder = Path(self.get_trial_dir(number))
        (folder / "result.json").unlink(missing_ok=True)
        left = None if self.deadline is None else max(self.deadline - time.monotonic(), 0.1)
        order = Order(number, dict(slot.trial.hyperparameters.values), folder, left)
        if not self.isolate:
            self._end(slot, perform(self.evaluate, order))
            return
        sys.stdout.flush()
        slot.process = multiprocessing.get_context("fork").Process(
            target=_child, args=(self.evaluate, order, slot.cores), daemon=True
        )
        slot.process.start()

    def _collect(self) -> None:
        """Waits until a trial ends, or a moment, and reports what ended."""
        running = [slot for slot in self.slots if slot.process is not None]
        if not running:
            return
        wait([slot.process.sentinel for slot in running], timeout=0.5)
        for slot in running:
            if slot.process.is_alive():
                continue
            assert slot.trial is not None
            slot.process.join()
            code, slot.process = slot.process.exitcode, None
            file = Path(self.get_trial_dir(slot.trial.trial_id)) / "result.json"
            if file.exists():
                result = json.loads(file.read_text(encoding="utf-8"))
            else:
                how = f"signal {-code}" if code < 0 else f"status {code}"
                reason = f"its process ended with {how}{' (out of memory?)' if code == -signal.SIGKILL else ''}"
                result = {"status": TrialStatus.INVALID, "reason": reason, "number": slot.trial.trial_id}
                result |= {"began": time.time() - (time.monotonic() - slot.began)}
                result |= {"seconds": round(time.monotonic() - slot.began, 3)}
            self._end(slot, result)

    def _end(self, slot: Slot, result: dict[str, Any]) -> None:
        trial, slot.trial = slot.trial, None
        assert trial is not None
        if result.pop("impossible", False):
            raise UserError(f"No trial can work: {result['reason']}.".replace("?.", "?"))
        result["worker"] = slot.name
        file = Path(self.get_trial_dir(trial.trial_id)) / "result.json"
        write_atomically(file, json.dumps(result, default=float, indent=1) + "\n")
        trial.status = result["status"]
        if trial.status == TrialStatus.COMPLETED:
            # The objective alone: to know the direction of others, Keras Tuner makes Keras metrics, and this process
            # must not start TensorFlow, since children of a process that has cannot.
            name = self.oracle.objective.name
            self.oracle.update_trial(
                trial.trial_id, {name: result["metrics"][name]}, step=result.get("best_epoch") or 0
            )
        else:
            trial.message = result["reason"]
        self.oracle.end_trial(trial)
        self.on_end({**result, "values": dict(trial.hyperparameters.values)})

    def _kill(self, slot: Slot) -> None:
        if slot.process is not None and slot.process.is_alive():
            slot.process.kill()
            slot.process.join()
        slot.process = None


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _child(evaluate: Evaluate, order: Order, cores: tuple[int, ...]) -> None:
    """The life of a trial's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the search itself answers Ctrl-C and ends its children
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    if cores:
        os.sched_setaffinity(0, cores)
        if "tensorflow" in sys.modules and not tensorflow_runs():
            threads = sys.modules["tensorflow"].config.threading
            threads.set_intra_op_parallelism_threads(len(cores))
            threads.set_inter_op_parallelism_threads(len(cores))
    perform(evaluate, order)
    sys.stdout.flush()
    os._exit(0)  # nothing of the parent's is to be cleaned up here


def tensorflow_runs() -> bool:
    """Whether this process has started TensorFlow's runtime; to have imported it does not count."""
    if "tensorflow" not in sys.modules:
        return False
    threads = sys.modules["tensorflow"].config.threading
    before = threads.get_inter_op_parallelism_threads()
    try:
        threads.set_inter_op_parallelism_threads(before + 1)
    except RuntimeError:  # "cannot be modified after initialization"
        return True
    threads.set_inter_op_parallelism_threads(before)
    return False


def die_with_parent() -> None:
    """Ends this process soon after its parent has ended, however that came about."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
