"""Convolution of a sequence whose kernels are a direction times a length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class WeightNormConv1D(keras.layers.Layer):
    """Causal convolution (batch, steps, features) with the kernel g v / |v|, one g and one |v| per output feature.

    Causal: zeros are put in front, so an output sees its own step and those before it, and there are as many outputs as
    inputs. The length g starts as |v|, so that the first kernel is v.

    Args:
        filters: Output features.
        kernel_size: Steps of the kernel.
        dilation_rate: Distance between these steps.
        kernel_initializer: That of v. Defaults to N(0, 0.01).
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.WeightNormConv1D(4, 3, dilation_rate=2)
        >>> tuple(layer(keras.ops.zeros((1, 9, 2))).shape)
        (1, 9, 4)

    References:
        Salimans, Kingma (2016), "Weight normalization", https://arxiv.org/abs/1602.07868
    """

    def __init__(
        self, filters: int, kernel_size: int, dilation_rate: int = 1, kernel_initializer: Any = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.filters, self.kernel_size, self.dilation_rate = filters, kernel_size, dilation_rate
        given = keras.initializers.RandomNormal(stddev=0.01) if kernel_initializer is None else None
        self.kernel_initializer = given or keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = (self.kernel_size, input_shape[-1], self.filters)
        # Lengths are summed in full precision.
        self.v = self.add_weight(name="v", shape=shape, initializer=self.kernel_initializer, autocast=False)
        self.g = self.add_weight(
            name="g", shape=(self.filters,), initializer=lambda shape, dtype: self._length(), autocast=False
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def _length(self) -> Any:
        return ops.sqrt(ops.sum(ops.square(self.v), axis=(0, 1)))

    def call(self, inputs: Any) -> Any:
        kernel = ops.cast(self.v * (self.g / ops.maximum(self._length(), 1e-12)), inputs.dtype)
        x = ops.pad(inputs, ((0, 0), (self.dilation_rate * (self.kernel_size - 1), 0), (0, 0)))
        x = ops.conv(x, kernel, padding="valid", data_format="channels_last", dilation_rate=self.dilation_rate)
        return x + ops.cast(self.bias, x.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.filters)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Counts two operations per weight of v and step."""
        return 2 * output_shape[1] * self.kernel_size * input_shapes[0][-1] * self.filters

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
