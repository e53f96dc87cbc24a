"""One token out of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerazoo")
class TakeToken(keras.layers.Layer):
    """Takes one position of a sequence: (batch, length, features) -> (batch, features).

    Args:
        position: Number of the token, counted from 0, or from the end if negative.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.TakeToken(0)(keras.ops.array([[[1.0], [2.0]]])).numpy().tolist()
        [[1.0]]
    """

    def __init__(self, position: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.position = position

    def call(self, inputs: Any) -> Any:
        return inputs[:, self.position]

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], *input_shape[2:])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"position": self.position}
