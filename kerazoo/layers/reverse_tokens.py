"""A sentence read from its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class ReverseTokens(keras.layers.Layer):
    """Turns round the tokens (batch, length) of every row and leaves the padding behind them where it is.

    Args:
        pad_id: Number of the padding token.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.ReverseTokens()(keras.ops.array([[7, 3, 5, 0]])).numpy().tolist()
        [[5, 3, 7, 0]]
    """

    def __init__(self, pad_id: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.pad_id = pad_id

    def call(self, inputs: Any) -> Any:
        real = ops.cast(ops.not_equal(inputs, self.pad_id), "int32")
        places = ops.arange(ops.shape(inputs)[1], dtype="int32")[None]
        lengths = ops.max(real * (places + 1), axis=1, keepdims=True)
        order = ops.where(places < lengths, lengths - 1 - places, places)
        return ops.take_along_axis(inputs, order, axis=1)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"pad_id": self.pad_id}
