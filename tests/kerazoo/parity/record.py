"""Writes the references of the default test run from the PyTorch versions.

pip install -e '.[test,parity]' && python tests/kerazoo/parity/record.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch_models import CASES, torch_output

if __name__ == "__main__":
    folder = Path(__file__).parents[1] / "references"
    outputs = {name: torch_output(name) for name in CASES}
    np.savez_compressed(folder / "torch.npz", **outputs)
    plan = {name: {"builder": case[0], "options": case[1], "shape": case[2]} for name, case in CASES.items()}
    written = {"command": "python tests/kerazoo/parity/record.py", "torch": torch.__version__, "cases": plan}
    (folder / "torch.json").write_text(json.dumps(written, indent=1) + "\n")
