"""What the steppers of the recurrent families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from kerazoo import _graph


def compiled(model: keras.Model) -> Callable[[Any], Any]:
    """Returns a functional model as a function that runs compiled on any backend and gives NumPy arrays."""
    model.jit_compile = False  # XLA would compile anew for every length
    return model.predict_on_batch


def beginning(model: keras.Model, inputs: Any) -> Callable[[Any], Any]:
    """Returns a function from some inputs of a model to the first states of its decoder, layer by layer."""
    nodes = [node for node in _graph.nodes(model) if isinstance(node.operation, layers.RNN)]
    states = [node.arguments.kwargs["initial_state"] for node in nodes if "initial_state" in node.arguments.kwargs]
    begin = compiled(keras.Model(inputs, {"states": states}))  # a list of one would be unpacked
    return lambda values: begin(values)["states"]


def advancing(embedding: layers.Embedding, stack: list[layers.RNN], head: layers.Dense) -> Callable[[Any], Any]:
    """Returns a function from `[tokens (batch, length), states per layer]` to the last logits and the new states."""
    ids = keras.Input((None,), dtype="int32")
    old = [[keras.Input((layer.units,)) for _ in layer.state_size] for layer in stack]
    # Keras hands on no mask to a layer that is given a state.
    x, mask, new = embedding(ids), embedding.compute_mask(ids), []
    for layer, states in zip(stack, old, strict=True):
        x, *states = layer(x, initial_state=states, mask=mask)
        new.append(states)
    # The hidden state is the output of the last step that is no padding.
    return compiled(keras.Model([ids, old], [_logits(head, new[-1][0]), new]))


def _logits(head: layers.Dense, x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the logits of a head that ends in a softmax or in nothing; a logarithm undoes the softmax."""
    kind = keras.activations.serialize(head.activation)
    if kind not in ("softmax", "linear"):
        raise ValueError(f"a stepper needs logits or a softmax. Received: classifier_activation={kind!r}")
    return ops.log(ops.maximum(head(x), 1e-37)) if kind == "softmax" else head(x)
