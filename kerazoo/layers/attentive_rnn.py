"""A loop whose cell looks at a memory, for decoders with attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


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
        unroll: Whether the steps are written out, which a fixed length of the sequence allows and 8-bit exports need.
        **options: Those of every `keras.layers.Layer`.
    """

    def __init__(self, cell: Any, unroll: bool = False, **options: Any) -> None:
        super().__init__(**options)
        if isinstance(cell, dict):
            cell = keras.saving.deserialize_keras_object(cell)
        loop = {"return_sequences": True, "unroll": unroll, "dtype": self.dtype_policy, "name": "loop"}
        self.rnn = keras.layers.RNN(cell, **loop)

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
        cell = keras.saving.serialize_keras_object(self.cell)
        return super().get_config() | {"cell": cell, "unroll": self.rnn.unroll}
