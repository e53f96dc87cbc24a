"""Fused kernels change nothing but how long a step takes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from applications.core.fused import use_fused_kernels

L = keras.layers


def images(*layers: keras.Layer, shape=(6, 6, 3)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *layers, L.Flatten(), L.Dense(3)])


def adam() -> keras.Optimizer:
    """The large epsilon keeps gradients that are zero but for rounding from becoming steps of their own."""
    return keras.optimizers.Adam(0.01, epsilon=0.01)


def frozen() -> keras.Layer:
    layer = L.BatchNormalization()
    layer.trainable = False
    return layer


# name -> (network, optimiser, whether fused kernels normalise and update)
MODELS = {
    "adam": (lambda: images(L.Conv2D(4, 3), L.BatchNormalization(momentum=0.8)), adam, True, True),
    "adamw": (
        lambda: images(L.Conv2D(4, 3), L.BatchNormalization(scale=False, center=False)),
        lambda: keras.optimizers.AdamW(
            0.01, epsilon=0.01, weight_decay=0.1, clipnorm=0.5, use_ema=True, ema_overwrite_frequency=2
        ),
        True,
        True,
    ),
    "accumulated": (
        lambda: images(L.BatchNormalization()),
        lambda: keras.optimizers.Adam(0.01, epsilon=0.01, gradient_accumulation_steps=2),
        True,
        True,
    ),
    "amsgrad": (
        lambda: images(L.BatchNormalization()),
        lambda: keras.optimizers.Adam(0.01, epsilon=0.01, amsgrad=True),
        True,
        False,
    ),
    "sgd": (lambda: images(L.BatchNormalization(), L.BatchNormalization(axis=1)), "sgd", True, False),
    "volumes": (lambda: images(L.Conv3D(4, 3), L.BatchNormalization(), shape=(4, 4, 4, 2)), adam, True, True),
    "rows": (lambda: images(L.BatchNormalization(), shape=(5,)), adam, False, True),
    "frozen": (lambda: images(L.Conv2D(4, 3), frozen()), adam, False, True),
    "nested": (
        lambda: images(images(L.BatchNormalization()), L.Reshape((1, 1, 3)), L.BatchNormalization()),
        adam,
        True,
        True,
    ),
    "tokens": (
        lambda: keras.Sequential([keras.Input((4,), dtype="int32"), L.Embedding(9, 2), L.Flatten(), L.Dense(3)]),
        adam,
        False,
        True,
    ),
    "half": (
        lambda: keras.Sequential(
            [
                keras.Input((6, 6, 3)),
                L.BatchNormalization(dtype="mixed_float16"),
                L.Flatten(),
                L.Dense(3, dtype="mixed_float16"),
            ]
        ),
        adam,
        True,
        True,
    ),
}


def trained(make, optimizer, fused: bool) -> tuple[keras.Model, list[float]]:
    keras.utils.set_random_seed(1)
    model = make()
    model.compile(
        optimizer=optimizer if optimizer == "sgd" else optimizer(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    if fused:
        use_fused_kernels(model)
    random = np.random.default_rng(0)
    shape = (20, *model.input_shape[1:])
    x = random.integers(0, 9, shape) if model.inputs[0].dtype == "int32" else 3 + 2 * random.normal(size=shape)
    losses = model.fit(x, random.integers(0, 3, 20), batch_size=8, epochs=3, shuffle=False, verbose=0)
    return model, losses.history["loss"]


@pytest.mark.parametrize("name", MODELS)
def test_training_gives_the_same_model(name, tmp_path, monkeypatch):
    make, optimizer, *expected = MODELS[name]
    used = set()
    for place, kernel in ((tf.compat.v1.nn, "fused_batch_norm"), (tf.raw_ops, "ResourceApplyAdam")):
        plain = getattr(place, kernel)
        monkeypatch.setattr(
            place, kernel, lambda *a, plain=plain, kernel=kernel, **k: used.add(kernel) or plain(*a, **k)
        )
    plain, one = trained(make, optimizer, False)
    assert not used
    fused, other = trained(make, optimizer, True)
    assert ["fused_batch_norm" in used, "ResourceApplyAdam" in used] == expected
    rounding = 2e-3 if name == "half" else 1e-5
    np.testing.assert_allclose(one, other, rtol=rounding)
    for a, b in zip(plain.variables, fused.variables, strict=True):
        np.testing.assert_allclose(a, b, atol=rounding, err_msg=a.path)
    fused.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in again._flatten_layers()] == [type(layer) for layer in fused._flatten_layers()]
    assert type(again.optimizer) is type(fused.optimizer)
    for a, b in zip(again.variables, fused.variables, strict=True):
        np.testing.assert_array_equal(a, b)
