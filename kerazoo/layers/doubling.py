"""Images and volumes made twice as large, of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class BilinearDoubling(keras.layers.Layer):
    """Doubles height and width of images (batch, height, width, channels) by bilinear interpolation.

    Of volumes (batch, depth, height, width, channels) all three sizes, by trilinear interpolation. For images it is the
    same as `UpSampling2D(2, interpolation="bilinear")`, which in a TensorFlow graph needs a known height and width.

    Args:
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> row = keras.ops.reshape(keras.ops.array([0.0, 4.0]), (1, 1, 2, 1))
        >>> kerazoo.layers.BilinearDoubling()(row)[0, 0, :, 0].numpy().tolist()
        [0.0, 1.0, 3.0, 4.0]
    """

    def call(self, inputs: Any) -> Any:
        for axis in range(1, len(inputs.shape) - 1):
            inputs = _doubled(inputs, axis)
        return inputs

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, *sizes, channels = input_shape
        return (batch, *(size and 2 * size for size in sizes), channels)


def _doubled(x: Any, axis: int) -> Any:
    """Puts two values in the place of each: three quarters of it, and one quarter of the neighbour on that side."""

    def part(begin: int | None, end: int | None) -> Any:
        return x[(slice(None),) * axis + (slice(begin, end),)]

    before = ops.concatenate([part(None, 1), part(None, -1)], axis=axis)
    behind = ops.concatenate([part(1, None), part(-1, None)], axis=axis)
    pairs = ops.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * behind], axis=axis + 1)
    shape = list(ops.shape(x))
    shape[axis] = 2 * shape[axis]
    return ops.reshape(pairs, shape)
