"""Activations of the early networks."""

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
