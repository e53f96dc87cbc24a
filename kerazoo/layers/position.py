"""Where a token stands in its sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerazoo import checks


def _rows(layer: Any, table: Any, inputs: Any, positions: Any) -> Any:
    """Returns the rows of a table that belong to a sequence."""
    table = ops.cast(table, inputs.dtype)
    if positions is not None:
        return ops.take(table, positions, axis=0)
    length = inputs.shape[1]
    if length is not None and length > layer.max_length:
        raise ValueError(
            f"a sequence may have at most max_length={layer.max_length} tokens. Received: {length} in {layer.name!r}"
        )
    return table[: ops.shape(inputs)[1]]


@keras.saving.register_keras_serializable(package="kerazoo")
class PositionEmbedding(keras.layers.Layer):
    """Adds one learnt vector per position to a sequence (batch, length, features).

    Args:
        max_length: Longest sequence.
        embeddings_initializer: Initial vectors. Defaults to N(0, 0.02), cut at two standard deviations.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.PositionEmbedding(16)
        >>> tuple(layer(keras.ops.zeros((1, 5, 8))).shape)
        (1, 5, 8)

    References:
        Gehring et al. (2017), "Convolutional sequence to sequence learning", https://arxiv.org/abs/1705.03122
    """

    def __init__(self, max_length: int, embeddings_initializer: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.max_length = max_length
        given = keras.initializers.TruncatedNormal(stddev=0.02) if embeddings_initializer is None else None
        self.embeddings_initializer = given or keras.initializers.get(embeddings_initializer)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.max_length, input_shape[-1]), initializer=self.embeddings_initializer
        )

    def call(self, inputs: Any, positions: Any = None) -> Any:
        """Adds the vectors of the first positions, or those of `positions` (batch, length)."""
        return inputs + _rows(self, self.embeddings, inputs, positions)

    def compute_output_spec(self, inputs: Any, positions: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Additions are not counted."""
        return 0

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "max_length": self.max_length,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


def sinusoids(length: int, features: int, layout: str = "interleaved", offset: int = 0) -> np.ndarray:
    """Returns the sines and cosines of positions `offset`, `offset + 1`, ...

    Args:
        length: Number of positions.
        features: Length of each vector.
        layout: `"interleaved"`, the paper's: sine and cosine of 10000^(-2i / features) take turns; `"halves"`, that of
            tensor2tensor and fairseq: first all sines, then all cosines, of 10000^(-i / (features / 2 - 1)).
        offset: Number of the first position.

    Returns:
        Array (length, features), float32.

    Example:
        >>> sinusoids(1, 4).tolist()
        [[0.0, 1.0, 0.0, 1.0]]
    """
    positions = np.arange(offset, offset + length, dtype="float64")[:, None]
    half = -(-features // 2)
    steps = np.arange(half) / (features / 2 if layout == "interleaved" else max(features // 2 - 1, 1))
    angles = positions * 10_000.0**-steps
    pairs = np.sin(angles), np.cos(angles)
    table = np.concatenate(pairs, axis=1) if layout == "halves" else np.stack(pairs, axis=2).reshape(length, -1)
    return table[:, :features].astype("float32")


@keras.saving.register_keras_serializable(package="kerazoo")
class SinusoidalPositions(keras.layers.Layer):
    """Adds fixed sines and cosines of the position to a sequence (batch, length, features) of an even width.

    Args:
        max_length: Longest sequence.
        layout: `"interleaved"` or `"halves"`, see `sinusoids`.
        offset: Number of the first position.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.SinusoidalPositions(16)
        >>> tuple(layer(keras.ops.zeros((1, 5, 8))).shape)
        (1, 5, 8)

    References:
        Vaswani et al. (2017), "Attention is all you need", section 3.5, https://arxiv.org/abs/1706.03762
    """

    def __init__(self, max_length: int, layout: str = "interleaved", offset: int = 0, **options: Any) -> None:
        super().__init__(**options)
        checks.one_of("layout", layout, ("interleaved", "halves"))
        self.max_length, self.layout, self.offset = max_length, layout, offset
        self.supports_masking = True

    def call(self, inputs: Any, positions: Any = None) -> Any:
        """Adds the vectors of the first positions, or those of `positions` (batch, length)."""
        table = sinusoids(self.max_length, inputs.shape[-1], self.layout, self.offset)
        return inputs + _rows(self, ops.convert_to_tensor(table), inputs, positions)

    def compute_output_spec(self, inputs: Any, positions: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"max_length": self.max_length, "layout": self.layout, "offset": self.offset}
