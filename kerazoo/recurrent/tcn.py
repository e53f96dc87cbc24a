"""Temporal convolutional network: dilated causal convolutions instead of a recurrence.

S. Bai, J. Z. Kolter, V. Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence
modeling", arXiv:1803.01271 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.steps import LastStep
from kerazoo.layers.weight_norm import WeightNormConv1D


def receptive_field(kernel_size: int, num_levels: int) -> int:
    """Returns how many steps an output of `tcn` sees: 1 + 2 (k - 1) (2^L - 1).

    Args:
        kernel_size: Steps of each kernel, k.
        num_levels: Number of levels, L.

    Returns:
        The steps, its own included.

    Example:
        >>> receptive_field(7, 8)
        3061
    """
    return 1 + 2 * (kernel_size - 1) * (2**num_levels - 1)


def _residual_block(
    x: keras.KerasTensor, filters: int, kernel_size: int, dilation_rate: int, dropout_rate: float, name: str
) -> keras.KerasTensor:
    """Figure 1 (b) of the paper: two convolutions, and a 1 x 1 convolution around them where the widths differ."""
    skip = x
    for index in (1, 2):
        x = WeightNormConv1D(filters, kernel_size, dilation_rate, name=f"{name}_conv{index}")(x)
        x = layers.ReLU(name=f"{name}_relu{index}")(x)
        if dropout_rate:
            x = layers.SpatialDropout1D(dropout_rate, name=f"{name}_dropout{index}")(x)
    if skip.shape[-1] != filters:
        normal = keras.initializers.RandomNormal(stddev=0.01)
        skip = layers.Conv1D(filters, 1, kernel_initializer=normal, name=f"{name}_shortcut")(skip)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, skip]))


@register_model
def tcn(
    input_shape: Sequence[int | None] = (784, 1),
    num_classes: int = 10,
    *,
    mode: str = "many_to_one",
    vocab_size: int | None = None,
    embedding_dim: int = 128,
    filters: int = 25,
    num_levels: int = 8,
    kernel_size: int = 7,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.05,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "tcn",
) -> keras.Model:
    """Temporal convolutional network, by default the one that reads the digits of MNIST pixel by pixel.

    An output sees `1 + 2 (kernel_size - 1) (2**num_levels - 1)` steps, its own and those before it: 3061 by default
    (`kerazoo.recurrent.tcn.receptive_field`). The levels are to be chosen so that this covers what matters.

    Args:
        input_shape: `(steps, features)`, or `(steps,)` with `vocab_size`; the steps may be `None`.
        num_classes: Number of classes, or of numbers to be forecast with `classifier_activation=None`.
        mode: `"many_to_one"`: one answer after the last step. `"many_to_many"`: an answer at every step.
        vocab_size: Makes the input token numbers below this, of which 0 is padding at the end. Defaults to `None`,
            features.
        embedding_dim: Length of a token's vector.
        filters: Features of all levels.
        num_levels: Levels of two convolutions each; the dilation doubles from level to level.
        kernel_size: Steps of each kernel.
        dropout_rate: Fraction of whole features that is dropped behind each convolution.

    Returns:
        A flat functional `keras.Model`, (batch, steps, features) or (batch, steps) -> (batch, num_classes) or
        (batch, steps, num_classes).

    Example:
        >>> model = kerazoo.tcn((128, 6), 5, filters=32, num_levels=5, kernel_size=3)

    References:
        Bai, Kolter, Koltun (2018), https://arxiv.org/abs/1803.01271
    """
    inputs, _, vocab_size = blocks.sequence_input(input_shape, vocab_size, model=name)
    num_classes = checks.positive_int("num_classes", num_classes)
    checks.one_of("mode", mode, ("many_to_one", "many_to_many"))
    embedding_dim, filters = (
        checks.positive_int("embedding_dim", embedding_dim),
        checks.positive_int("filters", filters),
    )
    num_levels = checks.positive_int("num_levels", num_levels)
    kernel_size = checks.positive_int("kernel_size", kernel_size)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    x = inputs if vocab_size is None else layers.Embedding(vocab_size, embedding_dim, name="embedding")(inputs)
    for level in range(num_levels):
        x = _residual_block(x, filters, kernel_size, 2**level, dropout_rate, f"level{level + 1}")
    if mode == "many_to_one":
        x = LastStep(name="last")(x, None if vocab_size is None else inputs)
    head = layers.Dense(num_classes, classifier_activation, dtype="float32", name="predictions")
    return keras.Model(inputs, head(x), name=name)
