"""Pieces of generators and discriminators that several papers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.layers.maxout import Maxout
from kerazoo.layers.one_hot import OneHot

Norm = Callable[[keras.KerasTensor, str], keras.KerasTensor]


def uniform(limit: float) -> keras.Initializer:
    """Returns the initialiser U(-limit, limit)."""
    return keras.initializers.RandomUniform(-limit, limit)


def normal(deviation: float = 0.02) -> keras.Initializer:
    """Returns the initialiser N(0, deviation), by default that of DCGAN."""
    return keras.initializers.RandomNormal(stddev=deviation)


def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch normalisation with DCGAN's first scales, N(1, 0.02)."""
    gamma = keras.initializers.RandomNormal(1.0, 0.02)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=name)(x)


def plain_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch normalisation with the usual first scales of one."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def bare_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch normalisation without scale and shift."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, center=False, scale=False, name=name)(x)


def fixed_shape(name: str, input_shape: Any) -> tuple[int, ...]:
    """Returns the shape of an input of any number of axes, none of them open."""
    sizes = checks.shape(input_shape, ranks=())
    if None in sizes:
        raise ValueError(f"input_shape of {name} must be fixed. Received: input_shape={input_shape!r}")
    return tuple(int(size or 0) for size in sizes)


def image_shape(name: str, input_shape: Any, multiple: int) -> tuple[int, int, int]:
    """Returns the shape of an image whose height and width are a multiple of a number."""
    sizes = checks.image_shape(input_shape, model=name, dynamic="the generator makes images of one size")
    height, width, channels = (int(size or 0) for size in sizes)
    if height % multiple or width % multiple:
        nearest = tuple(max(round(size / multiple), 1) * multiple for size in (height, width))
        raise ValueError(
            f"input_shape of {name} must have a height and width that are multiples of {multiple}; "
            f"{nearest[0]} x {nearest[1]} would work. Received: input_shape={input_shape!r}"
        )
    return height, width, channels


def halvings(height: int, width: int) -> int:
    """Returns how often an image can be halved until it is 4 to 7 pixels small, or odd."""
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
        height, width, count = height // 2, width // 2, count + 1
    return count


def flattened(x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns an image as one row, and a row as it is."""
    return x if len(x.shape) == 2 else layers.Flatten(data_format="channels_last", name="image_flat")(x)


def flat_picture(x: keras.KerasTensor, sizes: Sequence[int], activation: Any, initializer: Any) -> keras.KerasTensor:
    """Ends a fully connected generator: one unit per value of the picture, in float32."""
    flat = len(sizes) == 1
    options = {"activation": activation, "kernel_initializer": initializer, "dtype": "float32"}
    x = layers.Dense(math.prod(sizes), name="picture" if flat else "picture_flat", **options)(x)
    return x if flat else layers.Reshape(sizes, dtype="float32", name="picture")(x)


def maxout(x: keras.KerasTensor, units: int, pieces: int, name: str, initializer: Any) -> keras.KerasTensor:
    """A layer of units that are each the largest of a few linear pieces."""
    x = layers.Dense(units * pieces, kernel_initializer=initializer, name=f"{name}_pieces")(x)
    return Maxout(pieces, name=name)(x)


def label_input(num_classes: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the input of class numbers, `label`, and the vectors they stand for."""
    label = keras.Input((), dtype="int32", name="label")
    return label, OneHot(num_classes, name="label_vector")(label)


def with_label(x: keras.KerasTensor, vector: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Joins a label to features, or to every position of a map."""
    if len(x.shape) == 4:
        vector = layers.Reshape((1, 1, vector.shape[-1]), name=f"{name}_point")(vector)
        size = tuple(x.shape[1:3])
        vector = layers.UpSampling2D(size, data_format="channels_last", name=f"{name}_maps")(vector)
    return layers.Concatenate(name=name)([x, vector])


def down(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    *,
    kernel_size: int = 5,
    strides: int = 2,
    use_bias: bool = False,
    normalization: Norm | None = norm,
    initializer: Any = None,
) -> keras.KerasTensor:
    """A discriminator's step inwards: convolution with (k - 1) / 2 zeros on both sides, normalisation, leaky ReLU."""
    pad = (kernel_size - 1) // 2
    x = layers.ZeroPadding2D(pad, data_format="channels_last", name=f"{name}_pad")(x)
    options = {"use_bias": use_bias, "kernel_initializer": initializer or normal(), "data_format": "channels_last"}
    x = layers.Conv2D(filters, kernel_size, strides=strides, name=f"{name}_conv", **options)(x)
    x = x if normalization is None else normalization(x, f"{name}_bn")
    return layers.LeakyReLU(0.2, name=f"{name}_relu")(x)


def up(
    x: keras.KerasTensor, filters: int, name: str, *, kernel_size: int = 5, use_bias: bool = False, **options: Any
) -> keras.KerasTensor:
    """A generator's step outwards: the transpose of a convolution with stride 2 and (k - 1) / 2 zeros on both sides.

    Keras' own `padding="same"` puts the zeros elsewhere, which moves the picture by a pixel.
    """
    before = (kernel_size - 1) // 2
    crop = (before, kernel_size - 2 - before)
    options = {"kernel_initializer": normal(), **options, "use_bias": use_bias, "data_format": "channels_last"}
    x = layers.Conv2DTranspose(filters, kernel_size, strides=2, padding="valid", name=f"{name}_conv", **options)(x)
    same = {"data_format": "channels_last", "dtype": options.get("dtype")}
    return layers.Cropping2D((crop, crop), name=name, **same)(x)


def norm_relu(x: keras.KerasTensor, name: str, normalization: Norm | None = norm) -> keras.KerasTensor:
    """Normalisation and ReLU of a generator."""
    x = x if normalization is None else normalization(x, f"{name}_bn")
    return layers.ReLU(name=f"{name}_relu")(x)


def score(x: keras.KerasTensor, initializer: Any = None, *, use_bias: bool = True, units: int = 1) -> keras.KerasTensor:
    """Ends a discriminator: a logit, in float32."""
    options = {"use_bias": use_bias, "kernel_initializer": initializer or normal(), "dtype": "float32"}
    return layers.Dense(units, name="score", **options)(x)
