"""SqueezeNet: AlexNet's accuracy with fifty times fewer weights.

F. N. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
arXiv:1602.07360. Version 1.1 is the authors' later release, 2.4 times cheaper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.convnets.resnet import ClassifierOptions


@dataclass(frozen=True)
class _Spec:
    """First convolution (filters, kernel), and after which fire modules the map is pooled."""

    stem: tuple[int, int]
    pool_after: tuple[int, int]
    min_size: int


_SPECS = {"squeezenet1_0": _Spec((96, 7), (4, 8), 21), "squeezenet1_1": _Spec((64, 3), (3, 5), 17)}
# Squeeze and expand filters of fire2 to fire9; each of the two expand layers has the second number.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def _squeezenet(
    spec: _Spec,
    /,
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.5,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "squeezenet",
) -> keras.Model:
    """Builds one of the two versions.

    Args:
        classifier_activation: Activation of `predictions`, which acts on the average of the maps of `conv10`, one per
            class; these have a ReLU, so with `None` no output is negative.
        dropout_rate: Fraction of values dropped in front of `conv10`.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). There is no dense
        layer, so every height and width from the smallest on work.

    References:
        Iandola et al. (2016), https://arxiv.org/abs/1602.07360
    """
    sizes = checks.image_shape(input_shape, model=name, min_size=spec.min_size)
    checks.positive_int("num_classes", num_classes)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = _conv(x, spec.stem[0], spec.stem[1], ("conv1", "stem_out"), strides=2, padding=0)
    x = blocks.ceil_max_pool(x, "pool1")
    stage = 1
    for index, (squeeze, expand) in enumerate(_FIRES, start=2):
        ends_stage = index in (*spec.pool_after, 9)
        x = _fire(x, squeeze, expand, f"fire{index}", f"stage{stage}_out" if ends_stage else f"fire{index}_out")
        if index in spec.pool_after:
            x = blocks.ceil_max_pool(x, f"pool{index}")
            stage += 1
    if include_top:
        outputs = _head(x, num_classes, classifier_activation, dropout_rate)
    else:
        outputs = blocks.classification_head(
            x, num_classes, include_top=False, pooling=pooling, classifier_activation=None, dropout_rate=0.0
        )
    return keras.Model(inputs, outputs, name=name)


def _conv(x: keras.KerasTensor, filters: int, kernel: int, names: tuple[str, str], **options: Any) -> keras.KerasTensor:
    """Convolution and ReLU, initialised as in the authors' release (Caffe's "xavier" looks at the fan-in only)."""
    return blocks.conv_act(x, filters, kernel, names=names, kernel_initializer="lecun_uniform", **options)


def _fire(x: keras.KerasTensor, squeeze: int, expand: int, name: str, out: str) -> keras.KerasTensor:
    """Figure 1: few 1 x 1 filters, then 1 x 1 and 3 x 3 filters next to each other."""
    x = _conv(x, squeeze, 1, (f"{name}_squeeze", f"{name}_squeeze_relu"))
    wide = [
        _conv(x, expand, kernel, (f"{name}_expand{kernel}x{kernel}", f"{name}_expand{kernel}x{kernel}_relu"))
        for kernel in (1, 3)
    ]
    return layers.Concatenate(name=out)(wide)


def _head(x: keras.KerasTensor, num_classes: int, activation: Any, dropout_rate: float) -> keras.KerasTensor:
    """One map per class, averaged."""
    x = layers.Dropout(dropout_rate, name="head_dropout")(x)
    initializer = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01}}
    # Each class has one map behind a ReLU: one that starts out negative everywhere would never learn.
    alive = {"class_name": "Constant", "config": {"value": 0.1}}
    x = blocks.conv_act(
        x,
        num_classes,
        1,
        names=("conv10", "conv10_relu"),
        kernel_initializer=initializer,
        bias_initializer=alive,
    )
    x = layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32", name="avg_pool")(x)
    return layers.Activation(activation, dtype="float32", name="predictions")(x)


@register_model(family=_squeezenet)
def squeezenet1_0(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """SqueezeNet 1.0, the network of the paper: eight fire modules, pooled late.

    Example:
        >>> model = kerazoo.squeezenet1_0((224, 224, 3), 20)
    """
    return _squeezenet(_SPECS["squeezenet1_0"], input_shape, num_classes, **options)


@register_model(family=_squeezenet)
def squeezenet1_1(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ClassifierOptions],
) -> keras.Model:
    """SqueezeNet 1.1: a smaller first convolution and earlier pooling.

    Example:
        >>> model = kerazoo.squeezenet1_1((None, None, 3), 20)
    """
    return _squeezenet(_SPECS["squeezenet1_1"], input_shape, num_classes, **options)
