"""Programs in processes of their own that need not import TensorFlow again: forks of one that has done nothing else.

Importing TensorFlow and Keras takes six seconds of CPU, more than most of what is tested here. Neither kerazoo nor
applications has been imported there, and TensorFlow has not begun to compute. What is promised of a fresh interpreter
(what importing costs and brings along, in which order packages may be imported) is tested in one.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tensorflow", "keras"])


def _become(words: Sequence[str], environment: dict[str, str], folder: str, out: str) -> None:
    """Does in this process what `python WORDS...` does."""
    for number, name, mode in ((1, "out", "wb"), (2, "err", "wb"), (0, "in", "rb")):
        if number or os.path.exists(f"{out}/{name}"):
            with open(f"{out}/{name}", mode) as file:
                os.dup2(file.fileno(), number)
                if not number:
                    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    how, sys.argv = words[0], list(words[1:]) if words[0] in ("-c", "-m") else list(words)
    if how == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif how == "-c":
        code, sys.argv[0] = sys.argv[0], "-c"
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def start(*words: object, out: Path | str, environment: Mapping[str, str] | None = None) -> ForkServerProcess:
    """Starts `python WORDS...` (a script, `-m` or `-c`), whose output goes to the files `out` and `err` of a folder."""
    # What runs there has been counted, and the server has no one who would ask it for its counts.
    counted = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    environment = dict(os.environ if environment is None else environment)
    try:
        forkserver.ensure_running()
        process = _FORKS.Process(target=_become, args=([*map(str, words)], environment, os.getcwd(), str(out)))
        process.start()
    finally:
        if counted is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = counted
    return process


class Piped:
    """As much of `subprocess.Popen` as a program needs that is told something and answers in lines."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], **options: Any):
        self._folder = tempfile.TemporaryDirectory()
        paths = [Path(self._folder.name) / name for name in ("out", "in")]
        for path in paths:
            os.mkfifo(path)
        self._process = start(*command[1:], out=self._folder.name, environment=env)
        # In the order in which the other side opens them: opening waits for it.
        self.stdout, self.stdin = (path.open(mode, encoding="utf-8") for path, mode in zip(paths, "rw", strict=True))

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()


class Stand:
    """Stands for `subprocess` in the modules that start Python in order to import TensorFlow."""

    TimeoutExpired, PIPE = subprocess.TimeoutExpired, subprocess.PIPE
    forks = True

    @classmethod
    def Popen(cls, command: Sequence[str], **options: Any) -> Any:  # noqa: N802
        return (Piped if cls.forks else subprocess.Popen)(command, **options)

    @classmethod
    def run(cls, command: Sequence[str], timeout: float, **options: Any) -> subprocess.CompletedProcess[str]:
        task = Path(command[-1]) / "task.json"
        quick = task.is_file() and json.loads(task.read_text())["format"] != "saved_model"
        if quick or not cls.forks:
            return subprocess.run(command, timeout=timeout, **options)
        return run(*command[1:], timeout=timeout)


@contextlib.contextmanager
def new_interpreters() -> Iterator[None]:
    """Lets these modules start interpreters, as they do outside the tests."""
    Stand.forks = False
    try:
        yield
    finally:
        Stand.forks = True


def run(*words: object, timeout: float = 400) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS...` and returns its status and output, as `subprocess.run` does."""
    with tempfile.TemporaryDirectory() as folder:
        process = start(*words, out=folder)
        process.join(timeout)
        if process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise subprocess.TimeoutExpired([*map(str, words)], timeout)
        out, err = ((Path(folder) / name).read_text(errors="replace") for name in ("out", "err"))
        return subprocess.CompletedProcess([*map(str, words)], process.exitcode, out, err)
