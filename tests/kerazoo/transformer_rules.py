"""Where the weights of other implementations of the Transformer belong in ours, and the outputs recorded of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import huggingface
import keras
import numpy as np
import zoo

import kerazoo
from kerazoo.weights.huggingface.rules import Rule, attention, dense, fused_attention, norm, same

SIZES = {"max_length": 32, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24, "use_bias": True}
OPTIONS: dict[str, dict[str, Any]] = {
    "fsmt": {
        **{"source_vocab_size": 19, "target_vocab_size": 17, **SIZES, "tie_embeddings": False},
        **{"positions": "halves", "position_offset": 2, "pad_id": 1, "epsilon": 1e-5},
    },
    "torch": {"source_vocab_size": 19, "target_vocab_size": 19, **SIZES, "final_norm": True, "epsilon": 1e-5},
}


def _fsmt(layers: dict[str, Any]) -> Iterator[Rule]:
    """FSMT, the translator of fairseq in Hugging Face's transformers. Its logits have no biases."""
    for side, part in (("source", "encoder"), ("target", "decoder")):
        yield same(layers[f"{side}_embedding"].embeddings, f"model.{part}.embed_tokens.weight")
        for index in range(SIZES["num_layers"]):
            ours, theirs = f"{part}{index + 1}", f"model.{part}.layers.{index}"
            for kind, name in (("attention", "self_attn"), ("cross_attention", "encoder_attn")):
                if f"{ours}_{kind}" in layers:
                    names = [f"{theirs}.{name}.{letter}_proj" for letter in ("q", "k", "v", "out")]
                    yield from attention(layers[f"{ours}_{kind}"], names)
                    yield from norm(layers[f"{ours}_{kind}_norm"], f"{theirs}.{name}_layer_norm")
            yield from dense(layers[f"{ours}_mlp_fc1"], f"{theirs}.fc1")
            yield from dense(layers[f"{ours}_mlp_fc2"], f"{theirs}.fc2")
            yield from norm(layers[f"{ours}_out"], f"{theirs}.final_layer_norm")
    kernel, _ = dense(layers["logits"], "model.decoder.output_projection")
    yield kernel


def _torch(layers: dict[str, Any]) -> Iterator[Rule]:
    """torch.nn.Transformer between tied tables."""
    yield same(layers["token_embedding"].embeddings, "table.weight")
    for part in ("encoder", "decoder"):
        for index in range(SIZES["num_layers"]):
            ours, theirs = f"{part}{index + 1}", f"body.{part}.layers.{index}"
            kinds = [("attention", "self_attn"), ("cross_attention", "multihead_attn")][: 1 + (part == "decoder")]
            for number, (kind, name) in enumerate(kinds, start=1):
                yield from _torch_attention(layers[f"{ours}_{kind}"], f"{theirs}.{name}")
                yield from norm(layers[f"{ours}_{kind}_norm"], f"{theirs}.norm{number}")
            yield from dense(layers[f"{ours}_mlp_fc1"], f"{theirs}.linear1")
            yield from dense(layers[f"{ours}_mlp_fc2"], f"{theirs}.linear2")
            yield from norm(layers[f"{ours}_out"], f"{theirs}.norm{len(kinds) + 1}")
        yield from norm(layers[f"{part}_norm"], f"body.{part}.norm")


def _torch_attention(layer: Any, name: str) -> Iterator[Rule]:
    for rule in fused_attention(layer, f"{name}.in_proj", f"{name}.out_proj"):
        theirs = rule.name.replace("in_proj.", "in_proj_")
        yield Rule(rule.variable, theirs, rule.shape, rule.convert)


RULES: dict[str, Callable[[dict[str, Any]], Iterator[Rule]]] = {"fsmt": _fsmt, "torch": _torch}


def filled(name: str, deviation: float) -> keras.Model:
    """Builds our model with the weights drawn for another one."""
    with zoo.cheap_weights():
        model = kerazoo.transformer_base(**OPTIONS[name])
    rules = list(RULES[name]({layer.name: layer for layer in model.layers}))
    drawn = huggingface.weights(name, {rule.name: tuple(map(int, rule.shape)) for rule in rules}, deviation)  # type: ignore[arg-type]
    for rule in rules:
        rule.variable.assign(rule.convert(drawn[rule.name]))
    left = {weight.path for weight in model.trainable_weights} - {rule.variable.path for rule in rules}
    assert left == ({"logits/bias"} if name == "fsmt" else set())
    return model


def inputs(name: str) -> dict[str, np.ndarray]:
    """Sources with padding behind them, and targets without."""
    random, pad = np.random.default_rng(0), OPTIONS[name].get("pad_id", 0)
    source, target = random.integers(2, 19, (3, 11)), random.integers(2, 17, (3, 9))
    source[1, 8:] = source[2, 3:] = pad
    return {"source_ids": source.astype("int32"), "target_ids": target.astype("int32")}


def recorded(name: str) -> dict[str, np.ndarray]:
    """Returns the logits with large and with small weights, see `parity/torch_transformers.py`."""
    with np.load(huggingface.REFERENCES / f"transformer_{name}.npz") as arrays:
        return dict(arrays)
