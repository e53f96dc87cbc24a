"""`kerazoo launch`: several workers on this machine, restarted together when one of them dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

PROGRAM = (sys.executable, "-m", "applications.cli")
USER_ERROR = 2  # the exit status of a sentence for the user, which another try would only repeat


class Group:
    """The processes of one try.

    Args:
        program: What is started, without its words.
        words: The words of the command, the same for all workers.
        size: Number of workers.
    """

    def __init__(self, program: Sequence[str], words: Sequence[str], size: int):
        hosts = [f"127.0.0.1:{port}" for port in free_ports(size)]
        self.processes: list[subprocess.Popen] = []
        self._readers: list[threading.Thread] = []
        for index in range(size):
            config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            process = subprocess.Popen(
                [*program, *words],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C of the terminal reaches them through the launcher alone, and once
            )
            self.processes.append(process)
            for pipe, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                assert pipe is not None
                reader = threading.Thread(target=pass_on, args=(pipe, target, f"[{index}] "), daemon=True)
                reader.start()
                self._readers.append(reader)

    def wait(self) -> int:
        """Waits until all workers have ended well (0), or one of them has not (its status)."""
        while True:
            found = [process.poll() for process in self.processes]
            failed = [status for status in found if status]
            if failed:
                return failed[0]
            if None not in found:
                return 0
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        """Sends a signal to the workers that still run."""
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)

    def end(self, patience: float) -> None:
        """Waits `patience` seconds for the workers, then kills those left: without the others they only wait."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and any(process.poll() is None for process in self.processes):
            time.sleep(0.05)
        self.signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        for reader in self._readers:
            reader.join()


def launch(
    words: Sequence[str],
    run: Path,
    workers: int,
    restarts: int,
    show: Callable[[str], None],
    program: Sequence[str] = PROGRAM,
) -> int:
    """Trains with several workers on this machine.

    Args:
        words: The command of every worker, `train TASK ...` or `resume RUN`.
        run: The run directory it works in.
        workers: Number of workers.
        restarts: How often the whole group is started again, from the last checkpoint, after a worker has died.
        show: Prints one line.
        program: What is started, without the words.

    Returns:
        The exit status: 0, or that of the first worker that failed.
    """
    for attempt in range(restarts + 1):
        resumes = (run / "config.yaml").is_file()
        group = Group(program, ("resume", str(run)) if resumes else words, workers)
        with forwarded(group) as asked:
            try:
                status = group.wait()
            except BaseException:
                group.end(0.0)
                raise
            # Who was asked to save, or complains to the user, may finish; the peers of a dead worker wait for ever.
            group.end(60.0 if asked else 2.0 if status == USER_ERROR else 0.0)
        if status == 0 or status == USER_ERROR or asked:
            break
        died = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        if attempt == restarts:
            show(f"A worker {died}, and the group was started {attempt + 1} times: go on with `kerazoo resume {run}`.")
            break
        show(f"A worker {died}: all {workers} start again from the last checkpoint ({attempt + 1} of {restarts}).")
    return 128 - status if status < 0 else status


@contextlib.contextmanager
def forwarded(group: Group) -> Iterator[list[int]]:
    """While active, SIGINT and SIGTERM go on to the workers, which save and leave; gives the list of those sent."""
    sent: list[int] = []

    def handle(number: int, _: object) -> None:
        sent.append(number)
        group.signal(signal.SIGTERM if len(sent) == 1 else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():
        yield sent
        return
    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield sent
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def free_ports(count: int) -> list[int]:
    """Returns ports nobody listens to at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def pass_on(pipe: IO[str], target: IO[str], prefix: str) -> None:
    """Prints the lines of a worker with its prefix."""
    for line in pipe:
        target.write(prefix + line if line.endswith("\n") else f"{prefix}{line}\n")
        target.flush()
