"""Layers whose weights are scaled while they run, so that all of them learn equally fast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class EqualizedDense(keras.layers.Layer):
    """Dense layer with weights of N(0, 1) that are multiplied by gain / sqrt(inputs per unit) at each call.

    Args:
        units: Number of outputs.
        gain: Factor, sqrt(2) in front of a ReLU.
        use_bias: Whether to add a bias, which starts at zero.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> tuple(kerazoo.layers.EqualizedDense(5)(keras.ops.zeros((2, 3))).shape)
        (2, 5)

    References:
        Karras et al. (2017), "Progressive growing of GANs", section 4.1, https://arxiv.org/abs/1710.10196
    """

    def __init__(self, units: int, gain: float = math.sqrt(2), use_bias: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.gain, self.use_bias = units, gain, use_bias

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = self._kernel_shape(int(input_shape[-1] or 0))
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=keras.initializers.RandomNormal(0.0, 1.0))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros") if self.use_bias else None

    def _kernel_shape(self, features: int) -> tuple[int, ...]:
        return (features, self.units)

    def call(self, inputs: Any) -> Any:
        scale = self.gain / math.sqrt(math.prod(self.kernel.shape[:-1]))
        x = self._product(inputs, self.kernel * scale)
        return x if self.bias is None else x + self.bias

    def _product(self, inputs: Any, kernel: Any) -> Any:
        return ops.matmul(inputs, kernel)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Counts two operations per weight and position."""
        return 2 * math.prod(output_shape[1:-1]) * math.prod(self.kernel.shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"units": self.units, "gain": self.gain, "use_bias": self.use_bias}


@keras.saving.register_keras_serializable(package="kerazoo")
class EqualizedConv2D(EqualizedDense):
    """Convolution with stride 1 and as many zeros at the border as keep the size; its weights as in `EqualizedDense`.

    Args:
        units: Number of filters.
        kernel_size: Height and width of the kernel.
        gain: Factor, sqrt(2) in front of a ReLU.
        use_bias: Whether to add a bias, which starts at zero.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> tuple(kerazoo.layers.EqualizedConv2D(5, 3)(keras.ops.zeros((2, 8, 8, 3))).shape)
        (2, 8, 8, 5)

    References:
        Karras et al. (2017), "Progressive growing of GANs", section 4.1, https://arxiv.org/abs/1710.10196
    """

    def __init__(
        self, units: int, kernel_size: int, gain: float = math.sqrt(2), use_bias: bool = True, **options: Any
    ) -> None:
        super().__init__(units, gain, use_bias, **options)
        self.kernel_size = kernel_size

    def _kernel_shape(self, features: int) -> tuple[int, ...]:
        return (self.kernel_size, self.kernel_size, features, self.units)

    def _product(self, inputs: Any, kernel: Any) -> Any:
        return ops.conv(inputs, kernel, padding="same", data_format="channels_last")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"kernel_size": self.kernel_size}
