"""Environments that have some packages and what those need, and nothing else: their folders, linked from this one."""

from __future__ import annotations

import os
import re
import subprocess
import venv
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement


def closure(*packages: str) -> set[str]:
    """Returns packages and all that they need, extras left out."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        for requirement in map(Requirement, distribution(name).requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def bare_environment(folder: Path, *packages: str) -> Path:
    """Makes an environment of its own.

    Args:
        folder: Where it goes.
        packages: What it has.

    Returns:
        Its interpreter.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in closure(*packages):
        package = distribution(name)
        tops = {file.parts[0] for file in package.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (site / top).exists():
                os.symlink(os.path.abspath(str(package.locate_file(top))), site / top)
    return folder / "bin" / "python"


def run_bare(python: Path, *words: str | Path, cwd: Path) -> str:
    """Runs a program in such an environment and returns what it printed."""
    command = [str(python), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
