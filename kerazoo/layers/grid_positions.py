"""Positions of the patches of an image, which can be brought to another size of image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerazoo.layers.position import PositionEmbedding


@keras.saving.register_keras_serializable(package="kerazoo")
class GridPositions(PositionEmbedding):
    """Adds one learnt vector per patch of an image, and one to a class token in front of them.

    Weights of a network for images of another size are resized when they are loaded.

    Args:
        grid: Rows and columns of patches.
        embeddings_initializer: Initial vectors. Defaults to N(0, 0.02), cut at two standard deviations.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.GridPositions((14, 14))
        >>> tuple(layer(keras.ops.zeros((1, 197, 8))).shape)
        (1, 197, 8)

    References:
        Dosovitskiy et al. (2020), section 3.2, https://arxiv.org/abs/2010.11929
    """

    def __init__(self, grid: tuple[int, int], embeddings_initializer: Any = None, **options: Any) -> None:
        super().__init__(1 + math.prod(grid), embeddings_initializer, **options)
        self.grid = (grid[0], grid[1])

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["1"] = np.array(self.grid)

    def load_own_variables(self, store: Any) -> None:
        table, (rows, columns) = np.asarray(store["0"]), np.asarray(store["1"])
        self.embeddings.assign(resize_positions(table, self.grid, (int(rows), int(columns))))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | {"grid": self.grid}
        del config["max_length"]
        return config


@keras.saving.register_keras_serializable(package="kerazoo")
class ClassToken(keras.layers.Layer):
    """Puts a learnt vector in front of a sequence: (batch, length, features) -> (batch, 1 + length, features).

    Args:
        initializer: Initial vector. Defaults to zeros.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> tuple(kerazoo.layers.ClassToken()(keras.ops.zeros((1, 5, 8))).shape)
        (1, 6, 8)
    """

    def __init__(self, initializer: Any = "zeros", **options: Any) -> None:
        super().__init__(**options)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.token = self.add_weight(name="token", shape=(1, 1, input_shape[-1]), initializer=self.initializer)

    def call(self, inputs: Any) -> Any:
        token = keras.ops.cast(self.token, inputs.dtype)
        rows = keras.ops.shape(inputs)[0]
        return keras.ops.concatenate([keras.ops.broadcast_to(token, (rows, 1, inputs.shape[-1])), inputs], axis=1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, length, features = input_shape
        return batch, None if length is None else length + 1, features

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Nothing is computed."""
        return 0

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"initializer": keras.initializers.serialize(self.initializer)}


def resize_positions(table: np.ndarray, grid: tuple[int, int], old: tuple[int, int] | None = None) -> np.ndarray:
    """Returns positions of patches for another grid, interpolated by bicubic splines as in PyTorch and Hugging Face.

    Args:
        table: Vector of the class token and one per patch, row by row (1 + rows * columns, features).
        grid: Rows and columns wanted.
        old: Those of the table. Defaults to a square.

    Returns:
        (1 + rows * columns, features), float32; the class token's vector stays as it is.

    Raises:
        ValueError: If the table does not fit its grid.

    Example:
        >>> import numpy as np
        >>> from kerazoo.layers.grid_positions import resize_positions
        >>> resize_positions(np.zeros((197, 768), "float32"), (24, 24)).shape  # of 224 pixels for 384
        (577, 768)
    """
    side = math.isqrt(len(table) - 1)
    old = (side, side) if old is None else old
    if math.prod(old) != len(table) - 1:
        raise ValueError(f"a table of {len(table)} positions is none of a class token and {old[0]} x {old[1]} patches")
    if tuple(old) == tuple(grid):
        return table.astype("float32")
    rows, columns = (_cubic(new, before) for new, before in zip(grid, old, strict=True))
    patches = np.einsum("ri,cj,ijf->rcf", rows, columns, table[1:].reshape(*old, -1).astype("float64"))
    return np.concatenate([table[:1], patches.reshape(math.prod(grid), -1)]).astype("float32")


def _cubic(new: int, old: int) -> np.ndarray:
    """Returns the matrix (new, old) of bicubic interpolation with a = -0.75; the border's values go on outside."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(places).astype(int)
    matrix = np.zeros((new, old))
    for tap in range(-1, 3):
        distance = np.abs(places - first - tap)
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = -0.75 * (((distance - 5) * distance + 8) * distance - 4)
        weight = np.where(distance <= 1, near, far)
        np.add.at(matrix, (np.arange(new), np.clip(first + tap, 0, old - 1)), weight)
    return matrix
