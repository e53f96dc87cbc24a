"""The same weights give the same outputs on another backend of Keras, and train there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import zoo

NAMES = ("mlp", "lenet5", "gru", "bert_tiny", "gcn")  # the quickest of each way to compute: JAX compiles for long


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What JAX makes of the models of this process."""
    pytest.importorskip("jax", reason="the extra `test` installs it")
    folder = tmp_path_factory.mktemp("models")
    for name in NAMES:
        model = zoo.fresh(name)
        zoo.perturb(model)
        arrays = {f"w{index}": zoo.value(weight) for index, weight in enumerate(model.weights)}
        arrays |= {f"y{index}": y for index, y in enumerate(zoo.outputs(model, zoo.batch(name)[0]))}
        np.savez(folder / f"{name}.npz", **arrays)
    script = Path(__file__).with_name("other_backend.py")
    path = os.pathsep.join([str(script.parent), *filter(None, sys.path)])
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    ran = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    rows = [line for line in ran.stdout.splitlines() if line.startswith("{")]  # the guide's `fit` shows its progress
    return {row["name"]: row for row in map(json.loads, rows)}


@pytest.mark.parametrize("name", NAMES)
def test_jax_computes_and_trains_what_tensorflow_does(name: str, found: dict[str, dict]) -> None:
    assert keras.backend.backend() == "tensorflow"
    row = found[name]
    assert row["backend"] == "jax"
    assert row["off"] < 1e-4
    first, second = row["losses"]
    assert np.isfinite([first, second]).all()
    assert first != second


def test_the_guide_splits_a_transformer_over_two_devices(found: dict[str, dict]) -> None:
    row = found["split"]
    first, second = row["losses"]
    assert second < first
    halved = [path for path, spec in row["split"].items() if "model" in spec]
    assert len(halved) == 1 + 6 * len({path.split("_")[0] for path in row["split"] if path.startswith("block")})
