"""Deep residual U-Net: the U of U-Net, made of pre-activated residual units.

Z. Zhang, Q. Liu, Y. Wang, "Road Extraction by Deep Residual U-Net", arXiv:1711.10684 (IEEE GRSL 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.segmentation._shared import pixel_activation

_FORMAT = {"data_format": "channels_last"}


@register_model
def resunet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1,
    *,
    filters: int = 64,
    depth: int = 3,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "resunet",
) -> keras.Model:
    """ResUNet: residual units that halve the map by a stride, a bridge, and units behind up-samplings.

    Every fixed size works: an odd map is halved upwards and the up-sampled map is cropped to its partner. A size
    left open (`None`) must be a multiple of `2 ** depth` when the model is called.

    Args:
        filters: Filters of the first level; they double with every level.
        depth: Number of times the map is halved.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout after the bridge, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes).

    Example:
        >>> model = kerazoo.resunet((250, 313, 3), 4, filters=16)

    References:
        Zhang, Liu, Wang (2018), https://arxiv.org/abs/1711.10684
    """
    sizes = checks.image_shape(input_shape, model="resunet")
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.positive_int("depth", depth)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = _residual_unit(x, filters, 1, "stage1", first=True)
    skips = [x]
    for level in range(2, depth + 2):
        x = _residual_unit(x, filters * 2 ** (level - 1), 2, f"stage{level}")
        skips.append(x)
    if dropout_rate > 0:
        x = layers.Dropout(dropout_rate, name="bridge_dropout")(x)
    for level in range(depth, 0, -1):
        prefix = f"decoder{level}"
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"{prefix}_up", **_FORMAT)(x)
        x = blocks.join_skip(x, skips[level - 1], prefix)
        x = _residual_unit(x, filters * 2 ** (level - 1), 1, prefix)
    outputs = layers.Conv2D(num_classes, 1, activation=activation, dtype="float32", name="predictions", **_FORMAT)(x)
    return keras.Model(inputs, outputs, name=name)


def _residual_unit(
    x: keras.KerasTensor, filters: int, strides: int, prefix: str, *, first: bool = False
) -> keras.KerasTensor:
    """Normalisation, ReLU, convolution, twice; the first unit starts with its convolution (table I)."""
    y = x if first else _norm_relu(x, f"{prefix}_1")
    y = _conv(y, filters, 3, strides, f"{prefix}_conv1")
    y = _conv(_norm_relu(y, f"{prefix}_2"), filters, 3, 1, f"{prefix}_conv2")
    # The channels change in every unit, so every shortcut is a projection.
    shortcut = blocks.batch_norm(_conv(x, filters, 1, strides, f"{prefix}_shortcut_conv"), f"{prefix}_shortcut_bn")
    return layers.Add(name=f"{prefix}_out")([y, shortcut])


def _norm_relu(x: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
    return layers.Activation("relu", name=f"{prefix}_relu")(blocks.batch_norm(x, f"{prefix}_bn"))


def _conv(x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str) -> keras.KerasTensor:
    padding = "same"
    if strides > 1 and kernel_size > 1:  # the same on both sides, so that the map is not shifted
        x = layers.ZeroPadding2D((kernel_size - 1) // 2, name=f"{name}_pad", **_FORMAT)(x)
        padding = "valid"
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_initializer=blocks.HE_NORMAL_FAN_IN,
        name=name,
        **_FORMAT,
    )(x)
