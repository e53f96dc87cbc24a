"""The larger one of two neighbouring units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class Maxout(keras.layers.Layer):
    """Takes the larger of each pair of neighbouring features: (..., 2 n) -> (..., n).

    Args:
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.Maxout()(keras.ops.array([[1.0, 2.0, 8.0, 5.0]])).numpy().tolist()
        [[2.0, 8.0]]

    References:
        Goodfellow et al. (2013), "Maxout networks", https://arxiv.org/abs/1302.4389
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return ops.maximum(inputs[..., 0::2], inputs[..., 1::2])

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        return (*input_shape[:-1], input_shape[-1] // 2)
