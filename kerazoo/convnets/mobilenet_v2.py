"""MobileNetV2: residual blocks that are wide inside and narrow, without activation, at their ends.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
arXiv:1801.04381 (CVPR 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model

_ROWS = (
    # table 2 of the paper: expansion t, channels c, repeats n, stride s of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@register_model
def mobilenet_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    alpha: float = 1.0,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "mobilenet_v2",
) -> keras.Model:
    """MobileNetV2: seventeen inverted residual blocks.

    Args:
        alpha: Width multiplier; widths are rounded to multiples of 8, and the last layer gets no narrower.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height and
        width work; the feature map is 32 times smaller than the input.

    Example:
        >>> model = kerazoo.mobilenet_v2((96, 96, 3), 10, alpha=0.5)

    References:
        Sandler et al. (2018), https://arxiv.org/abs/1801.04381
    """
    sizes = checks.image_shape(input_shape, model=name)
    checks.positive_int("num_classes", num_classes)
    checks.positive("alpha", alpha)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    common: dict[str, Any] = {"activation": "relu6", "epsilon": 1e-3, "padding": "same"}
    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = blocks.conv_norm_act(
        x, blocks.round_channels(32 * alpha), 3, strides=2, names=("stem_conv", "stem_bn", "stem_out"), **common
    )
    for stage, (expansion, channels, repeats, stride) in enumerate(_ROWS, start=1):
        for index in range(1, repeats + 1):
            x = blocks.inverted_residual(
                x,
                blocks.round_channels(int(channels * alpha)),
                3,
                stride if index == 1 else 1,
                expanded=None if expansion == 1 else expansion * x.shape[-1],
                name=f"stage{stage}_block{index}",
            )
        x = layers.Identity(name=f"stage{stage}_out")(x)
    last = blocks.round_channels(1280 * max(1.0, alpha))
    x = blocks.conv_norm_act(x, last, 1, names=("top_conv", "top_bn", "top_act"), **common)
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)
