"""SegNet: a decoder that unpools with the encoder's own pooling indices.

V. Badrinarayanan, A. Kendall, R. Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation", arXiv:1511.00561 (PAMI 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.unpooling import MaxPoolWithSwitches2D, MaxUnpool2D
from kerazoo.segmentation._shared import VGG16_STAGES, pixel_activation

_DROPOUT_STAGES = (3, 4, 5)


@register_model
def segnet(
    input_shape: Sequence[int | None] = (360, 480, 3),
    num_classes: int = 11,
    *,
    filters: int = 64,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "segnet",
) -> keras.Model:
    """SegNet: the 13 convolutions of VGG-16, and 13 that mirror them behind unpoolings with the remembered indices.

    Every fixed size works: an odd map is halved upwards and unpooled to its stored size. A size left open
    (`None`) must be a multiple of 32 when the model is called.

    Args:
        filters: Filters of the first stage; the others have 2, 4, 8 and 8 times as many.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout in [0, 1) after encoders 3, 4, 5 and decoders 5, 4, 3; with 0.5 the network is
            Bayesian SegNet.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes).

    Example:
        >>> model = kerazoo.segnet((90, 120, 3), 11, filters=16)

    References:
        Badrinarayanan, Kendall, Cipolla (2015), https://arxiv.org/abs/1511.00561; Bayesian SegNet: Kendall,
        Badrinarayanan, Cipolla (2015), https://arxiv.org/abs/1511.02680
    """
    sizes = checks.image_shape(input_shape, model="segnet")
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    switches: dict[int, keras.KerasTensor] = {}
    stages: dict[int, keras.KerasTensor] = {}
    for stage, (multiple, count) in enumerate(VGG16_STAGES, start=1):
        prefix = f"stage{stage}"
        x = stages[stage] = _convs(x, (filters * multiple,) * count, prefix)
        x, switches[stage] = MaxPoolWithSwitches2D(name=f"{prefix}_pool")(x)
        x = _dropout(x, stage, dropout_rate, prefix)
    for stage in range(5, 0, -1):
        prefix, (multiple, count) = f"decoder{stage}", VGG16_STAGES[stage - 1]
        x = MaxUnpool2D(name=f"{prefix}_unpool")([x, switches[stage]])
        x = blocks.crop_to(x, stages[stage], name=f"{prefix}_crop")
        last = filters * VGG16_STAGES[max(stage - 2, 0)][0]  # the width of the stage that follows
        x = _convs(x, (filters * multiple,) * (count - 1) + ((last,) if stage > 1 else ()), prefix)
        x = _dropout(x, stage, dropout_rate, prefix)
    outputs = layers.Conv2D(
        num_classes,
        3,
        padding="same",
        activation=activation,
        kernel_initializer=blocks.HE_NORMAL_FAN_IN,
        data_format="channels_last",
        dtype="float32",
        name="predictions",
    )(x)
    return keras.Model(inputs, outputs, name=name)


def _convs(x: keras.KerasTensor, widths: Sequence[int], prefix: str) -> keras.KerasTensor:
    return blocks.conv_stack(x, widths, prefix=prefix, out=f"{prefix}_out", normalization="batch")


def _dropout(x: keras.KerasTensor, stage: int, rate: float, prefix: str) -> keras.KerasTensor:
    if rate == 0 or stage not in _DROPOUT_STAGES:
        return x
    return layers.Dropout(rate, name=f"{prefix}_dropout")(x)
