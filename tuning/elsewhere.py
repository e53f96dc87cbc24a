"""A search in an interpreter of its own, for a process where TensorFlow runs already.

Trials are forked children, and a child of a process that has started TensorFlow cannot use it. A notebook that has
trained a model before it calls `tuning.search` is such a process.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    from applications.core.application import Application
    from tuning.job import Job


def can_be_sent(application: Application) -> bool:
    """Whether another interpreter can import the class of an application."""
    cls = type(application)
    if cls.__module__ == "__main__":
        return False
    return getattr(importlib.import_module(cls.__module__), cls.__qualname__, None) is cls


def search_elsewhere(job: Job) -> None:
    """Runs a search in a new interpreter and shows what it says.

    Raises:
        UserError: The search was refused, or its process was lost.
        KeyboardInterrupt: The user asked for the end.
    """
    import yaml

    from applications.core.config import to_dict
    from tuning import spaces

    cls = type(job.application)
    order = {
        "class": [cls.__module__, cls.__qualname__],
        "application": to_dict(job.application),
        "space": spaces.plain(job.space),
        "settings": dataclasses.asdict(job.settings),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tuning.elsewhere"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    refusal = None
    try:
        process.stdin.write(yaml.safe_dump(order))
        process.stdin.close()
        for line in process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                said = {"line": line.rstrip("\n")}  # a library's own words
            refusal = said.get("refusal", refusal)
            if "line" in said:
                job.show(said["line"])
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if refusal is not None:
        raise UserError(refusal)
    if status == 130:
        raise KeyboardInterrupt
    if status != 0:
        raise UserError(f"The process of the search ended with status {status}; the same call goes on.")


def main() -> int:
    """Does the search that standard input describes."""
    import yaml

    from applications.core.config import from_dict
    from tuning import spaces
    from tuning.job import Job
    from tuning.settings import Settings
    from tuning.tuner import die_with_parent

    def tell(**said: Any) -> None:
        print(json.dumps(said), flush=True)

    order = yaml.safe_load(sys.stdin)
    die_with_parent()
    module, name = order["class"]
    application = from_dict(getattr(importlib.import_module(module), name), order["application"])
    settings = Settings(**order["settings"])
    try:
        Job(application, spaces.read_plain(order["space"]), settings, lambda line: tell(line=line)).run()
    except UserError as error:
        tell(refusal=str(error))
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
