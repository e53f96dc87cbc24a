"""A search on several machines: a chief keeps the trials, and workers ask it for them over gRPC.

Questions and answers are Keras Tuner's. What is here lets each side notice that the other is gone, and go on.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    from tuning.job import Show
    from tuning.oracles import Oracle
    from tuning.tuner import Slot

BEAT = 5.0  # seconds between two signs of life to a chief
LOST_AFTER = 60.0  # seconds of silence after which a worker counts as lost
PATIENCE = 60.0  # seconds without an answer after which a chief counts as gone


def set_environment(chief: str, worker_id: str) -> tuple[str, int]:
    """Sets Keras Tuner's variables for a chief or a worker.

    Args:
        chief: "HOST:PORT" of the chief.
        worker_id: Name of this process; "chief" for the chief itself.

    Returns:
        The chief's host and port.

    Raises:
        UserError: The address is none.
    """
    host, colon, port = chief.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(f"--chief: expected HOST:PORT such as 127.0.0.1:8000, received {chief!r}.")
    os.environ["KERASTUNER_ORACLE_IP"] = host
    os.environ["KERASTUNER_ORACLE_PORT"] = port
    os.environ["KERASTUNER_TUNER_ID"] = worker_id
    return host, int(port)


def wait_for(host: str, port: int, patience: float, show: Show) -> None:
    """Waits until somebody listens at an address.

    Args:
        host: Name or number of a machine.
        port: Its port.
        patience: Seconds to wait at most.
        show: Prints one line.

    Raises:
        UserError: Nobody does, after `patience` seconds.
    """
    began, told = time.monotonic(), 0.0
    while True:
        try:
            socket.create_connection((host, port), timeout=2).close()
            return
        except OSError as error:
            spent = time.monotonic() - began
            if spent > patience:
                raise UserError(
                    f"No chief answers at {host}:{port} after {spent:.0f} s ({error.strerror or error}): start it with "
                    "the same command and --worker-id chief, or correct --chief."
                ) from None
            if not told or time.monotonic() - told > 15:
                told = time.monotonic()
                show(f"waiting for the chief at {host}:{port}, {patience - spent:.0f} s left")
            time.sleep(0.5)


# The chief ------------------------------------------------------------------------------------------------------------


def serve(oracle: Oracle, folder: Path, chief: str, *, wait: float, limit: float | None, show: Show) -> None:
    """Keeps the trials for workers that ask for them, until the search is complete.

    Args:
        oracle: Proposes the trials.
        folder: Where the search lives.
        chief: "HOST:PORT" to listen at.
        wait: Seconds without any worker after which it ends.
        limit: Seconds after which the search ends; None: no limit.
        show: Prints one line.

    Raises:
        UserError: The address cannot be used, or no worker has come.
    """
    from tuning.tuner import Tuner

    host, port = set_environment(chief, "chief")
    if host not in ("127.0.0.1", "localhost", "::1"):
        show(f"warning: anybody who can reach {host}:{port} can take part; gRPC here has no password.")
    server = threading.Thread(target=Tuner(oracle, _nothing, folder).serve, daemon=True)
    server.start()
    began = heard = told = time.monotonic()
    while not oracle.complete():
        time.sleep(0.5)
        now = time.monotonic()
        if not server.is_alive() and not oracle.complete():  # it also ends by itself, after the last trial
            raise UserError(f"--chief {chief}: the address cannot be used; is the port taken?")
        for number in oracle.release_silent(LOST_AFTER):
            show(f"trial {number}: its worker is lost; the trial goes back to the queue")
        if oracle.ongoing_trials:
            heard = now
        if now - told > 30 and not oracle.ongoing_trials:
            told = now
            show(f"waiting for workers at {host}:{port} for {now - heard:.0f} s of at most {wait:.0f}")
        if now - heard > wait:
            raise UserError(
                f"No worker has asked the chief at {host}:{port} for a trial for {now - heard:.0f} s: start one "
                f"with the same command and --worker-id worker-1; the search goes on where it is."
            )
        if limit is not None and now - began > limit:
            return
    time.sleep(2)  # workers ask once more, and hear that there is nothing left


def _nothing(order: Any) -> dict[str, Any]:
    """What a chief does of a trial."""
    return {}


# A worker -------------------------------------------------------------------------------------------------------------


def chief_is_gone(silent: float) -> UserError:
    """Returns what to say of a chief that does not answer."""
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    return UserError(
        f"The chief at {address} has not answered for {silent:.0f} s: start it again with its command, and then this "
        "worker."
    )


class Chief:
    """The connection to a chief; what was asked while it was restarted is asked again.

    Args:
        oracle: Keras Tuner's own connection, which waits for a chief that is away but fails where one goes away
            in the middle of an answer.
    """

    def __init__(self, oracle: Any):
        self._oracle = oracle

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._oracle, name)
        return functools.partial(self._ask, found) if callable(found) else found

    def _ask(self, question: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        import grpc

        began = time.monotonic()
        while True:
            try:
                return question(*args, **kwargs)
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                silent = time.monotonic() - began
                if silent > PATIENCE:
                    raise chief_is_gone(silent) from None
                time.sleep(0.2)


class Heart:
    """Tells the chief that this worker's trials are alive, and notices when the chief is gone.

    Args:
        chief: The connection to the chief.
        slots: Whose trials to speak for.
    """

    def __init__(self, chief: Chief, slots: list[Slot]):
        self.chief, self.slots = chief, slots
        self.last = time.monotonic()
        self.ended = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self.ended.wait(BEAT):
            numbers = [slot.trial.trial_id for slot in self.slots if slot.trial is not None]
            with contextlib.suppress(UserError):  # `check` says it
                for number in numbers:
                    self.chief.get_trial(number)
                self.last = time.monotonic()

    def check(self) -> None:
        """Raises UserError where the chief has not answered for too long."""
        silent = time.monotonic() - self.last
        if silent > PATIENCE:
            raise chief_is_gone(silent)

    def stop(self) -> None:
        """Ends the beating."""
        self.ended.set()
