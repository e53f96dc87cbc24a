"""U-Net++: skips that are filled with nested, dense nodes.

Z. Zhou, M. M. Rahman Siddiquee, N. Tajbakhsh, J. Liang, "UNet++: A Nested U-Net Architecture for Medical Image
Segmentation", arXiv:1807.10165 (DLMIA 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.segmentation._shared import pixel_activation

_FORMAT = {"data_format": "channels_last"}


@register_model
def unet_plus_plus(
    input_shape: Sequence[int | None] = (96, 96, 1),
    num_classes: int = 1,
    *,
    filters: int = 32,
    depth: int = 4,
    normalization: str | None = None,
    deep_supervision: bool = False,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.5,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "unet_plus_plus",
) -> keras.Model:
    """U-Net++: node X(i, j) joins all earlier nodes of its level i with the up-sampled node below it.

    Every fixed size works: an odd map is halved upwards and the up-sampled map is cropped to its partner. A size
    left open (`None`) must be a multiple of `2 ** depth` when the model is called.

    Args:
        filters: Filters of the first level; they double with every level.
        depth: Number of times the map is halved.
        normalization: `None` as in the authors' code, or `"batch"` after every 3 x 3 convolution.
        deep_supervision: `True` returns a dictionary of all full-resolution nodes' answers, to be trained together:
            `"predictions"` of X(0, depth), and `"side1"`, `"side2"`, ... of X(0, 1), X(0, 2), ... Their mean is the
            paper's accurate mode; each alone is the answer of a smaller network, its fast mode.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout after every convolution, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes), or a dictionary of such maps.

    Example:
        >>> model = kerazoo.unet_plus_plus((250, 313, 3), 4, filters=16)
        >>> model = kerazoo.unet_plus_plus(deep_supervision=True)
        >>> model.compile("adam", loss=dict.fromkeys(model.output, "binary_crossentropy"))

    References:
        Zhou et al. (2018), https://arxiv.org/abs/1807.10165; (2020), https://arxiv.org/abs/1912.05074
    """
    sizes = checks.image_shape(input_shape, model="unet_plus_plus")
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.positive_int("depth", depth)
    checks.one_of("normalization", normalization, (None, "batch"))
    checks.flag("deep_supervision", deep_supervision)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    rows: list[list[keras.KerasTensor]] = []  # rows[i][j] is X(i, j)
    for level in range(depth + 1):
        x = _unit(x, filters * 2**level, f"stage{level + 1}", normalization, dropout_rate)
        rows.append([x])
        if level < depth:
            x = layers.MaxPooling2D(2, padding="same", name=f"stage{level + 1}_pool", **_FORMAT)(x)
    for column in range(1, depth + 1):
        for level in range(depth + 1 - column):
            prefix, width = f"node{level}_{column}", filters * 2**level
            up = layers.Conv2DTranspose(
                width, 2, strides=2, kernel_initializer="he_normal", name=f"{prefix}_up", **_FORMAT
            )(rows[level + 1][column - 1])
            up = blocks.crop_to(up, rows[level][0], always=True, name=f"{prefix}_crop")
            x = layers.Concatenate(name=f"{prefix}_concat")([up, *rows[level]])
            rows[level].append(_unit(x, width, prefix, normalization, dropout_rate))

    def answer(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.Conv2D(num_classes, 1, activation=activation, dtype="float32", name=name, **_FORMAT)(x)

    outputs = answer(rows[0][depth], "predictions")
    if deep_supervision:
        sides = {f"side{column}": answer(rows[0][column], f"side{column}") for column in range(1, depth)}
        outputs = {"predictions": outputs, **sides}
    return keras.Model(inputs, outputs, name=name)


def _unit(
    x: keras.KerasTensor, width: int, prefix: str, normalization: str | None, dropout_rate: float
) -> keras.KerasTensor:
    """Two convolutions, each followed by dropout."""
    for index in (1, 2):
        out = f"{prefix}_out" if index == 2 else f"{prefix}_dropout1"
        x = blocks.conv_stack(
            x, (width,), prefix=f"{prefix}_{index}", out=f"{prefix}_{index}_relu", normalization=normalization
        )
        x = layers.Dropout(dropout_rate, name=out)(x)
    return x
