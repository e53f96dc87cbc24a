"""DeepLabV3+: atrous convolutions, a pyramid of them, and a small decoder that finds the edges again.

L.-C. Chen, Y. Zhu, G. Papandreou, F. Schroff, H. Adam, "Encoder-Decoder with Atrous Separable Convolution for
Semantic Image Segmentation", arXiv:1802.02611 (ECCV 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.segmentation._shared import backbone_features, pixel_activation

_FORMAT = {"data_format": "channels_last"}
_EPSILON = {"backbone": 1e-3, "head": 1e-5}
_LOW_LEVEL_WIDTH = 48


@register_model
def deeplab_v3_plus(
    input_shape: Sequence[int | None] = (512, 512, 3),
    num_classes: int = 21,
    *,
    backbone: str | None = None,
    output_stride: int = 16,
    filters: int = 256,
    width_multiplier: float = 1.0,
    middle_blocks: int = 16,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.1,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "deeplab_v3_plus",
) -> keras.Model:
    """DeepLabV3+ on the paper's Xception-65, or on an image classifier of the catalogue.

    Every fixed size works: odd maps are halved upwards, and what is too much after an up-sampling is cropped. A
    size left open (`None`) must be a multiple of 16 when the model is called, of the backbone's stride with one.

    Args:
        backbone: `None` for Xception-65, or the name of an image classifier that halves its maps by strided
            convolutions, e.g. `"resnet50"`; those beyond `output_stride` are taken out and what follows is dilated.
        output_stride: Stride of the last feature map, 8 or 16.
        filters: Filters of the pyramid and the decoder.
        width_multiplier: Factor of Xception's widths. Not used with a backbone.
        middle_blocks: Blocks of Xception's middle flow. Not used with a backbone.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout between the pyramid and the decoder, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes).

    Example:
        >>> model = kerazoo.deeplab_v3_plus((256, 256, 3), 4, backbone="resnet50")

    References:
        Chen, Zhu, Papandreou, Schroff, Adam (2018), https://arxiv.org/abs/1802.02611
    """
    sizes = checks.image_shape(input_shape, model="deeplab_v3_plus")
    checks.positive_int("num_classes", num_classes)
    checks.one_of("output_stride", output_stride, (8, 16))
    checks.positive_int("filters", filters)
    if checks.non_negative("width_multiplier", width_multiplier) == 0:
        raise ValueError(f"width_multiplier must be larger than 0. Received: width_multiplier={width_multiplier!r}")
    checks.positive_int("middle_blocks", middle_blocks)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, image = blocks.image_input(sizes, include_preprocessing)
    if backbone is None:
        low, x = _xception65(image, output_stride, width_multiplier, middle_blocks)
    else:
        features = backbone_features(backbone, inputs, image, output_stride=output_stride)
        low, x = features[2], features[max(features)]
    x = _pyramid(x, filters, output_stride, dropout_rate)

    x = layers.UpSampling2D(output_stride // 4, interpolation="bilinear", name="decoder_up", **_FORMAT)(x)
    x = blocks.crop_to(x, low, name="decoder_crop")
    low = _conv_norm(low, _LOW_LEVEL_WIDTH, 1, "decoder_low", relu=True)
    x = layers.Concatenate(name="decoder_concat")([x, low])
    for index in (1, 2):
        x = _separable(x, filters, f"decoder_sep{index}", part="head", relu_inside=True)
    x = layers.Conv2D(num_classes, 1, dtype="float32", name="predictions", **_FORMAT)(x)
    x = layers.UpSampling2D(4, interpolation="bilinear", dtype="float32", name="predictions_up", **_FORMAT)(x)
    outputs = blocks.crop_to(x, image, dtype="float32", name="predictions_crop")
    if activation is not None:
        outputs = layers.Activation(activation, dtype="float32", name="probabilities")(outputs)
    return keras.Model(inputs, outputs, name=name)


def _xception65(
    x: keras.KerasTensor, output_stride: int, multiplier: float, middle_blocks: int
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the feature map of stride 4 for the decoder and the last one (figure 4)."""

    def wide(*widths: int) -> list[int]:
        return [max(1, round(width * multiplier)) for width in widths]

    stride, middle_rate, exit_rates = {16: (2, 1, (1, 2)), 8: (1, 2, (2, 4))}[output_stride]
    (first,), (second,) = wide(32), wide(64)
    x = _conv_norm(x, first, 3, "stem_conv1", strides=2, part="backbone", relu=True)
    x = _conv_norm(x, second, 3, "stem_conv2", part="backbone", relu="stem_out")
    x, _ = _block(x, wide(128, 128, 128), "entry1", strides=2, shortcut="conv", out="stage1_out")
    x, low = _block(x, wide(256, 256, 256), "entry2", strides=2, shortcut="conv", out="stage2_out")
    x, _ = _block(x, wide(728, 728, 728), "entry3", strides=stride, shortcut="conv")
    for index in range(1, middle_blocks + 1):
        x, _ = _block(x, wide(728, 728, 728), f"middle{index}", rate=middle_rate, shortcut="sum")
    x, _ = _block(x, wide(728, 1024, 1024), "exit1", rate=exit_rates[0], shortcut="conv", out="stage3_out")
    for index, width in enumerate(wide(1536, 1536, 2048), start=1):
        out = "stage4_out" if index == 3 else None
        x = _separable(x, width, f"exit2_sep{index}", rate=exit_rates[1], relu_inside=True, out=out)
    return low, x


def _block(
    x: keras.KerasTensor,
    widths: Sequence[int],
    name: str,
    *,
    shortcut: str,
    strides: int = 1,
    rate: int = 1,
    out: str | None = None,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Three separable convolutions, the last one strided, and a shortcut; also returns the second one's output."""
    y, second = x, x
    for index, width in enumerate(widths, start=1):
        y = _separable(y, width, f"{name}_sep{index}", strides=strides if index == 3 else 1, rate=rate)
        second = y if index == 2 else second
    if shortcut == "conv":
        x = _conv_norm(x, widths[-1], 1, f"{name}_shortcut", strides=strides, part="backbone")
    return layers.Add(name=out or f"{name}_out")([y, x]), second


def _separable(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    *,
    strides: int = 1,
    rate: int = 1,
    part: str = "backbone",
    relu_inside: bool = False,
    out: str | None = None,
) -> keras.KerasTensor:
    """Depthwise and 1 x 1 convolution, both normalised, with ReLU before both or after each."""
    if not relu_inside:
        x = layers.Activation("relu", name=f"{name}_relu")(x)
    if strides > 1:  # the same on both sides, so that the map is not shifted
        x = layers.ZeroPadding2D(rate, name=f"{name}_pad", **_FORMAT)(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=strides,
        dilation_rate=rate,
        padding="valid" if strides > 1 else "same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
        **_FORMAT,
    )(x)
    x = _norm(x, f"{name}_depthwise_bn", part)
    if relu_inside:
        x = layers.Activation("relu", name=f"{name}_depthwise_relu")(x)
    return _conv_norm(x, filters, 1, f"{name}_pointwise", part=part, relu=(out or True) if relu_inside else False)


def _conv_norm(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    part: str = "head",
    relu: bool | str = False,
) -> keras.KerasTensor:
    padding = "same"
    if strides > 1 and kernel_size > 1:
        x = layers.ZeroPadding2D((kernel_size - 1) // 2, name=f"{name}_pad", **_FORMAT)(x)
        padding = "valid"
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
        **_FORMAT,
    )(x)
    x = _norm(x, f"{name}_bn", part)
    return layers.Activation("relu", name=relu if isinstance(relu, str) else f"{name}_relu")(x) if relu else x


def _norm(x: keras.KerasTensor, name: str, part: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=_EPSILON[part], name=name)(x)


def _pyramid(x: keras.KerasTensor, filters: int, output_stride: int, dropout_rate: float) -> keras.KerasTensor:
    """Atrous spatial pyramid pooling: the image's mean, 1 x 1, and three dilated separable convolutions."""
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_mean", **_FORMAT)(x)
    mean = _conv_norm(mean, filters, 1, "aspp_pool", relu=True)
    branches = [_conv_norm(x, filters, 1, "aspp_conv", relu=True)]
    for index, rate in enumerate((6, 12, 18) if output_stride == 16 else (12, 24, 36), start=1):
        branches.append(_separable(x, filters, f"aspp_sep{index}", rate=rate, part="head", relu_inside=True))
    # Added to a map of zeros the mean gets the map's size, which may be open, with built-in layers only.
    zeros = layers.Rescaling(0.0, name="aspp_zeros")(branches[0])
    mean = layers.Add(name="aspp_pool_out")([mean, zeros])
    x = layers.Concatenate(name="aspp_concat")([mean, *branches])
    x = _conv_norm(x, filters, 1, "aspp_project", relu=True)
    return layers.Dropout(dropout_rate, name="aspp_dropout")(x)
