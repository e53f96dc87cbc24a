"""ConvNeXt: a residual network with the macro design of vision transformers.

Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell, S. Xie, "A ConvNet for the 2020s", arXiv:2201.03545
(CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model

_DEPTHS = (3, 3, 9, 3)
_WIDTHS = (96, 192, 384, 768)
_INIT = {"class_name": "TruncatedNormal", "config": {"stddev": 0.02}}
_CONV: dict[str, Any] = {"data_format": "channels_last"}


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def _patches(x: keras.KerasTensor, filters: int, size: int, name: str) -> keras.KerasTensor:
    """A convolution whose windows do not overlap: stem and downsampling."""
    return layers.Conv2D(filters, size, strides=size, kernel_initializer=_INIT, name=name, **_CONV)(x)


def _block(x: keras.KerasTensor, width: int, rate: float, name: str, out: str) -> keras.KerasTensor:
    """Figure 4 of the paper: depthwise 7 x 7, four times as wide and back, scaled and added to the input."""
    y = layers.DepthwiseConv2D(7, padding="same", depthwise_initializer=_INIT, name=f"{name}_depthwise", **_CONV)(x)
    y = _norm(y, f"{name}_norm")
    y = layers.Dense(4 * width, kernel_initializer=_INIT, name=f"{name}_expand")(y)
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = layers.Dense(width, kernel_initializer=_INIT, name=f"{name}_project")(y)
    # LayerScale is one factor per channel: a depthwise 1 x 1 convolution, so that files need no class of ours.
    scale = {"class_name": "Constant", "config": {"value": 1e-6}}
    y = layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer=scale, name=f"{name}_scale", **_CONV)(y)
    return layers.Add(name=out)([x, blocks.drop_path(y, rate, name)])


@register_model
def convnext_tiny(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    drop_path_rate: float = 0.1,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "convnext_tiny",
) -> keras.Model:
    """ConvNeXt-T: stages of 3, 3, 9 and 3 blocks, 96 to 768 channels.

    The layer normalisation behind the global pooling belongs to the head: `include_top=False` ends before it.

    Args:
        drop_path_rate: Stochastic depth: fraction of samples that skip a block in training, growing from 0 at
            the first block to this at the last one.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Any height and
        width of at least 32 work; the feature map is 32 times smaller than the input.

    Example:
        >>> model = kerazoo.convnext_tiny((64, 64, 3), 10)

    References:
        Liu et al. (2022), https://arxiv.org/abs/2201.03545
    """
    sizes = checks.image_shape(input_shape, model=name, min_size=32)
    checks.positive_int("num_classes", num_classes)
    checks.fraction("drop_path_rate", drop_path_rate)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = _norm(_patches(x, _WIDTHS[0], 4, "stem_conv"), "stem_norm")
    done, last = 0, sum(_DEPTHS) - 1
    for stage, (width, depth) in enumerate(zip(_WIDTHS, _DEPTHS, strict=True), start=1):
        if stage > 1:
            x = _patches(_norm(x, f"stage{stage}_down_norm"), width, 2, f"stage{stage}_down_conv")
        for index in range(1, depth + 1):
            prefix = f"stage{stage}_block{index}"
            out = f"stage{stage}_out" if index == depth else f"{prefix}_out"
            x = _block(x, width, drop_path_rate * done / last, prefix, out)
            done += 1
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
        kernel_initializer=_INIT,
        hidden=lambda pooled: _norm(pooled, "head_norm"),
    )
    return keras.Model(inputs, outputs, name=name)
