"""What a sequence has come to: its last step, or all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class _OfSteps(keras.layers.Layer):
    """One vector (batch, features) of a sequence (batch, steps, features), of tokens without those that are padding."""

    def __init__(self, pad_id: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.pad_id = pad_id

    def compute_output_shape(
        self, inputs_shape: Sequence[int | None], token_ids_shape: Sequence[int | None] | None = None
    ) -> tuple[int | None, ...]:
        return (inputs_shape[0], inputs_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="kerazoo")
class LastStep(_OfSteps):
    """Takes the last step of a sequence (batch, steps, features), of tokens (batch, steps) the last that is no padding.

    Args:
        pad_id: Number of the padding token.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> sequence = keras.ops.reshape(keras.ops.arange(6.0), (1, 3, 2))
        >>> kerazoo.layers.LastStep()(sequence, keras.ops.array([[7, 3, 0]])).numpy().tolist()
        [[2.0, 3.0]]
    """

    def call(self, inputs: Any, token_ids: Any = None) -> Any:
        if token_ids is None:
            return inputs[:, -1]
        real = ops.cast(ops.not_equal(token_ids, self.pad_id), "int32")
        last = ops.max(real * ops.arange(ops.shape(token_ids)[1], dtype="int32"), axis=1)
        return ops.take_along_axis(inputs, last[:, None, None], axis=1)[:, 0]


@keras.saving.register_keras_serializable(package="kerazoo")
class MeanStep(_OfSteps):
    """Takes the mean of a sequence (batch, steps, features) over its steps, of tokens (batch, steps) without padding.

    Args:
        pad_id: Number of the padding token.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> sequence = keras.ops.reshape(keras.ops.arange(6.0), (1, 3, 2))
        >>> kerazoo.layers.MeanStep()(sequence, keras.ops.array([[7, 3, 0]])).numpy().tolist()
        [[1.0, 2.0]]
    """

    def call(self, inputs: Any, token_ids: Any = None) -> Any:
        if token_ids is None:
            return ops.mean(inputs, axis=1)
        real = ops.cast(ops.not_equal(token_ids, self.pad_id), inputs.dtype)[:, :, None]
        return ops.sum(inputs * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1)


@keras.saving.register_keras_serializable(package="kerazoo")
class MaxStep(_OfSteps):
    """Takes the largest value of each feature of a sequence (batch, steps, features), of tokens without padding.

    Args:
        pad_id: Number of the padding token.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> sequence = keras.ops.reshape(keras.ops.arange(6.0), (1, 3, 2))
        >>> kerazoo.layers.MaxStep()(sequence, keras.ops.array([[7, 3, 0]])).numpy().tolist()
        [[2.0, 3.0]]
    """

    def call(self, inputs: Any, token_ids: Any = None) -> Any:
        if token_ids is None:
            return ops.max(inputs, axis=1)
        real = ops.cast(ops.not_equal(token_ids, self.pad_id), inputs.dtype)[:, :, None]
        # What is lowest of all takes the place of padding, whatever the sign of the others.
        lowest = ops.min(inputs, axis=1, keepdims=True)
        return ops.max(inputs * real + lowest * (1 - real), axis=1)


@keras.saving.register_keras_serializable(package="kerazoo")
class PaddingAsZeros(keras.layers.Layer):
    """Makes zeros of the steps of a sequence (batch, steps, features) that are padding among its tokens (batch, steps).

    Args:
        pad_id: Number of the padding token.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> sequence = keras.ops.ones((1, 3, 1))
        >>> kerazoo.layers.PaddingAsZeros()(sequence, keras.ops.array([[7, 3, 0]])).numpy().ravel().tolist()
        [1.0, 1.0, 0.0]
    """

    def __init__(self, pad_id: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.pad_id = pad_id

    def call(self, inputs: Any, token_ids: Any) -> Any:
        return inputs * ops.cast(ops.not_equal(token_ids, self.pad_id), inputs.dtype)[:, :, None]

    def compute_output_shape(
        self, inputs_shape: Sequence[int | None], token_ids_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"pad_id": self.pad_id}
