"""EfficientNet-B0: a searched network of inverted residuals, the base of a family scaled in all three directions.

M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", arXiv:1905.11946
(ICML 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model

_ROWS = (
    # table 1 of the paper: expansion, kernel, channels, layers, stride of the first one
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
_DENSE_UNIFORM = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0 / 3.0, "mode": "fan_out", "distribution": "uniform"},
}


@register_model
def efficientnet_b0(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    drop_path_rate: float = 0.2,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.2,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "efficientnet_b0",
) -> keras.Model:
    """EfficientNet-B0: sixteen inverted residuals with squeeze-and-excitation and swish.

    Args:
        drop_path_rate: Stochastic depth: fraction of samples that skip a block in training, growing from 0 at
            the first block.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height and
        width work; the feature map is 32 times smaller than the input.

    Example:
        >>> model = kerazoo.efficientnet_b0((64, 64, 3), 10)

    References:
        Tan, Le (2019), https://arxiv.org/abs/1905.11946
    """
    sizes = checks.image_shape(input_shape, model=name)
    checks.positive_int("num_classes", num_classes)
    checks.fraction("drop_path_rate", drop_path_rate)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    common: dict[str, Any] = {"activation": "swish", "epsilon": 1e-3, "padding": "same"}
    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = blocks.conv_norm_act(x, 32, 3, strides=2, names=("stem_conv", "stem_bn", "stem_out"), **common)
    total, done = sum(row[3] for row in _ROWS), 0
    for stage, (expansion, kernel, channels, repeats, stride) in enumerate(_ROWS, start=1):
        for index in range(1, repeats + 1):
            x = blocks.inverted_residual(
                x,
                channels,
                kernel,
                stride if index == 1 else 1,
                expanded=None if expansion == 1 else expansion * x.shape[-1],
                activation="swish",
                se_filters=x.shape[-1] // 4,  # a quarter of the block's input, not of its wide part
                se_activations=("swish", "sigmoid"),
                drop_path_rate=drop_path_rate * done / total,
                name=f"stage{stage}_block{index}",
            )
            done += 1
        x = layers.Identity(name=f"stage{stage}_out")(x)
    x = blocks.conv_norm_act(x, 1280, 1, names=("top_conv", "top_bn", "top_act"), **common)
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
        kernel_initializer=_DENSE_UNIFORM,
    )
    return keras.Model(inputs, outputs, name=name)
