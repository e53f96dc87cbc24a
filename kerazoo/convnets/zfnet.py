"""ZFNet: AlexNet with a finer first layer, found by looking at what its features see.

M. D. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901 (ECCV 2014), figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.local_response import LocalResponseNormalization

_INITIALIZER = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01}}


@register_model
def zfnet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    hidden_units: Sequence[int] = (4096, 4096),
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.5,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "zfnet",
) -> keras.Model:
    """ZFNet: 7 x 7 filters with stride 2 in the first layer, and all maps connected.

    Args:
        input_shape: `(height, width, channels)` of at least 63 x 63. `None` for height and width works with
            `include_top=False`.
        include_top: Whether to end in the fully connected layers (`flatten`, `fc1`, `fc2`) and `predictions`.
        hidden_units: Units of the fully connected layers.
        dropout_rate: Fraction of units dropped after each fully connected layer.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes).

    Example:
        >>> model = kerazoo.zfnet((224, 224, 3), 20)

    References:
        Zeiler, Fergus (2013), https://arxiv.org/abs/1311.2901
    """
    checks.head(include_top, pooling)
    dynamic = "fc1 is connected to every position" if include_top else None
    sizes = checks.image_shape(input_shape, model=name, min_size=63, dynamic=dynamic)
    checks.positive_int("num_classes", num_classes)
    hidden_units = checks.positive_ints("hidden_units", hidden_units)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    # The figure's sizes 110, 55, 26, 13 need one pixel of padding here and poolings that round up.
    x = _conv(x, 96, 7, ("conv1", "stage1_out"), strides=2, padding=1)
    x = _pool_norm(x, 1)
    x = _conv(x, 256, 5, ("conv2", "stage2_out"), strides=2, padding=0)
    x = _pool_norm(x, 2)
    x = _conv(x, 384, 3, ("conv3", "conv3_relu"))
    x = _conv(x, 384, 3, ("conv4", "conv4_relu"))
    x = _conv(x, 256, 3, ("conv5", "stage3_out"))
    x = layers.MaxPooling2D(3, strides=2, data_format="channels_last", name="pool5")(x)
    outputs = blocks.dense_head(
        x,
        num_classes,
        hidden_units=hidden_units,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
        kernel_initializer=_INITIALIZER,
    )
    return keras.Model(inputs, outputs, name=name)


def _conv(x: keras.KerasTensor, filters: int, kernel: int, names: tuple[str, str], **options: Any) -> keras.KerasTensor:
    return blocks.conv_act(x, filters, kernel, names=names, kernel_initializer=_INITIALIZER, **options)


def _pool_norm(x: keras.KerasTensor, index: int) -> keras.KerasTensor:
    """Pooling, then contrast normalisation across the maps."""
    x = blocks.ceil_max_pool(x, f"pool{index}")
    return LocalResponseNormalization(size=5, k=2.0, alpha=1e-4, beta=0.75, name=f"norm{index}")(x)
