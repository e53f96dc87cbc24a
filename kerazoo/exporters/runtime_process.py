"""What the process does that runs one exported file, for the memory it takes: `python -m` this module and a folder.

The folder holds `task.json` and `inputs.npz`; `measured.json` is written into it, a failure is one line on stderr.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np


def peak_memory() -> int | None:
    """Returns the most bytes this process has held so far; `None` where the system does not say."""
    status = Path("/proc/self/status")
    if status.is_file():  # `getrusage` would count what the parent held when it started this process
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return 1024 * int(found[1]) if found else None
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _work(folder: Path) -> None:
    from kerazoo.exporters.parity import timed

    task = json.loads((folder / "task.json").read_text())
    with np.load(folder / "inputs.npz") as file:
        inputs = dict(file)
    runtime = importlib.import_module(f"kerazoo.exporters.{task['format']}")
    times = timed(runtime.load(Path(task["path"]), list(inputs)), list(inputs.values()))
    measured = {"times": dataclasses.asdict(times), "peak_memory": peak_memory()}
    (folder / "measured.json").write_text(json.dumps(measured))


if __name__ == "__main__":
    from kerazoo.exporters.messages import first_reason

    try:
        _work(Path(sys.argv[1]))
    except Exception as error:
        print(first_reason(error), file=sys.stderr)
        sys.exit(1)
