"""The recorded outputs of the translating networks are what PyTorch gives today."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
REFERENCES = Path(__file__).parents[1] / "references"
pytestmark = pytest.mark.parity


@pytest.mark.parametrize("case", json.loads((REFERENCES / "translation.json").read_text()))
def test_recorded_translating_networks(case: str) -> None:
    import translation_networks

    with np.load(REFERENCES / "translation.npz") as recorded:
        np.testing.assert_allclose(translation_networks.output(case), recorded[case], rtol=1e-5, atol=1e-6)
