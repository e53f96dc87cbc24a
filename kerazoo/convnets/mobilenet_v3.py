"""MobileNetV3: inverted residuals with squeeze-and-excitation and hard swish, found by a search.

A. Howard et al., "Searching for MobileNetV3", arXiv:1905.02244 (ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.convnets.resnet import ClassifierOptions


class _Row(NamedTuple):
    """One bottleneck of tables 1 and 2."""

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    activation: str
    stride: int


_RE, _HS = "relu", "hard_swish"


@dataclass(frozen=True)
class _Spec:
    """The bottlenecks, and the width of the last hidden layer."""

    rows: tuple[_Row, ...]
    hidden: int


_SPECS = {
    "mobilenet_v3_large": _Spec(
        (
            _Row(3, 16, 16, False, _RE, 1),
            _Row(3, 64, 24, False, _RE, 2),
            _Row(3, 72, 24, False, _RE, 1),
            _Row(5, 72, 40, True, _RE, 2),
            *(_Row(5, 120, 40, True, _RE, 1),) * 2,
            _Row(3, 240, 80, False, _HS, 2),
            _Row(3, 200, 80, False, _HS, 1),
            *(_Row(3, 184, 80, False, _HS, 1),) * 2,
            _Row(3, 480, 112, True, _HS, 1),
            _Row(3, 672, 112, True, _HS, 1),
            _Row(5, 672, 160, True, _HS, 2),
            *(_Row(5, 960, 160, True, _HS, 1),) * 2,
        ),
        1280,
    ),
    "mobilenet_v3_small": _Spec(
        (
            _Row(3, 16, 16, True, _RE, 2),
            _Row(3, 72, 24, False, _RE, 2),
            _Row(3, 88, 24, False, _RE, 1),
            _Row(5, 96, 40, True, _HS, 2),
            *(_Row(5, 240, 40, True, _HS, 1),) * 2,
            _Row(5, 120, 48, True, _HS, 1),
            _Row(5, 144, 48, True, _HS, 1),
            _Row(5, 288, 96, True, _HS, 2),
            *(_Row(5, 576, 96, True, _HS, 1),) * 2,
        ),
        1024,
    ),
}


class MobileNetV3Options(ClassifierOptions, total=False):
    """Keyword arguments of both sizes."""

    alpha: float
    minimalistic: bool


def _bottlenecks(x: keras.KerasTensor, rows: Sequence[_Row], alpha: float, minimalistic: bool) -> keras.KerasTensor:
    """The rows of the table; a stride of 2 begins a new stage."""
    stage, index, nominal = 1, 0, 16
    for number, row in enumerate(rows):
        if row.stride == 2 and number > 0:
            x = layers.Identity(name=f"stage{stage}_out")(x)
            stage, index = stage + 1, 0
        index += 1
        # The table gives the width at alpha = 1; scaled is its ratio to the input's width.
        expanded = blocks.round_channels(x.shape[-1] * (row.expanded / nominal))
        x = blocks.inverted_residual(
            x,
            blocks.round_channels(row.out * alpha),
            3 if minimalistic else row.kernel,
            row.stride,
            expanded=None if number == 0 else expanded,
            activation="relu" if minimalistic else row.activation,
            se_filters=blocks.round_channels(expanded * 0.25) if row.squeeze and not minimalistic else None,
            name=f"stage{stage}_block{index}",
        )
        nominal = row.out
    return layers.Identity(name=f"stage{stage}_out")(x)


def _mobilenet_v3(
    spec: _Spec,
    /,
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    alpha: float = 1.0,
    minimalistic: bool = False,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.2,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "mobilenet_v3",
) -> keras.Model:
    """Builds one of the two networks.

    Args:
        alpha: Width multiplier; widths are rounded to multiples of 8, and the last hidden layer gets no narrower.
        minimalistic: `True` for the authors' form for simple hardware: 3 x 3 kernels, ReLU, no
            squeeze-and-excitation.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height and
        width work; the feature map is 32 times smaller than the input.

    References:
        Howard et al. (2019), https://arxiv.org/abs/1905.02244
    """
    sizes = checks.image_shape(input_shape, model=name)
    checks.positive_int("num_classes", num_classes)
    checks.positive("alpha", alpha)
    checks.flag("minimalistic", minimalistic)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    activation = "relu" if minimalistic else "hard_swish"
    common: dict[str, Any] = {"activation": activation, "epsilon": 1e-3, "padding": "same"}
    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = blocks.conv_norm_act(x, 16, 3, strides=2, names=("stem_conv", "stem_bn", "stem_out"), **common)
    x = _bottlenecks(x, spec.rows, alpha, minimalistic)
    last = blocks.round_channels(6 * x.shape[-1])
    x = blocks.conv_norm_act(x, last, 1, names=("top_conv", "top_bn", "top_act"), **common)

    def hidden(pooled: keras.KerasTensor) -> keras.KerasTensor:
        units = blocks.round_channels(spec.hidden * max(1.0, alpha))
        return layers.Dense(units, activation=activation, name="head_dense")(pooled)

    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
        hidden=hidden,
    )
    return keras.Model(inputs, outputs, name=name)


@register_model(family=_mobilenet_v3)
def mobilenet_v3_small(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[MobileNetV3Options],
) -> keras.Model:
    """MobileNetV3-Small: eleven bottlenecks.

    Example:
        >>> model = kerazoo.mobilenet_v3_small((96, 96, 3), 10)
    """
    return _mobilenet_v3(_SPECS["mobilenet_v3_small"], input_shape, num_classes, **options)


@register_model(family=_mobilenet_v3)
def mobilenet_v3_large(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[MobileNetV3Options],
) -> keras.Model:
    """MobileNetV3-Large: fifteen bottlenecks.

    Example:
        >>> model = kerazoo.mobilenet_v3_large((96, 96, 3), 10)
    """
    return _mobilenet_v3(_SPECS["mobilenet_v3_large"], input_shape, num_classes, **options)
