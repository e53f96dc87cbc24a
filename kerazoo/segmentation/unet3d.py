"""3D U-Net: the U-Net of volumes.

O. Cicek, A. Abdulkadir, S. S. Lienkamp, T. Brox, O. Ronneberger, "3D U-Net: Learning Dense Volumetric Segmentation
from Sparse Annotation", arXiv:1606.06650 (MICCAI 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.segmentation._shared import pixel_activation
from kerazoo.segmentation.unet import check_valid_sizes

_FORMAT = {"data_format": "channels_last"}


@register_model
def unet3d(
    input_shape: Sequence[int | None] = (132, 132, 116, 3),
    num_classes: int = 3,
    *,
    filters: int = 32,
    depth: int = 3,
    padding: str = "valid",
    normalization: str | None = "batch",
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "unet3d",
) -> keras.Model:
    """Three-dimensional U-Net: every level doubles its channels before it is halved, and normalises each convolution.

    With `padding="same"` every fixed size works: an odd map is halved upwards and the up-sampled map is cropped to
    its partner. A size left open (`None`) must be a multiple of `2 ** depth` when the model is called.

    Args:
        input_shape: Shape of one volume without the batch axis: three sizes and the channels, e.g. `(64, 64, 32,
            1)`; `None` for sizes left open with `padding="same"`.
        filters: Filters of the first convolution; its level ends with twice as many.
        depth: Number of times the map is halved.
        padding: `"valid"` is the paper's, which shrinks the map (132 -> 44); `"same"` keeps the size.
        normalization: `"batch"`, or `None`.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout after the bottom of the network, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, three sizes, channels) -> (batch, three sizes, num_classes).

    Example:
        >>> model = kerazoo.unet3d((64, 64, 32, 1), 2, filters=8, padding="same")

    References:
        Cicek et al. (2016), https://arxiv.org/abs/1606.06650
    """
    sizes = checks.image_shape(input_shape, model="unet3d", ranks=(4,))
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.positive_int("depth", depth)
    checks.one_of("padding", padding, ("same", "valid"))
    checks.one_of("normalization", normalization, (None, "batch"))
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)
    if padding == "valid":
        check_valid_sizes(sizes, depth)

    common: dict[str, Any] = {"padding": padding, "normalization": normalization}
    inputs, x = blocks.image_input(sizes, include_preprocessing)
    skips = []
    for level in range(1, depth + 2):
        width = filters * 2 ** (level - 1)
        x = blocks.conv_stack(x, (width, 2 * width), prefix=f"stage{level}", out=f"stage{level}_out", **common)
        if level <= depth:
            skips.append(x)
            # TensorFlow has no such pooling of float16 on the CPU.
            pool = layers.MaxPooling3D(2, padding=padding, dtype="float32", name=f"stage{level}_pool", **_FORMAT)
            x = pool(x)
    if dropout_rate > 0:
        x = layers.Dropout(dropout_rate, name="bottom_dropout")(x)
    for level in range(depth, 0, -1):
        prefix, width = f"decoder{level}", filters * 2**level
        x = layers.Conv3DTranspose(
            x.shape[-1], 2, strides=2, use_bias=False, kernel_initializer="he_normal", name=f"{prefix}_up", **_FORMAT
        )(x)
        x = blocks.join_skip(x, skips[level - 1], prefix)
        x = blocks.conv_stack(x, (width, width), prefix=prefix, out=f"{prefix}_out", **common)
    outputs = layers.Conv3D(num_classes, 1, activation=activation, dtype="float32", name="predictions", **_FORMAT)(x)
    return keras.Model(inputs, outputs, name=name)
