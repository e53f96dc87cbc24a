"""Promise: every trainable weight is reached by training, and one step changes loss and statistics."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo

from kerazoo.diffusion._models import Diffusion
from kerazoo.gans._adversarial import AdversarialModel
from kerazoo.gans._models import WassersteinGAN


def _compiled(name: str) -> keras.Model:
    model = zoo.fresh(name)
    execution = {"jit_compile": False, "run_eagerly": True}
    if isinstance(model, AdversarialModel):
        # The first weights of the oldest are within 0.005 of zero, where a smaller step changes no loss.
        model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), **execution)
    else:
        model.compile(keras.optimizers.SGD(1e-4), loss=zoo.loss(name), **execution)
    return model


def _gradients(model: keras.Model, x: Any, y: Any) -> list[tuple[Any, Any]]:
    """Returns every trainable weight with its gradient, each player's of its own loss."""
    if isinstance(model, AdversarialModel):
        batch = model.batch((x, y))
        batch |= model.draws(batch, training=True)
        players = dict.fromkeys(model.turns)
        losses = {player: partial(model.loss_of, player, batch, training=True) for player in players}
        weights = {player: model.weights_of(player) for player in players}
    else:
        losses = {"": lambda: {"": model.compute_loss(x=x, y=y, y_pred=model(x, training=True), training=True)}}
        weights = {"": model.trainable_weights}
    found = []
    for player, loss in losses.items():
        with tf.GradientTape() as tape:
            value = sum(loss().values())
        gradients = tape.gradient(value, [weight.value for weight in weights[player]])
        found += zip(weights[player], gradients, strict=True)
    return found


def _unreached(model: keras.Model, x: Any, y: Any) -> tuple[list[str], list[str]]:
    """Returns the weights without a gradient, and those with one that is zero."""
    excused = zoo.normalized_biases(model)
    if type(model) is WassersteinGAN:  # a difference of scores does not feel what is added to both
        excused |= {id(model.discriminator.get_layer("score").bias)}
    pairs = _gradients(model, x, y)
    assert {id(weight) for weight, _ in pairs} == {id(weight) for weight in model.trainable_weights}
    missing = [weight.path for weight, gradient in pairs if gradient is None]
    return missing, [w.path for w, g in pairs if g is not None and id(w) not in excused and not np.any(np.array(g))]


@pytest.mark.parametrize("name", zoo.distinct(lambda card: not card.rule_trained))
def test_every_trainable_weight_has_a_gradient(name: str) -> None:
    """At the start, or a little beside it: behind a weight that starts at zero (Bahdanau's v_a) nothing moves yet."""
    model = _compiled(name)
    x, y = zoo.training_batch(name)
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
def test_a_step_changes_loss_and_statistics(name: str) -> None:
    model = _compiled(name)
    x, y = zoo.training_batch(name)
    zoo.settle(model, zoo.batch(name, seed=1)[0])
    trained = [layer for part in zoo.functional_parts(model) if part.trainable for layer in zoo.leaf_layers(part)]
    statistics = [
        weight
        for layer in zoo.leaf_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        for weight in (layer.moving_mean, layer.moving_variance)
    ]
    # What else a model changes (the steps it has counted, averaged weights) lies beside the networks it trains.
    kept = [w for layer in trained for w in layer.non_trainable_weights if not any(w is s for s in statistics)]
    frozen = [zoo.value(weight) for weight in kept]
    before = [zoo.value(weight) for weight in statistics]
    losses = model.evaluate(x, y, verbose=0, return_dict=True)
    # Diffusion is evaluated with the average of its weights, which follows them one step later.
    steps = 2 if any(isinstance(part, Diffusion) for part in (model, *model.layers)) else 1
    model.fit(x, y, epochs=steps, batch_size=len(keras.tree.flatten(x)[0]), verbose=0)
    after = model.evaluate(x, y, verbose=0, return_dict=True)
    for word in [word for word in losses if word.endswith("loss")]:
        assert np.isfinite(losses[word])
        assert np.isfinite(after[word])
        assert losses[word] != after[word]
    assert all(np.any(old != zoo.value(new)) for old, new in zip(before, statistics, strict=True))
    assert all(
        np.array_equal(old, zoo.value(new)) for old, new in zip(frozen, kept, strict=True) if "seed" not in new.path
    )
