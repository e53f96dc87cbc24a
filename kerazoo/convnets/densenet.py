"""Densely connected networks: every layer sees the maps of all layers before it.

G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger, "Densely Connected Convolutional Networks", arXiv:1608.06993
(CVPR 2017): the ImageNet networks of table 1 and the CIFAR networks of table 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.convnets.resnet import ClassifierOptions

_REPEATS = {"densenet121": (6, 12, 24, 16), "densenet169": (6, 12, 32, 32), "densenet201": (6, 12, 48, 32)}
_GROWTH_RATE = 32
_MIN_SIZE = 29  # three poolings that round down after two that round up


def _dense_layer(
    x: keras.KerasTensor, growth_rate: int, bottleneck: bool, dropout_rate: float, name: str
) -> keras.KerasTensor:
    """Adds `growth_rate` maps; a bottleneck looks at four times as many sums of the maps so far."""
    y = x
    if bottleneck:
        names = (f"{name}_bn1", f"{name}_relu1", f"{name}_conv1")
        y = blocks.norm_act_conv(y, 4 * growth_rate, 1, names=names)
        y = _dropout(y, dropout_rate, f"{name}_dropout1")
    index = 2 if bottleneck else 1
    names = (f"{name}_bn{index}", f"{name}_relu{index}", f"{name}_conv{index}")
    y = blocks.norm_act_conv(y, growth_rate, 3, names=names)
    y = _dropout(y, dropout_rate, f"{name}_dropout{index}")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def _dropout(x: keras.KerasTensor, rate: float, name: str) -> keras.KerasTensor:
    return layers.Dropout(rate, name=name)(x) if rate else x


def _dense_stages(
    x: keras.KerasTensor,
    repeats: Sequence[int],
    growth_rate: int,
    *,
    bottleneck: bool,
    compression: float,
    dropout_rate: float = 0.0,
) -> keras.KerasTensor:
    """Dense blocks with a transition after each but the last, which ends in normalisation and ReLU."""
    for stage, count in enumerate(repeats, start=1):
        for index in range(1, count + 1):
            x = _dense_layer(x, growth_rate, bottleneck, dropout_rate, f"stage{stage}_layer{index}")
        if stage == len(repeats):
            x = blocks.batch_norm(x, f"stage{stage}_bn")
            return layers.Activation("relu", name=f"stage{stage}_out")(x)
        width = int(x.shape[-1] * compression)
        names = (f"transition{stage}_bn", f"stage{stage}_out", f"transition{stage}_conv")
        x = blocks.norm_act_conv(x, width, 1, names=names)
        x = _dropout(x, dropout_rate, f"transition{stage}_dropout")
        x = layers.AveragePooling2D(2, data_format="channels_last", name=f"transition{stage}_pool")(x)
    return x


def _densenet(
    repeats: tuple[int, ...],
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
    name: str = "densenet",
) -> keras.Model:
    """Builds a network of table 1: growth rate 32, bottlenecks, half of the maps kept between blocks.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height and width
        of at least 29 work; the feature map is 32 times smaller than the input.

    References:
        Huang, Liu, van der Maaten, Weinberger (2016), https://arxiv.org/abs/1608.06993
    """
    sizes = checks.image_shape(input_shape, model=name, min_size=_MIN_SIZE)
    checks.positive_int("num_classes", num_classes)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = blocks.conv_norm_act(x, 2 * _GROWTH_RATE, 7, strides=2, names=("stem_conv", "stem_bn", "stem_out"))
    x = layers.ZeroPadding2D(1, data_format="channels_last", name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, data_format="channels_last", name="stem_pool")(x)
    x = _dense_stages(x, repeats, _GROWTH_RATE, bottleneck=True, compression=0.5)
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)


@register_model(family=_densenet)
def densenet121(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """DenseNet-121: dense blocks of 6, 12, 24 and 16 layers.

    Example:
        >>> model = kerazoo.densenet121((64, 64, 1), 5)
    """
    return _densenet(_REPEATS["densenet121"], input_shape, num_classes, **options)


@register_model(family=_densenet)
def densenet169(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """DenseNet-169: dense blocks of 6, 12, 32 and 32 layers.

    Example:
        >>> backbone = kerazoo.densenet169((None, None, 3), include_top=False)
    """
    return _densenet(_REPEATS["densenet169"], input_shape, num_classes, **options)


@register_model(family=_densenet)
def densenet201(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """DenseNet-201: dense blocks of 6, 12, 48 and 32 layers.

    Example:
        >>> model = kerazoo.densenet201(num_classes=20)
    """
    return _densenet(_REPEATS["densenet201"], input_shape, num_classes, **options)


@register_model
def densenet_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    num_classes: int = 10,
    *,
    variant: str = "bc",
    depth: int = 100,
    growth_rate: int = 12,
    conv_dropout_rate: float = 0.0,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "densenet_cifar",
) -> keras.Model:
    """The DenseNets of table 2 for CIFAR and SVHN: three dense blocks of the same number of layers.

    Args:
        variant: `"bc"`, bottlenecks and half of the maps kept between blocks, or `"basic"`, neither.
        depth: Layers with weights: 6 n + 4 for `"bc"` (the paper's 100, 190, 250), 3 n + 4 for `"basic"` (40, 100).
        growth_rate: Maps each layer adds; the paper's 12, 24 or 40.
        conv_dropout_rate: Fraction of values dropped after each convolution but the first; the paper's 0.2 where it
            trains without augmentation.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height and width
        of at least 4 work; the feature map is 4 times smaller than the input.

    Example:
        >>> model = kerazoo.densenet_cifar((32, 32, 3), 10, variant="basic", depth=40)

    References:
        Huang, Liu, van der Maaten, Weinberger (2016), https://arxiv.org/abs/1608.06993
    """
    sizes = checks.image_shape(input_shape, model=name, min_size=4)
    checks.positive_int("num_classes", num_classes)
    checks.one_of("variant", variant, ("bc", "basic"))
    bottleneck = variant == "bc"
    layers_per_block = _layers_per_block(depth, 6 if bottleneck else 3)
    checks.positive_int("growth_rate", growth_rate)
    checks.fraction("conv_dropout_rate", conv_dropout_rate)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = layers.Conv2D(
        2 * growth_rate if bottleneck else 16,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer=blocks.HE_NORMAL_FAN_OUT,
        data_format="channels_last",
        name="stem_conv",
    )(x)
    x = _dense_stages(
        x,
        (layers_per_block,) * 3,
        growth_rate,
        bottleneck=bottleneck,
        compression=0.5 if bottleneck else 1.0,
        dropout_rate=conv_dropout_rate,
    )
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)


def _layers_per_block(depth: int, step: int) -> int:
    checks.positive_int("depth", depth, minimum=step + 4)
    if (depth - 4) % step:
        lower = depth - (depth - 4) % step
        raise ValueError(
            f"depth must be {step} n + 4 for this variant; the nearest are {lower} and {lower + step}. "
            f"Received: depth={depth!r}"
        )
    return (depth - 4) // step
