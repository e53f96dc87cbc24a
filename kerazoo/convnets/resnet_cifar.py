"""The residual networks of section 4.2: thin ones for 32 x 32 images.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385 (CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.convnets.resnet import ClassifierOptions

_REPEATS = {"resnet20": 3, "resnet32": 5, "resnet56": 9, "resnet110": 18}  # depth = 6 n + 2
_WIDTHS = (16, 32, 64)


class CifarResNetOptions(ClassifierOptions, total=False):
    """Keyword arguments of the CIFAR networks."""

    shortcut: str
    pad: str


def _zero_channels(x: keras.KerasTensor, filters: int, strides: int, pad: str, name: str) -> keras.KerasTensor:
    """Option A: every second pixel, and zero maps for the channels that are missing; no weights.

    Built-in layers pad height and width only, so the channel axis takes the place of the width meanwhile.
    """
    if strides > 1:
        x = layers.MaxPooling2D(1, strides=strides, data_format="channels_last", name=f"{name}_shortcut_subsample")(x)
    missing = filters - x.shape[-1]
    if missing:
        before = missing // 2 if pad == "both" else 0
        x = layers.Permute((1, 3, 2), name=f"{name}_shortcut_channels_to_width")(x)
        x = layers.ZeroPadding2D(
            ((0, 0), (before, missing - before)), data_format="channels_last", name=f"{name}_shortcut_zeros"
        )(x)
        x = layers.Permute((1, 3, 2), name=f"{name}_shortcut_width_to_channels")(x)
    return x


def _cifar_resnet(
    repeats: int,
    /,
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    shortcut: str = "A",
    pad: str = "end",
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "resnet",
) -> keras.Model:
    """Builds a network of section 4.2 with `repeats` blocks in each of three stages.

    Args:
        shortcut: Where the shape changes: `"A"`, every second pixel and zeros for the new channels (no
            weights, the paper's choice), or `"B"`, a 1 x 1 convolution.
        pad: With `shortcut="A"`: zero channels at the `"end"`, or half of them before the others (`"both"`).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height
        and width work; the feature map is 4 times smaller than the input.

    References:
        He, Zhang, Ren, Sun (2015), https://arxiv.org/abs/1512.03385
    """
    sizes = checks.image_shape(input_shape, model=name)
    num_classes = checks.positive_int("num_classes", num_classes)
    checks.one_of("shortcut", shortcut, ("A", "B"))
    checks.one_of("pad", pad, ("end", "both"))
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = blocks.conv_norm_act(x, 16, 3, names=("stem_conv", "stem_bn", "stem_out"))
    for stage, filters in enumerate(_WIDTHS, start=1):
        for index in range(1, repeats + 1):
            prefix = f"stage{stage}_block{index}"
            strides = 2 if stage > 1 and index == 1 else 1
            skip = x
            if strides > 1 and shortcut == "A":
                skip = _zero_channels(x, filters, strides, pad, prefix)
            elif strides > 1:
                skip = blocks.projection_shortcut(x, filters, strides, prefix)
            x = blocks.basic_residual(x, filters, strides, prefix)
            x = blocks.add_relu(x, skip, prefix, f"stage{stage}_out" if index == repeats else f"{prefix}_out")
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)


@register_model(family=_cifar_resnet)
def resnet20(
    input_shape: Sequence[int | None] = (32, 32, 3),
    num_classes: int = 10,
    **options: Unpack[CifarResNetOptions],
) -> keras.Model:
    """ResNet-20 for CIFAR-10: three stages of 3 basic blocks.

    Example:
        >>> model = kerazoo.resnet20((32, 32, 1), 10)
    """
    return _cifar_resnet(_REPEATS["resnet20"], input_shape, num_classes, **options)


@register_model(family=_cifar_resnet)
def resnet32(
    input_shape: Sequence[int | None] = (32, 32, 3),
    num_classes: int = 10,
    **options: Unpack[CifarResNetOptions],
) -> keras.Model:
    """ResNet-32 for CIFAR-10: three stages of 5 basic blocks.

    Example:
        >>> model = kerazoo.resnet32((32, 32, 1), 10)
    """
    return _cifar_resnet(_REPEATS["resnet32"], input_shape, num_classes, **options)


@register_model(family=_cifar_resnet)
def resnet56(
    input_shape: Sequence[int | None] = (32, 32, 3),
    num_classes: int = 10,
    **options: Unpack[CifarResNetOptions],
) -> keras.Model:
    """ResNet-56 for CIFAR-10: three stages of 9 basic blocks.

    Example:
        >>> model = kerazoo.resnet56((32, 32, 1), 10)
    """
    return _cifar_resnet(_REPEATS["resnet56"], input_shape, num_classes, **options)


@register_model(family=_cifar_resnet)
def resnet110(
    input_shape: Sequence[int | None] = (32, 32, 3),
    num_classes: int = 10,
    **options: Unpack[CifarResNetOptions],
) -> keras.Model:
    """ResNet-110 for CIFAR-10: three stages of 18 basic blocks.

    Example:
        >>> model = kerazoo.resnet110((32, 32, 1), 10)
    """
    return _cifar_resnet(_REPEATS["resnet110"], input_shape, num_classes, **options)
