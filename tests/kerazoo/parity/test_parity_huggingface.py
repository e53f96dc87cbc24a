"""Live comparison with Hugging Face's transformers: `pytest -m parity` with the `parity` extra installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import huggingface  # noqa: E402
import transformer_rules  # noqa: E402


def _names() -> list[str]:
    """Returns the cases; without the extra one that fails."""
    if importlib.util.find_spec("transformers") is None:
        return ["the parity extra is not installed"]
    from common_huggingface import CASES

    return list(CASES)


@pytest.mark.parity
@pytest.mark.parametrize("deviation", [huggingface.LARGE, huggingface.SMALL])
@pytest.mark.parametrize("name", _names())
def test_same_outputs_from_their_file(name: str, deviation: float, tmp_path: Path) -> None:
    from common_huggingface import CASES, filled, outputs

    import kerazoo

    builder, options, _, inputs, _, is_recorded = CASES[name]
    theirs = filled(name, deviation)
    theirs.save_pretrained(tmp_path)
    model = huggingface.build({"builder": builder, "options": options})
    kerazoo.load_safetensors(model, tmp_path)
    live = outputs(name, theirs)
    assert huggingface.difference(model(inputs()), live) < 1e-5
    if is_recorded:
        part = "large" if deviation == huggingface.LARGE else "small"
        assert huggingface.difference(huggingface.recorded(name, part), live) < 1e-5


@pytest.mark.parity
@pytest.mark.parametrize("deviation", [huggingface.LARGE, huggingface.SMALL])
@pytest.mark.parametrize("name", transformer_rules.OPTIONS)
def test_same_logits_as_other_transformers(name: str, deviation: float) -> None:
    from translators import logits

    live = logits(name, deviation)
    found = transformer_rules.filled(name, deviation)(transformer_rules.inputs(name))
    assert huggingface.difference(found, {"logits": live}) < 1e-5
    part = "large" if deviation == huggingface.LARGE else "small"
    assert huggingface.difference(live, {"logits": transformer_rules.recorded(name)[part]}) < 1e-5
