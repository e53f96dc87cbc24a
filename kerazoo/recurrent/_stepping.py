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


def initial_states(model: keras.Model, inputs: Any) -> keras.Model:
    """Returns the part of a model between some of its inputs and the first states of its decoder, layer by layer."""
    nodes = [node for node in _graph.nodes(model) if isinstance(node.operation, layers.RNN)]
    states = [node.arguments.kwargs["initial_state"] for node in nodes if "initial_state" in node.arguments.kwargs]
    return keras.Model(inputs, states, name=f"{model.name}_start")


def last_logits(head: layers.Dense, x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the logits of a head that ends in a softmax or in nothing; a logarithm undoes the softmax."""
    kind = keras.activations.serialize(head.activation)
    if kind not in ("softmax", "linear"):
        raise ValueError(f"a stepper needs logits or a softmax. Received: classifier_activation={kind!r}")
    return ops.log(ops.maximum(head(x), 1e-37)) if kind == "softmax" else head(x)
