"""What progressively growing networks are made of beside their convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class PixelNorm(keras.layers.Layer):
    """Divides the features of each pixel by the root of their mean square.

    Args:
        epsilon: Added to the mean square.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> tuple(kerazoo.layers.PixelNorm()(keras.ops.ones((2, 4, 4, 3))).shape)
        (2, 4, 4, 3)

    References:
        Karras et al. (2017), "Progressive growing of GANs", section 4.2, https://arxiv.org/abs/1710.10196
    """

    def __init__(self, epsilon: float = 1e-8, **options: Any) -> None:
        super().__init__(**options)
        self.epsilon = epsilon

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, "float32")
        x = x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + self.epsilon)
        return ops.cast(x, inputs.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="kerazoo")
class MinibatchDeviation(keras.layers.Layer):
    """Appends one map with how much the samples of the batch differ: their standard deviation, averaged over all of it.

    Args:
        epsilon: Added to the variance.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> tuple(kerazoo.layers.MinibatchDeviation()(keras.ops.zeros((2, 4, 4, 3))).shape)
        (2, 4, 4, 4)

    References:
        Karras et al. (2017), "Progressive growing of GANs", section 3, https://arxiv.org/abs/1710.10196
    """

    def __init__(self, epsilon: float = 1e-8, **options: Any) -> None:
        super().__init__(**options)
        self.epsilon = epsilon

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, "float32")
        variance = ops.mean(ops.square(x - ops.mean(x, axis=0, keepdims=True)), axis=0)
        deviation = ops.cast(ops.mean(ops.sqrt(variance + self.epsilon)), inputs.dtype)
        return ops.concatenate([inputs, ops.ones_like(inputs[..., :1]) * deviation], axis=-1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], int(input_shape[-1] or 0) + 1)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="kerazoo")
class FadeIn(keras.layers.Layer):
    """Blends an old path and a new one: (1 - alpha) * old + alpha * new.

    `alpha` is a weight that is not trained, from 0 to 1: whoever grows the network sets it, and every file has it.

    Call arguments:
        inputs: The old path and the new one, of one shape.

    Args:
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.FadeIn()
        >>> layer([keras.ops.ones((1, 2)), keras.ops.zeros((1, 2))]).numpy().tolist()
        [[1.0, 1.0]]

    References:
        Karras et al. (2017), "Progressive growing of GANs", figure 2, https://arxiv.org/abs/1710.10196
    """

    def build(self, input_shape: Any) -> None:
        self.alpha = self.add_weight(name="alpha", shape=(), initializer="zeros", trainable=False, autocast=False)

    def call(self, inputs: Sequence[Any]) -> Any:
        old, new = inputs
        alpha = ops.cast(self.alpha, old.dtype)
        return (1.0 - alpha) * old + alpha * new

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        return tuple(input_shape[0])

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Element-wise work is not counted."""
        return 0
