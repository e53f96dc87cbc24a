"""MobileNet: a convolution taken apart into one filter per channel and a 1 x 1 convolution.

A. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
arXiv:1704.04861 (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model

_STAGES = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))
"""Table 1 of the paper: widths of the 1 x 1 convolutions; every stage but the first begins with a stride of 2."""


def _separable(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Depthwise 3 x 3 and pointwise 1 x 1, each with batch normalisation and ReLU6."""
    padding = "same"
    if strides > 1:
        # One row and column on the far side, whatever the size, as the networks the weights belong to do it.
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), data_format="channels_last", name=f"{name}_pad")(x)
        padding = "valid"
    x = blocks.depthwise_norm_act(x, 3, name=name, strides=strides, padding=padding)
    names = (f"{name}_pointwise", f"{name}_pointwise_bn", f"{name}_pointwise_act")
    return blocks.conv_norm_act(x, filters, 1, names=names, activation="relu6", epsilon=1e-3)


@register_model
def mobilenet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    alpha: float = 1.0,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.001,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "mobilenet",
) -> keras.Model:
    """MobileNet, version 1: thirteen depthwise-separable convolutions.

    Args:
        alpha: Width multiplier: every layer has `int(alpha * width)` channels.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height and
        width of at least 31 work; the feature map is 32 times smaller than the input.

    Example:
        >>> model = kerazoo.mobilenet((96, 96, 3), 10, alpha=0.5)

    References:
        Howard et al. (2017), https://arxiv.org/abs/1704.04861
    """
    sizes = checks.image_shape(input_shape, model=name, min_size=31)
    checks.positive_int("num_classes", num_classes)
    checks.positive("alpha", alpha)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    def width(filters: int) -> int:
        return max(1, int(filters * alpha))

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = blocks.conv_norm_act(
        x,
        width(32),
        3,
        strides=2,
        padding="same",
        activation="relu6",
        epsilon=1e-3,
        names=("stem_conv", "stem_bn", "stem_out"),
    )
    for stage, widths in enumerate(_STAGES, start=1):
        for index, filters in enumerate(widths, start=1):
            strides = 2 if stage > 1 and index == 1 else 1
            x = _separable(x, width(filters), strides, f"stage{stage}_block{index}")
        x = layers.Identity(name=f"stage{stage}_out")(x)
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)
