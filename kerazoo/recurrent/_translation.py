"""What the three translators share: two inputs, and a stack of LSTM layers that reads the source."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.layers.padding_mask import PaddingMask
from kerazoo.layers.reverse_tokens import ReverseTokens


def check_sizes(**sizes: Any) -> list[int]:
    """Returns the sizes as Python's numbers."""
    return [checks.positive_int(name, value) for name, value in sizes.items()]


def token_inputs() -> dict[str, keras.KerasTensor]:
    """Returns the inputs `source_ids` and `target_ids`, of open length."""
    return {name: keras.Input((None,), dtype="int32", name=name) for name in ("source_ids", "target_ids")}


def in_reading_order(source_ids: keras.KerasTensor, reverse_source: bool) -> keras.KerasTensor:
    """Returns the source as it is read."""
    return ReverseTokens(name="source_reversed")(source_ids) if reverse_source else source_ids


def masks(source_ids: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns where the source is no padding, for attention (batch, 1, length) and for a loop (batch, length)."""
    visible = PaddingMask(name="source_mask")(source_ids)
    return visible, layers.Reshape((-1,), name="source_steps")(visible)


def embedded(
    ids: keras.KerasTensor, vocab_size: int, width: int, dropout_rate: float, initializer: Any, name: str
) -> keras.KerasTensor:
    """Vectors of the tokens."""
    table = layers.Embedding(vocab_size, width, initializer, name=f"{name}_embedding")
    return dropped(table(ids), dropout_rate, f"{name}_dropout")


def dropped(x: keras.KerasTensor, dropout_rate: float, name: str) -> keras.KerasTensor:
    """Dropout where there is any."""
    return layers.Dropout(dropout_rate, name=name)(x) if dropout_rate else x


def uniform(limit: float) -> dict[str, Any]:
    """Returns how an LSTM starts whose numbers are all drawn from [-limit, limit]."""

    def draw() -> keras.initializers.Initializer:
        return keras.initializers.RandomUniform(-limit, limit)

    return {
        "kernel_initializer": draw(),
        "recurrent_initializer": draw(),
        "bias_initializer": draw(),
        "unit_forget_bias": False,
    }


def lstm_stack(
    x: keras.KerasTensor,
    units: int,
    num_layers: int,
    *,
    limit: float,
    dropout_rate: float,
    name: str,
    mask: keras.KerasTensor | None = None,
    initial_states: Any = None,
) -> tuple[keras.KerasTensor, list[list[keras.KerasTensor]]]:
    """LSTM layers on top of each other, with dropout between them.

    Args:
        x: Sequence (batch, length, features).
        units: Units of each layer.
        num_layers: Number of layers.
        limit: Weights are drawn uniformly from [-limit, limit].
        dropout_rate: Between the layers and behind the last one.
        name: First part of the layers' names.
        mask: Steps that are no padding (batch, length). Defaults to `None`, all.
        initial_states: Hidden state and memory for each layer. Defaults to `None`, zeros.

    Returns:
        The sequence of the last layer, and the last states of each.
    """
    states = []
    for index in range(num_layers):
        layer = layers.LSTM(
            units, return_sequences=True, return_state=True, name=f"{name}_lstm{index + 1}", **uniform(limit)
        )
        given = {} if initial_states is None else {"initial_state": initial_states[index]}
        x, *last = layer(x, mask=mask, **given)
        states.append(last)
        x = dropped(x, dropout_rate, f"{name}_lstm{index + 1}_dropout")
    return x, states


def logits(x: keras.KerasTensor, vocab_size: int, initializer: Any) -> keras.KerasTensor:
    """The head `predictions`, in float32 under any policy."""
    return layers.Dense(vocab_size, kernel_initializer=initializer, dtype="float32", name="predictions")(x)
