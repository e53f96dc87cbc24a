"""One training step of models whose networks train against each other: several optimisers, one gradient tape each.

This is the only part of kerazoo outside the exporters that needs TensorFlow. It is imported inside the methods of
`kerazoo.gans._adversarial`; what a model's losses are, it says itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf


def train(model: Any, data: Any) -> dict[str, Any]:
    """Lets every player take its turns on one batch; returns the running means of the losses.

    Whoever's loss is not finite learns nothing from it. So the weights tell afterwards whose fault it was: the NaN of
    one network makes the losses of all of them NaN in the same step.
    """
    batch = model.batch(data)
    for player in model.turns:
        batch |= model.draws(batch, training=True)
        loss, gradients = _gradients(model, player, batch)
        model.optimizer_of(player).apply_gradients(zip(gradients, model.weights_of(player), strict=True))
        model.track(player, loss, batch)
    model.after_step(batch)
    return model.running_means()


def test(model: Any, data: Any) -> dict[str, Any]:
    """Computes the same losses without learning from them."""
    batch = model.batch(data)
    for player in dict.fromkeys(model.turns):
        batch |= model.draws(batch, training=False)
        model.track(player, _at_stage(model, batch, partial(model.loss_of, player, training=False)), batch)
    return model.running_means()


def _gradients(model: Any, player: str, batch: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Returns the loss of a player in its parts and the gradients of its weights.

    As in Keras' own step the mean over the batch of this device is divided by the number of devices, whose gradients
    the optimiser adds up.
    """
    weights, devices = model.weights_of(player), tf.distribute.get_strategy().num_replicas_in_sync

    def learnt(batch: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        with tf.GradientTape() as tape:
            loss = model.loss_of(player, batch, training=True)
            share = model.optimizer_of(player).scale_loss(sum(loss.values()) / devices)
        sources = [weight.value for weight in weights]
        found = tape.gradient(share, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        is_finite = tf.math.is_finite(sum(loss.values()))
        return loss, [tf.where(is_finite, gradient, tf.zeros_like(gradient)) for gradient in found]

    return _at_stage(model, batch, learnt)


def _at_stage(model: Any, batch: dict[str, Any], function: Callable[[dict[str, Any]], Any]) -> Any:
    """Calls a function with the batch, for a growing model with the number of its stage in it, which is a constant.

    So each stage has its own graph, and a network that is still small costs as little as it should.
    """
    if model.stages == 1:
        return function(batch)
    branches = [partial(function, batch | {"stage": stage}) for stage in range(model.stages)]
    return tf.switch_case(model.stage(), branches)


def own_share(draw: Callable[[Any], Any], count: Any) -> Any:
    """Returns `count` random rows of which no other device has the same.

    The random state of a model is the same on all devices, so each of them draws for all and keeps its own part.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return draw(count)
    first = context.replica_id_in_sync_group * count
    return draw(count * context.num_replicas_in_sync)[first : first + count]


def gradient_norms(function: Callable[[Any], Any], x: Any) -> Any:
    """Returns the length of the gradient of `function` at each sample of `x`; it can be differentiated once more."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    squares = tf.square(tape.gradient(y, x))
    # The root of zero has no gradient.
    return tf.sqrt(tf.reduce_sum(squares, axis=list(range(1, len(x.shape)))) + 1e-12)


def of_all_devices(count: Any) -> Any:
    """Returns the number of samples of the whole batch, of which each device has an equal part."""
    return count * tf.distribute.get_strategy().num_replicas_in_sync
