"""Names of GPT-2's tensors in the files of Hugging Face; their kernels lie as in Keras, (inputs, outputs)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import keras

from kerazoo.weights.huggingface.rules import Layout, Rule, dense, fused_attention, norm, same


def _rules(model: keras.Model) -> Iterator[Rule]:
    layers = {layer.name: layer for layer in model.layers}
    yield same(layers["token_embedding"].embeddings, "wte.weight")
    yield same(layers["positions"].embeddings, "wpe.weight")
    for index in count():
        ours, theirs = f"block{index + 1}", f"h.{index}"
        if f"{ours}_attention" not in layers:
            break
        yield from norm(layers[f"{ours}_attention_norm"], f"{theirs}.ln_1")
        fused, output = f"{theirs}.attn.c_attn", f"{theirs}.attn.c_proj"
        yield from fused_attention(layers[f"{ours}_attention"], fused, output, transposed=False)
        yield from norm(layers[f"{ours}_mlp_norm"], f"{theirs}.ln_2")
        yield from dense(layers[f"{ours}_mlp_fc1"], f"{theirs}.mlp.c_fc", transposed=False)
        yield from dense(layers[f"{ours}_mlp_fc2"], f"{theirs}.mlp.c_proj", transposed=False)
    yield from norm(layers["final_norm"], "ln_f")


LAYOUT = Layout(
    rules=_rules,
    prefixes=("transformer.",),
    ignored=r"h\.\d+\.attn\.(bias|masked_bias)",  # the causal mask
    tied={"lm_head.weight": "wte.weight"},
    heads=("score",),
)
