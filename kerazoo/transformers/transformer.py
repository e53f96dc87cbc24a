"""The Transformer: attention instead of recurrence, from one sequence to another.

A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. N. Gomez, L. Kaiser, I. Polosukhin, "Attention Is All You
Need", arXiv:1706.03762 (NeurIPS 2017).
"""

from __future__ import annotations

from typing import TypedDict, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.padding_mask import PaddingMask
from kerazoo.layers.position import SinusoidalPositions


class TransformerOptions(TypedDict, total=False):
    """Keyword arguments of all of them but the sizes and the dropout."""

    max_length: int
    tie_embeddings: bool
    use_bias: bool
    final_norm: bool
    positions: str
    position_offset: int
    epsilon: float
    pad_id: int
    weights: str | None
    dtype: str | None
    name: str


def _normal(deviation: float) -> keras.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation)


def _transformer(
    source_vocab_size: int,
    target_vocab_size: int,
    *,
    max_length: int = 512,
    num_layers: int = 6,
    num_heads: int = 8,
    hidden_dim: int = 512,
    mlp_dim: int = 2048,
    tie_embeddings: bool = True,
    use_bias: bool = False,
    final_norm: bool = False,
    positions: str = "interleaved",
    position_offset: int = 0,
    epsilon: float = 1e-6,
    pad_id: int = 0,
    dropout_rate: float = 0.1,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "transformer",
) -> keras.Model:
    """Builds the network of figure 1.

    Args:
        source_vocab_size: Number of tokens of the source.
        target_vocab_size: Number of tokens of the target; the same with `tie_embeddings=True`.
        max_length: Longest source and longest target. Positions are not learnt, so it may be changed afterwards.
        num_layers: Blocks of the encoder, and as many of the decoder.
        num_heads: Attention heads; the features are divided among them.
        hidden_dim: Features of a token.
        mlp_dim: Hidden units of the perceptrons.
        tie_embeddings: Whether source, target and logits share one table (section 3.4); if not, the logits have biases.
        use_bias: Whether the projections of the attention have biases, as in PyTorch; the paper's matrices have none.
        final_norm: Whether encoder and decoder end in one more normalisation, as `torch.nn.Transformer` does.
        positions: `"interleaved"` as in the paper, or `"halves"` as in tensor2tensor and fairseq; see
            `kerazoo.layers.sinusoids`.
        position_offset: Number of the first position; 2 in fairseq.
        epsilon: Of the layer normalisations; 1e-6 in tensor2tensor, 1e-5 in PyTorch.
        pad_id: Number of the padding token, to which no token attends in the source.
        dropout_rate: Of the embeddings and what each sub-layer gives, in [0, 1).

    Returns:
        A flat functional `keras.Model` of `{"source_ids": (batch, source length), "target_ids": (batch, target
        length)}`, the target without its last token; to the logits of the next token (batch, target length,
        target_vocab_size), float32. `kerazoo.transformers.translation` writes with it.

    References:
        Vaswani et al. (2017), https://arxiv.org/abs/1706.03762
    """
    source_vocab_size = checks.positive_int("source_vocab_size", source_vocab_size)
    target_vocab_size = checks.positive_int("target_vocab_size", target_vocab_size)
    max_length = checks.positive_int("max_length", max_length)
    num_layers = checks.positive_int("num_layers", num_layers)
    hidden_dim = checks.positive_int("hidden_dim", hidden_dim)
    checks.flag("final_norm", final_norm)
    checks.flag("use_bias", use_bias)
    checks.one_of("positions", positions, ("interleaved", "halves"))
    position_offset = checks.positive_int("position_offset", position_offset, minimum=0)
    epsilon = checks.positive("epsilon", epsilon)
    pad_id = checks.positive_int("pad_id", pad_id, minimum=0)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    if checks.flag("tie_embeddings", tie_embeddings) and source_vocab_size != target_vocab_size:
        raise ValueError(
            "tie_embeddings=True needs one vocabulary for both languages. Received: "
            f"source_vocab_size={source_vocab_size}, target_vocab_size={target_vocab_size}"
        )
    transformer = blocks.Transformer(
        num_heads=num_heads,
        mlp_dim=mlp_dim,
        pre_norm=False,
        epsilon=epsilon,
        dropout_rate=dropout_rate,
        use_bias=use_bias,
    )

    def embedding(vocab_size: int, prefix: str) -> layers.ReversibleEmbedding:
        return layers.ReversibleEmbedding(
            vocab_size,
            hidden_dim,
            embeddings_initializer=_normal(hidden_dim**-0.5),
            reverse_dtype="float32",
            name=f"{prefix}_embedding",
        )

    def embedded(table: layers.ReversibleEmbedding, side: str) -> keras.KerasTensor:
        x = layers.Rescaling(hidden_dim**0.5, name=f"{side}_scale")(table(inputs[f"{side}_ids"]))
        x = SinusoidalPositions(max_length, positions, position_offset, name=f"{side}_positions")(x)
        return layers.Dropout(dropout_rate, name=f"{side}_dropout")(x)

    def ended(x: keras.KerasTensor, side: str) -> keras.KerasTensor:
        return layers.LayerNormalization(epsilon=epsilon, name=f"{side}_norm")(x) if final_norm else x

    inputs = {key: blocks.token_input(None, max_length, key) for key in ("source_ids", "target_ids")}
    if tie_embeddings:
        source_table = target_table = embedding(source_vocab_size, "token")
    else:
        source_table, target_table = embedding(source_vocab_size, "source"), embedding(target_vocab_size, "target")
    mask = PaddingMask(pad_id, name="mask")(inputs["source_ids"])
    memory = embedded(source_table, "source")
    for index in range(1, num_layers + 1):
        memory = transformer.block(memory, f"encoder{index}", mask=mask)
    memory = ended(memory, "encoder")
    # Padding of the target stands behind it, where no token looks, so this mask hides nothing. But with it Keras makes
    # the causal one out of operations LiteRT has for targets of any length.
    everything = PaddingMask(-1, name="target_mask")(inputs["target_ids"])
    x = embedded(target_table, "target")
    for index in range(1, num_layers + 1):
        x = transformer.block(x, f"decoder{index}", mask=everything, causal=True, memory=memory, memory_mask=mask)
    x = ended(x, "decoder")
    if tie_embeddings:
        logits = layers.Activation("linear", dtype="float32", name="logits")(target_table(x, reverse=True))
    else:
        logits = layers.Dense(target_vocab_size, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)


@register_model(family=_transformer)
def transformer_base(
    source_vocab_size: int = 37000,
    target_vocab_size: int = 37000,
    *,
    num_layers: int = 6,
    num_heads: int = 8,
    hidden_dim: int = 512,
    mlp_dim: int = 2048,
    dropout_rate: float = 0.1,
    **options: Unpack[TransformerOptions],
) -> keras.Model:
    """The paper's base model: 6 + 6 blocks, 512 features.

    Example:
        >>> model = kerazoo.transformer_base(8000, 8000)
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _transformer(source_vocab_size, target_vocab_size, dropout_rate=dropout_rate, **sizes, **options)


@register_model(family=_transformer)
def transformer_big(
    source_vocab_size: int = 37000,
    target_vocab_size: int = 37000,
    *,
    num_layers: int = 6,
    num_heads: int = 16,
    hidden_dim: int = 1024,
    mlp_dim: int = 4096,
    dropout_rate: float = 0.3,
    **options: Unpack[TransformerOptions],
) -> keras.Model:
    """The paper's big model: 6 + 6 blocks, 1024 features.

    Example:
        >>> model = kerazoo.transformer_big()
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _transformer(source_vocab_size, target_vocab_size, dropout_rate=dropout_rate, **sizes, **options)


@register_model(family=_transformer)
def transformer_small(
    source_vocab_size: int = 8000,
    target_vocab_size: int = 8000,
    *,
    num_layers: int = 2,
    num_heads: int = 4,
    hidden_dim: int = 128,
    mlp_dim: int = 512,
    dropout_rate: float = 0.1,
    **options: Unpack[TransformerOptions],
) -> keras.Model:
    """The paper's network for a laptop: 2 + 2 blocks, 128 features.

    Example:
        >>> model = kerazoo.transformer_small(60, 30, tie_embeddings=False)
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _transformer(source_vocab_size, target_vocab_size, dropout_rate=dropout_rate, **sizes, **options)
