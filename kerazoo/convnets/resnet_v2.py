"""Residual networks with pre-activation: normalisation and ReLU stand in front of the convolutions.

K. He, X. Zhang, S. Ren, J. Sun, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027 (ECCV 2016).
The network that keras.applications calls ResNet V2 is another one, see `resnet_v2_keras.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.convnets.resnet import SPECS, WIDTHS, ClassifierOptions, Spec

_FORMAT: dict[str, Any] = {"data_format": "channels_last"}


def _conv(x: keras.KerasTensor, filters: int, kernel: int, strides: int, name: str) -> keras.KerasTensor:
    """Convolution without bias, padded by (k - 1) / 2 on both sides."""
    if strides > 1 and kernel > 1:
        x = layers.ZeroPadding2D((kernel - 1) // 2, name=f"{name}_pad", **_FORMAT)(x)
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        use_bias=False,
        kernel_initializer=blocks.HE_NORMAL_FAN_OUT,
        name=name,
        **_FORMAT,
    )(x)


def _residual(x: keras.KerasTensor, width: int, strides: int, bottleneck: bool, name: str) -> keras.KerasTensor:
    """The convolutions of a unit on its pre-activated input, with batch normalisation and ReLU between them."""
    plan: tuple[tuple[int, int, int], ...]
    if bottleneck:
        plan = ((width, 1, 1), (width, 3, strides), (4 * width, 1, 1))
    else:
        plan = ((width, 3, strides), (width, 3, 1))
    for index, (filters, kernel, step) in enumerate(plan, start=1):
        if index > 1:
            x = blocks.norm_act(x, (f"{name}_bn{index}", f"{name}_relu{index}"))
        x = _conv(x, filters, kernel, step, f"{name}_conv{index}")
    return x


def _stem(x: keras.KerasTensor) -> keras.KerasTensor:
    """7 x 7 convolution and pooling; nothing is normalised before the first unit does it.

    No ReLU stands in front of the pooling, so it must be padded by minus infinity on both sides: with a stride of 1
    "same" pads so, and every second of its windows is wanted.
    """
    x = _conv(x, 64, 7, 2, "stem_conv")
    x = layers.Identity(name="stem_out")(x)
    x = layers.MaxPooling2D(3, strides=1, padding="same", name="stem_pool", **_FORMAT)(x)
    return layers.MaxPooling2D(1, strides=2, name="stem_pool_stride", **_FORMAT)(x)


def _resnet_v2(
    spec: Spec,
    /,
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "resnet_v2",
) -> keras.Model:
    """Builds a network with pre-activated units.

    A stage ends where batch normalisation and ReLU have been applied to its sum: the first unit of the next stage
    shares them between its convolutions and its shortcut.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height
        and width work; the feature map is 32 times smaller than the input.

    References:
        He, Zhang, Ren, Sun (2016), https://arxiv.org/abs/1603.05027
    """
    sizes = checks.image_shape(input_shape, model=name)
    checks.positive_int("num_classes", num_classes)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = _stem(x)
    for stage, (width, repeats) in enumerate(zip(WIDTHS, spec.repeats, strict=True), start=1):
        filters = 4 * width if spec.bottleneck else width
        for index in range(1, repeats + 1):
            prefix = f"stage{stage}_block{index}"
            strides = 2 if stage > 1 and index == 1 else 1
            ends_stage = stage > 1 and index == 1
            names = (f"stage{stage - 1}_bn", f"stage{stage - 1}_out") if ends_stage else None
            activated = blocks.norm_act(x, names or (f"{prefix}_bn1", f"{prefix}_relu1"))
            if strides > 1 or x.shape[-1] != filters:
                x = _conv(activated, filters, 1, strides, f"{prefix}_shortcut_conv")
            residual = _residual(activated, width, strides, spec.bottleneck, prefix)
            x = layers.Add(name=f"{prefix}_add")([x, residual])
    x = blocks.norm_act(x, ("stage4_bn", "stage4_out"))
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)


@register_model(family=_resnet_v2)
def resnet18_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """Pre-activation ResNet-18: basic units, 2 + 2 + 2 + 2.

    Example:
        >>> model = kerazoo.resnet18_v2((64, 64, 1), 5)
    """
    return _resnet_v2(SPECS["resnet18"], input_shape, num_classes, **options)


@register_model(family=_resnet_v2)
def resnet34_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """Pre-activation ResNet-34: basic units, 3 + 4 + 6 + 3.

    Example:
        >>> model = kerazoo.resnet34_v2((128, 128, 3), 10)
    """
    return _resnet_v2(SPECS["resnet34"], input_shape, num_classes, **options)


@register_model(family=_resnet_v2)
def resnet50_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """Pre-activation ResNet-50: bottleneck units, 3 + 4 + 6 + 3.

    Example:
        >>> model = kerazoo.resnet50_v2((None, None, 3), include_top=False)
    """
    return _resnet_v2(SPECS["resnet50"], input_shape, num_classes, **options)


@register_model(family=_resnet_v2)
def resnet101_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """Pre-activation ResNet-101: bottleneck units, 3 + 4 + 23 + 3.

    Example:
        >>> model = kerazoo.resnet101_v2(num_classes=20)
    """
    return _resnet_v2(SPECS["resnet101"], input_shape, num_classes, **options)


@register_model(family=_resnet_v2)
def resnet152_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """Pre-activation ResNet-152: bottleneck units, 3 + 8 + 36 + 3.

    Example:
        >>> model = kerazoo.resnet152_v2(num_classes=20)
    """
    return _resnet_v2(SPECS["resnet152"], input_shape, num_classes, **options)
