"""Writes the references of the default test run from the PyTorch versions.

pip install -e '.[test,parity]' && python tests/kerazoo/parity/record.py [GROUP ...]
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from common import torch_output

HERE = Path(__file__).parent


def record(group: str) -> None:
    """Writes `references/torch_<group>.npz` and `.json`."""
    cases = importlib.import_module(f"torch_{group}").CASES
    outputs = {name: torch_output(name, case) for name, case in cases.items()}
    target = HERE.parent / "references" / f"torch_{group}"
    np.savez_compressed(f"{target}.npz", **_flat(outputs))
    plan = {name: {"builder": case[0], "options": case[1], "shape": case[2]} for name, case in cases.items()}
    written = {"command": f"python tests/kerazoo/parity/record.py {group}", "torch": torch.__version__, "cases": plan}
    Path(f"{target}.json").write_text(json.dumps(written, indent=1) + "\n")


def _flat(outputs: dict) -> dict[str, np.ndarray]:
    """Names the parts of several outputs `case/output`."""
    parts = ((name, y if isinstance(y, dict) else {"": y}) for name, y in outputs.items())
    return {f"{name}/{key}" if key else name: value for name, y in parts for key, value in y.items()}


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem.removeprefix("torch_") for path in HERE.glob("torch_*.py")):
        record(name)
