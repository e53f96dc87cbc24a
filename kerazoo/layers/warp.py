"""Images and fields of displacements pulled along fields of displacements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerazoo import checks


@keras.saving.register_keras_serializable(package="kerazoo")
class Warp(keras.layers.Layer):
    """Pulls images or volumes along a field of displacements: `output(p) = image(p + field(p))`, linearly interpolated.

    What lies outside the image has the value of its nearest edge. Gradients flow to the image and to the field.

    Called with `[image, field]`: (batch, height, width, channels) and (batch, height, width, 2), displacements in
    pixels along height and width; of volumes (batch, depth, height, width, channels) and 3 displacements.

    Args:
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> image = keras.ops.reshape(keras.ops.arange(4.0), (1, 1, 4, 1))
        >>> right = keras.ops.stack([keras.ops.zeros((1, 1, 4)), 0.5 * keras.ops.ones((1, 1, 4))], axis=-1)
        >>> kerazoo.layers.Warp()([image, right])[0, 0, :, 0].numpy().tolist()
        [0.5, 1.5, 2.5, 3.0]

    References:
        Jaderberg et al. (2015), https://arxiv.org/abs/1506.02025
    """

    def call(self, inputs: Sequence[Any]) -> Any:
        image, field = inputs
        return warped(image, field)

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        image, field = input_shape
        return (*field[:-1], image[-1])


@keras.saving.register_keras_serializable(package="kerazoo")
class ScalingAndSquaring(keras.layers.Layer):
    """Integrates a velocity that does not change in time: the displacement after one unit of time.

    The velocity is divided by `2 ** steps`, which is nearly the displacement after so short a time, and this is
    composed with itself `steps` times: `u <- u + u(p + u)`. The result is smooth and can be inverted, by integrating
    the negative velocity.

    Args:
        steps: Number of compositions.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> velocity = keras.ops.ones((1, 8, 8, 2))
        >>> float(keras.ops.max(kerazoo.layers.ScalingAndSquaring(7)(velocity)))
        1.0

    References:
        Arsigny et al. (2006), https://doi.org/10.1007/11866565_113
    """

    def __init__(self, steps: int = 7, **options: Any) -> None:
        super().__init__(**options)
        self.steps = checks.positive_int("steps", steps)

    def call(self, inputs: Any) -> Any:
        field = inputs / 2**self.steps
        for _ in range(self.steps):
            field = field + warped(field, field)
        return field

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        return {**super().get_config(), "steps": self.steps}


def warped(image: Any, field: Any) -> Any:
    """Pulls images along a field of displacements; see `Warp`.

    Args:
        image: (batch, sizes, channels).
        field: (batch, sizes, number of sizes) in pixels.

    Returns:
        A tensor like `image`.
    """
    shape = ops.shape(image)
    batch, sizes, channels = shape[0], shape[1:-1], image.shape[-1]
    rank = len(sizes)
    lower, weight = [], []
    for axis, size in enumerate(sizes):
        grid = ops.cast(ops.arange(size), field.dtype)
        place = field[..., axis] + ops.reshape(grid, (1,) + (1,) * axis + (-1,) + (1,) * (rank - axis - 1))
        last = ops.cast(size - 1, field.dtype)
        place = ops.clip(place, 0.0, last)
        # The last pixel is the upper neighbour of the one before, so that there always is an upper neighbour.
        below = ops.maximum(ops.minimum(ops.floor(place), last - 1.0), 0.0)
        lower.append(ops.cast(below, "int32"))
        weight.append(place - below)
    flat = ops.reshape(image, (-1, channels))
    first = ops.reshape(ops.arange(batch, dtype="int32") * _product(sizes), (-1,) + (1,) * rank)
    result = None
    for corner in itertools.product((0, 1), repeat=rank):
        index: Any = 0
        share: Any = 1.0
        for axis, size in enumerate(sizes):
            index = index * size + ops.minimum(lower[axis] + corner[axis], size - 1)
            share = share * (weight[axis] if corner[axis] else 1.0 - weight[axis])
        part = ops.take(flat, first + index, axis=0) * ops.expand_dims(share, -1)
        result = part if result is None else result + part
    return result


def _product(sizes: Sequence[Any]) -> Any:
    product: Any = 1
    for size in sizes:
        product = product * size
    return product
