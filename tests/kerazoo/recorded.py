"""The outputs that PyTorch gave, recorded by `parity/record.py`: one pair of files per group of networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

REFERENCES = Path(__file__).parent / "references"
CASES: dict[tuple[str, str], dict[str, Any]] = {
    (path.stem, name): case
    for path in sorted(REFERENCES.glob("torch_*.json"))
    for name, case in json.loads(path.read_text())["cases"].items()
}
"""(group, name) -> builder, its arguments and the shape of an image."""


def expected(group: str, name: str) -> np.ndarray | dict[str, np.ndarray]:
    """Returns the recorded output of one case, or all of them by name."""
    with np.load(REFERENCES / f"{group}.npz") as outputs:
        if name in outputs:
            return outputs[name]
        return {key.partition("/")[2]: outputs[key] for key in outputs if key.startswith(f"{name}/")}
