"""The folder of one training: everything it needs to go on, and everything a reader wants to see afterwards.

Files are written to a temporary name and renamed, so a reader never sees half a file; a lock held by the operating
system (released even after `kill -9`) keeps a second process out.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from applications.core.errors import UserError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a whole file or nothing: a temporary sibling is renamed onto `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


class RunDirectory:
    """One run: `config.yaml`, `checkpoints/`, `model.keras`, `history.csv`, `metrics.json`, `report.html` ...

    Args:
        path: The folder of an existing run. Use `RunDirectory.create` for a new one.

    Example:
        >>> run = RunDirectory.create("runs", "image-classification", "data: digits\\n")
        >>> run.write_json("metrics.json", {"test": {"accuracy": 0.99}})
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def create(cls, out: str | Path, task: str, config: str, name: str | None = None) -> "RunDirectory":
        """Makes `out/task/name` with `config.yaml` inside, in one step.

        Args:
            out: Folder of all runs.
            task: Name of the application.
            config: Text of `config.yaml`.
            name: Name of the run; `None` takes date and time, with a suffix where that is taken already.

        Returns:
            The new run.

        Raises:
            UserError: `name` exists already, or the folder cannot be made.
        """
        cls.check_free(out, task, name)
        parent = Path(out) / task
        base = name or time.strftime("%Y-%m-%d_%H%M%S")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(dir=parent, prefix=".new-"))
        except OSError as error:
            raise UserError(f"The run directory '{parent}' cannot be made: {error.strerror}.") from None
        try:
            os.chmod(draft, 0o755)
            (draft / "config.yaml").write_text(config, encoding="utf-8")
            for number in range(1, 10000):
                path = parent / (base if number == 1 else f"{base}-{number}")
                if path.exists():
                    continue
                try:
                    os.rename(draft, path)
                    return cls(path)
                except OSError as error:  # somebody took the name between the two lines above
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
            raise UserError(f"No free name for '{parent / base}' was found.")
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    @staticmethod
    def check_free(out: str | Path, task: str, name: str | None = None) -> None:
        """Raises UserError where `create` could not make a run, without making anything."""
        parent = Path(out) / task
        if name and (parent / name).exists():
            raise UserError(
                f"The run directory '{parent / name}' exists already: continue it with "
                f"`kerazoo resume {parent / name}` or choose another --name."
            )
        nearest = next(folder for folder in (parent, *parent.absolute().parents) if folder.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            why = "cannot be written" if nearest.is_dir() else "is a file"
            raise UserError(f"The run directory '{parent}' cannot be made: '{nearest}' {why}; choose another --out.")

    @classmethod
    def open(cls, path: str | Path) -> "RunDirectory":
        """Opens an existing run; raises UserError where `path` is none."""
        path = Path(path)
        if not path.exists():
            raise UserError(f"The run directory '{path}' does not exist.")
        if not (path / "config.yaml").is_file():
            raise UserError(f"'{path}' is not a run directory: it holds no config.yaml.")
        return cls(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_text(self, name: str, text: str) -> Path:
        """Writes a text file of the run atomically and returns its path."""
        write_atomically(self.path / name, text)
        return self.path / name

    def write_json(self, name: str, content: Any) -> Path:
        """Writes a JSON file of the run atomically and returns its path."""
        return self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str, default: Any = None) -> Any:
        """Reads a JSON file of the run, or returns `default` where there is none."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return default

    @property
    def status(self) -> str:
        """ "new", "running", "interrupted", "failed" or "finished"."""
        return self.read_json("status.json", {"status": "new"})["status"]

    def set_status(self, status: str, **details: Any) -> None:
        """Writes `status.json`."""
        self.write_json("status.json", {"status": status, "time": time.strftime("%Y-%m-%dT%H:%M:%S"), **details})

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps a second process out of the run while the block is active.

        Raises:
            UserError: Another process is at work in this run.
        """
        with open(self.path / ".lock", "a+", encoding="utf-8") as file:
            try:
                _lock(file)
            except OSError:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                raise UserError(
                    f"Another process (number {owner}) is at work in '{self.path}': wait for it or end it first."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _lock(file: IO[str]) -> None:
    """Takes the operating system's lock on an open file, or raises OSError at once; it ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(1 << 30)  # far behind the text, which others must be able to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def environment() -> dict[str, Any]:
    """Returns what a reader needs to repeat a run: versions, machine and command line."""
    import importlib.metadata
    import platform
    import sys

    packages = [
        "kerazoo",
        "keras",
        "tensorflow",
        "tensorflow-cpu",
        "numpy",
        "scikit-learn",
        "tensorflow-datasets",
    ]
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": versions,
        "command": sys.argv,
    }
