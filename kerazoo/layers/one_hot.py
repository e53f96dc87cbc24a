"""Class numbers as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class OneHot(keras.layers.Layer):
    """Turns class numbers (batch,) into vectors (batch, num_classes) with a one at the place of the class.

    Args:
        num_classes: Number of classes.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.OneHot(3)(keras.ops.array([2, 0])).numpy().tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes

    def call(self, inputs: Any) -> Any:
        # Rows of a table, since LiteRT's own operation for vectors with a one takes no notice of their scale in 8 bits.
        return ops.take(ops.eye(self.num_classes, dtype=self.compute_dtype), ops.cast(inputs, "int32"), axis=0)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape, self.num_classes), dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape, self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_classes": self.num_classes}
