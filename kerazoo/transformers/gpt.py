"""GPT: a Transformer that sees what stands before a token and predicts the next one.

A. Radford, K. Narasimhan, T. Salimans, I. Sutskever, "Improving language understanding by generative pre-training"
(2018): normalisation behind each sub-layer. A. Radford, J. Wu, R. Child, D. Luan, D. Amodei, I. Sutskever, "Language
models are unsupervised multitask learners" (2019): normalisation before each sub-layer and once more at the end.
"""

from __future__ import annotations

import math
from typing import TypedDict, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.activations import gelu_tanh
from kerazoo.layers.position import PositionEmbedding


class GPTOptions(TypedDict, total=False):
    """Keyword arguments of all of them but the sizes."""

    length: int | None
    dropout_rate: float
    weights: str | None
    dtype: str | None
    name: str


def _normal(deviation: float) -> keras.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation)


def _gpt(
    pre_norm: bool,
    /,
    vocab_size: int,
    max_length: int,
    *,
    num_layers: int = 12,
    num_heads: int = 12,
    hidden_dim: int = 768,
    mlp_dim: int = 3072,
    length: int | None = None,
    dropout_rate: float = 0.1,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "gpt",
) -> keras.Model:
    """Builds a language model.

    The head is the table of token vectors once more (tied, without bias). Padding needs no mask where it stands behind
    the text: a token never sees what follows. `kerazoo.generate` writes text with a trained model.

    Args:
        vocab_size: Number of tokens.
        max_length: Longest sequence: the model has one vector per position.
        num_layers: Number of blocks.
        num_heads: Attention heads; the features are divided among them.
        hidden_dim: Features of a token.
        mlp_dim: Hidden units of the perceptrons.
        length: Length of the input, where it is to be fixed; `None` takes any up to `max_length`.
        dropout_rate: Of the embedding, the attention weights and what each sub-layer gives, in [0, 1).

    Returns:
        A flat functional `keras.Model`, token numbers `token_ids` (batch, length) -> logits of the next token at every
        position (batch, length, vocab_size), float32.

    References:
        Radford et al. (2019),
        https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    """
    vocab_size = checks.positive_int("vocab_size", vocab_size)
    max_length = checks.positive_int("max_length", max_length)
    num_layers = checks.positive_int("num_layers", num_layers)
    hidden_dim = checks.positive_int("hidden_dim", hidden_dim)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    transformer = blocks.Transformer(
        num_heads=num_heads,
        mlp_dim=mlp_dim,
        pre_norm=pre_norm,
        epsilon=1e-5,
        activation=gelu_tanh,
        dropout_rate=dropout_rate,
        attention_dropout_rate=dropout_rate,
        kernel_initializer=_normal(0.02),
    )

    inputs = blocks.token_input(length, max_length)
    embedding = layers.ReversibleEmbedding(
        vocab_size, hidden_dim, embeddings_initializer=_normal(0.02), reverse_dtype="float32", name="token_embedding"
    )
    positions = _normal(0.01 if pre_norm else 0.02)
    x = PositionEmbedding(max_length, positions, name="positions")(embedding(inputs))
    x = layers.Dropout(dropout_rate, name="embedding_dropout")(x)
    for index in range(1, num_layers + 1):
        x = transformer.block(x, f"block{index}", causal=True)
    if pre_norm:
        x = layers.LayerNormalization(epsilon=1e-5, name="final_norm")(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(embedding(x, reverse=True))
    model = keras.Model(inputs, logits, name=name)
    if pre_norm:
        _scale_residuals(model, num_layers)
    return model


def _scale_residuals(model: keras.Model, num_layers: int) -> None:
    """Section 2.3: what is added to the residual path starts smaller the more is added, 1 / sqrt(N) for N additions."""
    factor = 1 / math.sqrt(2 * num_layers)
    for index in range(1, num_layers + 1):
        attention = model.get_layer(f"block{index}_attention").output_dense
        for layer in (attention, model.get_layer(f"block{index}_mlp_fc2")):
            layer.kernel.assign(layer.kernel * factor)


@register_model(family=_gpt)
def gpt(vocab_size: int = 40478, max_length: int = 512, **options: Unpack[GPTOptions]) -> keras.Model:
    """GPT, the first one: 12 blocks with the normalisation behind each sub-layer, as in the original Transformer.

    Example:
        >>> model = kerazoo.gpt(1000, 128, num_layers=4, num_heads=4, hidden_dim=128, mlp_dim=512)

    References:
        Radford et al. (2018),
        https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf
    """
    return _gpt(False, vocab_size, max_length, **options)


@register_model(family=_gpt)
def gpt2(vocab_size: int = 50257, max_length: int = 1024, **options: Unpack[GPTOptions]) -> keras.Model:
    """GPT-2, the smallest published: 12 blocks, 768 features.

    Example:
        >>> model = kerazoo.gpt2(5000, 256, num_layers=6, num_heads=6, hidden_dim=192, mlp_dim=768)
    """
    return _gpt(True, vocab_size, max_length, **options)


@register_model(family=_gpt)
def gpt2_tiny(
    vocab_size: int = 128,
    max_length: int = 256,
    *,
    num_layers: int = 4,
    num_heads: int = 4,
    hidden_dim: int = 128,
    mlp_dim: int = 512,
    **options: Unpack[GPTOptions],
) -> keras.Model:
    """GPT-2 for a laptop and a small vocabulary: 4 blocks, 128 features.

    Example:
        >>> model = kerazoo.gpt2_tiny(96, 256)
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _gpt(True, vocab_size, max_length, **sizes, **options)


@register_model(family=_gpt)
def gpt2_medium(
    vocab_size: int = 50257,
    max_length: int = 1024,
    *,
    num_layers: int = 24,
    num_heads: int = 16,
    hidden_dim: int = 1024,
    mlp_dim: int = 4096,
    **options: Unpack[GPTOptions],
) -> keras.Model:
    """GPT-2 medium: 24 blocks, 1024 features.

    Example:
        >>> model = kerazoo.gpt2_medium()
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _gpt(True, vocab_size, max_length, **sizes, **options)


@register_model(family=_gpt)
def gpt2_large(
    vocab_size: int = 50257,
    max_length: int = 1024,
    *,
    num_layers: int = 36,
    num_heads: int = 20,
    hidden_dim: int = 1280,
    mlp_dim: int = 5120,
    **options: Unpack[GPTOptions],
) -> keras.Model:
    """GPT-2 large: 36 blocks, 1280 features; 3.1 GB in float32.

    Example:
        >>> model = kerazoo.gpt2_large(dtype="bfloat16")
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _gpt(True, vocab_size, max_length, **sizes, **options)


@register_model(family=_gpt)
def gpt2_xl(
    vocab_size: int = 50257,
    max_length: int = 1024,
    *,
    num_layers: int = 48,
    num_heads: int = 25,
    hidden_dim: int = 1600,
    mlp_dim: int = 6400,
    **options: Unpack[GPTOptions],
) -> keras.Model:
    """GPT-2 XL: 48 blocks, 1600 features; 6.2 GB in float32.

    Example:
        >>> model = kerazoo.gpt2_xl(dtype="bfloat16")
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _gpt(True, vocab_size, max_length, **sizes, **options)
