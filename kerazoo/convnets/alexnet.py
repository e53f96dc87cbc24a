"""AlexNet: the network that won ImageNet 2012, in two towers that meet in the third layer.

A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012.
The form in one tower is that of A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
arXiv:1404.5997.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.local_response import LocalResponseNormalization


@dataclass(frozen=True)
class _Spec:
    """Filters of the five convolutions, and what the two papers do differently."""

    filters: tuple[int, int, int, int, int]
    groups: int  # towers: they exchange channels in the third convolution only
    stem_padding: int
    normalized: bool
    dropout_first: bool
    min_size: int


_SPECS = {
    "two_tower": _Spec((96, 256, 384, 384, 256), 2, 0, normalized=True, dropout_first=False, min_size=67),
    "one_tower": _Spec((64, 192, 384, 256, 256), 1, 2, normalized=False, dropout_first=True, min_size=63),
}
_INITIALIZER = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01}}


@register_model
def alexnet(
    input_shape: Sequence[int | None] = (227, 227, 3),
    num_classes: int = 1000,
    *,
    variant: str = "two_tower",
    hidden_units: Sequence[int] = (4096, 4096),
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.5,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "alexnet",
) -> keras.Model:
    """AlexNet of 2012: five convolutions, three of them in two towers, and three fully connected layers.

    Args:
        input_shape: `(height, width, channels)` of at least 67 x 67 (63 x 63 with one tower). The paper prints
            224, which does not give its 55 x 55 maps; 227 does. `None` for height and width works with
            `include_top=False`.
        include_top: Whether to end in the fully connected layers (`flatten`, `fc1`, `fc2`) and `predictions`.
        variant: `"two_tower"`, the network of 2012, or `"one_tower"`, that of 2014: 64-192-384-256-256 filters
            that all see each other, no local response normalisation.
        hidden_units: Units of the fully connected layers.
        dropout_rate: Fraction of units dropped after each fully connected layer (before, with one tower).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes).

    Example:
        >>> model = kerazoo.alexnet((227, 227, 3), 20)
        >>> torchvisions = kerazoo.alexnet((224, 224, 3), variant="one_tower")

    References:
        Krizhevsky, Sutskever, Hinton (2012), https://doi.org/10.1145/3065386;
        Krizhevsky (2014), https://arxiv.org/abs/1404.5997
    """
    checks.one_of("variant", variant, tuple(_SPECS))
    spec = _SPECS[variant]
    checks.head(include_top, pooling)
    dynamic = "fc1 is connected to every position" if include_top else None
    sizes = checks.image_shape(input_shape, model=name, min_size=spec.min_size, dynamic=dynamic)
    checks.positive_int("num_classes", num_classes)
    hidden_units = checks.positive_ints("hidden_units", hidden_units)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = _conv(x, spec, 1, 11, "stage1_out", strides=4, padding=spec.stem_padding)
    x = _norm_pool(x, spec, 1)
    x = _conv(x, spec, 2, 5, "stage2_out", groups=spec.groups, bias_initializer="ones")
    x = _norm_pool(x, spec, 2)
    x = _conv(x, spec, 3, 3, "conv3_relu")
    x = _conv(x, spec, 4, 3, "conv4_relu", groups=spec.groups, bias_initializer="ones")
    x = _conv(x, spec, 5, 3, "stage3_out", groups=spec.groups, bias_initializer="ones")
    x = layers.MaxPooling2D(3, strides=2, data_format="channels_last", name="pool5")(x)
    outputs = blocks.dense_head(
        x,
        num_classes,
        hidden_units=hidden_units,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
        dropout_first=spec.dropout_first,
        kernel_initializer=_INITIALIZER,
        bias_initializer="ones",
    )
    return keras.Model(inputs, outputs, name=name)


def _conv(x: keras.KerasTensor, spec: _Spec, index: int, kernel: int, out: str, **options: Any) -> keras.KerasTensor:
    return blocks.conv_act(
        x,
        spec.filters[index - 1],
        kernel,
        names=(f"conv{index}", out),
        kernel_initializer=_INITIALIZER,
        **options,
    )


def _norm_pool(x: keras.KerasTensor, spec: _Spec, index: int) -> keras.KerasTensor:
    """Local response normalisation (section 3.3), then overlapping pooling (section 3.4)."""
    if spec.normalized:
        x = LocalResponseNormalization(size=5, k=2.0, alpha=1e-4, beta=0.75, name=f"norm{index}")(x)
    return layers.MaxPooling2D(3, strides=2, data_format="channels_last", name=f"pool{index}")(x)
