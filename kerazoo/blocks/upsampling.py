"""Growing maps back: cropping to a partner's size, joining skips, bilinear transposed convolution."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def crop_to(
    x: keras.KerasTensor,
    other: keras.KerasTensor,
    *,
    centre: bool = False,
    always: bool = False,
    dtype: str | None = None,
    name: str,
) -> keras.KerasTensor:
    """Crops `x` to the size of `other` where it is larger; a size that is open is left alone.

    Args:
        x: Image or volume, channels last.
        other: The map that says the size.
        centre: Crop around the centre; else at the far end, which is where `padding="same"` puts the surplus when a
            pooling halves an odd map upwards.
        always: Add the layer even if there is nothing to crop. Where several ways through the network have different
            numbers of layers, the order of the weights would depend on the size of the image otherwise.
        dtype: Policy of the layer; behind a head `"float32"`.
        name: Name of the layer, if one is needed.

    Returns:
        The cropped map.
    """
    mine, theirs = x.shape[1:-1], other.shape[1:-1]
    if None in mine or None in theirs:
        surplus = [0] * len(mine)
    else:
        surplus = [max(size - wanted, 0) for size, wanted in zip(mine, theirs, strict=True)]
    if not any(surplus) and not always:
        return x
    pairs = tuple((extra // 2 if centre else 0, extra - (extra // 2 if centre else 0)) for extra in surplus)
    crop = layers.Cropping2D if len(pairs) == 2 else layers.Cropping3D
    return crop(pairs, data_format="channels_last", dtype=dtype, name=name)(x)


def join_skip(x: keras.KerasTensor, skip: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
    """Crops the larger of the two maps to the smaller one and concatenates [skip, up]."""
    skip = crop_to(skip, x, centre=True, name=f"{prefix}_skip_crop")
    x = crop_to(x, skip, name=f"{prefix}_crop")
    return layers.Concatenate(name=f"{prefix}_concat")([skip, x])


def bilinear_kernel(size: int) -> np.ndarray:
    """Returns the (size, size) kernel with which a transposed convolution of stride size / 2 interpolates."""
    half = (size + 1) // 2
    centre = half - 1 if size % 2 else half - 0.5
    ramp = 1 - np.abs(np.arange(size) - centre) / half
    return np.outer(ramp, ramp).astype("float32")


def bilinear_upsampling(
    x: keras.KerasTensor,
    factor: int,
    *,
    name: str,
    padding: str = "same",
    trainable: bool = True,
    activation: str | None = None,
    dtype: str | None = None,
) -> keras.KerasTensor:
    """Transposed convolution without bias that starts as bilinear interpolation of every channel by itself.

    The kernel of 2 x factor is put in after the layer is built: as an initialiser it would be a class of kerazoo's,
    and the file of a model of built-in layers could not be loaded without kerazoo.
    """
    channels = x.shape[-1]
    layer = layers.Conv2DTranspose(
        channels,
        2 * factor,
        strides=factor,
        padding=padding,
        use_bias=False,
        activation=activation,
        trainable=trainable,
        data_format="channels_last",
        dtype=dtype,
        name=name,
    )
    y = layer(x)
    layer.kernel.assign(bilinear_kernel(2 * factor)[:, :, None, None] * np.eye(channels, dtype="float32"))
    return y
