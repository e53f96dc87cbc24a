"""How quick an exported file is and how much memory it takes, in a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerazoo.exporters.parity import Times

TIMEOUT = 600  # seconds


class Measured(NamedTuple):
    """What a file costs.

    Attributes:
        times: Of 1 and 32 samples.
        peak_memory: Most bytes the process held, Python and the runtime included; `None` where the system does not say.
    """

    times: Times
    peak_memory: int | None


def measure(path: Path, format: str, inputs: Mapping[str, np.ndarray]) -> Measured:
    """Runs an exported file in a process that has its runtime alone.

    Args:
        path: The file, or the folder of a SavedModel.
        format: `"saved_model"`, `"litert"` or `"onnx"`.
        inputs: Arrays by the names of the file's inputs.

    Returns:
        A `Measured`.

    Raises:
        ValueError: If the file does not run there.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "task.json").write_text(json.dumps({"path": str(path), "format": format}))
        arrays: dict[str, Any] = dict(inputs)
        np.savez(folder / "inputs.npz", **arrays)
        command = [sys.executable, "-m", "kerazoo.exporters.runtime_process", name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"the file did not answer within {TIMEOUT} s in a process of its own.") from error
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise ValueError(f"the file does not run in a process of its own: {reason}")
        found = json.loads((folder / "measured.json").read_text())
    return Measured(Times(**found["times"]), found["peak_memory"])
