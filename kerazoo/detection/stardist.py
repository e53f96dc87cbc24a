"""StarDist: for every pixel how likely it is to lie deep in an object, and the distances to the object's outline.

U. Schmidt, M. Weigert, C. Broaddus, G. Myers, "Cell Detection with Star-convex Polygons", MICCAI 2018,
arXiv:1806.03535.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model

_FORMAT = {"data_format": "channels_last"}


@register_model
def stardist(
    input_shape: Sequence[int | None] = (256, 256, 1),
    num_classes: int | None = None,
    *,
    num_rays: int = 32,
    grid: int = 1,
    filters: int = 32,
    depth: int = 3,
    head_filters: int = 128,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "stardist",
) -> keras.Model:
    """StarDist: a U-Net that describes objects as star-convex polygons, from every pixel inside.

    Its loss is `kerazoo.losses.StarDist`, its targets are `kerazoo.detection.star_convex.star_targets`, and
    `star_objects` there turns what it predicts into objects. Every fixed size works; a size left open (`None`) must be
    a multiple of `grid * 2 ** depth` when the model is called. Objects must fit into the field of view, which reaches
    47 pixels from a point with grid 1 and 94 with grid 2.

    Args:
        num_classes: Number of classes of objects, or `None` if they are not told apart.
        num_rays: Number of directions, 32 for most objects; more for outlines with fine detail.
        grid: Every how many pixels (1, 2, 4 or 8) objects are described: more is faster, and the network sees farther.
        filters: Filters of the first level; they double with every level.
        depth: Number of halvings of the U-Net.
        head_filters: Filters of the convolution between the U-Net and the heads.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height / grid, width / grid, 1 +
        num_rays): object probability and distances in pixels. With classes, 1 + num_classes more: their
        probabilities, the background's first.

    Example:
        >>> model = kerazoo.stardist((None, None, 1), grid=2)
        >>> model.compile("adam", kerazoo.losses.StarDist(32))

    References:
        Schmidt, Weigert, Broaddus, Myers (2018), https://arxiv.org/abs/1806.03535; with classes:
        Weigert, Schmidt (2022), https://arxiv.org/abs/2203.02284
    """
    sizes = checks.image_shape(input_shape, model="stardist")
    if num_classes is not None:
        checks.positive_int("num_classes", num_classes)
    checks.positive_int("num_rays", num_rays, minimum=3)
    checks.one_of("grid", grid, (1, 2, 4, 8))
    checks.positive_int("filters", filters)
    checks.positive_int("depth", depth)
    checks.positive_int("head_filters", head_filters)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    for halving in range(1, grid.bit_length()):
        block = f"grid{halving}"
        x = blocks.conv_stack(
            x, (filters, filters), prefix=block, out=f"{block}_out", kernel_initializer="glorot_uniform"
        )
        x = layers.MaxPooling2D(2, padding="same", name=f"{block}_pool", **_FORMAT)(x)
    x = blocks.unet_path(x, filters, depth)
    shape = _features(x, head_filters, "features")
    heads = [_head(shape, 1, "sigmoid", "probability"), _head(shape, num_rays, None, "distances")]
    if num_classes is not None:
        kind = _features(x, head_filters, "class_features")
        heads.append(_head(kind, num_classes + 1, "softmax", "classes"))
    outputs = layers.Concatenate(dtype="float32", name="predictions")(heads)
    return keras.Model(inputs, outputs, name=name)


def _features(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return blocks.conv_act(x, filters, 3, names=(f"{name}_conv", name))


def _head(x: keras.KerasTensor, channels: int, activation: Any, name: str) -> keras.KerasTensor:
    return layers.Conv2D(channels, 1, activation=activation, dtype="float32", name=name, **_FORMAT)(x)
