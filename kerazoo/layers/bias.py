"""A bias by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerazoo")
class Bias(keras.layers.Layer):
    """Adds one learnt number per feature, behind a product whose kernel belongs to another layer.

    Args:
        initializer: Initial values.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> tuple(kerazoo.layers.Bias()(keras.ops.zeros((2, 3))).shape)
        (2, 3)
    """

    def __init__(self, initializer: Any = "zeros", **options: Any) -> None:
        super().__init__(**options)
        self.initializer = keras.initializers.get(initializer)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.bias = self.add_weight(name="bias", shape=(input_shape[-1],), initializer=self.initializer)

    def call(self, inputs: Any) -> Any:
        return inputs + self.bias

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Additions are not counted."""
        return 0

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"initializer": keras.initializers.serialize(self.initializer)}
