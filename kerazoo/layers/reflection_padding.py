"""Continuing an image by its mirror image, which leaves no edge that a convolution could see."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerazoo import checks


@keras.saving.register_keras_serializable(package="kerazoo")
class ReflectionPadding2D(keras.layers.Layer):
    """Adds rows and columns on all four sides that mirror the image about its outermost pixels.

    Call arguments:
        inputs: Feature map (batch, height, width, channels), height and width larger than `padding`.

    Returns:
        The map (batch, height + 2 padding, width + 2 padding, channels).

    Args:
        padding: Pixels on each side.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> kerazoo.layers.ReflectionPadding2D(3)(x)
    """

    def __init__(self, padding: int, **options: Any) -> None:
        super().__init__(**options)
        self.padding = checks.positive_int("padding", padding)

    def call(self, inputs: Any) -> Any:
        sides = (self.padding, self.padding)
        return ops.pad(inputs, ((0, 0), sides, sides, (0, 0)), mode="reflect")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, height, width, channels = input_shape
        grown = (None if size is None else size + 2 * self.padding for size in (height, width))
        return (batch, *grown, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding}
