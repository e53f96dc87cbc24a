"""An image as a sequence of patches."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

from kerazoo.blocks.conv import own_initializer
from kerazoo.layers.grid_positions import ClassToken, GridPositions


def patch_embedding(
    x: keras.KerasTensor,
    hidden_dim: int,
    patch_size: int,
    *,
    use_bias: bool = True,
    kernel_initializer: Any = "glorot_uniform",
    token_initializer: Any = "zeros",
    positions_initializer: Any = None,
) -> keras.KerasTensor:
    """Patches side by side, each a token, behind a class token, with their positions added.

    Args:
        x: Image of a fixed size, a multiple of `patch_size`.
        hidden_dim: Features of a token.
        patch_size: Height and width of a patch.
        use_bias: Whether the projection of the patches has a bias.
        kernel_initializer: Of the projection.
        token_initializer: Of the class token.
        positions_initializer: Of the positions; `None` for N(0, 0.02), cut at two standard deviations.

    Returns:
        (batch, 1 + patches, hidden_dim).
    """
    x = layers.Conv2D(
        hidden_dim,
        patch_size,
        strides=patch_size,
        use_bias=use_bias,
        kernel_initializer=own_initializer(kernel_initializer),
        data_format="channels_last",
        name="patch_embedding",
    )(x)
    grid = x.shape[1:3]
    x = layers.Reshape((math.prod(grid), hidden_dim), name="patches")(x)
    x = ClassToken(token_initializer, name="with_class_token")(x)
    return GridPositions(grid, positions_initializer, name="positions")(x)


def check_patches(shape: tuple[int | None, ...], patch_size: int, model: str) -> None:
    """Refuses an image that is not covered by whole patches."""
    for size in shape[:-1]:
        if size is not None and size % patch_size:
            nearest = -(-size // patch_size) * patch_size
            raise ValueError(
                f"input_shape of {model} must be a multiple of patch_size={patch_size}; the next size that works is "
                f"{nearest}. Received: input_shape={shape!r}"
            )
