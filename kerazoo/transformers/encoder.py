"""The encoder of the Transformer, as a network for sequences of features or tokens.

A. Vaswani et al., "Attention Is All You Need", arXiv:1706.03762 (2017), the left half of figure 1. With a linear layer
in front and no decoder as in G. Zerveas, S. Jayaraman, D. Patel, A. Bhamidipaty, C. Eickhoff, "A Transformer-based
framework for multivariate time series representation learning", arXiv:2010.02803 (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.padding_mask import PaddingMask
from kerazoo.layers.position import SinusoidalPositions
from kerazoo.layers.steps import MeanStep


@register_model
def transformer_encoder(
    input_shape: Sequence[int | None] = (28, 28),
    num_classes: int = 10,
    *,
    mode: str = "many_to_one",
    vocab_size: int | None = None,
    max_length: int = 512,
    num_layers: int = 2,
    num_heads: int = 4,
    hidden_dim: int = 128,
    mlp_dim: int = 512,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.1,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "transformer_encoder",
) -> keras.Model:
    """Encoder of the Transformer for features or tokens: every step sees all others.

    Args:
        input_shape: `(steps, features)`, or `(steps,)` with `vocab_size`; the steps may be `None`.
        num_classes: Number of classes, or of numbers to be forecast with `classifier_activation=None`.
        mode: `"many_to_one"`: one answer, from the mean of all steps that are no padding. `"many_to_many"`: an answer
            at every step, which has seen what follows, too.
        vocab_size: Makes the input token numbers below this, of which 0 is padding. Defaults to `None`, features.
        max_length: Longest sequence where the steps are `None`. Positions are not learnt, so weights fit any length.
        num_layers: Number of blocks.
        num_heads: Attention heads; the features are divided among them.
        hidden_dim: Features of a step inside; an even number, since sines and cosines of the position take turns.
        mlp_dim: Hidden units of the perceptrons.
        dropout_rate: Of the first features, what each sub-layer gives and the head, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, steps, features) or (batch, steps) -> (batch, num_classes) or
        (batch, steps, num_classes).

    Example:
        >>> model = kerazoo.transformer_encoder((128, 6), 5, num_layers=2, hidden_dim=64, mlp_dim=128)

    References:
        Vaswani et al. (2017), https://arxiv.org/abs/1706.03762; Zerveas et al. (2020), https://arxiv.org/abs/2010.02803
    """
    inputs, sizes, vocab_size = blocks.sequence_input(input_shape, vocab_size, model=name)
    num_classes = checks.positive_int("num_classes", num_classes)
    checks.one_of("mode", mode, ("many_to_one", "many_to_many"))
    max_length = checks.positive_int("max_length", max_length)
    num_layers = checks.positive_int("num_layers", num_layers)
    hidden_dim = checks.positive_int("hidden_dim", hidden_dim)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    transformer = blocks.Transformer(
        num_heads=num_heads, mlp_dim=mlp_dim, pre_norm=False, dropout_rate=dropout_rate, use_bias=False
    )

    if vocab_size is not None:
        normal = keras.initializers.RandomNormal(stddev=hidden_dim**-0.5)
        x = layers.Embedding(vocab_size, hidden_dim, embeddings_initializer=normal, name="embedding")(inputs)
        x = layers.Rescaling(hidden_dim**0.5, name="scale")(x)
    else:
        x = layers.Dense(hidden_dim, name="embedding")(inputs)
    mask = None if vocab_size is None else PaddingMask(name="mask")(inputs)
    x = SinusoidalPositions(sizes[0] or max_length, name="positions")(x)
    x = layers.Dropout(dropout_rate, name="embedding_dropout")(x)
    for index in range(1, num_layers + 1):
        x = transformer.block(x, f"encoder{index}", mask=mask)
    if mode == "many_to_one":
        x = MeanStep(name="mean")(x, None if vocab_size is None else inputs)
    x = layers.Dropout(dropout_rate, name="head_dropout")(x)
    head = layers.Dense(num_classes, classifier_activation, dtype="float32", name="predictions")
    return keras.Model(inputs, head(x), name=name)
