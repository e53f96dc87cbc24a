"""SRResNet: residual blocks on the small image, sub-pixel convolutions at the end.

C. Ledig, L. Theis, F. Huszar, J. Caballero, A. Cunningham, A. Acosta, A. Aitken, A. Tejani, J. Totz, Z. Wang, W. Shi,
"Photo-realistic single image super-resolution using a generative adversarial network", arXiv:1609.04802 (CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.depth_to_space import DepthToSpace
from kerazoo.layers.doubling import BilinearDoubling

_FORMAT = {"padding": "same", "data_format": "channels_last"}


class SRResNetOptions(TypedDict, total=False):
    """Keyword arguments beside sizes, factor and depth."""

    global_skip: bool
    output_activation: Any
    include_preprocessing: bool | tuple[float, float]
    weights: str | None
    dtype: str | None
    name: str


@register_model
def srresnet(
    input_shape: Sequence[int | None] = (24, 24, 3),
    num_channels: int = 3,
    *,
    scale: int = 4,
    filters: int = 64,
    num_blocks: int = 16,
    global_skip: bool = False,
    output_activation: Any = None,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "srresnet",
) -> keras.Model:
    """SRResNet, the generator of SRGAN: makes an image `scale` times larger in height and width.

    The paper gives it images in [0, 1] and asks for images in [-1, 1], with the mean squared error.

    Args:
        scale: How many times larger the image becomes: 2, 4, 8, ...
        filters: Filters of every convolution but those of the sub-pixel steps, which have four times as many.
        num_blocks: Residual blocks.
        global_skip: Whether the network only says what is missing in the input enlarged by interpolation, as in VDSR.
            Then the input has to be in [0, 1], and the output is in [-1, 1].

    Returns:
        A functional `keras.Model`, (batch, height, width, channels) -> (batch, scale height, scale width,
        num_channels).

    Example:
        >>> model = kerazoo.srresnet((None, None, 1), 1, scale=2)
        >>> model.compile("adam", "mean_squared_error")

    References:
        Ledig et al. (2017), https://arxiv.org/abs/1609.04802; the global skip: Kim, Lee, Lee (2016), "Accurate image
        super-resolution using very deep convolutional networks", https://arxiv.org/abs/1511.04587
    """
    sizes = checks.image_shape(input_shape, model=name)
    num_channels = checks.positive_int("num_channels", num_channels)
    filters, num_blocks = checks.positive_int("filters", filters), checks.positive_int("num_blocks", num_blocks)
    steps = doublings(scale)
    checks.activation("output_activation", output_activation)
    if checks.flag("global_skip", global_skip) and (sizes[-1] != num_channels or output_activation is not None):
        raise ValueError(
            "global_skip=True needs as many channels in as out and no output_activation. Received: "
            f"input_shape={sizes!r}, num_channels={num_channels}, output_activation={output_activation!r}"
        )

    inputs, image = blocks.image_input(sizes, include_preprocessing)
    x = first = _prelu(layers.Conv2D(filters, 9, name="stem_conv", **_FORMAT)(image), "stem_out")
    for index in range(1, num_blocks + 1):
        x = _residual_block(x, f"block{index}")
    x = blocks.batch_norm(layers.Conv2D(filters, 3, name="trunk_conv", **_FORMAT)(x), "trunk_bn")
    x = layers.Add(name="trunk_out")([x, first])
    for index in range(1, steps + 1):
        x = layers.Conv2D(4 * filters, 3, name=f"up{index}_conv", **_FORMAT)(x)
        x = _prelu(DepthToSpace(2, name=f"up{index}_shuffle")(x), f"up{index}_out")
    last = {"kernel_initializer": "zeros"} if global_skip else {"activation": output_activation}
    x = layers.Conv2D(num_channels, 9, dtype="float32", name="predictions", **last, **_FORMAT)(x)
    return keras.Model(inputs, _added(x, image, steps) if global_skip else x, name=name)


def _added(x: keras.KerasTensor, image: keras.KerasTensor, steps: int) -> keras.KerasTensor:
    """Adds the image in [0, 1], enlarged and moved to [-1, 1]; what is added to it starts at zero."""
    for index in range(1, steps + 1):
        image = BilinearDoubling(dtype="float32", name=f"double{index}")(image)
    moved = layers.Rescaling(2.0, -1.0, dtype="float32", name="skip")(image)
    return layers.Add(dtype="float32", name="predictions_out")([x, moved])


@register_model(family=srresnet)
def srresnet_small(
    input_shape: Sequence[int | None] = (24, 24, 3),
    num_channels: int = 3,
    *,
    scale: int = 2,
    filters: int = 32,
    num_blocks: int = 4,
    **options: Unpack[SRResNetOptions],
) -> keras.Model:
    """SRResNet that a laptop trains in minutes: twice as large, four blocks of 32 filters.

    Example:
        >>> model = kerazoo.srresnet_small((None, None, 3), 3)
    """
    return srresnet(input_shape, num_channels, scale=scale, filters=filters, num_blocks=num_blocks, **options)


def doublings(scale: Any) -> int:
    """Returns how often an image is doubled to become `scale` times larger; refuses what is no power of two."""
    number = checks.positive_int("scale", scale, minimum=2)
    if number & (number - 1):
        raise ValueError(f"scale must be a power of two such as 2 or 4. Received: scale={scale!r}")
    return number.bit_length() - 1


def _residual_block(x: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
    shortcut, filters = x, x.shape[-1]
    x = blocks.batch_norm(layers.Conv2D(filters, 3, name=f"{prefix}_conv1", **_FORMAT)(x), f"{prefix}_bn1")
    x = _prelu(x, f"{prefix}_prelu")
    x = blocks.batch_norm(layers.Conv2D(filters, 3, name=f"{prefix}_conv2", **_FORMAT)(x), f"{prefix}_bn2")
    return layers.Add(name=f"{prefix}_out")([x, shortcut])


def _prelu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """One slope per channel, which starts at 0.25 as in the paper of the PReLU."""
    return layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.25), name=name)(x)
