"""Promise: a model builds under its name, with the same explicit layer names, and answers sensibly."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import zoo

import kerazoo


@pytest.mark.parametrize("name", zoo.models())
def test_name_and_output(name: str) -> None:
    model = zoo.settled(name) if name in zoo.SAME_CODE else zoo.built(name)  # these are needed once, and large
    inputs, _ = zoo.batch(name)
    assert model.name == name
    for output in zoo.outputs(model, inputs):
        assert output.dtype == np.float32
        assert np.all(np.isfinite(output))
        if kerazoo.model_card(name).rule_trained:
            continue  # threshold units may all fire; their own test looks at the values
        assert np.ptp(output, axis=0).max() > 1e-6, "the output does not depend on the input"


def _snake_case(word: str) -> str:
    """Class name -> the name Keras makes up, e.g. Conv2D -> conv2d."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", word).lower()


@pytest.mark.parametrize("name", zoo.models())
def test_second_build(name: str) -> None:
    """The same layer names, and none made up by Keras (such end in a counter)."""
    with zoo.weightless():
        first, again = zoo.fresh(name), zoo.fresh(name)
    layers = zoo.leaf_layers(first)
    assert [layer.name for layer in layers] == [layer.name for layer in zoo.leaf_layers(again)]
    made_up = [
        layer.name
        for layer in layers
        if re.fullmatch(rf"{_snake_case(type(layer).__name__)}(_\d+)?", layer.name)
        and layer.name not in ("flatten", "embedding")
    ]
    assert not made_up


@pytest.mark.parametrize("name", zoo.distinct())
def test_the_same_weights_from_one_seed(name: str) -> None:
    assert zoo.first_digests(name) == zoo.digests(zoo.fresh(name))


@pytest.mark.parametrize("name", zoo.distinct())
def test_batch_norm_momentum(name: str) -> None:
    """PyTorch's momentum 0.1 is Keras's 0.9; with 0.1 the statistics would be those of the last batch."""
    norms = [layer for layer in zoo.leaf_layers(zoo.built(name)) if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(layer.momentum >= 0.5 for layer in norms)
