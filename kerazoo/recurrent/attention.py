"""What recurrent decoders with attention share: a loop whose cell looks at a memory, and what it looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerazoo import _graph
from kerazoo.generation.stepper import Stepper
from kerazoo.layers.reverse_tokens import ReverseTokens
from kerazoo.recurrent._stepping import compiled


def look_at(scores: Any, memory: Any, mask: Any) -> tuple[Any, Any]:
    """Turns scores (batch, source length) into attention weights, and these into the mean of the memory they stand for.

    Args:
        scores: One number for each place of the memory.
        memory: What is looked at, (batch, source length, features).
        mask: 1 where something stands, 0 for padding, (batch, source length).

    Returns:
        Weights, which add up to 1 and are exactly 0 for padding; context (batch, features).
    """
    real = mask > 0.5
    weights = ops.softmax(ops.where(real, ops.cast(scores, "float32"), -1e9), axis=-1)
    weights = ops.cast(ops.where(real, weights, 0.0), memory.dtype)
    return weights, ops.squeeze(ops.matmul(ops.expand_dims(weights, 1), memory), 1)


@keras.saving.register_keras_serializable(package="kerazoo")
class AttentiveRNN(keras.layers.Layer):
    """Runs a cell over a sequence (batch, length, features) and shows it a memory at every step.

    A loop of Keras has nothing but states, so the memory is one that never changes. The cell has `begin(memory,
    visible, first)`, which makes its states, the attention weights the second one, `call(inputs, states)` and
    `macs(steps, source_steps)`, and the number `output_size`.

    It is called with the sequence, the memory (batch, source length, features), what of it is visible (batch, 1, source
    length), and the tensors its first states are made of.

    Args:
        cell: The cell, a layer.
        **options: Those of every `keras.layers.Layer`.
    """

    def __init__(self, cell: Any, **options: Any) -> None:
        super().__init__(**options)
        if isinstance(cell, dict):
            cell = keras.saving.deserialize_keras_object(cell)
        self.rnn = layers.RNN(cell, return_sequences=True, dtype=self.dtype_policy, name="loop")

    @property
    def cell(self) -> Any:
        return self.rnn.cell

    def build(self, inputs_shape: Any, memory_shape: Any, visible_shape: Any, first_shape: Any) -> None:
        self.rnn.build(inputs_shape)

    def call(self, inputs: Any, memory: Any, visible: Any, first: Sequence[Any]) -> Any:
        return self.rnn(inputs, initial_state=self.cell.begin(memory, visible, first))

    def compute_output_shape(
        self, inputs_shape: Any, memory_shape: Any, visible_shape: Any, first_shape: Any
    ) -> tuple[int | None, ...]:
        return (*inputs_shape[:2], self.cell.output_size)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Two per multiply-accumulate of the cell, attention included."""
        return 2 * self.cell.macs(input_shapes[0][1], input_shapes[1][1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"cell": keras.saving.serialize_keras_object(self.cell)}


def _begin(model: keras.Model) -> tuple[AttentiveRNN, list[keras.KerasTensor]]:
    """Returns the decoder of a model and the states it starts from, as tensors of the graph."""
    for node in _graph.nodes(model):
        if isinstance(node.operation, AttentiveRNN):
            _, memory, visible, first = node.arguments.args
            return node.operation, node.operation.cell.begin(memory, visible, first)
    raise ValueError(f"the model must be one of bahdanau_seq2seq or luong_seq2seq. Received: {model.name!r}")


def _stepping(model: keras.Model, readout: Callable[..., Any] | None) -> tuple[Any, Any]:
    """Returns two functions: source -> states, and [tokens, states] -> readout (where there is one) and states."""
    decoder, first = _begin(model)
    ids = keras.Input((), dtype="int32")
    old = [keras.Input(batch_shape=state.shape, dtype=state.dtype) for state in first]
    x = model.get_layer("target_embedding")(ids)
    y, new = decoder.cell(x, old)
    outputs = new if readout is None else [readout(model, x, y), new]
    return compiled(keras.Model(model.input["source_ids"], first)), compiled(keras.Model([ids, old], outputs))


def attentive_stepper(model: keras.Model, start_id: int, readout: Callable[..., Any]) -> Stepper:
    """Returns the stepper of a model with an `AttentiveRNN`.

    Args:
        model: The model, with the inputs `source_ids` and `target_ids`.
        start_id: The first token of every target.
        readout: Makes logits out of the model, a token's vector and the cell's output.
    """
    begin, step = _stepping(model, readout)

    def start(source_ids: Any) -> tuple[Any, Any]:
        source = np.asarray(source_ids, "int32")
        return step([np.full(len(source), start_id, "int32"), begin(source)])

    vocab_size = model.get_layer("predictions").units
    return Stepper(start, lambda tokens, state: step([np.asarray(tokens, "int32"), state]), vocab_size)


def attention_weights(model: keras.Model, source_ids: Any, target_ids: Any) -> np.ndarray:
    """Returns what a model looks at while it predicts the token behind each token of the target.

    Args:
        model: One of `bahdanau_seq2seq` or `luong_seq2seq`.
        source_ids: Tokens (batch, source length), padded with 0 at the end.
        target_ids: Tokens (batch, target length) the model is given, the start token first.

    Returns:
        Array (batch, target length, source length), rows that add up to 1, exactly 0 where the source is padding. The
        columns are in the order of `source_ids`, also where the model reads it reversed.

    Raises:
        ValueError: If the model has no attention.

    Example:
        >>> model = kerazoo.luong_seq2seq(30, 20, units=32, embedding_dim=16, num_layers=1)
        >>> kerazoo.recurrent.attention.attention_weights(model, [[5, 9, 0]], [[1, 4]]).shape
        (1, 2, 3)
    """
    begin, step = _stepping(model, None)
    source, target = np.asarray(source_ids, "int32"), np.asarray(target_ids, "int32")
    states, rows = begin(source), []
    for tokens in target.T:
        states = step([tokens, states])
        rows.append(states[1])
    weights = np.stack(rows, axis=1).astype("float32")
    if any(isinstance(layer, ReverseTokens) for layer in model.layers):
        places = np.where(source != 0, np.arange(1, source.shape[1] + 1), 0)
        order = keras.ops.convert_to_numpy(ReverseTokens()(places)) - 1
        weights = np.take_along_axis(weights, np.maximum(order, 0)[:, None], axis=2) * (source != 0)[:, None]
    return weights
