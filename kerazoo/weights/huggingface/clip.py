"""Names of CLIP's tensors in the files of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import keras
import numpy as np

from kerazoo.layers.grid_positions import resize_positions
from kerazoo.weights.huggingface.rules import Layout, Rule, attention, conv2d, dense, norm, same


def _rules(model: Any) -> Iterator[Rule]:
    texts = {layer.name: layer for layer in model.text_encoder.layers}
    yield same(texts["token_embedding"].embeddings, "text_model.embeddings.token_embedding.weight")
    yield same(texts["positions"].embeddings, "text_model.embeddings.position_embedding.weight")
    yield from _blocks(texts, "text_model")
    yield from norm(texts["final_norm"], "text_model.final_layer_norm")
    yield from dense(texts["projection"], "text_projection")
    images = {layer.name: layer for layer in model.image_encoder.layers}
    token, positions = images["with_class_token"].token, images["positions"]
    yield Rule(token, "vision_model.embeddings.class_embedding", tuple(token.shape[2:]), lambda row: row[None, None])
    yield from conv2d(images["patch_embedding"], "vision_model.embeddings.patch_embedding")
    yield Rule(
        positions.embeddings,
        "vision_model.embeddings.position_embedding.weight",
        (None, token.shape[-1]),
        lambda table: resize_positions(np.asarray(table), positions.grid),
    )
    yield from norm(images["first_norm"], "vision_model.pre_layrnorm")
    yield from _blocks(images, "vision_model")
    yield from norm(images["final_norm"], "vision_model.post_layernorm")
    yield from dense(images["projection"], "visual_projection")
    yield same(model.logit_scale, "logit_scale")


def _blocks(layers: dict[str, keras.layers.Layer], prefix: str) -> Iterator[Rule]:
    for index in count():
        ours, theirs = f"block{index + 1}", f"{prefix}.encoder.layers.{index}"
        if f"{ours}_attention" not in layers:
            break
        yield from norm(layers[f"{ours}_attention_norm"], f"{theirs}.layer_norm1")
        parts = tuple(f"{theirs}.self_attn.{part}_proj" for part in ("q", "k", "v", "out"))
        yield from attention(layers[f"{ours}_attention"], parts)
        yield from norm(layers[f"{ours}_mlp_norm"], f"{theirs}.layer_norm2")
        yield from dense(layers[f"{ours}_mlp_fc1"], f"{theirs}.mlp.fc1")
        yield from dense(layers[f"{ours}_mlp_fc2"], f"{theirs}.mlp.fc2")


LAYOUT = Layout(rules=_rules, ignored=r"(text|vision)_model\.embeddings\.position_ids")
