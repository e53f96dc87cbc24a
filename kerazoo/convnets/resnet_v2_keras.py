"""The pre-activation ResNets of keras.applications and TF-Slim, for which there are ImageNet weights.

Not the network of the paper (`resnet_v2.py`): the last block of a stage has the stride, the convolutions that end a
residual or a shortcut have a bias, and where only the size changes the shortcut takes every second pixel.

K. He, X. Zhang, S. Ren, J. Sun, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027 (ECCV 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.convnets.resnet import SPECS, WIDTHS, ClassifierOptions

_EPSILON = 1.001e-5
_FORMAT: dict[str, Any] = {"data_format": "channels_last"}


def _conv(
    x: keras.KerasTensor, filters: int, kernel: int, strides: int, use_bias: bool, name: str
) -> keras.KerasTensor:
    if kernel > 1:
        x = layers.ZeroPadding2D((kernel - 1) // 2, name=f"{name}_pad", **_FORMAT)(x)
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        use_bias=use_bias,
        kernel_initializer=blocks.HE_NORMAL_FAN_OUT,
        name=name,
        **_FORMAT,
    )(x)


def _unit(
    x: keras.KerasTensor, width: int, strides: int, projection: bool, name: str, names: tuple[str, str]
) -> keras.KerasTensor:
    """A bottleneck on the pre-activated input; `names` are those of the pre-activation."""
    activated = blocks.norm_act(x, names, epsilon=_EPSILON)
    if projection:
        shortcut = _conv(activated, 4 * width, 1, strides, True, f"{name}_shortcut_conv")
    elif strides > 1:
        shortcut = layers.MaxPooling2D(1, strides=strides, name=f"{name}_shortcut_subsample", **_FORMAT)(x)
    else:
        shortcut = x
    y = activated
    for index, (kernel, step) in enumerate(((1, 1), (3, strides)), start=1):
        y = _conv(y, width, kernel, step, False, f"{name}_conv{index}")
        y = blocks.norm_act(y, (f"{name}_bn{index}", f"{name}_relu{index}"), epsilon=_EPSILON)
    y = _conv(y, 4 * width, 1, 1, True, f"{name}_conv3")
    return layers.Add(name=f"{name}_add")([shortcut, y])


def _resnet_v2_keras(
    repeats: tuple[int, int, int, int],
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
    name: str = "resnet_v2_keras",
) -> keras.Model:
    """Builds the network of keras.applications.

    `stage1_out` to `stage3_out` are the pre-activations of each stage's last block, the last maps before its stride.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height
        and width work; the feature map is 32 times smaller than the input.

    References:
        He, Zhang, Ren, Sun (2016), https://arxiv.org/abs/1603.05027
        TF-Slim, resnet_v2.py, https://github.com/google-research/tf-slim
    """
    sizes = checks.image_shape(input_shape, model=name)
    checks.positive_int("num_classes", num_classes)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = layers.Identity(name="stem_out")(_conv(x, 64, 7, 2, True, "stem_conv"))
    # Padded by zeros although its input has negative values: the published weights are used to it.
    x = layers.ZeroPadding2D(1, name="stem_pool_pad", **_FORMAT)(x)
    x = layers.MaxPooling2D(3, strides=2, name="stem_pool", **_FORMAT)(x)
    for stage, (width, count) in enumerate(zip(WIDTHS, repeats, strict=True), start=1):
        for index in range(1, count + 1):
            prefix = f"stage{stage}_block{index}"
            last = stage < 4 and index == count
            names = (f"stage{stage}_bn", f"stage{stage}_out") if last else (f"{prefix}_bn0", f"{prefix}_relu0")
            x = _unit(x, width, 2 if last else 1, index == 1, prefix, names)
    x = blocks.norm_act(x, ("stage4_bn", "stage4_out"), epsilon=_EPSILON)
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)


@register_model(family=_resnet_v2_keras)
def resnet50_v2_keras(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """ResNet50V2 of keras.applications: bottleneck units, 3 + 4 + 6 + 3.

    Example:
        >>> model = kerazoo.resnet50_v2_keras((96, 96, 3), 5)
    """
    return _resnet_v2_keras(SPECS["resnet50"].repeats, input_shape, num_classes, **options)


@register_model(family=_resnet_v2_keras)
def resnet101_v2_keras(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """ResNet101V2 of keras.applications: bottleneck units, 3 + 4 + 23 + 3.

    Example:
        >>> model = kerazoo.resnet101_v2_keras((96, 96, 3), 5)
    """
    return _resnet_v2_keras(SPECS["resnet101"].repeats, input_shape, num_classes, **options)


@register_model(family=_resnet_v2_keras)
def resnet152_v2_keras(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """ResNet152V2 of keras.applications: bottleneck units, 3 + 8 + 36 + 3.

    Example:
        >>> model = kerazoo.resnet152_v2_keras((96, 96, 3), 5)
    """
    return _resnet_v2_keras(SPECS["resnet152"].repeats, input_shape, num_classes, **options)
