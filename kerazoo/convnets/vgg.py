"""VGG: nothing but 3 x 3 convolutions, and how much depth alone brings.

K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556
(ICLR 2015), table 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.convnets.resnet import ClassifierOptions

# Convolutions in each of the five stages: columns A, B, D and E.
_REPEATS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


class VGGOptions(ClassifierOptions, total=False):
    """Keyword arguments of the VGG networks."""

    normalization: str | None
    hidden_units: Sequence[int]


def _vgg(
    repeats: tuple[int, ...],
    /,
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    normalization: str | None = None,
    hidden_units: Sequence[int] = (4096, 4096),
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.5,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "vgg",
) -> keras.Model:
    """Builds a column of table 1.

    Args:
        input_shape: `(height, width, channels)` of at least 32 x 32. `None` for height and width works with
            `include_top=False`.
        include_top: Whether to end in the fully connected layers (`flatten`, `fc1`, `fc2`) and `predictions`.
        normalization: `None` as in the paper, or `"batch"` after each convolution, which trains far more easily.
        hidden_units: Units of the fully connected layers.
        dropout_rate: Fraction of units dropped after each fully connected layer.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes). Without the head
        the feature map is 32 times smaller than the input.

    References:
        Simonyan, Zisserman (2014), https://arxiv.org/abs/1409.1556
    """
    checks.head(include_top, pooling)
    dynamic = "fc1 is connected to every position" if include_top else None
    sizes = checks.image_shape(input_shape, model=name, min_size=32, dynamic=dynamic)
    checks.positive_int("num_classes", num_classes)
    checks.one_of("normalization", normalization, (None, "batch"))
    hidden_units = checks.positive_ints("hidden_units", hidden_units)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    for stage, (width, count) in enumerate(zip(_WIDTHS, repeats, strict=True), start=1):
        for index in range(1, count + 1):
            # The convolutions keep their bias in front of a batch normalisation, as in torchvision's files.
            x = layers.Conv2D(
                width,
                3,
                padding="same",
                kernel_initializer="glorot_uniform",
                data_format="channels_last",
                name=f"stage{stage}_conv{index}",
            )(x)
            if normalization == "batch":
                x = blocks.batch_norm(x, f"stage{stage}_bn{index}")
            out = f"stage{stage}_out" if index == count else f"stage{stage}_relu{index}"
            x = layers.Activation("relu", name=out)(x)
        x = layers.MaxPooling2D(2, data_format="channels_last", name=f"stage{stage}_pool")(x)
    outputs = blocks.dense_head(
        x,
        num_classes,
        hidden_units=hidden_units,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)


@register_model(family=_vgg)
def vgg11(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[VGGOptions],
) -> keras.Model:
    """VGG-11: column A, eight convolutions and three fully connected layers.

    Example:
        >>> model = kerazoo.vgg11((64, 64, 1), 5, normalization="batch")
    """
    return _vgg(_REPEATS["vgg11"], input_shape, num_classes, **options)


@register_model(family=_vgg)
def vgg13(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[VGGOptions],
) -> keras.Model:
    """VGG-13: column B, ten convolutions and three fully connected layers.

    Example:
        >>> model = kerazoo.vgg13((64, 64, 3), 10)
    """
    return _vgg(_REPEATS["vgg13"], input_shape, num_classes, **options)


@register_model(family=_vgg)
def vgg16(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[VGGOptions],
) -> keras.Model:
    """VGG-16: column D, thirteen convolutions and three fully connected layers.

    Example:
        >>> backbone = kerazoo.vgg16((None, None, 3), include_top=False)
    """
    return _vgg(_REPEATS["vgg16"], input_shape, num_classes, **options)


@register_model(family=_vgg)
def vgg19(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[VGGOptions],
) -> keras.Model:
    """VGG-19: column E, sixteen convolutions and three fully connected layers.

    Example:
        >>> model = kerazoo.vgg19(num_classes=20)
    """
    return _vgg(_REPEATS["vgg19"], input_shape, num_classes, **options)
