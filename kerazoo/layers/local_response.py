"""Normalisation across neighbouring channels, which came before batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by `(k + alpha * sum of squares in size neighbouring channels) ** beta`. Channels last.

    At the first and last channels the sum has fewer terms. The arguments are those of the paper; Caffe and PyTorch
    divide `alpha` by `size`, so their `alpha` is `size` times this one.

    Args:
        size: Channels in the sum, an odd number; `n` of the paper.
        k: Added to the sum.
        alpha: Factor of the sum.
        beta: Exponent.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.LocalResponseNormalization(size=5, k=2.0, alpha=1e-4, beta=0.75)
        >>> tuple(layer(keras.ops.ones((1, 8, 8, 96))).shape)
        (1, 8, 8, 96)

    References:
        Krizhevsky, Sutskever, Hinton (2012), section 3.3, https://doi.org/10.1145/3065386
    """

    def __init__(self, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **options: Any) -> None:
        super().__init__(**options)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size must be an odd number of channels. Received: size={size!r}")
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta

    def call(self, inputs: Any) -> Any:
        # float32, since half precision cannot hold the square of 256
        x = ops.cast(inputs, "float32")
        channels, reach = inputs.shape[-1], self.size // 2
        squares = ops.pad(ops.square(x), [(0, 0)] * (len(inputs.shape) - 1) + [(reach, reach)])
        total = sum(squares[..., start : start + channels] for start in range(self.size))
        return ops.cast(x * ops.power(self.k + self.alpha * total, -self.beta), inputs.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"size": self.size, "k": self.k, "alpha": self.alpha, "beta": self.beta}
