"""Which tokens of a batch are real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class PaddingMask(keras.layers.Layer):
    """Turns token numbers (batch, length) into an attention mask (batch, 1, length): true where no padding stands.

    The explicit mask goes through every export; that which Keras hands on behind the scenes is lost at the first layer
    that does not support it.

    Args:
        pad_id: Number of the padding token.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.PaddingMask()(keras.ops.array([[7, 3, 0]])).numpy().tolist()
        [[[True, True, False]]]
    """

    def __init__(self, pad_id: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.pad_id = pad_id

    def call(self, inputs: Any) -> Any:
        return ops.expand_dims(ops.not_equal(inputs, self.pad_id), 1)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], 1, inputs.shape[1]), dtype="bool")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], 1, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"pad_id": self.pad_id}
