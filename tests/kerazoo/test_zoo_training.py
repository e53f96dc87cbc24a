"""Promise: every trainable weight is reached by training, and one step changes loss and statistics."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo


def _compiled(name: str) -> keras.Model:
    model = zoo.fresh(name)
    model.compile(
        keras.optimizers.SGD(1e-4),
        loss=zoo.loss(name),
        jit_compile=False,
        run_eagerly=True,
    )
    return model


def _unreached(model: keras.Model, x: Any, y: Any) -> tuple[list[str], list[str]]:
    """Returns the weights without a gradient, and those with one that is zero."""
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True), training=True)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    excused = zoo.normalized_biases(model)
    pairs = list(zip(model.trainable_weights, gradients, strict=True))
    missing = [weight.path for weight, gradient in pairs if gradient is None]
    return missing, [w.path for w, g in pairs if g is not None and id(w) not in excused and not np.any(np.array(g))]


@pytest.mark.parametrize("name", zoo.distinct(lambda card: not card.rule_trained))
def test_every_trainable_weight_has_a_gradient(name: str) -> None:
    """At the start, or a little beside it: behind a weight that starts at zero (Bahdanau's v_a) nothing moves yet."""
    model = _compiled(name)
    x, y = zoo.batch(name)
    missing, zero = _unreached(model, x, y)
    if zero:
        zoo.perturb(model)
        missing, zero = _unreached(model, x, y)
    assert not missing
    assert not zero


@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.rule_trained))
def test_own_rule_moves_every_weight(name: str) -> None:
    model = _compiled(name)
    before = model.get_weights()
    model.train_on_batch(*zoo.batch(name))
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", zoo.distinct())
def test_one_step_changes_loss_and_statistics(name: str) -> None:
    model = _compiled(name)
    x, y = zoo.batch(name)
    zoo.settle(model, zoo.batch(name, seed=1)[0])
    statistics = [
        weight
        for layer in zoo.leaf_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        for weight in (layer.moving_mean, layer.moving_variance)
    ]
    frozen = [zoo.value(w) for w in model.non_trainable_weights if not any(w is s for s in statistics)]
    before = [zoo.value(weight) for weight in statistics]
    loss = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    model.fit(x, y, epochs=1, batch_size=len(keras.tree.flatten(x)[0]), verbose=0)
    after = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert np.isfinite(loss)
    assert np.isfinite(after)
    assert loss != after
    assert all(np.any(old != zoo.value(new)) for old, new in zip(before, statistics, strict=True))
    kept = [w for w in model.non_trainable_weights if not any(w is s for s in statistics)]
    averages = {id(weight) for weight in zoo.averages(model)}
    assert all(
        np.array_equal(old, zoo.value(new))
        for old, new in zip(frozen, kept, strict=True)
        if id(new) not in averages and not new.path.endswith("/updates") and "seed" not in new.path
    )
