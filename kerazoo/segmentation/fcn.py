"""Fully convolutional networks: a classifier that answers at every place, and its coarse answers grown back.

J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038
(CVPR 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.segmentation._shared import VGG16_STAGES, DenseOptions, pixel_activation

_FORMAT = {"data_format": "channels_last"}
# Offsets of the released networks' crops, for an input padded by 100: of the scores of stage 4 and 3, of the output.
_OFFSETS = {4: 5, 3: 9}
_LAST_OFFSET = {32: 19, 16: 27, 8: 31}


class FCNOptions(DenseOptions, total=False):
    """Keyword arguments of every FCN."""

    filters: int
    bottleneck_filters: int
    paper_padding: bool
    trainable_upsampling: bool


def _fcn(
    stride: int,
    /,
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    filters: int = 64,
    bottleneck_filters: int = 4096,
    paper_padding: bool = False,
    trainable_upsampling: bool = False,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.5,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "fcn",
) -> keras.Model:
    """Builds VGG-16 with its dense layers as convolutions, class scores, and the way back up.

    Every fixed size works: an odd map is halved upwards, and what is too much after the up-sampling is cropped. A
    size left open (`None`) must be a multiple of 32 when the model is called.

    Args:
        filters: Filters of the first stage; the others have 2, 4, 8 and 8 times as many.
        bottleneck_filters: Filters of `fc6` and `fc7`.
        paper_padding: `True` pads the image by 100 pixels, leaves `fc6` unpadded and crops at the released
            networks' offsets; layers and weights are the same. It needs a fixed size.
        trainable_upsampling: Whether the transposed convolutions, which start as bilinear interpolation, are learned;
            the released networks leave them as they are.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout after `fc6` and `fc7`, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes).

    References:
        Long, Shelhamer, Darrell (2015), https://arxiv.org/abs/1411.4038
    """
    checks.flag("paper_padding", paper_padding)
    checks.flag("trainable_upsampling", trainable_upsampling)
    fixed = "the crops of paper_padding=True need to know it" if paper_padding else None
    sizes = checks.image_shape(input_shape, model=name, dynamic=fixed)
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.positive_int("bottleneck_filters", bottleneck_filters)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, image = blocks.image_input(sizes, include_preprocessing)
    pools = _vgg16(image, filters, paper_padding)
    x = pools[5]
    for index, kernel in ((6, 7), (7, 1)):
        x = layers.Conv2D(
            bottleneck_filters,
            kernel,
            padding="valid" if paper_padding else "same",
            activation="relu",
            kernel_initializer=blocks.HE_NORMAL_FAN_IN,
            name=f"fc{index}",
            **_FORMAT,
        )(x)
        x = layers.Dropout(dropout_rate, name=f"fc{index}_dropout")(x)
    x = _score(x, num_classes, "score_fr")

    up: dict[str, Any] = {"padding": "valid" if paper_padding else "same", "trainable": trainable_upsampling}
    for stage in (4, 3)[: {32: 0, 16: 1, 8: 2}[stride]]:
        x = blocks.bilinear_upsampling(x, 2, name=f"up{stage}", **up)
        skip = _score(pools[stage], num_classes, f"score_pool{stage}")
        if paper_padding:
            skip = _crop_at(skip, x, _OFFSETS[stage], f"score_pool{stage}_crop")
        else:
            x = blocks.crop_to(x, skip, name=f"up{stage}_crop")
        x = layers.Add(name=f"fuse{stage}")([x, skip])
    x = blocks.bilinear_upsampling(x, stride, name="predictions", activation=activation, dtype="float32", **up)
    if paper_padding:
        outputs = _crop_at(x, image, _LAST_OFFSET[stride], "crop", dtype="float32")
    else:
        outputs = blocks.crop_to(x, image, dtype="float32", name="crop")
    return keras.Model(inputs, outputs, name=name)


def _vgg16(x: keras.KerasTensor, filters: int, paper_padding: bool) -> dict[int, keras.KerasTensor]:
    """Returns stage -> its pooled output."""
    if paper_padding:
        x = layers.ZeroPadding2D(99, name="pad", **_FORMAT)(x)  # the padded convolution behind it adds the hundredth
    pools = {}
    for stage, (multiple, count) in enumerate(VGG16_STAGES, start=1):
        x = blocks.conv_stack(x, (filters * multiple,) * count, prefix=f"stage{stage}", out=f"stage{stage}_out")
        # "same" halves an odd map upwards, as Caffe does
        x = pools[stage] = layers.MaxPooling2D(2, padding="same", name=f"stage{stage}_pool", **_FORMAT)(x)
    return pools


def _score(x: keras.KerasTensor, num_classes: int, name: str) -> keras.KerasTensor:
    # Not zero as in the release: nothing below would learn in the first step.
    return layers.Conv2D(num_classes, 1, kernel_initializer="glorot_uniform", name=name, **_FORMAT)(x)


def _crop_at(
    x: keras.KerasTensor, other: keras.KerasTensor, offset: int, name: str, dtype: str | None = None
) -> keras.KerasTensor:
    """Cuts a window of the size of `other` out of `x`, `offset` pixels from the top and the left."""
    after = [mine - theirs - offset for mine, theirs in zip(x.shape[1:3], other.shape[1:3], strict=True)]
    return layers.Cropping2D(((offset, after[0]), (offset, after[1])), dtype=dtype, name=name, **_FORMAT)(x)


@register_model(family=_fcn)
def fcn32s(
    input_shape: Sequence[int | None] = (500, 500, 3), num_classes: int = 21, **options: Unpack[FCNOptions]
) -> keras.Model:
    """FCN-32s: the scores of the last stage, 32 times up-sampled.

    Example:
        >>> model = kerazoo.fcn32s((256, 256, 3), 5)
    """
    return _fcn(32, input_shape, num_classes, **options)


@register_model(family=_fcn)
def fcn16s(
    input_shape: Sequence[int | None] = (500, 500, 3), num_classes: int = 21, **options: Unpack[FCNOptions]
) -> keras.Model:
    """FCN-16s: joined by the scores of stage 4.

    Example:
        >>> model = kerazoo.fcn16s((256, 256, 3), 5)
    """
    return _fcn(16, input_shape, num_classes, **options)


@register_model(family=_fcn)
def fcn8s(
    input_shape: Sequence[int | None] = (500, 500, 3), num_classes: int = 21, **options: Unpack[FCNOptions]
) -> keras.Model:
    """FCN-8s: joined by the scores of stages 4 and 3.

    Example:
        >>> model = kerazoo.fcn8s((None, None, 3), 5, filters=16, bottleneck_filters=256)
    """
    return _fcn(8, input_shape, num_classes, **options)
