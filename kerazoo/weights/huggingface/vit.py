"""Names of the vision transformer's tensors in the files of Hugging Face, and those of transformers 5 in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import keras
import numpy as np

from kerazoo.layers.grid_positions import resize_positions
from kerazoo.weights.huggingface.rules import Layout, Rule, attention, conv2d, dense, norm


def _rules(model: keras.Model) -> Iterator[Rule]:
    layers = {layer.name: layer for layer in model.layers}
    yield from patches(layers)
    yield from conv2d(layers["patch_embedding"], "embeddings.patch_embeddings.projection")
    for index in count():
        ours, theirs = f"block{index + 1}", f"encoder.layer.{index}"
        if f"{ours}_attention" not in layers:
            break
        parts = tuple(f"{theirs}.attention.{part}" for part in ("q", "k", "v", "o"))
        yield from norm(layers[f"{ours}_attention_norm"], f"{theirs}.layernorm_before")
        yield from attention(layers[f"{ours}_attention"], parts)
        yield from norm(layers[f"{ours}_mlp_norm"], f"{theirs}.layernorm_after")
        yield from dense(layers[f"{ours}_mlp_fc1"], f"{theirs}.intermediate.dense")
        yield from dense(layers[f"{ours}_mlp_fc2"], f"{theirs}.output.dense")
    yield from norm(layers["final_norm"], "layernorm")
    if "predictions" in layers:
        yield from dense(layers["predictions"], "classifier")


def patches(layers: dict[str, keras.layers.Layer]) -> Iterator[Rule]:
    """Class token and positions, those of images of another size resized."""
    token, positions = layers["with_class_token"].token, layers["positions"]
    features = token.shape[-1]
    yield Rule(token, "embeddings.cls_token", (1, 1, features))
    yield Rule(
        positions.embeddings,
        "embeddings.position_embeddings",
        (1, None, features),
        lambda table: resize_positions(np.asarray(table)[0], positions.grid),
    )


LAYOUT = Layout(
    rules=_rules,
    prefixes=("vit.",),
    renamed={
        r"^layers\.": "encoder.layer.",
        r"attention\.([qkvo])_proj\.": r"attention.\1.",
        r"attention\.attention\.(q|k|v)(uery|ey|alue)\.": r"attention.\1.",
        r"attention\.output\.dense\.": "attention.o.",
        r"mlp\.fc1\.": "intermediate.dense.",
        r"mlp\.fc2\.": "output.dense.",
    },
    ignored=r"embeddings\.mask_token",
    heads=("pooler", "classifier"),
)
