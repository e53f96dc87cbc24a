"""Stacks of convolutions with biases, in the way of VGG and U-Net, for images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo.blocks.conv import batch_norm

HE_NORMAL_FAN_IN = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_in", "distribution": "untruncated_normal"},
}
"""N(0, sqrt(2 / (k * k * in))) as in Caffe's "msra" filler, not truncated as in Keras."""


def conv_stack(
    x: keras.KerasTensor,
    widths: Sequence[int],
    *,
    prefix: str,
    out: str,
    kernel_size: int = 3,
    normalization: str | None = None,
    padding: str = "same",
    kernel_initializer: Any = HE_NORMAL_FAN_IN,
) -> keras.KerasTensor:
    """Convolutions with bias, each with ReLU and, if asked for, batch normalisation before it.

    Args:
        x: Feature map (batch, height, width, channels), or a volume.
        widths: Filters of each convolution.
        prefix: First part of the layers' names.
        out: Name of the last activation.
        kernel_size: Size of the kernels along each axis.
        normalization: `None` or `"batch"`.
        padding: `"same"` or `"valid"`.
        kernel_initializer: Initialiser of the kernels, by name or configuration: one object used twice would give
            the same values twice.

    Returns:
        The feature map.
    """
    conv = layers.Conv2D if len(x.shape) == 4 else layers.Conv3D
    for index, width in enumerate(widths, start=1):
        x = conv(
            width,
            kernel_size,
            padding=padding,
            kernel_initializer=kernel_initializer,
            data_format="channels_last",
            name=f"{prefix}_conv{index}",
        )(x)
        if normalization == "batch":
            x = batch_norm(x, f"{prefix}_bn{index}")
        x = layers.Activation("relu", name=out if index == len(widths) else f"{prefix}_relu{index}")(x)
    return x
