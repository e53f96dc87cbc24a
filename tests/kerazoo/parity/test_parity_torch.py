"""Live comparison with PyTorch: `pytest -m parity` with the `parity` extra installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import seeded  # noqa: E402
from recorded import CASES, expected  # noqa: E402


@pytest.mark.parity
@pytest.mark.parametrize(("group", "name"), CASES)
def test_same_outputs_as_pytorch(group: str, name: str) -> None:
    from common import torch_output

    import kerazoo

    case = CASES[group, name]
    model = kerazoo.create_model(case["builder"], case["shape"], 10, classifier_activation=None, **case["options"])
    found = seeded.fill(model)(seeded.image(name, (2, *case["shape"])))
    live = torch_output(name, importlib.import_module(group).CASES[name])
    assert seeded.difference(found, live) < 5e-6
    assert seeded.difference(expected(group, name), live) < 5e-6
