"""Convolution, normalisation, activation."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

HE_NORMAL_FAN_OUT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}
"""N(0, sqrt(2 / (k * k * out))) as in the released code of He et al., not truncated as in Keras."""


def own_initializer(initializer: Any) -> Any:
    """Returns an initialiser for one layer: an object is copied, since a shared one draws the same values again."""
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer


def batch_norm(x: keras.KerasTensor, name: str, epsilon: float = 1e-5) -> keras.KerasTensor:
    """Batch normalisation as in the papers' code: epsilon 1e-5, and momentum 0.9 in Keras's convention.

    PyTorch's momentum 0.1 is Keras's 0.9; Keras's own default of 0.99 needs ten times the steps to settle.
    """
    return layers.BatchNormalization(momentum=0.9, epsilon=epsilon, name=name)(x)


def norm_act(
    x: keras.KerasTensor, names: tuple[str, str | None], activation: Any = "relu", epsilon: float = 1e-5
) -> keras.KerasTensor:
    """Batch normalisation and, where the second name is given, the activation."""
    x = batch_norm(x, names[0], epsilon)
    return x if names[1] is None else layers.Activation(activation, name=names[1])(x)


def conv_norm_act(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    names: tuple[str, str, str | None],
    strides: int = 1,
    padding: str = "symmetric",
    activation: Any = "relu",
    kernel_initializer: Any = HE_NORMAL_FAN_OUT,
    epsilon: float = 1e-5,
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation and, where the third name is given, the activation.

    Strided convolutions are padded by (k - 1) / 2 on both sides, as in Caffe and PyTorch: `padding="same"`
    would pad an even input on the far side only, which shifts the network by a pixel at every stage.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Output channels.
        kernel_size: Odd kernel size.
        names: Names of convolution, normalisation and activation; `None` as the third leaves the activation
            out.
        strides: Stride of the convolution.
        padding: `"symmetric"`, or `"same"` for networks that come from TensorFlow.
        activation: Activation after the normalisation.
        kernel_initializer: Initialiser of the kernel.
        epsilon: Epsilon of the normalisation.

    Returns:
        The feature map.
    """
    conv_name, norm_name, activation_name = names
    if padding == "symmetric":
        padding = "same"
        if strides > 1 and kernel_size > 1:
            x = layers.ZeroPadding2D((kernel_size - 1) // 2, data_format="channels_last", name=f"{conv_name}_pad")(x)
            padding = "valid"
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer=own_initializer(kernel_initializer),
        data_format="channels_last",
        name=conv_name,
    )(x)
    return norm_act(x, (norm_name, activation_name), activation, epsilon)


def conv_act(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    names: tuple[str, str],
    strides: int = 1,
    padding: int | None = None,
    groups: int = 1,
    activation: Any = "relu",
    kernel_initializer: Any = "glorot_uniform",
    bias_initializer: Any = "zeros",
) -> keras.KerasTensor:
    """Convolution with bias and activation, as before batch normalisation.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Output channels.
        kernel_size: Odd kernel size.
        names: Names of convolution and activation.
        strides: Stride of the convolution.
        padding: Zeros on each side. Defaults to (kernel_size - 1) / 2.
        groups: Groups of channels that do not see each other.
        activation: Activation after the convolution.
        kernel_initializer: Initialiser of the kernel.
        bias_initializer: Initialiser of the bias.

    Returns:
        The feature map.
    """
    half = (kernel_size - 1) // 2
    padding = half if padding is None else padding
    same = padding == half and strides == 1
    if padding and not same:
        x = layers.ZeroPadding2D(padding, data_format="channels_last", name=f"{names[0]}_pad")(x)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if same else "valid",
        groups=groups,
        kernel_initializer=kernel_initializer,
        bias_initializer=bias_initializer,
        data_format="channels_last",
        name=names[0],
    )(x)
    return layers.Activation(activation, name=names[1])(x)


def norm_act_conv(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    names: tuple[str, str, str],
    activation: Any = "relu",
    kernel_initializer: Any = HE_NORMAL_FAN_OUT,
) -> keras.KerasTensor:
    """Batch normalisation, activation, then a convolution without bias: the order of pre-activation networks.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Output channels.
        kernel_size: Odd kernel size.
        names: Names of normalisation, activation and convolution.
        activation: Activation after the normalisation.
        kernel_initializer: Initialiser of the kernel.

    Returns:
        The feature map.
    """
    x = batch_norm(x, names[0])
    x = layers.Activation(activation, name=names[1])(x)
    return layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer=kernel_initializer,
        data_format="channels_last",
        name=names[2],
    )(x)


def ceil_max_pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Max pooling 3 x 3 with stride 2 as in Caffe: a window that hangs over the far edge counts too.

    The zeros added there change nothing, since the map comes out of a ReLU; on an odd map no window reaches them.
    `padding="same"` would pad an odd map on both sides.
    """
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), data_format="channels_last", name=f"{name}_pad")(x)
    return layers.MaxPooling2D(3, strides=2, data_format="channels_last", name=name)(x)
