"""Attention one step at a time: the keys and values of what came before are kept instead of computed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class _AroundAttention(keras.layers.Layer):
    """A layer that computes with the projections of a `keras.layers.MultiHeadAttention`, whose weights it shares."""

    def __init__(self, attention: keras.layers.MultiHeadAttention, **options: Any) -> None:
        options.setdefault("dtype", attention.dtype_policy)
        super().__init__(**options)
        self.attention = attention

    def build(self, input_shape: Sequence[int | None]) -> None:
        if not self.attention.built:  # one out of a file
            self.attention.build(input_shape, input_shape)

    @property
    def cache_shape(self) -> tuple[int, None, int]:
        """The kept keys, and values, of one sequence: (heads, slots, features). So no product has to transpose them."""
        config = self.attention.get_config()
        return config["num_heads"], None, config["key_dim"]

    def _projected(self, inputs: Any) -> tuple[Any, Any]:
        attention = self.attention
        return _heads_first(attention.key_dense(inputs)), _heads_first(attention.value_dense(inputs))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"attention": keras.saving.serialize_keras_object(self.attention)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config | {"attention": keras.saving.deserialize_keras_object(config["attention"])})


@keras.saving.register_keras_serializable(package="kerazoo")
class KeysAndValues(_AroundAttention):
    """The keys and values (batch, heads, length, features) of a sequence (batch, length, features).

    For attention to an encoder's output, which is the same at every step of the decoder.

    Args:
        attention: The `keras.layers.MultiHeadAttention` that has the projections.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> keys, values = kerazoo.layers.KeysAndValues(attention)(memory)
    """

    def call(self, inputs: Any) -> Any:
        return self._projected(inputs)

    def compute_output_spec(self, inputs: Any) -> Any:
        heads, _, features = self.cache_shape
        shape = (inputs.shape[0], heads, inputs.shape[1], features)
        return tuple(keras.KerasTensor(shape, dtype=self.compute_dtype) for _ in range(2))


@keras.saving.register_keras_serializable(package="kerazoo")
class CachedAttention(_AroundAttention):
    """Attention of the newest token to kept keys and values and to itself.

    Args:
        attention: The `keras.layers.MultiHeadAttention` that has the projections.
        **options: Those of every `keras.layers.Layer`.

    Call arguments:
        inputs: The new token (batch, 1, features); several where nothing is written.
        keys: Kept keys (batch, heads, slots, features).
        values: Kept values, of the same shape.
        slot: Where the new token's key and value are written (batch, 1). `None` writes nothing: keys and values of an
            encoder, or of all new tokens themselves.
        mask: Which slots a new token attends to (batch, new or 1, slots); `None` for all.

    Returns:
        The attention's output (batch, new, features), keys and values.

    Example:
        >>> y, keys, values = kerazoo.layers.CachedAttention(attention)(x, keys, values, slot, mask)
    """

    def call(self, inputs: Any, keys: Any, values: Any, slot: Any = None, mask: Any = None) -> Any:
        if slot is not None:
            new_key, new_value = self._projected(inputs)
            here = (ops.arange(ops.shape(keys)[2]) == ops.cast(slot, "int32"))[:, None, :, None]
            keys, values = ops.where(here, new_key, keys), ops.where(here, new_value, values)
        query = _heads_first(self.attention.query_dense(inputs))
        scores = ops.matmul(query * query.shape[-1] ** -0.5, ops.transpose(keys, (0, 1, 3, 2)))
        if mask is not None:
            half = keras.backend.standardize_dtype(scores.dtype) == "float16"
            scores = ops.where(mask[:, None], scores, -6e4 if half else -1e9)
        heads = ops.matmul(ops.softmax(scores), values)
        return self.attention.output_dense(_heads_first(heads)), keys, values

    def compute_output_spec(self, inputs: Any, keys: Any, values: Any, slot: Any = None, mask: Any = None) -> Any:
        specs = (inputs.shape, keys.shape, values.shape)
        return tuple(keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in specs)


def _heads_first(x: Any) -> Any:
    """(batch, length, heads, features) -> (batch, heads, length, features), and back."""
    return ops.transpose(x, (0, 2, 1, 3))
