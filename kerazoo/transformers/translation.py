"""Writing with a Transformer of encoder and decoder, token by token, and what its decoder looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerazoo import _graph
from kerazoo._calls import answer
from kerazoo.generation.decoder import room
from kerazoo.generation.stepper import Stepper
from kerazoo.layers.cached_attention import CachedAttention, KeysAndValues
from kerazoo.layers.padding_mask import PaddingMask
from kerazoo.layers.position import SinusoidalPositions

_Options = Mapping[str, Any]


def stepper(model: keras.Model, *, start_id: int) -> Stepper:
    """Returns a Transformer as one that is asked for one token after the other.

    The source is read once; its keys and values, and those of every token written, are kept.

    Args:
        model: One of `kerazoo.transformers.transformer`.
        start_id: The token in front of every target, as in training.

    Returns:
        A `kerazoo.generation.Stepper` that starts from `source_ids` (batch, length).

    Raises:
        ValueError: If the model is another one.

    Example:
        >>> written = kerazoo.generation.beam_search(stepper(model, start_id=1), source_ids, max_new_tokens=40)

    References:
        Vaswani et al. (2017), section 3.1, https://arxiv.org/abs/1706.03762
    """
    longest = _longest(model)
    reader, writer = step_models(model)

    def start(source_ids: Any) -> tuple[Any, Any]:
        source_ids = np.asarray(source_ids, "int32")
        mask, *memory = answer(reader, source_ids)
        slot = np.zeros((len(source_ids), 1), "int32")
        empty = [
            np.zeros((len(source_ids), tensor.shape[1], room(1, longest), tensor.shape[3]), tensor.dtype)
            for tensor in writer.inputs[3 + len(memory) :]
        ]
        return step(np.full(len(source_ids), start_id), [slot, mask, memory, empty])

    def step(tokens: Any, state: Any) -> tuple[Any, Any]:
        slot, mask, memory, cache = keras.tree.map_structure(np.asarray, state)
        taken, slots = int(slot[0, 0]), cache[0].shape[2]
        if taken == slots:
            more = ((0, 0), (0, 0), (0, room(taken + 1, longest) - slots), (0, 0))
            cache = [np.pad(part, more) for part in cache]
        logits, *cache = answer(writer, [np.asarray(tokens, "int32")[:, None], slot, mask, *memory, *cache])
        return logits, [slot + 1, mask, memory, cache]

    return Stepper(start, step, model.outputs[0].shape[-1], lambda source_ids: longest - 1)


def step_models(model: keras.Model, slots: int | None = None) -> tuple[keras.Model, keras.Model]:
    """Returns the functional models that read a source and write one token, which share the layers of a Transformer.

    Args:
        model: One of `kerazoo.transformers.transformer`.
        slots: Fixed number of kept keys and values of the target; `None` for any.

    Returns:
        A model of `source_ids` (batch, source length) that gives the mask of the source and, of every attention to it
        in turn, its keys and values (batch, heads, source length, features). And one of a list: the last token (batch,
        1), its number `slot` (batch, 1), that mask, those keys and values, and the keys and values (batch, heads,
        slots, features) of every attention of the target to itself; it gives the logits (batch, vocabulary) and the
        latter again.
    """
    return _reader(model), _writer(model, slots)


def _reader(model: keras.Model) -> keras.Model:
    source_ids, target_ids = (keras.Input((None,), dtype="int32", name=name) for name in ("source_ids", "target_ids"))
    outputs: list[keras.KerasTensor] = []

    def call(operation: Any, args: tuple[Any, ...], options: _Options) -> Any:
        result = operation(*args, **options)
        if isinstance(operation, PaddingMask) and operation.name == "mask":
            outputs.insert(0, result)
        elif _looks_at_source(operation):
            outputs.extend(KeysAndValues(operation, name=f"{operation.name}_keys_and_values")(args[1]))
        return result

    for _ in _graph.replay(model, [source_ids, target_ids], call):
        pass
    return _uncompiled(keras.Model(source_ids, outputs, name=f"{model.name}_reader"))


def _writer(model: keras.Model, most: int | None) -> keras.Model:
    source_ids = keras.Input((None,), dtype="int32", name="source_ids")  # of the part of the graph that is left out
    token, slot = (keras.Input((1,), dtype="int32", name=name) for name in ("target_ids", "slot"))
    mask = keras.Input((1, None), dtype="bool", name="mask")
    memory: list[keras.KerasTensor] = []
    before: list[keras.KerasTensor] = []
    after: list[keras.KerasTensor] = []

    def attention(layer: layers.MultiHeadAttention, x: Any) -> Any:
        cached = CachedAttention(layer, name=f"{layer.name}_cached")
        (heads, _, features), dtype = cached.cache_shape, cached.compute_dtype
        shape = (heads, None if _looks_at_source(layer) else most, features)
        keys, values = (keras.Input(shape, dtype=dtype, name=f"{layer.name}_{part}") for part in ("keys", "values"))
        if _looks_at_source(layer):
            memory.extend((keys, values))
            return cached(x, keys, values, None, mask)[0]  # by position: Keras has a meaning of its own for mask=
        before.extend((keys, values))
        slots = ops.expand_dims(ops.cumsum(ops.ones_like(keys[:, 0, :, 0], dtype="int32"), axis=1) - 1, 1)
        y, *now = cached(x, keys, values, slot, slots <= slot[..., None])
        after.extend(now)
        return y

    def call(operation: Any, args: tuple[Any, ...], options: _Options) -> Any:
        if isinstance(operation, layers.MultiHeadAttention) and _of_decoder(operation):
            return attention(operation, args[0])
        if isinstance(operation, SinusoidalPositions) and operation.name == "target_positions":
            return operation(args[0], positions=slot)
        return operation(*args, **options)

    *_, last = _graph.replay(model, [source_ids, token], call)
    inputs = [token, slot, mask, *memory, *before]
    return _uncompiled(keras.Model(inputs, [last.outputs[0][:, 0], *after], name=f"{model.name}_writer"))


def attention_weights(model: keras.Model, source_ids: Any, target_ids: Any) -> dict[str, np.ndarray]:
    """Returns how much every token of the target looks at every token of the source.

    Args:
        model: One of `kerazoo.transformers.transformer`.
        source_ids: Tokens of the source (batch, source length).
        target_ids: Tokens of the target (batch, target length), the start token in front.

    Returns:
        Name of the layer, from the first block to the last -> weights (batch, heads, target length, source length),
        which sum to 1 over the source; 0 where it is padding.

    Example:
        >>> weights = attention_weights(model, source_ids, target_ids)
        >>> last = list(weights.values())[-1].mean(axis=1)  # mean of the heads
    """
    _longest(model)
    found: dict[str, np.ndarray] = {}

    def call(operation: Any, args: tuple[Any, ...], options: _Options) -> Any:
        if not _looks_at_source(operation):
            return operation(*args, **options)
        result, weights = operation(*args, **options, return_attention_scores=True)
        found[operation.name] = keras.ops.convert_to_numpy(weights)
        return result

    tokens = [ops.convert_to_tensor(ids, "int32") for ids in (source_ids, target_ids)]
    for _ in _graph.replay(model, tokens, call):
        pass
    return found


def _of_decoder(layer: layers.MultiHeadAttention) -> bool:
    return str(layer.name).startswith("decoder")


def _looks_at_source(operation: Any) -> bool:
    return isinstance(operation, layers.MultiHeadAttention) and operation.name.endswith("_cross_attention")


def _longest(model: keras.Model) -> int:
    """Returns the length of the longest target, of a model that is a Transformer."""
    names = [tensor.name for tensor in getattr(model, "inputs", None) or []]
    tables = [layer for layer in model.layers if layer.name == "target_positions"]
    if names != ["source_ids", "target_ids"] or not tables or not any(map(_looks_at_source, model.layers)):
        raise ValueError(f"a Transformer of encoder and decoder is needed. Received: {model.name!r}")
    return int(tables[0].max_length)


def _uncompiled(model: keras.Model) -> keras.Model:
    model.jit_compile = False  # XLA would compile anew for every length
    return model
