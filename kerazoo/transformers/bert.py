"""BERT: a Transformer that sees a token's whole surroundings, pre-trained to fill in tokens that were covered.

J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", arXiv:1810.04805 (NAACL 2019). The small sizes are those of I. Turc, M.-W. Chang, K. Lee, K. Toutanova,
"Well-Read Students Learn Better", arXiv:1908.08962.
"""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.activations import gelu_tanh
from kerazoo.layers.bias import Bias
from kerazoo.layers.padding_mask import PaddingMask
from kerazoo.layers.position import PositionEmbedding
from kerazoo.layers.take_token import TakeToken

HEADS = ("pretraining", "masked_lm", "classifier", None)
EPSILON = 1e-12


class BertOptions(TypedDict, total=False):
    """Keyword arguments of all of them but the sizes."""

    head: str | None
    num_classes: int
    classifier_activation: Any
    gelu_approximate: bool
    pad_id: int
    length: int | None
    attention_dropout_rate: float
    dropout_rate: float
    weights: str | None
    dtype: str | None
    name: str


def _normal() -> keras.Initializer:
    """A new one for every layer, since a shared one draws the same values again."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


def _dense(units: int, name: str, **options: Any) -> layers.Dense:
    return layers.Dense(units, kernel_initializer=_normal(), name=name, **options)


def _norm(name: str) -> layers.LayerNormalization:
    return layers.LayerNormalization(epsilon=EPSILON, name=name)


def _bert(
    vocab_size: int,
    max_length: int,
    *,
    head: str | None = "pretraining",
    num_classes: int = 2,
    classifier_activation: Any = "softmax",
    num_layers: int = 12,
    num_heads: int = 12,
    hidden_dim: int = 768,
    mlp_dim: int = 3072,
    gelu_approximate: bool = False,
    pad_id: int = 0,
    length: int | None = None,
    attention_dropout_rate: float = 0.1,
    dropout_rate: float = 0.1,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "bert",
) -> keras.Model:
    """Builds a BERT.

    Args:
        vocab_size: Number of tokens.
        max_length: Longest sequence: the model has one vector per position.
        head: `"pretraining"`: logits `mlm` of every token, tied to the embedding, and logits `nsp` of two sentences in
            a row (class 0) or not (class 1); `"masked_lm"`: the former alone; `"classifier"`: one of `num_classes` for
            the text; `None`: the features `sequence` of every token and `pooled` of the text.
        num_classes: Number of classes, with `head="classifier"`.
        classifier_activation: Activation of `predictions`, with `head="classifier"`; `None` returns logits.
        num_layers: Number of blocks.
        num_heads: Attention heads; the features are divided among them.
        hidden_dim: Features of a token.
        mlp_dim: Hidden units of the perceptrons.
        gelu_approximate: Whether GELU has the form with tanh, as in the authors' code, or the exact one, as in Hugging
            Face's.
        pad_id: Number of the padding token, which no token attends to.
        length: Length of the input, where it is to be fixed; `None` takes any up to `max_length`.
        attention_dropout_rate: Of the attention weights, in [0, 1).
        dropout_rate: Of the embedding, what each sub-layer gives, and the text in front of the classifier, in [0, 1).
        weights: `None` for random initial weights, or the path of a file that fits: `.weights.h5`, `.h5` or `.keras` of
            kerazoo, `.safetensors` of Hugging Face.

    Returns:
        A flat functional `keras.Model` of `{"token_ids": (batch, length), "segment_ids": (batch, length)}`, segments
        being 0 for the first and 1 for the second sentence; to what `head` says, in float32.

    References:
        Devlin, Chang, Lee, Toutanova (2018), https://arxiv.org/abs/1810.04805
    """
    vocab_size = checks.positive_int("vocab_size", vocab_size)
    max_length = checks.positive_int("max_length", max_length)
    checks.one_of("head", head, HEADS)
    num_classes = checks.positive_int("num_classes", num_classes)
    checks.activation("classifier_activation", classifier_activation)
    num_layers = checks.positive_int("num_layers", num_layers)
    hidden_dim = checks.positive_int("hidden_dim", hidden_dim)
    checks.flag("gelu_approximate", gelu_approximate)
    pad_id = checks.positive_int("pad_id", pad_id, minimum=0)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    activation = gelu_tanh if gelu_approximate else "gelu"
    transformer = blocks.Transformer(
        num_heads=num_heads,
        mlp_dim=mlp_dim,
        pre_norm=False,
        epsilon=EPSILON,
        activation=activation,
        dropout_rate=dropout_rate,
        attention_dropout_rate=attention_dropout_rate,
        kernel_initializer=_normal(),
    )

    inputs = {key: blocks.token_input(length, max_length, key) for key in ("token_ids", "segment_ids")}
    embedding = layers.ReversibleEmbedding(
        vocab_size, hidden_dim, embeddings_initializer=_normal(), reverse_dtype="float32", name="token_embedding"
    )
    segments = layers.Embedding(2, hidden_dim, embeddings_initializer=_normal(), name="segment_embedding")
    x = layers.Add(name="embedding_add")([embedding(inputs["token_ids"]), segments(inputs["segment_ids"])])
    x = _norm("embedding_norm")(PositionEmbedding(max_length, name="positions")(x))
    x = layers.Dropout(dropout_rate, name="embedding_dropout")(x)
    mask = PaddingMask(pad_id, name="mask")(inputs["token_ids"])
    for index in range(1, num_layers + 1):
        x = transformer.block(x, f"block{index}", mask=mask)

    if head in ("pretraining", "masked_lm"):
        mlm = _masked_lm(x, embedding, activation)
        if head == "masked_lm":
            return keras.Model(inputs, mlm, name=name)
        nsp = _dense(2, "nsp", dtype="float32")(_pooled(x))
        return keras.Model(inputs, {"mlm": mlm, "nsp": nsp}, name=name)
    pooled = _pooled(x)
    if head is None:
        sequence = layers.Activation("linear", dtype="float32", name="sequence")(x)
        pooled = layers.Activation("linear", dtype="float32", name="pooled")(pooled)
        return keras.Model(inputs, {"sequence": sequence, "pooled": pooled}, name=name)
    pooled = layers.Dropout(dropout_rate, dtype="float32", name="head_dropout")(pooled)
    classes = _dense(num_classes, "predictions", activation=classifier_activation, dtype="float32")(pooled)
    return keras.Model(inputs, classes, name=name)


def _pooled(x: keras.KerasTensor) -> keras.KerasTensor:
    """The text as a vector: a dense layer on its first token, [CLS]."""
    first = TakeToken(0, name="cls_token")(x)
    return _dense(x.shape[-1], "pooler", activation="tanh")(first)


def _masked_lm(x: keras.KerasTensor, embedding: layers.ReversibleEmbedding, activation: Any) -> keras.KerasTensor:
    """Logits of every token: a dense layer, its normalisation, and the embedding the other way round."""
    x = layers.Activation(activation, name="mlm_act")(_dense(x.shape[-1], "mlm_dense")(x))
    return Bias(dtype="float32", name="mlm")(embedding(_norm("mlm_norm")(x), reverse=True))


@register_model(family=_bert)
def bert_tiny(
    vocab_size: int = 30522,
    max_length: int = 512,
    *,
    num_layers: int = 2,
    num_heads: int = 2,
    hidden_dim: int = 128,
    mlp_dim: int = 512,
    **options: Unpack[BertOptions],
) -> keras.Model:
    """BERT of 2 blocks and 128 features, which a laptop fine-tunes in minutes.

    Example:
        >>> model = kerazoo.bert_tiny(5000, 128, head="classifier", num_classes=4)

    References:
        Turc, Chang, Lee, Toutanova (2019), https://arxiv.org/abs/1908.08962
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _bert(vocab_size, max_length, **sizes, **options)


@register_model(family=_bert)
def bert_mini(
    vocab_size: int = 30522,
    max_length: int = 512,
    *,
    num_layers: int = 4,
    num_heads: int = 4,
    hidden_dim: int = 256,
    mlp_dim: int = 1024,
    **options: Unpack[BertOptions],
) -> keras.Model:
    """BERT of 4 blocks and 256 features.

    Example:
        >>> model = kerazoo.bert_mini(8000, 128)

    References:
        Turc, Chang, Lee, Toutanova (2019), https://arxiv.org/abs/1908.08962
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _bert(vocab_size, max_length, **sizes, **options)


@register_model(family=_bert)
def bert_small(
    vocab_size: int = 30522,
    max_length: int = 512,
    *,
    num_layers: int = 4,
    num_heads: int = 8,
    hidden_dim: int = 512,
    mlp_dim: int = 2048,
    **options: Unpack[BertOptions],
) -> keras.Model:
    """BERT of 4 blocks and 512 features.

    Example:
        >>> model = kerazoo.bert_small(head="masked_lm")

    References:
        Turc, Chang, Lee, Toutanova (2019), https://arxiv.org/abs/1908.08962
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _bert(vocab_size, max_length, **sizes, **options)


@register_model(family=_bert)
def bert_medium(
    vocab_size: int = 30522,
    max_length: int = 512,
    *,
    num_layers: int = 8,
    num_heads: int = 8,
    hidden_dim: int = 512,
    mlp_dim: int = 2048,
    **options: Unpack[BertOptions],
) -> keras.Model:
    """BERT of 8 blocks and 512 features.

    Example:
        >>> model = kerazoo.bert_medium(head=None)

    References:
        Turc, Chang, Lee, Toutanova (2019), https://arxiv.org/abs/1908.08962
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _bert(vocab_size, max_length, **sizes, **options)


@register_model(family=_bert)
def bert_base(
    vocab_size: int = 30522,
    max_length: int = 512,
    *,
    num_layers: int = 12,
    num_heads: int = 12,
    hidden_dim: int = 768,
    mlp_dim: int = 3072,
    **options: Unpack[BertOptions],
) -> keras.Model:
    """The paper's smaller BERT: 12 blocks, 768 features.

    Example:
        >>> model = kerazoo.bert_base(head="classifier", num_classes=3)
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _bert(vocab_size, max_length, **sizes, **options)


@register_model(family=_bert)
def bert_large(
    vocab_size: int = 30522,
    max_length: int = 512,
    *,
    num_layers: int = 24,
    num_heads: int = 16,
    hidden_dim: int = 1024,
    mlp_dim: int = 4096,
    **options: Unpack[BertOptions],
) -> keras.Model:
    """The paper's larger BERT: 24 blocks, 1024 features.

    Example:
        >>> model = kerazoo.bert_large(head=None)
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _bert(vocab_size, max_length, **sizes, **options)
