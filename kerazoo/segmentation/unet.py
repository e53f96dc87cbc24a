"""U-Net: a contracting path, an expanding path, and the features of one handed over to the other.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
arXiv:1505.04597 (MICCAI 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.segmentation._shared import backbone_features, pixel_activation

_DECODER_WIDTHS = (16, 32, 64, 128, 256)  # with a backbone, from the finest step on; all coarser ones have 256
_FORMAT = {"data_format": "channels_last"}


class UNetOptions(TypedDict, total=False):
    """Keyword arguments of every U-Net beside its size."""

    padding: str
    backbone: str | None
    classifier_activation: Any
    dropout_rate: float
    include_preprocessing: bool | tuple[float, float]
    weights: str | None
    dtype: str | None
    name: str


@register_model
def unet(
    input_shape: Sequence[int | None] = (256, 256, 1),
    num_classes: int = 2,
    *,
    filters: int = 64,
    depth: int = 4,
    padding: str = "same",
    normalization: str | None = None,
    backbone: str | None = None,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.5,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "unet",
) -> keras.Model:
    """U-Net of any depth, with the paper's encoder or any image classifier of the catalogue in its place.

    With `padding="same"` every fixed size works: an odd map is halved upwards and the up-sampled map is
    cropped to its partner. A size left open (`None`) must be a multiple of `2 ** depth` when the model is
    called, or with a backbone a multiple of the stride of its coarsest level (32 for `"resnet34"`).

    Args:
        filters: Filters of the first level; they double with every level. Not used with a backbone.
        depth: Number of times the map is halved. Not used with a backbone.
        padding: `"same"` keeps the size; `"valid"` is the paper's, which shrinks it (572 -> 388).
        normalization: `None` as in the paper, or `"batch"` after every 3 x 3 convolution. A backbone's
            decoder always has it.
        backbone: Name of an image classifier with feature levels, e.g. `"resnet34"`, which becomes the
            encoder; the decoder is then 256-128-64-32-16 with nearest-neighbour up-sampling.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout at the end of the contracting path, in [0, 1): after the last level before the
            bottom and after the bottom. Not used with a backbone.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes).

    Example:
        >>> model = kerazoo.unet((250, 313, 3), 4, filters=16)
        >>> model = kerazoo.unet((256, 256, 3), 1, backbone="resnet34")

    References:
        Ronneberger, Fischer, Brox (2015), https://arxiv.org/abs/1505.04597; with a classifier as encoder:
        Iglovikov, Shvets (2018), https://arxiv.org/abs/1801.05746
    """
    sizes = checks.image_shape(input_shape, model="unet")
    num_classes = checks.positive_int("num_classes", num_classes)
    filters = checks.positive_int("filters", filters)
    depth = checks.positive_int("depth", depth)
    checks.one_of("padding", padding, ("same", "valid"))
    checks.one_of("normalization", normalization, (None, "batch"))
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)
    if padding == "valid":
        if backbone is not None:
            raise ValueError(f"padding='valid' is the paper's own encoder; it cannot have backbone={backbone!r}")
        check_valid_sizes(sizes, depth)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    if backbone is None:
        x = _contract_and_expand(x, filters, depth, padding, normalization, dropout_rate)
        head, initializer = 1, _normal(x.shape[-1])
    else:
        x = _expand_backbone(x, backbone_features(backbone, inputs, x))
        head, initializer = 3, "glorot_uniform"
    outputs = layers.Conv2D(
        num_classes,
        head,
        padding="same",
        activation=activation,
        kernel_initializer=initializer,
        dtype="float32",
        name="predictions",
        **_FORMAT,
    )(x)
    return keras.Model(inputs, outputs, name=name)


@register_model(family=unet)
def unet_small(
    input_shape: Sequence[int | None] = (256, 256, 1),
    num_classes: int = 2,
    *,
    filters: int = 16,
    depth: int = 3,
    normalization: str | None = "batch",
    **options: Unpack[UNetOptions],
) -> keras.Model:
    """U-Net that a laptop trains in minutes: 16 filters, three halvings, batch normalisation.

    Example:
        >>> model = kerazoo.unet_small((None, None, 3), 4)
    """
    return unet(input_shape, num_classes, filters=filters, depth=depth, normalization=normalization, **options)


def valid_output_size(size: int, depth: int = 4) -> int | None:
    """Returns the output size of the unpadded U-Net, or `None` if an input of this size cannot be used.

    Args:
        size: Height or width of the input.
        depth: Number of halvings.

    Returns:
        The output size (572 -> 388 at depth 4), or `None` where a pooling would meet an odd map or nothing is
        left.

    Example:
        >>> valid_output_size(572)
        388
    """
    for _ in range(depth):
        size -= 4
        if size <= 0 or size % 2:
            return None
        size //= 2
    size -= 4
    for _ in range(depth):
        size = 2 * size - 4
    return size if size > 0 else None


def check_valid_sizes(sizes: checks.Shape, depth: int) -> None:
    """Refuses sizes that the unpadded U-Net cannot use, naming the next one that it can."""
    if None in sizes:
        raise ValueError(
            f"input_shape must be fixed with padding='valid', where skips are cropped. Received: {sizes!r}"
        )
    for size in sizes[:-1]:
        assert size is not None
        if valid_output_size(size, depth) is None:
            larger = next(s for s in range(size, 2 * size + 64 * 2**depth) if valid_output_size(s, depth) is not None)
            raise ValueError(
                f"input_shape: {size} cannot be used with padding='valid', depth={depth}: a pooling needs "
                f"an even map; the next size that works is {larger}. Received: input_shape={sizes!r}"
            )


def _normal(incoming: int) -> keras.initializers.Initializer:
    """The paper's initial weights, N(0, sqrt(2 / N)), where N is the number of values one unit looks at."""
    return keras.initializers.RandomNormal(stddev=math.sqrt(2 / incoming))


def _contract_and_expand(
    x: keras.KerasTensor,
    filters: int,
    depth: int,
    padding: str,
    normalization: str | None,
    dropout_rate: float,
) -> keras.KerasTensor:
    skips: list[keras.KerasTensor] = []
    for level in range(1, depth + 2):
        has_dropout = level >= depth and dropout_rate > 0
        out = f"stage{level}_relu2" if has_dropout else f"stage{level}_out"
        width = filters * 2 ** (level - 1)
        x = blocks.conv_stack(
            x, (width, width), prefix=f"stage{level}", out=out, normalization=normalization, padding=padding
        )
        if has_dropout:
            x = layers.Dropout(dropout_rate, name=f"stage{level}_out")(x)
        if level <= depth:
            skips.append(x)
            # "same" halves an odd map upwards; on even maps it is the plain 2 x 2 pooling
            x = layers.MaxPooling2D(2, padding=padding, name=f"stage{level}_pool", **_FORMAT)(x)
    for level in range(depth, 0, -1):
        prefix, width = f"decoder{level}", filters * 2 ** (level - 1)
        x = layers.Conv2DTranspose(
            width,
            2,
            strides=2,
            padding="same",
            kernel_initializer=_normal(x.shape[-1]),  # its windows do not overlap: one position feeds each unit
            name=f"{prefix}_up",
            **_FORMAT,
        )(x)
        x = blocks.join_skip(x, skips[level - 1], prefix)
        x = blocks.conv_stack(
            x, (width, width), prefix=prefix, out=f"{prefix}_out", normalization=normalization, padding=padding
        )
    return x


def _expand_backbone(x: keras.KerasTensor, features: dict[int, keras.KerasTensor]) -> keras.KerasTensor:
    deepest = max(features)
    y = features[deepest]
    for level in range(deepest - 1, -1, -1):
        prefix, width = f"decoder{level + 1}", _DECODER_WIDTHS[min(level, len(_DECODER_WIDTHS) - 1)]
        y = layers.UpSampling2D(2, interpolation="nearest", name=f"{prefix}_up", **_FORMAT)(y)
        if level in features:
            y = layers.Concatenate(name=f"{prefix}_concat")(
                [blocks.crop_to(y, features[level], name=f"{prefix}_crop"), features[level]]
            )
        else:
            y = _crop_to_halving(y, x, level, f"{prefix}_crop")
        for index in (1, 2):
            out = f"{prefix}_relu1" if index == 1 else f"{prefix}_out"
            y = blocks.conv_norm_act(
                y,
                width,
                3,
                names=(f"{prefix}_conv{index}", f"{prefix}_bn{index}", out),
                kernel_initializer="he_uniform",
            )
    return y


def _crop_to_halving(y: keras.KerasTensor, x: keras.KerasTensor, level: int, name: str) -> keras.KerasTensor:
    """Crops `y` to the size the input has after `level` halvings (upwards), where no skip says it."""
    if None in y.shape[1:3] or None in x.shape[1:3]:
        return y
    target = keras.KerasTensor((None, *(-(-size // 2**level) for size in x.shape[1:3]), 1))
    return blocks.crop_to(y, target, name=name)
