"""Files and outputs of Hugging Face's transformers, recorded by `parity/record_huggingface.py`.

Of each case there are `references/hf_<name>.safetensors` as `save_pretrained` wrote it, with all weights N(0, 0.3), and
`.npz` with the inputs, the outputs, and the outputs with weights of N(0, 0.02): the same ones, scaled.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import zoo

import kerazoo

REFERENCES = Path(__file__).parent / "references"
LARGE, SMALL = 0.3, 0.02
CASES: dict[str, dict[str, Any]] = {
    path.stem.removeprefix("hf_"): json.loads(path.read_text()) for path in sorted(REFERENCES.glob("hf_*.json"))
}
"""Name -> builder and its options."""


def weights(name: str, shapes: Mapping[str, tuple[int, ...]], deviation: float) -> dict[str, np.ndarray]:
    """Draws every weight of a case: with the usual 0.02, a wrong activation would move nothing."""
    return {
        key: (deviation * np.random.default_rng(zlib.crc32(f"{name}/{key}".encode())).normal(size=shape)).astype(
            "float32"
        )
        for key, shape in shapes.items()
    }


def file(name: str) -> Path:
    """Returns the recorded file of a case."""
    return REFERENCES / f"hf_{name}.safetensors"


def scaled(name: str, folder: Path) -> Path:
    """Writes the recorded file with small weights."""
    from safetensors.numpy import load_file, save_file

    tensors = {key: (SMALL / LARGE * tensor).astype("float32") for key, tensor in load_file(file(name)).items()}
    save_file(tensors, folder / "small.safetensors")
    return folder / "small.safetensors"


def recorded(name: str, part: str) -> dict[str, np.ndarray]:
    """Returns the arrays of one part: `"input"`, `"large"` or `"small"`, the outputs with such weights."""
    with np.load(REFERENCES / f"hf_{name}.npz") as arrays:
        return {key.partition("/")[2]: arrays[key] for key in arrays if key.startswith(f"{part}/")}


def build(case: Mapping[str, Any], **options: Any) -> keras.Model:
    """Builds the model of a case, with zeros for weights."""
    with zoo.cheap_weights():
        return kerazoo.create_model(case["builder"], **{**case["options"], **options})


def difference(found: Any, expected: Mapping[str, np.ndarray]) -> float:
    """Returns the largest difference of all outputs; one output needs no name."""
    found = found if isinstance(found, dict) else dict.fromkeys(expected, found)
    return max(float(np.abs(zoo.value(found[key]) - value).max()) for key, value in expected.items())
