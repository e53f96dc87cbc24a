"""CLIP: an image and a text encoder that learn which caption belongs to which image.

A. Radford, J. W. Kim, C. Hallacy, A. Ramesh, G. Goh, S. Agarwal, G. Sastry, A. Askell, P. Mishkin, J. Clark,
G. Krueger, I. Sutskever, "Learning transferable visual models from natural language supervision", arXiv:2103.00020
(ICML 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import keras
from keras import layers, ops

from kerazoo import blocks, checks
from kerazoo.blocks.transformer import Transformer
from kerazoo.catalog import register_model
from kerazoo.layers.activations import quick_gelu
from kerazoo.layers.position import PositionEmbedding
from kerazoo.layers.take_token import TakeToken
from kerazoo.losses._mean import mean_over_batch

_INITIAL_SCALE = math.log(1 / 0.07)
_LARGEST_SCALE = math.log(100)


@keras.saving.register_keras_serializable(package="kerazoo")
class CLIP(keras.Model):
    """Two encoders into one space, trained so that pairs lie close together.

    `fit` needs no targets: row i of the texts belongs to row i of the images, and every text that is equal to it does,
    too, when `multi_positive` is true.

    Args:
        image_encoder: Images -> vectors (batch, embedding_dim).
        text_encoder: Token numbers -> vectors (batch, embedding_dim).
        multi_positive: Whether the probabilities of all pairs with an equal text count as right together.
        **options: Those of every `keras.Model`.
    """

    def __init__(
        self, image_encoder: keras.Model, text_encoder: keras.Model, multi_positive: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.image_encoder, self.text_encoder, self.multi_positive = image_encoder, text_encoder, multi_positive
        scale = keras.initializers.Constant(_INITIAL_SCALE)
        self.logit_scale = self.add_weight(name="logit_scale", shape=(), initializer=scale, autocast=False)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Returns how well every image fits every text: (images, texts), the cosine times exp(logit_scale)."""
        images = self.image_encoder(inputs["images"], training=training)
        return self.scores(images, self.text_encoder(inputs["token_ids"], training=training))

    def scores(self, images: Any, texts: Any) -> Any:
        """Returns the same for vectors of both encoders."""
        images, texts = unit(images), unit(texts)
        scale = ops.exp(ops.minimum(self.logit_scale, _LARGEST_SCALE))
        return scale * ops.matmul(images, ops.transpose(texts))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Mean of two cross-entropies: which text belongs to an image, and which image to a text."""
        tokens = x["token_ids"]
        if self.multi_positive:
            right = ops.all(ops.equal(tokens[:, None], tokens[None]), axis=-1)
        else:
            right = ops.eye(ops.shape(tokens)[0], dtype="bool")
        # With equal texts, the probability of all partners together: a mean of their logarithms would change nothing,
        # since the texts share their vector and so the gradient.
        together = ops.where(right, 0.0, -1e9)
        ways = [
            ops.logsumexp(scores + together, axis=1) - ops.logsumexp(scores, axis=1)
            for scores in (y_pred, ops.transpose(y_pred))
        ]
        return mean_over_batch(-(ways[0] + ways[1]) / 2, sample_weight)

    def get_config(self) -> dict[str, Any]:
        encoders = {"image_encoder": self.image_encoder, "text_encoder": self.text_encoder}
        config = {key: keras.saving.serialize_keras_object(model) for key, model in encoders.items()}
        return {"name": self.name, "multi_positive": self.multi_positive, **config}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> CLIP:
        encoders = ("image_encoder", "text_encoder")
        models = {key: keras.saving.deserialize_keras_object(config[key], custom_objects) for key in encoders}
        return cls(**config | models)


def unit(x: Any) -> Any:
    """Returns vectors of length 1, in float32."""
    return ops.normalize(ops.cast(x, "float32"), axis=-1)


class CLIPOptions(TypedDict, total=False):
    """Keyword arguments of all of them but the sizes."""

    multi_positive: bool
    weights: str | None
    dtype: str | None
    name: str


def _normal(deviation: float) -> keras.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation)


def _blocks(x: keras.KerasTensor, num_layers: int, num_heads: int, mlp_dim: int, causal: bool) -> keras.KerasTensor:
    width = x.shape[-1]
    transformer = Transformer(
        num_heads=num_heads,
        mlp_dim=mlp_dim,
        pre_norm=True,
        epsilon=1e-5,
        activation=quick_gelu,
        dropout_rate=0.0,
        kernel_initializer=_normal(width**-0.5),
    )
    for index in range(1, num_layers + 1):
        x = transformer.block(x, f"block{index}", causal=causal)
    return x


def _first_weights(model: keras.Model, num_layers: int, width: int) -> None:
    """Those of the authors' code: smaller on the residual path, the more blocks add to it."""
    for index in range(1, num_layers + 1):
        output = model.get_layer(f"block{index}_attention").output_dense
        factor = (2 * num_layers) ** -0.5
        for layer, scale in (
            (output, factor),
            (model.get_layer(f"block{index}_mlp_fc1"), 2**-0.5),
            (model.get_layer(f"block{index}_mlp_fc2"), factor),
        ):
            layer.kernel.assign(layer.kernel * scale)


def _projection(x: keras.KerasTensor, embedding_dim: int) -> keras.KerasTensor:
    options = {"use_bias": False, "dtype": "float32", "name": "projection"}
    return layers.Dense(embedding_dim, kernel_initializer=_normal(x.shape[-1] ** -0.5), **options)(x)


def _image_encoder(
    sizes: checks.Shape, patch_size: int, num_layers: int, num_heads: int, width: int, embedding_dim: int
) -> keras.Model:
    inputs = keras.Input(sizes, name="images")
    first = _normal(width**-0.5)
    x = blocks.patch_embedding(
        inputs,
        width,
        patch_size,
        use_bias=False,
        kernel_initializer=_normal(0.02),
        token_initializer=first,
        positions_initializer=first.clone(),
    )
    x = layers.LayerNormalization(epsilon=1e-5, name="first_norm")(x)
    x = _blocks(x, num_layers, num_heads, 4 * width, causal=False)
    x = layers.LayerNormalization(epsilon=1e-5, name="final_norm")(TakeToken(0, name="class_feature")(x))
    model = keras.Model(inputs, _projection(x, embedding_dim), name="image_encoder")
    _first_weights(model, num_layers, width)
    return model


def _text_encoder(
    vocab_size: int, max_length: int, num_layers: int, num_heads: int, width: int, embedding_dim: int
) -> keras.Model:
    inputs = keras.Input((max_length,), dtype="int32", name="token_ids")
    x = layers.Embedding(vocab_size, width, embeddings_initializer=_normal(0.02), name="token_embedding")(inputs)
    x = PositionEmbedding(max_length, _normal(0.01), name="positions")(x)
    x = _blocks(x, num_layers, num_heads, 4 * width, causal=True)
    x = layers.LayerNormalization(epsilon=1e-5, name="final_norm")(x)
    x = _LargestToken(name="end_feature")([x, inputs])
    model = keras.Model(inputs, _projection(x, embedding_dim), name="text_encoder")
    _first_weights(model, num_layers, width)
    return model


@keras.saving.register_keras_serializable(package="kerazoo")
class _LargestToken(keras.layers.Layer):
    """Takes the features of the token with the largest number, the first of them: the end of the text."""

    def call(self, inputs: list[Any]) -> Any:
        x, token_ids = inputs
        place = ops.expand_dims(ops.argmax(token_ids, axis=1), (1, 2))
        return ops.squeeze(ops.take_along_axis(x, place, axis=1), 1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        (batch, _, features), _ = input_shape
        return batch, features


def _clip(
    image_shape: Sequence[int | None],
    max_length: int,
    *,
    patch_size: int = 32,
    image_layers: int = 12,
    image_heads: int = 12,
    image_dim: int = 768,
    vocab_size: int = 49408,
    num_layers: int = 12,
    num_heads: int = 8,
    hidden_dim: int = 512,
    embedding_dim: int = 512,
    multi_positive: bool = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "clip",
) -> keras.Model:
    """Builds a pair of encoders.

    `fit` learns from `{"images": ..., "token_ids": ...}` alone, without targets. The end of a text is its largest token
    number. `model.image_encoder` and `model.text_encoder` are functional models, which can be exported.

    Args:
        image_shape: Shape of one image, channels last; height and width are multiples of `patch_size`.
        max_length: Tokens of a text, padding behind its end included.
        patch_size: Height and width of a patch.
        image_layers: Blocks of the image encoder.
        image_heads: Attention heads of the image encoder.
        image_dim: Features of a patch.
        vocab_size: Number of tokens.
        num_layers: Blocks of the text encoder.
        num_heads: Attention heads of the text encoder.
        hidden_dim: Features of a token.
        embedding_dim: Length of the vectors both give.
        multi_positive: Whether equal texts in a batch all count as right; small sets of captions repeat them.

    Returns:
        A `keras.Model`: images and texts -> how well every image fits every text (images, texts).

    References:
        Radford et al. (2021), https://arxiv.org/abs/2103.00020
    """
    counts = {
        **{"patch_size": patch_size, "image_layers": image_layers, "image_heads": image_heads, "image_dim": image_dim},
        **{"max_length": max_length, "vocab_size": vocab_size, "num_layers": num_layers, "num_heads": num_heads},
        **{"hidden_dim": hidden_dim, "embedding_dim": embedding_dim},
    }
    for word, value in counts.items():
        checks.positive_int(word, value)
    checks.flag("multi_positive", multi_positive)
    sizes = checks.shape(image_shape, ranks=(3,), name="image_shape")
    if None in sizes or any(size is not None and size % patch_size for size in sizes[:-1]):
        raise ValueError(
            f"image_shape of {name} must be fixed, with height and width that are multiples of "
            f"patch_size={patch_size}. Received: image_shape={image_shape!r}"
        )
    images = _image_encoder(sizes, patch_size, image_layers, image_heads, image_dim, embedding_dim)
    texts = _text_encoder(vocab_size, max_length, num_layers, num_heads, hidden_dim, embedding_dim)
    return CLIP(images, texts, multi_positive, name=name)


@register_model(family=_clip)
def clip_vit_b_32(
    image_shape: Sequence[int | None] = (224, 224, 3), max_length: int = 77, **options: Unpack[CLIPOptions]
) -> keras.Model:
    """CLIP with a ViT-B/32.

    Example:
        >>> model = kerazoo.clip_vit_b_32()
        >>> model.compile(keras.optimizers.AdamW(5e-4, weight_decay=0.2, beta_2=0.98, epsilon=1e-6))
    """
    return _clip(image_shape, max_length, **options)


@register_model(family=_clip)
def clip_vit_b_16(
    image_shape: Sequence[int | None] = (224, 224, 3),
    max_length: int = 77,
    *,
    patch_size: int = 16,
    **options: Unpack[CLIPOptions],
) -> keras.Model:
    """CLIP with a ViT-B/16.

    Example:
        >>> model = kerazoo.clip_vit_b_16()
    """
    return _clip(image_shape, max_length, patch_size=patch_size, **options)


@register_model(family=_clip)
def clip_vit_l_14(
    image_shape: Sequence[int | None] = (224, 224, 3),
    max_length: int = 77,
    *,
    patch_size: int = 14,
    image_layers: int = 24,
    image_heads: int = 16,
    image_dim: int = 1024,
    num_heads: int = 12,
    hidden_dim: int = 768,
    embedding_dim: int = 768,
    **options: Unpack[CLIPOptions],
) -> keras.Model:
    """CLIP with a ViT-L/14.

    Example:
        >>> model = kerazoo.clip_vit_l_14((336, 336, 3))
    """
    images = {"patch_size": patch_size, "image_layers": image_layers, "image_heads": image_heads}
    texts = {"num_heads": num_heads, "hidden_dim": hidden_dim, "embedding_dim": embedding_dim}
    return _clip(image_shape, max_length, image_dim=image_dim, **images, **texts, **options)


@register_model(family=_clip)
def clip_tiny(
    image_shape: Sequence[int | None] = (32, 32, 3),
    max_length: int = 32,
    *,
    patch_size: int = 4,
    image_layers: int = 6,
    image_heads: int = 3,
    image_dim: int = 192,
    vocab_size: int = 1000,
    num_layers: int = 4,
    num_heads: int = 2,
    hidden_dim: int = 128,
    embedding_dim: int = 128,
    **options: Unpack[CLIPOptions],
) -> keras.Model:
    """CLIP for a laptop: images of 32 x 32 pixels, 1000 tokens.

    Example:
        >>> model = kerazoo.clip_tiny((32, 32, 1), 16, vocab_size=200, multi_positive=True)
    """
    images = {"patch_size": patch_size, "image_layers": image_layers, "image_heads": image_heads}
    texts = {"vocab_size": vocab_size, "num_layers": num_layers, "num_heads": num_heads, "hidden_dim": hidden_dim}
    return _clip(
        image_shape, max_length, image_dim=image_dim, embedding_dim=embedding_dim, **images, **texts, **options
    )
