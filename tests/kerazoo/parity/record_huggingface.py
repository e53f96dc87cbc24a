"""Writes the references of the default test run from Hugging Face's models.

pip install -e '.[test,parity]' && python tests/kerazoo/parity/record_huggingface.py [CASE ...]
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import transformers
from common_huggingface import CASES, filled, huggingface, outputs


def record(name: str) -> None:
    """Writes `references/hf_<name>.safetensors`, `.npz` and `.json`."""
    builder, options, _, inputs, _, _ = CASES[name]
    parts = {"input": inputs()}
    for part, deviation in (("small", huggingface.SMALL), ("large", huggingface.LARGE)):
        model = filled(name, deviation)
        parts[part] = outputs(name, model)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        shutil.copyfile(Path(folder) / "model.safetensors", huggingface.file(name))
    target = huggingface.REFERENCES / f"hf_{name}"
    arrays = {f"{part}/{key}": value for part, values in parts.items() for key, value in values.items()}
    np.savez_compressed(f"{target}.npz", **arrays)
    command = f"python tests/kerazoo/parity/record_huggingface.py {name}"
    plan = {"command": command, "transformers": transformers.__version__, "builder": builder, "options": options}
    Path(f"{target}.json").write_text(json.dumps(plan, indent=1) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or [name for name, case in CASES.items() if case[-1]]:
        record(name)
