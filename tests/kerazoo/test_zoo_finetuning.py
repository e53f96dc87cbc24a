"""Learning rates per layer, a body that waits, and fine-tuning that beats training from scratch."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import zoo

from kerazoo import finetuning

OPTIMIZERS = [
    keras.optimizers.SGD(0.1, momentum=0.9),
    keras.optimizers.Adam(0.01),
    keras.optimizers.AdamW(0.01, weight_decay=0.1),
    keras.optimizers.RMSprop(0.01),
    keras.optimizers.Adagrad(0.1),
]


def _model(optimizer: keras.Optimizer) -> keras.Model:
    model = zoo.fresh("mlp", hidden_units=(6,))
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    return model


def _step(model: keras.Model) -> dict[str, np.ndarray]:
    before = {weight.path: zoo.value(weight) for weight in model.weights}
    model.train_on_batch(*zoo.batch("mlp"))
    return {weight.path: zoo.value(weight) - before[weight.path] for weight in model.weights}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)
def test_a_factor_scales_the_whole_step(optimizer: keras.Optimizer) -> None:
    first, *_ = (layer.name for layer in _model("sgd").layers if layer.weights)
    plain = _step(_model(type(optimizer).from_config(optimizer.get_config())))
    scaled = _step(_model(finetuning.layerwise(optimizer, {first: 0.25})))
    for path, change in plain.items():
        factor = 0.25 if path.startswith(first) else 1.0
        assert np.any(change)
        np.testing.assert_allclose(scaled[path], factor * change, rtol=1e-3, atol=1e-7)


def test_held_layers_wait_and_a_saved_model_goes_on(tmp_path: Path) -> None:
    first, *_ = (layer.name for layer in _model("sgd").layers if layer.weights)
    options = {"rates": {first: 0.5}, "held": [first], "held_steps": 2}
    whole = _model(finetuning.layerwise(keras.optimizers.Adam(0.01), **options))
    moved = [np.any(_step(whole)[f"{first}/kernel"]) for _ in range(4)]
    assert moved == [False, False, True, True]

    half = _model(finetuning.layerwise(keras.optimizers.Adam(0.01), **options))
    _step(half)
    half.save(tmp_path / "half.keras")
    other = keras.models.load_model(tmp_path / "half.keras")
    assert type(other.optimizer).__name__ == "LayerwiseAdam"
    for _ in range(3):
        _step(other)
    for a, b in zip(whole.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_layer_decay() -> None:
    rates = finetuning.layer_decay(zoo.fresh("resnet20"), 0.5)
    assert rates["stage3_block3_conv2"] == 0.5
    assert rates["stage1_block1_conv1"] == 0.125
    assert rates["stem_conv"] == 0.0625
    assert "predictions" not in rates


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: finetuning.layerwise(keras.optimizers.Lion()), "must be one of SGD, Adam.*Received: Lion"),
        (lambda: finetuning.layerwise(keras.optimizers.SGD(), {"a": -1}), r"rates\['a'\] must be"),
        (lambda: finetuning.layerwise(keras.optimizers.SGD(), held_steps=-1), "held_steps"),
        (lambda: finetuning.layer_decay(zoo.fresh("resnet20"), 1.5), "decay must be"),
        (lambda: finetuning.layer_decay(zoo.fresh("mlp"), 0.5), "no stages"),
    ],
)
def test_bad_arguments(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_fine_tuning_beats_training_from_scratch() -> None:
    """A short form of `benchmarks/finetune.py` on one seed; 1.5 points are what rounding may move it by."""
    from benchmarks.finetune import compare

    found = compare(2, base_epochs=6, epochs=16)
    scratch = [value for name, value in found.items() if name != "fine_tuned"]
    assert found["fine_tuned"] > 0.015 + sum(scratch) / len(scratch)
