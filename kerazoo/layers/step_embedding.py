"""The number of a step as sines and cosines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerazoo import checks


@keras.saving.register_keras_serializable(package="kerazoo")
class StepEmbedding(keras.layers.Layer):
    """Turns one number per sample (batch,) into sines, then cosines, of it: (batch, features).

    The frequencies fall from 1 to 1/10000. Computed in float32, since half precision cannot tell 900 from 901.

    Args:
        features: Length of the vectors, an even number of at least 4.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> tuple(kerazoo.layers.StepEmbedding(32)(keras.ops.array([0, 7])).shape)
        (2, 32)

    References:
        Ho et al. (2020), "Denoising diffusion probabilistic models", https://arxiv.org/abs/2006.11239
    """

    def __init__(self, features: int, **options: Any) -> None:
        super().__init__(**{"dtype": "float32", "autocast": False, **options})
        if checks.positive_int("features", features, minimum=4) % 2:
            raise ValueError(f"features must be even. Received: features={features!r}")
        self.features = features

    def call(self, inputs: Any) -> Any:
        half = self.features // 2
        rates = np.exp(-math.log(10_000) * np.arange(half) / (half - 1)).astype("float32")
        angles = ops.expand_dims(ops.cast(inputs, "float32"), -1) * rates
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape, self.features), dtype="float32")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape, self.features)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"features": self.features}
