"""Live comparison with PyTorch: `pytest -m parity` with the `parity` extra installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
CASES = json.loads((HERE.parent / "references" / "torch.json").read_text())["cases"]


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_same_logits_as_pytorch(name: str) -> None:
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    import seeded
    from torch_models import torch_output

    import kerazoo

    case = CASES[name]
    model = kerazoo.create_model(case["builder"], case["shape"], 10, classifier_activation=None, **case["options"])
    x = seeded.image(name, (2, *case["shape"]))
    found = np.asarray(seeded.fill(model)(x))
    expected = torch_output(name)
    assert found.shape == expected.shape
    assert seeded.difference(found, expected) < 1e-5
    with np.load(HERE.parent / "references" / "torch.npz") as recorded:
        assert seeded.difference(recorded[name], expected) < 1e-5
