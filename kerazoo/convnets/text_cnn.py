"""Convolutional network for sentences: what matters of a text is a few words in a row, wherever they stand.

Y. Kim, "Convolutional neural networks for sentence classification", EMNLP 2014, arXiv:1408.5882.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.steps import MaxStep, PaddingAsZeros


@register_model
def text_cnn(
    input_shape: Sequence[int | None] = (56,),
    num_classes: int = 2,
    *,
    vocab_size: int | None = 18_766,
    embedding_dim: int = 300,
    filters: int = 100,
    kernel_sizes: Sequence[int] = (3, 4, 5),
    max_norm: float | None = 3.0,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.5,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "text_cnn",
) -> keras.Model:
    """Convolutions of several widths beside each other, and of each feature the largest value in the whole text.

    By default the paper's network for film reviews, with word vectors that are trained.

    Args:
        input_shape: `(steps,)` of tokens, or `(steps, features)` with `vocab_size=None`; the steps may be `None`.
        num_classes: Number of classes, or of numbers to be forecast with `classifier_activation=None`.
        vocab_size: Makes the input token numbers below this, of which 0 is padding at the end. `None`: features.
        embedding_dim: Length of a token's vector.
        filters: Features of each width.
        kernel_sizes: Widths, in steps.
        max_norm: Largest length of a class's weights in the last layer, or `None`.
        dropout_rate: Fraction of the features that is dropped in front of the last layer.

    Returns:
        A flat functional `keras.Model`, (batch, steps) or (batch, steps, features) -> (batch, num_classes).

    Example:
        >>> model = kerazoo.text_cnn((None,), 6, vocab_size=4000, embedding_dim=128, kernel_sizes=(1, 2, 3))

    References:
        Kim (2014), https://arxiv.org/abs/1408.5882
    """
    inputs, _, vocab_size = blocks.sequence_input(input_shape, vocab_size, model=name)
    num_classes = checks.positive_int("num_classes", num_classes)
    embedding_dim = checks.positive_int("embedding_dim", embedding_dim)
    filters = checks.positive_int("filters", filters)
    widths = checks.positive_ints("kernel_sizes", kernel_sizes)
    if max_norm is not None:
        checks.positive("max_norm", max_norm)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    x, ids = inputs, None
    if vocab_size is not None:
        ids = inputs
        x = layers.Embedding(vocab_size, embedding_dim, name="embedding")(inputs)
        x = PaddingAsZeros(name="without_padding")(x, ids)
    found = []
    for number, width in enumerate(widths, start=1):
        y = layers.Conv1D(filters, width, padding="same", activation="relu", name=f"conv{number}")(x)
        found.append(MaxStep(name=f"max{number}")(y, ids))
    x = layers.Concatenate(name="features")(found) if len(found) > 1 else found[0]
    x = layers.Dropout(dropout_rate, name="head_dropout")(x)
    head = layers.Dense(
        num_classes,
        classifier_activation,
        kernel_constraint=None if max_norm is None else keras.constraints.MaxNorm(max_norm),
        dtype="float32",
        name="predictions",
    )
    return keras.Model(inputs, head(x), name=name)
