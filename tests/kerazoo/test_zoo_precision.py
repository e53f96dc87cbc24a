"""Promise: half precision inside, float32 out, and the global policy left as it was."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import zoo

_POLICIES = [
    *((name, "mixed_float16") for name in zoo.distinct()),
    *((name, "mixed_bfloat16") for name in zoo.one_of_each_family()),
]


@pytest.mark.parametrize(("name", "policy"), _POLICIES)
def test_mixed_precision(name: str, policy: str) -> None:
    before = keras.config.dtype_policy()
    model = zoo.fresh(name, dtype=policy)
    assert keras.config.dtype_policy() == before
    assert all(np.dtype(weight.dtype) != np.float16 for weight in model.weights)
    heads = {head for part in zoo.functional_parts(model) for head in zoo.head(part)} | {"predictions"}
    heads |= {f"{head}_flat" for head in heads}  # behind it nothing but a reshaping
    weighted = [layer for layer in zoo.leaf_layers(model) if layer.weights and layer.name not in heads]
    assert all(layer.compute_dtype == policy.removeprefix("mixed_") for layer in weighted)
    inputs, _ = zoo.batch(name)
    zoo.settle(model, inputs)
    for output in keras.tree.flatten(model(inputs)):
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
        assert np.all(np.isfinite(keras.ops.convert_to_numpy(output)))


def test_policy_is_restored_after_a_failed_build() -> None:
    before = keras.config.dtype_policy()
    with pytest.raises(ValueError, match="num_outputs"):
        zoo.fresh("mlp", num_outputs=0, dtype="mixed_float16")
    assert keras.config.dtype_policy() == before
