"""Vision Transformer: an image is a sequence of patches.

A. Dosovitskiy, L. Beyer, A. Kolesnikov, D. Weissenborn, X. Zhai, T. Unterthiner, M. Dehghani, M. Minderer, G. Heigold,
S. Gelly, J. Uszkoreit, N. Houlsby, "An image is worth 16x16 words: Transformers for image recognition at scale",
arXiv:2010.11929 (ICLR 2021). The two smaller sizes are those of DeiT (H. Touvron et al., arXiv:2012.12877).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.activations import gelu_tanh
from kerazoo.layers.take_token import TakeToken


@dataclass(frozen=True)
class Variant:
    """What published versions of the network do not agree on."""

    epsilon: float
    activation: Any


VARIANTS = {
    "paper": Variant(epsilon=1e-6, activation="gelu"),
    "hf": Variant(epsilon=1e-12, activation="gelu"),
    "jax": Variant(epsilon=1e-6, activation=gelu_tanh),
}


class ViTOptions(TypedDict, total=False):
    """Keyword arguments of all of them but the sizes."""

    patch_size: int
    variant: str
    include_top: bool
    pooling: str | None
    classifier_activation: Any
    dropout_rate: float
    include_preprocessing: bool | tuple[float, float]
    weights: str | None
    dtype: str | None
    name: str


def _vit(
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    patch_size: int = 16,
    num_layers: int = 12,
    num_heads: int = 12,
    hidden_dim: int = 768,
    mlp_dim: int = 3072,
    variant: str = "paper",
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.1,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "vit",
) -> keras.Model:
    """Builds a Vision Transformer.

    Weights trained on images of another size can be loaded: the table of positions is resized.

    Args:
        input_shape: Shape of one image, channels last; height and width are multiples of `patch_size`.
        patch_size: Height and width of a patch.
        num_layers: Number of blocks.
        num_heads: Attention heads; the features are divided among them.
        hidden_dim: Features of a token.
        mlp_dim: Hidden units of the perceptrons.
        variant: `"paper"`: exact GELU, epsilon 1e-6 in the normalisations (flax, timm); `"hf"`: epsilon 1e-12 (Hugging
            Face); `"jax"`: GELU in its form with tanh, as in the authors' code.
        include_top: Whether to end in the classification head (`class_feature`, `head_dropout`, `predictions`).
        pooling: With `include_top=False`: `None` returns the map of patch features, `"avg"` or `"max"` its global
            pooling.
        dropout_rate: Of the embedding and behind every dense layer but those of query, key and value, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes).

    References:
        Dosovitskiy et al. (2020), https://arxiv.org/abs/2010.11929; Touvron et al. (2020),
        https://arxiv.org/abs/2012.12877
    """
    patch_size = checks.positive_int("patch_size", patch_size)
    why = "the table of positions has a vector for every patch"
    sizes = checks.image_shape(input_shape, model=name, min_size=patch_size, dynamic=why)
    blocks.check_patches(sizes, patch_size, name)
    num_classes = checks.positive_int("num_classes", num_classes)
    num_layers = checks.positive_int("num_layers", num_layers)
    hidden_dim = checks.positive_int("hidden_dim", hidden_dim)
    preset = VARIANTS[checks.one_of("variant", variant, tuple(VARIANTS))]
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    transformer = blocks.Transformer(
        num_heads=num_heads,
        mlp_dim=mlp_dim,
        pre_norm=True,
        epsilon=preset.epsilon,
        activation=preset.activation,
        dropout_rate=dropout_rate,
        hidden_dropout_rate=dropout_rate,
    )

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    positions = keras.initializers.RandomNormal(stddev=0.02)
    x = blocks.patch_embedding(
        x, hidden_dim, patch_size, kernel_initializer="lecun_normal", positions_initializer=positions
    )
    x = layers.Dropout(dropout_rate, name="embedding_dropout")(x)
    for index in range(1, num_layers + 1):
        x = transformer.block(x, f"block{index}")
    x = layers.LayerNormalization(epsilon=preset.epsilon, name="final_norm")(x)
    if include_top:
        x = TakeToken(0, name="class_feature")(x)
        x = layers.Dropout(dropout_rate, dtype="float32", name="head_dropout")(x)
        predictions = {"kernel_initializer": "zeros", "dtype": "float32", "name": "predictions"}
        outputs = layers.Dense(num_classes, classifier_activation, **predictions)(x)
        return keras.Model(inputs, outputs, name=name)
    x = layers.Cropping1D((1, 0), name="patch_features")(x)
    x = layers.Reshape((*(size // patch_size for size in sizes[:-1] if size), hidden_dim), name="map")(x)
    outputs = blocks.classification_head(
        x, num_classes, include_top=False, pooling=pooling, classifier_activation=None, dropout_rate=0.0
    )
    return keras.Model(inputs, outputs, name=name)


@register_model(family=_vit)
def vit_tiny_16(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    num_heads: int = 3,
    hidden_dim: int = 192,
    mlp_dim: int = 768,
    **options: Unpack[ViTOptions],
) -> keras.Model:
    """ViT-Ti/16: 12 blocks, 192 features, patches of 16 x 16 pixels.

    Example:
        >>> model = kerazoo.vit_tiny_16((32, 32, 3), 10, patch_size=4)
    """
    sizes = {"num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _vit(input_shape, num_classes, **sizes, **options)


@register_model(family=_vit)
def vit_small_16(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    num_heads: int = 6,
    hidden_dim: int = 384,
    mlp_dim: int = 1536,
    **options: Unpack[ViTOptions],
) -> keras.Model:
    """ViT-S/16: 12 blocks, 384 features, patches of 16 x 16 pixels.

    Example:
        >>> model = kerazoo.vit_small_16((128, 128, 3), 10)
    """
    sizes = {"num_heads": num_heads, "hidden_dim": hidden_dim, "mlp_dim": mlp_dim}
    return _vit(input_shape, num_classes, **sizes, **options)


@register_model(family=_vit)
def vit_base_16(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    **options: Unpack[ViTOptions],
) -> keras.Model:
    """ViT-B/16: 12 blocks, 768 features, patches of 16 x 16 pixels.

    Example:
        >>> model = kerazoo.vit_base_16((384, 384, 3), 10)
    """
    return _vit(input_shape, num_classes, **options)
