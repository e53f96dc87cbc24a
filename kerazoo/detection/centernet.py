"""CenterNet: an object is the point at its centre, and its size is read off there.

X. Zhou, D. Wang, P. Kraehenbuehl, "Objects as Points", arXiv:1904.07850.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.detection.boxes import NUM_REGRESSED
from kerazoo.layers.doubling import BilinearDoubling

_LEVELS = (1, 2, 4, 6, 8)  # filters of strides 2 to 32, in multiples of the first
_FORMAT = {"padding": "same", "data_format": "channels_last"}


@register_model
def centernet(
    input_shape: Sequence[int | None] = (128, 128, 1),
    num_classes: int = 6,
    *,
    stride: int = 4,
    filters: int = 16,
    head_filters: int = 64,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "centernet",
) -> keras.Model:
    """CenterNet on a light encoder: a heat map of centres for each class, and the size of the box at every point.

    There are no anchors, nothing is matched, and no box suppresses another one: an object is a peak of the heat map.
    `kerazoo.detection.boxes` draws boxes as targets (`encode_boxes`) and reads them off the answer (`decode_boxes`);
    the loss is `kerazoo.losses.CenterNet`.

    Args:
        num_classes: Number of classes of objects, without a background.
        stride: Pixels of the image per pixel of the answer: 4, or 2 for small objects.
        filters: Filters of the first level; the others have 2, 4, 6 and 8 times as many.
        head_filters: Filters of the 3 x 3 convolution in front of each answer.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height / stride, width / stride,
        num_classes + 4), sizes rounded up: the heat map in [0, 1], width and height of the box in units of the
        stride, and what is missing to its centre, x and y.

    Example:
        >>> model = kerazoo.centernet((None, None, 3), 80)
        >>> model.compile("adam", kerazoo.losses.CenterNet())

    References:
        Zhou, Wang, Kraehenbuehl (2019), https://arxiv.org/abs/1904.07850
    """
    sizes = checks.image_shape(input_shape, model="centernet")
    num_classes = checks.positive_int("num_classes", num_classes)
    checks.one_of("stride", stride, (2, 4))
    filters = checks.positive_int("filters", filters)
    head_filters = checks.positive_int("head_filters", head_filters)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    levels: list[keras.KerasTensor] = []
    for level, multiple in enumerate(_LEVELS, start=1):
        x = _conv(x, multiple * filters, f"stage{level}_conv1", strides=2)
        x = _conv(x, multiple * filters, f"stage{level}_conv2", out=f"stage{level}_out")
        levels.append(x)
    for level in range(len(_LEVELS) - 1, stride // 2 - 1, -1):
        x = BilinearDoubling(name=f"decoder{level}_up")(x)  # LiteRT takes no `UpSampling2D` of an open size
        # An odd map was halved upwards: what is too much lies at the far end.
        x = blocks.crop_to(x, levels[level - 1], name=f"decoder{level}_crop")
        x = layers.Concatenate(name=f"decoder{level}_concat")([levels[level - 1], x])
        x = _conv(x, _LEVELS[level - 1] * filters, f"decoder{level}_conv", out=f"decoder{level}_out")

    heat = _head(x, head_filters, num_classes, "heatmap", activation="sigmoid", bias=-2.19)
    size, offset = (_head(x, head_filters, NUM_REGRESSED // 2, name) for name in ("size", "offset"))
    outputs = layers.Concatenate(dtype="float32", name="predictions")([heat, size, offset])
    return keras.Model(inputs, outputs, name=name)


def _conv(
    x: keras.KerasTensor, filters: int, prefix: str, *, strides: int = 1, out: str | None = None
) -> keras.KerasTensor:
    names = (prefix, f"{prefix}_bn", out or f"{prefix}_relu")
    return blocks.conv_norm_act(x, filters, 3, names=names, strides=strides)


def _head(
    x: keras.KerasTensor, filters: int, outputs: int, name: str, *, activation: str | None = None, bias: float = 0.0
) -> keras.KerasTensor:
    """A 3 x 3 convolution and a 1 x 1 convolution. The bias makes every point say 0.1 at first: most are no centre."""
    x = layers.Conv2D(filters, 3, activation="relu", name=f"{name}_conv", **_FORMAT)(x)
    return layers.Conv2D(
        outputs,
        1,
        activation=activation,
        bias_initializer={"class_name": "Constant", "config": {"value": bias}},
        dtype="float32",
        name=name,
        **_FORMAT,
    )(x)
