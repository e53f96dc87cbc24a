"""What the cases of Hugging Face's models share: drawn weights, files, outputs.

A module `hf_<group>.py` beside this one holds `CASES`: name -> (builder, its arguments, function that makes Hugging
Face's model, function that makes the inputs, function (model, inputs) -> outputs by name, whether it is recorded).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import huggingface  # noqa: E402

CASES: dict[str, tuple] = {
    name: case
    for path in sorted(HERE.glob("hf_*.py"))
    for name, case in importlib.import_module(path.stem).CASES.items()
}


def filled(name: str, deviation: float) -> Any:
    """Makes Hugging Face's model of a case and draws all its parameters, norms and biases included."""
    model = CASES[name][2]().eval()
    shapes = {key: tuple(parameter.shape) for key, parameter in model.named_parameters()}
    drawn = huggingface.weights(name, shapes, deviation)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(drawn[key]))
    return model


def outputs(name: str, model: Any) -> dict[str, np.ndarray]:
    """Runs a case's model on its inputs."""
    _, _, _, inputs, run, _ = CASES[name]
    with torch.no_grad():
        return run(model, inputs())
