"""The sub-pixel step of super-resolution networks: channels become pixels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerazoo import checks


@keras.saving.register_keras_serializable(package="kerazoo")
class DepthToSpace(keras.layers.Layer):
    """Lays every group of `factor * factor` channels out as a square of pixels ("pixel shuffle").

    Of `factor * factor * C` channels, number `(i * factor + j) * C + c` becomes channel c of the pixel in row i and
    column j of its square. PyTorch counts them as `c * factor * factor + i * factor + j`.

    Call arguments:
        inputs: Feature map (batch, height, width, factor * factor * C).

    Returns:
        The map (batch, factor * height, factor * width, C).

    Args:
        factor: How many times larger the image becomes.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.DepthToSpace(2)(x)

    References:
        Shi et al. (2016), https://arxiv.org/abs/1609.05158
    """

    def __init__(self, factor: int, **options: Any) -> None:
        super().__init__(**options)
        self.factor = checks.positive_int("factor", factor, minimum=2)

    def call(self, inputs: Any) -> Any:
        return ops.nn.depth_to_space(inputs, self.factor, data_format="channels_last")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, height, width, channels = input_shape
        grown = (None if size is None else size * self.factor for size in (height, width))
        return (batch, *grown, channels // self.factor**2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}
