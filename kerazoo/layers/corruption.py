"""Noise that is there in training only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

CORRUPTIONS = ("masking", "gaussian", "salt_and_pepper")


@keras.saving.register_keras_serializable(package="kerazoo")
class Corruption(keras.layers.Layer):
    """Corrupts its input in training and hands it on unchanged otherwise.

    Args:
        kind: `"masking"` sets a fraction of the values to zero, `"salt_and_pepper"` a fraction to `low` or `high`, each
            with probability 1/2; `"gaussian"` adds normal noise.
        level: The fraction, or the standard deviation of the noise.
        low, high: Smallest and largest value of the data, for `"salt_and_pepper"`.
        seed: Fixes the noise.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.Corruption("masking", 0.3)(x, training=True)

    References:
        Vincent et al. (2010), "Stacked denoising autoencoders", section 3.3,
        https://jmlr.org/papers/v11/vincent10a.html
    """

    def __init__(
        self,
        kind: str = "masking",
        level: float = 0.3,
        low: float = 0.0,
        high: float = 1.0,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.kind, self.level, self.low, self.high, self.seed = kind, level, low, high, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or not self.level:
            return inputs
        shape, dtype = ops.shape(inputs), inputs.dtype
        if self.kind == "gaussian":
            return inputs + self.level * keras.random.normal(shape, dtype=dtype, seed=self.seed_generator)
        draw = keras.random.uniform(shape, seed=self.seed_generator)  # float32: half precision has few steps near 1
        if self.kind == "masking":
            return ops.where(draw < self.level, ops.zeros_like(inputs), inputs)
        extreme = ops.where(draw < self.level / 2, self.low, self.high)
        return ops.where(draw < self.level, ops.cast(extreme, dtype), inputs)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Nothing is multiplied."""
        return 0

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "kind": self.kind,
            "level": self.level,
            "low": self.low,
            "high": self.high,
            "seed": self.seed,
        }
