"""The two ends of a network: input with preprocessing, and the head, in float32 under any policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import keras
import numpy as np
from keras import layers

from kerazoo import checks


def preprocess(x: keras.KerasTensor, include_preprocessing: Any) -> keras.KerasTensor:
    """Adds the `Rescaling` layer named `preprocess` if it is asked for.

    It is a built-in layer and travels with every exported file; with scalars it works for any number of channels.

    Args:
        x: The input.
        include_preprocessing: `False`; `True` for [0, 255] -> [-1, 1]; or a pair `(scale, offset)`, each a number
            or one number per channel.

    Returns:
        `x * scale + offset`, or `x`.
    """
    if include_preprocessing is False:
        return x
    pair = (1 / 127.5, -1.0) if include_preprocessing is True else include_preprocessing
    fits = isinstance(pair, (tuple, list)) and len(pair) == 2 and all(_is_factor(value, x.shape[-1]) for value in pair)
    if not fits or not np.all(pair[0]):
        raise ValueError(
            "include_preprocessing must be True, False or a pair (scale, offset) of numbers or of one number per "
            f"channel, no scale 0. Received: include_preprocessing={include_preprocessing!r}"
        )
    scale, offset = (list(map(float, value)) if isinstance(value, (tuple, list)) else float(value) for value in pair)
    # float32, so that 8-bit steps survive a half-precision policy
    return layers.Rescaling(scale, offset, dtype="float32", name="preprocess")(x)


def _is_factor(value: Any, channels: int) -> bool:
    if isinstance(value, (tuple, list)):
        return len(value) == channels and all(map(_is_number, value))
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) < float("inf")


def image_input(input_shape: checks.Shape, include_preprocessing: Any) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the input named `input` and the tensor the network starts from."""
    inputs = keras.Input(input_shape, name="input")
    return inputs, preprocess(inputs, include_preprocessing)


def token_input(length: Any, max_length: int, name: str = "token_ids") -> keras.KerasTensor:
    """Returns an input of token numbers.

    Args:
        length: Number of tokens where it is to be fixed; `None` leaves it open.
        max_length: Longest sequence.
        name: Name of the input.
    """
    if length is not None and checks.positive_int("length", length) > max_length:
        raise ValueError(f"length must be at most max_length={max_length}. Received: length={length!r}")
    return keras.Input((length,), dtype="int32", name=name)


def sequence_input(
    input_shape: Any, vocab_size: int | None, *, model: str
) -> tuple[keras.KerasTensor, checks.Shape, int | None]:
    """Returns the input of a network for features, or with `vocab_size` for token numbers.

    Args:
        input_shape: `(steps, features)`, or `(steps,)` of tokens; the steps may be `None`.
        vocab_size: Number of tokens, or `None` for features.
        model: Name of the builder, for messages.

    Returns:
        The input, its sizes, and `vocab_size` after its check.
    """
    if vocab_size is not None:
        vocab_size = checks.positive_int("vocab_size", vocab_size)
        sizes = checks.shape(input_shape, ranks=(1,))
        return keras.Input(sizes, dtype="int32", name="token_ids"), sizes, vocab_size
    sizes = checks.shape(input_shape, ranks=(2,))
    if sizes[-1] is None:
        raise ValueError(f"input_shape of {model} needs a fixed number of features. Received: {input_shape!r}")
    return keras.Input(sizes, name="input"), sizes, None


def named_activation(x: keras.KerasTensor, activation: Any, name: str) -> keras.KerasTensor:
    """Applies an activation by name, those with weights (`prelu`) included; `None` adds no layer."""
    if activation in (None, "linear"):
        return x
    if activation == "prelu":
        shared = list(range(1, len(x.shape) - 1))  # one slope per channel, so that any image size fits
        return layers.PReLU(shared_axes=shared or None, name=name)(x)
    return layers.Activation(activation, name=name)(x)


def classification_head(
    x: keras.KerasTensor,
    num_classes: int,
    *,
    include_top: bool,
    pooling: str | None,
    classifier_activation: Any,
    dropout_rate: float,
    kernel_initializer: Any = "glorot_uniform",
    hidden: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None,
) -> keras.KerasTensor:
    """Global pooling, dropout and the dense layer of an image or signal classifier.

    Args:
        x: Feature map, channels last.
        num_classes: Number of classes.
        include_top: `True` for `avg_pool`, `head_dropout`, `predictions`.
        pooling: With `include_top=False`: `None`, `"avg"` or `"max"`.
        classifier_activation: Activation of `predictions`.
        dropout_rate: Rate of `head_dropout`.
        kernel_initializer: Initialiser of `predictions`.
        hidden: Layers of the head between `avg_pool` and `head_dropout`, as a function.

    Returns:
        Class scores or the pooled vector, in float32 under any policy; or the feature map as it came in.
    """
    average = layers.GlobalAveragePooling1D if len(x.shape) == 3 else layers.GlobalAveragePooling2D
    maximum = layers.GlobalMaxPooling1D if len(x.shape) == 3 else layers.GlobalMaxPooling2D
    common = {"data_format": "channels_last", "dtype": "float32"}
    if not include_top:
        if pooling is None:
            return x
        return average(name="avg_pool", **common)(x) if pooling == "avg" else maximum(name="max_pool", **common)(x)
    x = average(name="avg_pool", **common)(x)
    x = x if hidden is None else hidden(x)
    x = layers.Dropout(dropout_rate, dtype="float32", name="head_dropout")(x)
    return layers.Dense(
        num_classes,
        activation=classifier_activation,
        kernel_initializer=kernel_initializer,
        dtype="float32",
        name="predictions",
    )(x)


def dense_head(
    x: keras.KerasTensor,
    num_classes: int,
    *,
    hidden_units: Sequence[int],
    include_top: bool,
    pooling: str | None,
    classifier_activation: Any,
    dropout_rate: float,
    dropout_first: bool = False,
    kernel_initializer: Any = "glorot_uniform",
    bias_initializer: Any = "zeros",
) -> keras.KerasTensor:
    """Fully connected layers `fc1`, `fc2`, ... on every position of the map, then `predictions`.

    Args:
        x: Feature map of fixed size, channels last; any size with `include_top=False`.
        num_classes: Number of classes.
        hidden_units: Units of each fully connected layer, which have ReLU.
        include_top: `False` leaves all of them out.
        pooling: With `include_top=False`: `None`, `"avg"` or `"max"`.
        classifier_activation: Activation of `predictions`.
        dropout_rate: Rate of the dropouts; the last one is `head_dropout`.
        dropout_first: Dropout in front of each fully connected layer instead of after it.
        kernel_initializer: Initialiser of all kernels.
        bias_initializer: Initialiser of the biases of the fully connected layers.

    Returns:
        Class scores in float32, the pooled vector or the feature map.
    """
    if not include_top:
        return classification_head(
            x, num_classes, include_top=False, pooling=pooling, classifier_activation=None, dropout_rate=0.0
        )
    x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    drops = [f"fc{index}_dropout" for index in range(1, len(hidden_units))] + ["head_dropout"]
    for index, (units, drop) in enumerate(zip(hidden_units, drops, strict=True), start=1):
        if dropout_first:
            x = layers.Dropout(dropout_rate, name=drop)(x)
        x = layers.Dense(
            units, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer, name=f"fc{index}"
        )(x)
        x = layers.Activation("relu", name=f"fc{index}_relu")(x)
        if not dropout_first:
            x = layers.Dropout(dropout_rate, name=drop)(x)
    return layers.Dense(
        num_classes,
        activation=classifier_activation,
        kernel_initializer=kernel_initializer,
        dtype="float32",
        name="predictions",
    )(x)
