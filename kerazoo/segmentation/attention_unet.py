"""Attention U-Net: gates that let through what the coarser level asks for.

O. Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", arXiv:1804.03999 (MIDL 2018).
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
def attention_unet(
    input_shape: Sequence[int | None] = (256, 256, 1),
    num_classes: int = 2,
    *,
    filters: int = 64,
    depth: int = 4,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "attention_unet",
) -> keras.Model:
    """U-Net whose skips pass additive attention gates, in the two-dimensional form in common use.

    Every fixed size works: an odd map is halved upwards and the up-sampled map is cropped to its partner. A size
    left open (`None`) must be a multiple of `2 ** depth` when the model is called. The gates' coefficients are
    the outputs of the layers `decoder{level}_gate`.

    Args:
        filters: Filters of the first level; they double with every level.
        depth: Number of times the map is halved.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout after the bottom of the network, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes).

    Example:
        >>> model = kerazoo.attention_unet((250, 313, 3), 4, filters=16)

    References:
        Oktay et al. (2018), https://arxiv.org/abs/1804.03999
    """
    sizes = checks.image_shape(input_shape, model="attention_unet")
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.positive_int("depth", depth)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    skips = []
    for level in range(1, depth + 2):
        x = _double_conv(x, filters * 2 ** (level - 1), f"stage{level}")
        if level <= depth:
            skips.append(x)
            x = layers.MaxPooling2D(2, padding="same", name=f"stage{level}_pool", **_FORMAT)(x)
    if dropout_rate > 0:
        x = layers.Dropout(dropout_rate, name="bottom_dropout")(x)
    for level in range(depth, 0, -1):
        prefix, width, skip = f"decoder{level}", filters * 2 ** (level - 1), skips[level - 1]
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"{prefix}_up", **_FORMAT)(x)
        x = blocks.crop_to(x, skip, name=f"{prefix}_crop")
        x = blocks.conv_stack(x, (width,), prefix=f"{prefix}_up", out=f"{prefix}_up_relu", normalization="batch")
        skip = _attention_gate(skip, x, max(width // 2, 1), f"{prefix}_gate")
        x = layers.Concatenate(name=f"{prefix}_concat")([skip, x])
        x = _double_conv(x, width, prefix)
    outputs = layers.Conv2D(num_classes, 1, activation=activation, dtype="float32", name="predictions", **_FORMAT)(x)
    return keras.Model(inputs, outputs, name=name)


def _double_conv(x: keras.KerasTensor, width: int, prefix: str) -> keras.KerasTensor:
    return blocks.conv_stack(x, (width, width), prefix=prefix, out=f"{prefix}_out", normalization="batch")


def _attention_gate(x: keras.KerasTensor, signal: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Equation 1: alpha = sigmoid(psi(relu(W_x x + W_g g))), and x times alpha.

    Here both maps have one resolution; the paper samples x down and alpha up.
    """
    parts = []
    for letter, tensor in (("x", x), ("g", signal)):
        part = layers.Conv2D(filters, 1, kernel_initializer="he_normal", name=f"{name}_{letter}", **_FORMAT)(tensor)
        parts.append(blocks.batch_norm(part, f"{name}_{letter}_bn"))
    query = layers.Activation("relu", name=f"{name}_relu")(layers.Add(name=f"{name}_add")(parts))
    alpha = blocks.batch_norm(layers.Conv2D(1, 1, name=f"{name}_psi", **_FORMAT)(query), f"{name}_psi_bn")
    alpha = layers.Activation("sigmoid", name=name)(alpha)
    return layers.Multiply(name=f"{name}_product")([x, alpha])
