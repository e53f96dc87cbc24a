"""The largest one of a few neighbouring units."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class Maxout(keras.layers.Layer):
    """Takes the largest of each few neighbouring features: (..., pieces * n) -> (..., n).

    Args:
        pieces: How many make one. Defaults to pairs.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.Maxout()(keras.ops.array([[1.0, 2.0, 8.0, 5.0]])).numpy().tolist()
        [[2.0, 8.0]]

    References:
        Goodfellow et al. (2013), "Maxout networks", https://arxiv.org/abs/1302.4389
    """

    def __init__(self, pieces: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.pieces = pieces
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return functools.reduce(ops.maximum, (inputs[..., piece :: self.pieces] for piece in range(self.pieces)))

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        return (*input_shape[:-1], input_shape[-1] // self.pieces)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"pieces": self.pieces}
