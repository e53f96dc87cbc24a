"""Cellpose: for every pixel the direction to the centre of its object, and whether it lies in one.

C. Stringer, T. Wang, M. Michaelos, M. Pachitariu, "Cellpose: a generalist algorithm for cellular segmentation", Nature
Methods 18 (2021), https://doi.org/10.1038/s41592-020-01018-x.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model

_FORMAT = {"data_format": "channels_last"}
# PyTorch's own: uniform between -1 / sqrt(inputs of a unit) and as much above zero.
_TORCH_UNIFORM = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}


@register_model
def cellpose(
    input_shape: Sequence[int | None] = (224, 224, 2),
    num_classes: int | None = None,
    *,
    filters: Sequence[int] = (32, 64, 128, 256),
    use_style: bool = True,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "cellpose",
) -> keras.Model:
    """Cellpose: a residual U-Net with a style, which predicts flows whose sinks are objects of any shape.

    Its loss is `kerazoo.losses.Cellpose`, its targets are `kerazoo.detection.flows.flow_targets`, and `flow_objects`
    there turns what it predicts into objects. It is made for objects about 30 pixels across; images are rescaled.
    Every fixed size works; a size left open (`None`) must be a multiple of `2 ** (len(filters) - 1)` when the model
    is called.

    Args:
        num_classes: Number of classes of objects, or `None` if they are not told apart, as in the paper.
        filters: Filters of each level; `(16, 32, 64)` is a network that a laptop trains in minutes.
        use_style: Whether the mean of the deepest map, at length 1, is handed to every step up. It sees the whole
            image, so that tiles of an image are not exactly parts of it.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width, 3): 5 times the
        flow down and right, and the logit of lying in an object. With classes, 1 + num_classes more: their
        probabilities, the background's first.

    Example:
        >>> model = kerazoo.cellpose((None, None, 1), filters=(16, 32, 64))
        >>> model.compile("adam", kerazoo.losses.Cellpose())

    References:
        Stringer, Wang, Michaelos, Pachitariu (2021), https://doi.org/10.1038/s41592-020-01018-x
    """
    sizes = checks.image_shape(input_shape, model="cellpose")
    if num_classes is not None:
        checks.positive_int("num_classes", num_classes)
    filters = checks.positive_ints("filters", filters)
    checks.flag("use_style", use_style)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    maps = []
    for level, width in enumerate(filters, start=1):
        if level > 1:
            x = layers.MaxPooling2D(2, padding="same", name=f"stage{level - 1}_pool", **_FORMAT)(x)
        x = _down(x, width, f"stage{level}")
        maps.append(x)
    style = _style(x) if use_style else None
    for level in range(len(filters), 0, -1):
        name_of_level = f"decoder{level}"
        if level < len(filters):
            x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name_of_level}_upsample", **_FORMAT)(x)
            x = blocks.crop_to(x, maps[level - 1], name=f"{name_of_level}_crop")
        x = _up(x, maps[level - 1], style, filters[level - 1], name_of_level)
    x = blocks.norm_act(x, ("head_bn", "head_relu"))
    outputs = _conv(x, 3, 1, "predictions" if num_classes is None else "flows", dtype="float32")
    if num_classes is not None:
        kinds = layers.Conv2D(num_classes + 1, 1, activation="softmax", dtype="float32", name="classes", **_FORMAT)(x)
        outputs = layers.Concatenate(dtype="float32", name="predictions")([outputs, kinds])
    return keras.Model(inputs, outputs, name=name)


def _conv(x: keras.KerasTensor, filters: int, kernel: int, name: str, dtype: str | None = None) -> keras.KerasTensor:
    return layers.Conv2D(
        filters, kernel, padding="same", kernel_initializer=_TORCH_UNIFORM, dtype=dtype, name=name, **_FORMAT
    )(x)


def _norm_act_conv(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    x = blocks.norm_act(x, (f"{name}_bn", f"{name}_relu"))
    return _conv(x, filters, 3, f"{name}_conv")


def _project(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return _conv(blocks.batch_norm(x, f"{name}_shortcut_bn"), filters, 1, f"{name}_shortcut_conv")


def _down(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Two pairs of convolutions, the first with a projection around it."""
    y = _norm_act_conv(_norm_act_conv(x, filters, f"{name}_1"), filters, f"{name}_2")
    x = layers.Add(name=f"{name}_add1")([_project(x, filters, name), y])
    y = _norm_act_conv(_norm_act_conv(x, filters, f"{name}_3"), filters, f"{name}_4")
    return layers.Add(name=f"{name}_out")([x, y])


def _style(x: keras.KerasTensor) -> keras.KerasTensor:
    """What kind of image it is: the mean of the deepest map, divided by its length."""
    x = layers.GlobalAveragePooling2D(keepdims=True, name="style_pool", **_FORMAT)(x)
    return layers.UnitNormalization(axis=-1, name="style")(x)


def _up(
    x: keras.KerasTensor, skip: keras.KerasTensor, style: keras.KerasTensor | None, filters: int, name: str
) -> keras.KerasTensor:
    """As a step down, with the map of the way down added, and the style in front of all convolutions but the first."""

    def styled(y: keras.KerasTensor, index: int) -> keras.KerasTensor:
        if style is not None:
            # A dense layer on (batch, 1, 1, channels) is what a dense layer and a reshaping are.
            feature = layers.Dense(filters, kernel_initializer=_TORCH_UNIFORM, name=f"{name}_{index}_style")(style)
            y = layers.Add(name=f"{name}_{index}_styled")([y, feature])
        return _norm_act_conv(y, filters, f"{name}_{index}")

    y = layers.Add(name=f"{name}_skip")([_norm_act_conv(x, filters, f"{name}_1"), skip])
    x = layers.Add(name=f"{name}_add1")([_project(x, filters, name), styled(y, 2)])
    return layers.Add(name=f"{name}_out")([x, styled(styled(x, 3), 4)])
