"""The recorded U-Nets are what diffusers gives today."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
REFERENCES = Path(__file__).parents[1] / "references"
pytestmark = pytest.mark.parity


@pytest.mark.parametrize("case", json.loads((REFERENCES / "diffusers_unet.json").read_text()))
def test_recorded_networks_of_diffusers(case: str) -> None:
    import diffusers_unet

    with np.load(REFERENCES / "diffusers_unet.npz") as recorded:
        np.testing.assert_allclose(diffusers_unet.output(case), recorded[case], rtol=1e-5, atol=1e-5)
