"""The U-Net of CARE, Noise2Void and StarDist: nearest-neighbour up-sampling, half the filters before each step up."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from kerazoo.blocks.stack import conv_stack
from kerazoo.blocks.upsampling import crop_to, join_skip

_FORMAT = {"data_format": "channels_last"}


def unet_path(
    x: keras.KerasTensor,
    filters: int,
    depth: int,
    *,
    kernel_size: int = 3,
    convs_per_level: int = 2,
    normalization: str | None = None,
    blur_pool: bool = False,
    top_skip: bool = True,
    prefix: str = "",
) -> keras.KerasTensor:
    """Contracts and expands, without a head.

    Every fixed size works: an odd map is halved upwards, and what is too much after the up-sampling is cropped.

    Args:
        x: Feature map (batch, height, width, channels), or a volume.
        filters: Filters of the first level; they double with every level.
        depth: Number of halvings.
        kernel_size: Size of all kernels along each axis.
        convs_per_level: Convolutions of a level.
        normalization: `None`, or `"batch"` after every convolution.
        blur_pool: Whether maps are blurred between the maximum and the halving, against aliasing.
        top_skip: Whether the features of the first level are handed over.
        prefix: First part of the layers' names.

    Returns:
        The feature map, with as many channels as the first level has filters.

    References:
        Weigert et al. (2018), https://doi.org/10.1038/s41592-018-0216-7; the blur: Zhang (2019), "Making
        convolutional networks shift-invariant again", https://arxiv.org/abs/1904.11486
    """
    upsampling = layers.UpSampling2D if len(x.shape) == 4 else layers.UpSampling3D
    nearest = {"interpolation": "nearest"} if len(x.shape) == 4 else {}
    stack: dict[str, Any] = {
        "kernel_size": kernel_size,
        "normalization": normalization,
        "kernel_initializer": "glorot_uniform",
    }
    skips = []
    for level in range(1, depth + 1):
        name = f"{prefix}stage{level}"
        widths = (filters * 2 ** (level - 1),) * convs_per_level
        x = conv_stack(x, widths, prefix=name, out=f"{name}_out", **stack)
        skips.append(x)
        x = _halved(x, f"{name}_pool", blur_pool)
    for level in range(depth + 1, 0, -1):
        bottom = level == depth + 1
        name = f"{prefix}stage{level}" if bottom else f"{prefix}decoder{level}"
        if not bottom:
            x = upsampling(2, name=f"{name}_up", **nearest, **_FORMAT)(x)
            if level > 1 or top_skip:
                x = join_skip(x, skips[level - 1], name)
            else:
                x = crop_to(x, skips[0], name=f"{name}_crop")
        wide = (filters * 2 ** (level - 1),) * (convs_per_level - 1)
        x = conv_stack(x, (*wide, filters * 2 ** max(0, level - 2)), prefix=name, out=f"{name}_out", **stack)
    return x


def _halved(x: keras.KerasTensor, name: str, blur: bool) -> keras.KerasTensor:
    """Max pooling; with a blur the maximum is taken at every pixel, weighed by (1, 2, 1) / 4 and then halved.

    That kernel is two means of two pixels in a row, so poolings of Keras do it on images and volumes alike.
    """
    plane = len(x.shape) == 4
    largest, mean = (
        (layers.MaxPooling2D, layers.AveragePooling2D) if plane else (layers.MaxPooling3D, layers.AveragePooling3D)
    )
    # TensorFlow has no pooling of volumes in float16 on the CPU.
    options = {"padding": "same", "dtype": None if plane else "float32", **_FORMAT}
    if not blur:
        return largest(2, name=name, **options)(x)
    x = largest(2, strides=1, name=f"{name}_max", **options)(x)
    x = mean(2, strides=1, name=f"{name}_blur", **options)(x)
    return mean(2, strides=2, name=name, **options)(x)
