"""SIGINT and SIGTERM while a run is worked on: save, say how to go on, and leave."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from applications.core.run_directory import RunDirectory


class Interrupted(Exception):
    """A signal ended the work on a run; a checkpoint was saved. `status` is the exit status to leave with."""

    def __init__(self, signal_name: str, run: RunDirectory):
        super().__init__(f"Interrupted by {signal_name}; saved. Go on with: kerazoo resume {run.path}")
        self.signal_name = signal_name
        self.status = 128 + getattr(signal, signal_name)


class Signals:
    """What a signal has asked for.

    Attributes:
        name: "SIGINT" or "SIGTERM" once one has come, else None.
        training: Whether a training runs, which looks at `name` after every step and saves. Everything else has saved
            what it needs, so a signal ends it where it stands.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.training = False

    @contextlib.contextmanager
    def caught(self, run: RunDirectory) -> Iterator[None]:
        """While active, the two signals end the work on `run` with `Interrupted`; a second one ends it at once."""

        def handle(number: int, _: Any) -> None:
            if self.name is not None:
                raise KeyboardInterrupt
            self.name = signal.Signals(number).name
            if not self.training:
                raise Interrupted(self.name, run)

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

    def check(self, run: RunDirectory) -> None:
        """Raises `Interrupted` where a signal has come."""
        if self.name is not None:
            raise Interrupted(self.name, run)
