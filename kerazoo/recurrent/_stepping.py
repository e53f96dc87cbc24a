"""What the steppers of the recurrent families share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerazoo import _graph
from kerazoo._calls import answer
from kerazoo.generation.stepper import Stepper
from kerazoo.layers.attentive_rnn import AttentiveRNN


def compiled(model: keras.Model) -> Callable[[Any], Any]:
    """Returns a functional model as a function that runs compiled on any backend and gives NumPy arrays."""
    model.jit_compile = False  # XLA would compile anew for every length
    return functools.partial(answer, model)


def beginning(model: keras.Model, inputs: Any) -> Callable[[Any], Any]:
    """Returns a function from some inputs of a model to the first states of its decoder, layer by layer."""
    begin = compiled(beginning_model(model, inputs))
    return lambda values: begin(values)["states"]


def beginning_model(model: keras.Model, inputs: Any) -> keras.Model:
    """Returns the part of a model from some inputs to the first states of its decoder, layer by layer."""
    nodes = [node for node in _graph.nodes(model) if isinstance(node.operation, layers.RNN)]
    states = [node.arguments.kwargs["initial_state"] for node in nodes if "initial_state" in node.arguments.kwargs]
    return keras.Model(inputs, {"states": states})  # a list of one would be unpacked


def advancing(embedding: layers.Embedding, stack: list[layers.RNN], head: layers.Dense) -> Callable[[Any], Any]:
    """Returns a function from `[tokens (batch, length), states per layer]` to the last logits and the new states."""
    return compiled(advancing_model(embedding, stack, head))


def advancing_model(
    embedding: layers.Embedding, stack: list[layers.RNN], head: layers.Dense, length: int | None = None
) -> keras.Model:
    """Returns that function as a functional model, of an open number of tokens or a fixed one."""
    ids = keras.Input((length,), dtype="int32", name="token_ids")
    old = [
        [keras.Input((layer.units,), name=f"{layer.name}_state{i}") for i, _ in enumerate(layer.state_size, start=1)]
        for layer in stack
    ]
    # Keras hands on no mask to a layer that is given a state.
    x, mask, new = embedding(ids), embedding.compute_mask(ids), []
    for layer, states in zip(stack, old, strict=True):
        x, *states = layer(x, initial_state=states, mask=mask)
        new.append(states)
    # The hidden state is the output of the last step that is no padding.
    return keras.Model([ids, old], [_logits(head, new[-1][0]), new])


def _logits(head: layers.Dense, x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the logits of a head that ends in a softmax or in nothing; a logarithm undoes the softmax."""
    kind = keras.activations.serialize(head.activation)
    if kind not in ("softmax", "linear"):
        raise ValueError(f"a stepper needs logits or a softmax. Received: classifier_activation={kind!r}")
    return ops.log(ops.maximum(head(x), 1e-37)) if kind == "softmax" else head(x)


def _begin(model: keras.Model) -> tuple[AttentiveRNN, list[keras.KerasTensor]]:
    """Returns the decoder of a model and the states it starts from, as tensors of the graph."""
    for node in _graph.nodes(model):
        if isinstance(node.operation, AttentiveRNN):
            _, memory, visible, first = node.arguments.args
            return node.operation, node.operation.cell.begin(memory, visible, first)
    raise ValueError(f"the model must be one of bahdanau_seq2seq or luong_seq2seq. Received: {model.name!r}")


def attentive_steps(model: keras.Model, readout: Callable[..., Any] | None) -> tuple[Any, Any]:
    """Returns two functions: source -> states, and [tokens, states] -> readout (where there is one) and states."""
    begin, step = attentive_models(model, readout)
    return compiled(begin), compiled(step)


def attentive_models(model: keras.Model, readout: Callable[..., Any] | None) -> tuple[keras.Model, keras.Model]:
    """Returns both as functional models."""
    decoder, first = _begin(model)
    ids = keras.Input((), dtype="int32", name="token_ids")
    old = [
        keras.Input(batch_shape=state.shape, dtype=state.dtype, name=f"state{i}")
        for i, state in enumerate(first, start=1)
    ]
    x = model.get_layer("target_embedding")(ids)
    y, new = decoder.cell(x, old)
    outputs = new if readout is None else [readout(model, x, y), new]
    return keras.Model(model.input["source_ids"], first), keras.Model([ids, old], outputs)


def attentive_stepper(model: keras.Model, start_id: int, readout: Callable[..., Any]) -> Stepper:
    """Returns the stepper of a model with an `AttentiveRNN`.

    Args:
        model: The model, with the inputs `source_ids` and `target_ids`.
        start_id: The first token of every target.
        readout: Makes logits out of the model, a token's vector and the cell's output.
    """
    begin, step = attentive_steps(model, readout)

    def start(source_ids: Any) -> tuple[Any, Any]:
        source = np.asarray(source_ids, "int32")
        return step([np.full(len(source), start_id, "int32"), begin(source)])

    vocab_size = model.get_layer("predictions").units
    return Stepper(start, lambda tokens, state: step([np.asarray(tokens, "int32"), state]), vocab_size)
