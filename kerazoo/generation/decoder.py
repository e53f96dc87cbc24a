"""One token after the other out of a Transformer that only looks back, with its keys and values kept."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerazoo import _graph
from kerazoo._calls import answer
from kerazoo.generation.stepper import Stepper
from kerazoo.layers.cached_attention import CachedAttention, KeysAndValues
from kerazoo.layers.position import PositionEmbedding

_SMALLEST = 64  # slots; the room doubles when it is full, so that few shapes are compiled


def stepper(model: keras.Model) -> Stepper:
    """Returns a language model as one that is asked for one token after the other.

    It starts from `token_ids` (batch, length): an array, or a masked array of NumPy whose masked places, on the left,
    are padding.

    Args:
        model: A functional model of token numbers whose attention is causal, such as `kerazoo.gpt2()`.

    Returns:
        A `kerazoo.generation.Stepper`.

    Raises:
        ValueError: If the model is another one.

    Example:
        >>> stepper = kerazoo.generation.decoder.stepper(kerazoo.gpt2_tiny())
        >>> logits, state = stepper.start([[3, 7, 1]])
    """
    table, (first, next_one) = _positions_of(model), step_models(model)

    def start(prompt: Any) -> tuple[Any, Any]:
        token_ids, pads = _padded(prompt)
        logits, *cache = answer(first, [token_ids, pads])
        used = np.full_like(pads, token_ids.shape[1])
        return logits, [used, pads, *cache]

    def step(tokens: Any, state: Any) -> tuple[Any, Any]:
        used, pads, *cache = (np.asarray(part) for part in state)
        taken, slots = int(used[0, 0]), cache[0].shape[2]
        if taken == slots:
            more = room(taken + 1, table.max_length) - slots
            cache = [np.pad(part, ((0, 0), (0, 0), (0, more), (0, 0))) for part in cache]
        logits, *cache = answer(next_one, [np.asarray(tokens, "int32")[:, None], pads, used, *cache])
        return logits, [used + 1, pads, *cache]

    return Stepper(start, step, model.outputs[0].shape[-1], lambda prompt: table.max_length - np.shape(prompt)[1])


def step_models(model: keras.Model, slots: int | None = None) -> tuple[keras.Model, keras.Model]:
    """Returns the functional models of the first step and of all others, which share the layers of a language model.

    Args:
        model: The language model.
        slots: Fixed number of kept keys and values; `None` for any.

    Returns:
        A model of a list: `token_ids` (batch, length) and how many of them are padding at the left, `pads` (batch, 1).
        And one of the next token (batch, 1), `pads`, the slot of the new token `slot` (batch, 1), and keys and values
        (batch, heads, slots, features) of every attention in turn. Both give the logits behind the last token (batch,
        vocabulary), then all keys and values.
    """
    return _step_model(model, kept=False), _step_model(model, kept=True, most=slots)


def _step_model(model: keras.Model, kept: bool, most: int | None = None) -> keras.Model:
    token_ids = keras.Input((1 if kept else None,), dtype="int32", name="token_ids")
    pads, slot = (keras.Input((1,), dtype="int32", name=name) for name in ("pads", "slot"))
    own_slots = slot if kept else _numbers(token_ids)  # (batch, new)
    positions = ops.maximum(own_slots - pads, 0)
    before: list[keras.KerasTensor] = []
    after: list[keras.KerasTensor] = []

    def attention(layer: layers.MultiHeadAttention, x: Any, options: dict[str, Any]) -> Any:
        if not options.get("use_causal_mask") or options.get("attention_mask") is not None:
            raise ValueError(f"generation needs causal attention without a mask. Received: layer {layer.name!r}")
        cached = CachedAttention(layer, name=f"{layer.name}_cached")
        if kept:
            (heads, _, features), dtype = cached.cache_shape, cached.compute_dtype
            shape = (heads, most, features)
            keys, values = (keras.Input(shape, dtype=dtype, name=f"{layer.name}_{part}") for part in ("keys", "values"))
            before.extend((keys, values))
        else:
            keys, values = KeysAndValues(layer, name=f"{layer.name}_keys_and_values")(x)
        slots = ops.expand_dims(_numbers(keys[:, 0, :, 0]), 1)
        seen = ops.logical_and(slots <= own_slots[..., None], slots >= pads[..., None])
        y, *now = cached(x, keys, values, slot if kept else None, seen)
        after.extend(now)
        return y

    def call(operation: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if isinstance(operation, layers.MultiHeadAttention):
            return attention(operation, args[0], options)
        if isinstance(operation, PositionEmbedding):
            return operation(args[0], positions=positions)
        if isinstance(operation, layers.ReversibleEmbedding) and options.get("reverse"):
            return operation(args[0][:, -1], reverse=True)
        return operation(*args, **options)

    *_, last = _graph.replay(model, [token_ids], call)
    inputs = [token_ids, pads, *([slot] if kept else []), *before]
    step = keras.Model(inputs, [last.outputs[0], *after], name=f"{model.name}_{'step' if kept else 'start'}")
    step.jit_compile = False  # XLA would compile anew for every length
    return step


def longest(model: keras.Model) -> int:
    """Returns the length of the longest sequence of a language model.

    Raises:
        ValueError: If it is none with a table of positions.
    """
    return int(_positions_of(model).max_length)


def _numbers(tensor: Any) -> Any:
    """Returns 0, 1, 2 ... along the second axis of a tensor (batch, length) whose length may be open."""
    return ops.cumsum(ops.ones_like(tensor, dtype="int32"), axis=1) - 1


def _positions_of(model: keras.Model) -> PositionEmbedding:
    found = [layer for layer in model.layers if isinstance(layer, PositionEmbedding)]
    if len(found) != 1 or len(model.inputs) != 1:
        raise ValueError(f"generation needs a language model with a table of positions. Received: {model.name!r}")
    return found[0]


def _padded(prompt: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns token numbers and how many on the left are padding (batch, 1)."""
    hidden = np.ma.getmaskarray(np.ma.asarray(prompt))
    pads = hidden.sum(axis=1, keepdims=True).astype("int32")
    if np.any(hidden != (np.arange(hidden.shape[1]) < pads)):
        raise ValueError("the padding of prompts must stand at the left")
    return np.ma.getdata(np.ma.asarray(prompt)).astype("int32"), pads


def room(length: int, longest: int) -> int:
    """Returns how many slots are made for some tokens: so many that few shapes are compiled."""
    slots = _SMALLEST
    while slots < length:
        slots *= 2
    return min(slots, longest)
