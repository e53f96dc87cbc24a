"""The U-Net of CARE and StarDist: nearest-neighbour up-sampling, and half the filters before each step up."""

from __future__ import annotations

import keras
from keras import layers

from kerazoo.blocks.stack import conv_stack
from kerazoo.blocks.upsampling import join_skip


def unet_path(
    x: keras.KerasTensor, filters: int, depth: int, *, convs_per_level: int = 2, prefix: str = ""
) -> keras.KerasTensor:
    """Contracts and expands, without a head.

    Every fixed size works: an odd map is halved upwards, and what is too much after the up-sampling is cropped.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Filters of the first level; they double with every level.
        depth: Number of halvings.
        convs_per_level: Convolutions 3 x 3 of a level.
        prefix: First part of the layers' names.

    Returns:
        The feature map, with as many channels as the first level has filters.
    """
    options = {"kernel_initializer": "glorot_uniform"}
    skips = []
    for level in range(1, depth + 1):
        name = f"{prefix}stage{level}"
        widths = (filters * 2 ** (level - 1),) * convs_per_level
        x = conv_stack(x, widths, prefix=name, out=f"{name}_out", **options)
        skips.append(x)
        x = layers.MaxPooling2D(2, padding="same", data_format="channels_last", name=f"{name}_pool")(x)
    for level in range(depth + 1, 0, -1):
        bottom = level == depth + 1
        name = f"{prefix}stage{level}" if bottom else f"{prefix}decoder{level}"
        if not bottom:
            x = layers.UpSampling2D(2, interpolation="nearest", data_format="channels_last", name=f"{name}_up")(x)
            x = join_skip(x, skips[level - 1], name)
        wide = (filters * 2 ** (level - 1),) * (convs_per_level - 1)
        x = conv_stack(x, (*wide, filters * 2 ** max(0, level - 2)), prefix=name, out=f"{name}_out", **options)
    return x
