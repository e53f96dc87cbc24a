"""DeconvNet: a classifier and its mirror image of unpoolings and deconvolutions.

H. Noh, S. Hong, B. Han, "Learning Deconvolution Network for Semantic Segmentation", arXiv:1505.04366 (ICCV 2015).
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

_OPTIONS = {
    "kernel_initializer": {"class_name": "RandomNormal", "config": {"stddev": 0.01}},
    "data_format": "channels_last",
}


@register_model
def deconvnet(
    input_shape: Sequence[int] = (224, 224, 3),
    num_classes: int = 21,
    *,
    filters: int = 64,
    bottleneck_filters: int = 4096,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "deconvnet",
) -> keras.Model:
    """DeconvNet: VGG-16 down to one vector, and back by unpooling with switches and deconvolutions.

    The network looks at one window of a fixed size: `fc6` covers the whole of its last map (7 x 7 for the
    paper's 224 x 224). Odd maps are halved upwards and unpooled to their stored size.

    Args:
        filters: Filters of the first stage; the others have 2, 4, 8 and 8 times as many.
        bottleneck_filters: Filters of `fc6` and `fc7`.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout after `fc6` and `fc7`, in [0, 1); the release has none.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes).

    Example:
        >>> model = kerazoo.deconvnet((96, 96, 1), 3, filters=16, bottleneck_filters=256)

    References:
        Noh, Hong, Han (2015), https://arxiv.org/abs/1505.04366
    """
    sizes = checks.image_shape(input_shape, model="deconvnet", dynamic="its bottleneck covers the whole last map")
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.positive_int("bottleneck_filters", bottleneck_filters)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    switches: dict[int, keras.KerasTensor] = {}
    stages: dict[int, keras.KerasTensor] = {}
    for stage, (multiple, count) in enumerate(VGG16_STAGES, start=1):
        x = stages[stage] = blocks.conv_stack(
            x,
            (filters * multiple,) * count,
            prefix=f"stage{stage}",
            out=f"stage{stage}_out",
            normalization="batch",
            kernel_initializer=_OPTIONS["kernel_initializer"],
        )
        x, switches[stage] = MaxPoolWithSwitches2D(name=f"stage{stage}_pool")(x)
    window = x.shape[1:3]
    for index, kernel in ((6, window), (7, 1)):
        conv = layers.Conv2D(bottleneck_filters, kernel, name=f"fc{index}", **_OPTIONS)
        x = _norm_relu(conv(x), f"fc{index}")
        x = layers.Dropout(dropout_rate, name=f"fc{index}_dropout")(x)
    x = _deconv(x, filters * VGG16_STAGES[-1][0], window, "fc6_deconv", padding="valid")
    for stage in range(5, 0, -1):
        multiple, count = VGG16_STAGES[stage - 1]
        x = MaxUnpool2D(name=f"unpool{stage}")([x, switches[stage]])
        x = blocks.crop_to(x, stages[stage], name=f"unpool{stage}_crop")
        last = VGG16_STAGES[max(stage - 2, 0)][0]  # the width of the stage that follows
        for index, width in enumerate((multiple,) * (count - 1) + (last,), start=1):
            x = _deconv(x, filters * width, 3, f"deconv{stage}_{index}", padding="same")
    outputs = layers.Conv2D(num_classes, 1, activation=activation, dtype="float32", name="predictions", **_OPTIONS)(x)
    return keras.Model(inputs, outputs, name=name)


def _deconv(x: keras.KerasTensor, filters: int, kernel_size: Any, name: str, *, padding: str) -> keras.KerasTensor:
    x = layers.Conv2DTranspose(filters, kernel_size, padding=padding, name=name, **_OPTIONS)(x)
    return _norm_relu(x, name)


def _norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.Activation("relu", name=f"{name}_relu")(blocks.batch_norm(x, f"{name}_bn"))
