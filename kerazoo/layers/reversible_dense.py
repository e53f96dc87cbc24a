"""A dense layer that can be run backwards with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class ReversibleDense(keras.layers.Layer):
    """Computes f(x W + b), or with `reverse=True` g(h W^T + b'): the tied weights of an autoencoder.

    Args:
        units: Outputs of the way forward.
        activation: That of the way forward.
        reverse_activation: That of the way back.
        kernel_initializer: Of W.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.ReversibleDense(3, "sigmoid")
        >>> tuple(layer(layer(keras.ops.zeros((1, 5))), reverse=True).shape)
        (1, 5)

    References:
        Vincent et al. (2008), "Extracting and composing robust features with denoising autoencoders",
        https://doi.org/10.1145/1390156.1390294
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        reverse_activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.reverse_activation = keras.activations.get(reverse_activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Sequence[int]) -> None:
        self.inputs = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(self.inputs, self.units), initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.reverse_bias = self.add_weight(name="reverse_bias", shape=(self.inputs,), initializer="zeros")

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        if reverse:
            return self.reverse_activation(ops.matmul(inputs, ops.transpose(self.kernel)) + self.reverse_bias)
        return self.activation(ops.matmul(inputs, self.kernel) + self.bias)

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> keras.KerasTensor:
        features = self.inputs if reverse else self.units
        return keras.KerasTensor((*inputs.shape[:-1], features), dtype=self.compute_dtype)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """One product with the kernel, whichever way."""
        return 2 * self.units * self.inputs

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "reverse_activation": keras.activations.serialize(self.reverse_activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
