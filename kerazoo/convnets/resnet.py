"""Residual networks: blocks that learn what to add to their input.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385 (CVPR 2016).
The networks of section 4.1 (ImageNet); those of section 4.2 (CIFAR-10) are in `resnet_cifar.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model


@dataclass(frozen=True)
class Spec:
    """One column of the paper's table 1: blocks per stage, and whether they are bottlenecks."""

    repeats: tuple[int, int, int, int]
    bottleneck: bool


SPECS = {
    "resnet18": Spec((2, 2, 2, 2), bottleneck=False),
    "resnet34": Spec((3, 4, 6, 3), bottleneck=False),
    "resnet50": Spec((3, 4, 6, 3), bottleneck=True),
    "resnet101": Spec((3, 4, 23, 3), bottleneck=True),
    "resnet152": Spec((3, 8, 36, 3), bottleneck=True),
}
WIDTHS = (64, 128, 256, 512)


class ClassifierOptions(TypedDict, total=False):
    """Keyword arguments of every image classifier."""

    include_top: bool
    pooling: str | None
    classifier_activation: Any
    dropout_rate: float
    include_preprocessing: bool | tuple[float, float]
    weights: str | None
    dtype: str | None
    name: str


class ResNetOptions(ClassifierOptions, total=False):
    """Keyword arguments of the ImageNet networks."""

    stride_in: str


def _bottleneck(x: keras.KerasTensor, filters: int, strides: int, stride_in: str, name: str) -> keras.KerasTensor:
    """1 x 1 to narrow, 3 x 3, 1 x 1 to widen four times."""
    first, second = (strides, 1) if stride_in == "1x1" else (1, strides)
    for index, (width, kernel, step) in enumerate(
        ((filters, 1, first), (filters, 3, second), (4 * filters, 1, 1)), start=1
    ):
        act = f"{name}_relu{index}" if index < 3 else None
        x = blocks.conv_norm_act(
            x, width, kernel, strides=step, names=(f"{name}_conv{index}", f"{name}_bn{index}", act)
        )
    return x


def _resnet(
    spec: Spec,
    /,
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    stride_in: str = "1x1",
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "resnet",
) -> keras.Model:
    """Builds a network of table 1.

    Args:
        stride_in: Where a bottleneck that halves the map has its stride: `"1x1"` as in the paper, or `"3x3"`
            as in PyTorch's version ("v1.5"). Basic blocks have no choice.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height
        and width work; the feature map is 32 times smaller than the input.

    References:
        He, Zhang, Ren, Sun (2015), https://arxiv.org/abs/1512.03385
    """
    sizes = checks.image_shape(input_shape, model=name)
    num_classes = checks.positive_int("num_classes", num_classes)
    checks.one_of("stride_in", stride_in, ("1x1", "3x3"))
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = blocks.conv_norm_act(x, 64, 7, strides=2, names=("stem_conv", "stem_bn", "stem_out"))
    # The input of this pooling is a ReLU's output, so zeros around it do what PyTorch's minus infinity does.
    x = layers.ZeroPadding2D(1, data_format="channels_last", name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, data_format="channels_last", name="stem_pool")(x)
    for stage, (width, repeats) in enumerate(zip(WIDTHS, spec.repeats, strict=True), start=1):
        filters = 4 * width if spec.bottleneck else width
        for index in range(1, repeats + 1):
            prefix = f"stage{stage}_block{index}"
            strides = 2 if stage > 1 and index == 1 else 1
            changes = strides > 1 or x.shape[-1] != filters
            shortcut = blocks.projection_shortcut(x, filters, strides, prefix) if changes else x
            if spec.bottleneck:
                x = _bottleneck(x, width, strides, stride_in, prefix)
            else:
                x = blocks.basic_residual(x, width, strides, prefix)
            x = blocks.add_relu(x, shortcut, prefix, f"stage{stage}_out" if index == repeats else f"{prefix}_out")
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)


@register_model(family=_resnet)
def resnet18(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ResNetOptions],
) -> keras.Model:
    """ResNet-18: four stages of two basic blocks.

    Example:
        >>> model = kerazoo.resnet18((64, 64, 1), 5)
    """
    return _resnet(SPECS["resnet18"], input_shape, num_classes, **options)


@register_model(family=_resnet)
def resnet34(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ResNetOptions],
) -> keras.Model:
    """ResNet-34: basic blocks, 3 + 4 + 6 + 3.

    Example:
        >>> model = kerazoo.resnet34((128, 128, 3), 10)
    """
    return _resnet(SPECS["resnet34"], input_shape, num_classes, **options)


@register_model(family=_resnet)
def resnet50(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ResNetOptions],
) -> keras.Model:
    """ResNet-50: bottleneck blocks, 3 + 4 + 6 + 3.

    Example:
        >>> backbone = kerazoo.resnet50((None, None, 3), include_top=False)
    """
    return _resnet(SPECS["resnet50"], input_shape, num_classes, **options)


@register_model(family=_resnet)
def resnet101(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ResNetOptions],
) -> keras.Model:
    """ResNet-101: bottleneck blocks, 3 + 4 + 23 + 3.

    Example:
        >>> model = kerazoo.resnet101(num_classes=20)
    """
    return _resnet(SPECS["resnet101"], input_shape, num_classes, **options)


@register_model(family=_resnet)
def resnet152(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ResNetOptions],
) -> keras.Model:
    """ResNet-152: bottleneck blocks, 3 + 8 + 36 + 3.

    Example:
        >>> model = kerazoo.resnet152(num_classes=20)
    """
    return _resnet(SPECS["resnet152"], input_shape, num_classes, **options)
