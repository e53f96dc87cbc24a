"""Activations that Keras has not, or not by name."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
def heaviside(x: Any) -> Any:
    """Threshold unit: 1 where the net input reaches the threshold (0), else 0. It has no gradient.

    Args:
        x: Tensor of any shape.

    Returns:
        Zeros and ones of the shape and dtype of `x`.

    Example:
        >>> keras.layers.Activation(kerazoo.layers.heaviside)
    """
    return ops.cast(x >= 0, x.dtype)


@keras.saving.register_keras_serializable(package="kerazoo")
def scaled_tanh(x: Any) -> Any:
    """LeCun's squashing function 1.7159 tanh(2 x / 3), which maps 1 to 1 and -1 to -1.

    Args:
        x: Tensor of any shape.

    Returns:
        A tensor of the same shape.

    Example:
        >>> keras.layers.Activation(kerazoo.layers.scaled_tanh)

    References:
        LeCun et al. (1998), appendix A, https://doi.org/10.1109/5.726791
    """
    return 1.7159 * ops.tanh(x * (2.0 / 3.0))


@keras.saving.register_keras_serializable(package="kerazoo")
def quantizer(x: Any) -> Any:
    """Widrow's quantizer: +1 where the net input reaches the threshold (0), else -1. It has no gradient.

    Args:
        x: Tensor of any shape.

    Returns:
        Ones and minus ones of the shape and dtype of `x`.

    Example:
        >>> keras.layers.Activation(kerazoo.layers.quantizer)

    References:
        Widrow, Hoff (1960), https://doi.org/10.21236/AD0241531
    """
    return 2 * ops.cast(x >= 0, x.dtype) - 1


@keras.saving.register_keras_serializable(package="kerazoo")
def gelu_tanh(x: Any) -> Any:
    """GELU in the form with tanh, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as in GPT-2.

    It differs from the exact one by up to 5e-4, which Keras calls `"gelu"`.

    Args:
        x: Tensor of any shape.

    Returns:
        A tensor of the same shape.

    Example:
        >>> keras.layers.Activation(kerazoo.layers.gelu_tanh)

    References:
        Hendrycks, Gimpel (2016), https://arxiv.org/abs/1606.08415
    """
    return ops.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="kerazoo")
def quick_gelu(x: Any) -> Any:
    """x sigmoid(1.702 x), which CLIP has in the place of GELU and which differs from it by up to 0.02.

    Args:
        x: Tensor of any shape.

    Returns:
        A tensor of the same shape.

    Example:
        >>> keras.layers.Activation(kerazoo.layers.quick_gelu)

    References:
        Hendrycks, Gimpel (2016), https://arxiv.org/abs/1606.08415
    """
    return x * ops.sigmoid(1.702 * x)
