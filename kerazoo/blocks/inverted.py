"""Depthwise convolutions and inverted residuals: the parts of the MobileNets and of EfficientNet.

These networks come from TensorFlow: a strided convolution is padded as `padding="same"` pads, and epsilon is 1e-3.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from kerazoo.blocks.conv import HE_NORMAL_FAN_OUT, conv_norm_act, norm_act

EPSILON = 1e-3


def round_channels(channels: float, divisor: int = 8) -> int:
    """Returns the multiple of `divisor` nearest to a scaled width, but never one that is over 10 % smaller."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def depthwise_norm_act(
    x: keras.KerasTensor,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    padding: str = "same",
    activation: Any = "relu6",
) -> keras.KerasTensor:
    """One filter per channel, batch normalisation, activation: `{name}_depthwise`, `{name}_depthwise_bn`, ..."""
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        depthwise_initializer=HE_NORMAL_FAN_OUT,
        data_format="channels_last",
        name=f"{name}_depthwise",
    )(x)
    return norm_act(x, (f"{name}_depthwise_bn", f"{name}_depthwise_act"), activation, EPSILON)


def squeeze_excite(
    x: keras.KerasTensor, filters: int, name: str, activation: Any = "relu", gate: Any = "hard_sigmoid"
) -> keras.KerasTensor:
    """Multiplies each channel by a gate between 0 and 1 that is computed from the average of all channels.

    Args:
        x: Feature map.
        filters: Width between the two 1 x 1 convolutions.
        name: Prefix of the layers.
        activation: Activation between them.
        gate: Activation after them.

    Returns:
        A feature map of the same shape.

    References:
        Hu, Shen, Sun (2018), https://arxiv.org/abs/1709.01507
    """
    options = {"kernel_initializer": HE_NORMAL_FAN_OUT, "data_format": "channels_last"}
    weights = layers.GlobalAveragePooling2D(keepdims=True, data_format="channels_last", name=f"{name}_se_pool")(x)
    weights = layers.Conv2D(filters, 1, activation=activation, name=f"{name}_se_reduce", **options)(weights)
    weights = layers.Conv2D(x.shape[-1], 1, activation=gate, name=f"{name}_se_expand", **options)(weights)
    return layers.Multiply(name=f"{name}_se_scale")([x, weights])


def inverted_residual(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int,
    *,
    expanded: int | None,
    name: str,
    activation: Any = "relu6",
    se_filters: int | None = None,
    se_activations: tuple[Any, Any] = ("relu", "hard_sigmoid"),
    drop_path_rate: float = 0.0,
) -> keras.KerasTensor:
    """1 x 1 to widen, a depthwise convolution, 1 x 1 to narrow without activation; added to the input if it fits.

    Args:
        x: Feature map.
        filters: Output channels.
        kernel_size: Kernel size of the depthwise convolution.
        strides: Its stride.
        expanded: Width of the depthwise convolution; `None`: that of the input, without a 1 x 1 convolution.
        name: Prefix of the layers.
        activation: Activation after the first two convolutions.
        se_filters: Inner width of squeeze-and-excitation after the depthwise convolution; `None` for none.
        se_activations: Its two activations.
        drop_path_rate: Fraction of samples whose residual is left out in training (stochastic depth).

    Returns:
        The feature map.

    References:
        Sandler et al. (2018), https://arxiv.org/abs/1801.04381
    """
    y = x
    if expanded is not None:
        names = (f"{name}_expand_conv", f"{name}_expand_bn", f"{name}_expand_act")
        y = conv_norm_act(y, expanded, 1, names=names, activation=activation, epsilon=EPSILON)
    y = depthwise_norm_act(y, kernel_size, name=name, strides=strides, activation=activation)
    if se_filters is not None:
        y = squeeze_excite(y, se_filters, name, *se_activations)
    y = conv_norm_act(y, filters, 1, names=(f"{name}_project_conv", f"{name}_project_bn", None), epsilon=EPSILON)
    if strides > 1 or x.shape[-1] != filters:
        return y
    return layers.Add(name=f"{name}_add")([x, drop_path(y, drop_path_rate, name)])


def drop_path(x: keras.KerasTensor, rate: float, name: str) -> keras.KerasTensor:
    """Stochastic depth (Huang et al., arXiv:1603.09382): zeroes the whole map of some samples while training."""
    if not rate:
        return x
    return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop_path")(x)
