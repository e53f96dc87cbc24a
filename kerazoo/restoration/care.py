"""CARE: content-aware image restoration from pairs of poor and good images of the same place.

M. Weigert, U. Schmidt, T. Boothe, A. Mueller, A. Dibrov, A. Jain, B. Wilhelm, D. Schmidt, C. Broaddus, S. Culley,
M. Rocha-Martins, F. Segovia-Miranda, C. Norden, R. Henriques, M. Zerial, M. Solimena, J. Rink, P. Tomancak, L. Royer,
F. Jug, E. W. Myers, "Content-aware image restoration: pushing the limits of fluorescence microscopy", Nature Methods 15
(2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.restoration._shared import pixel_head

_SMALLEST_SCALE = 1e-3


@register_model
def care(
    input_shape: Sequence[int | None] = (128, 128, 1),
    num_channels: int = 1,
    *,
    filters: int = 32,
    depth: int = 2,
    kernel_size: int | None = None,
    residual: bool | str = "auto",
    probabilistic: bool = False,
    output_activation: Any = None,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "care",
) -> keras.Model:
    """U-Net that turns noisy or otherwise poor images or volumes into good ones, trained on pairs.

    Images are expected with their percentiles moved to 0 and 1, see `kerazoo.percentile_normalise`, and the loss is
    the mean absolute error. With `probabilistic=True` every pixel gets a Laplace distribution instead, the loss is
    `kerazoo.losses.Laplace`, and the output has twice the channels: centres, then widths.

    Every fixed size works: an odd map is halved upwards and the up-sampled map is cropped to its partner. A size left
    open (`None`) must be a multiple of `2 ** depth` when the model is called.

    Args:
        input_shape: Shape of one image (height, width, channels) or volume (depth, height, width, channels).
        filters: Filters of the first level; they double with every level.
        depth: Number of times the map is halved.
        kernel_size: Size of the kernels along each axis. Defaults to 5 for images and 3 for volumes.
        residual: Whether the network only says what is to be added to its input. `"auto"`: where there are as many
            channels out as in.
        probabilistic: Whether the output is a distribution per pixel.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width, num_channels), or
        the same with a depth; twice the channels with `probabilistic=True`.

    Example:
        >>> model = kerazoo.care((None, None, 1), 1)
        >>> model.compile("adam", "mean_absolute_error")
        >>> model = kerazoo.care((None, None, 1), 1, probabilistic=True)
        >>> model.compile("adam", kerazoo.losses.Laplace())

    References:
        Weigert et al. (2018), https://doi.org/10.1038/s41592-018-0216-7
    """
    sizes = checks.image_shape(input_shape, model="care", ranks=(3, 4))
    num_channels = checks.positive_int("num_channels", num_channels)
    filters, depth = checks.positive_int("filters", filters), checks.positive_int("depth", depth)
    kernel_size = (5 if len(sizes) == 3 else 3) if kernel_size is None else kernel_size
    checks.positive_int("kernel_size", kernel_size)

    inputs, image = blocks.image_input(sizes, include_preprocessing)
    x = blocks.unet_path(image, filters, depth, kernel_size=kernel_size)
    restored = pixel_head(x, image, num_channels, residual, output_activation)
    if checks.flag("probabilistic", probabilistic):
        conv = layers.Conv2D if len(sizes) == 3 else layers.Conv3D
        wide = conv(num_channels, 1, activation="softplus", data_format="channels_last", dtype="float32", name="scale")(
            x
        )
        wide = layers.Rescaling(1.0, _SMALLEST_SCALE, dtype="float32", name="scale_floor")(wide)
        restored = layers.Concatenate(dtype="float32", name="centre_and_scale")([restored, wide])
    return keras.Model(inputs, restored, name=name)
