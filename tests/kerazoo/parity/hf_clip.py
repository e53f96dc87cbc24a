"""CLIP as Hugging Face has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, PreTrainedModel

SIZES = {
    **{"max_length": 12, "vocab_size": 53, "num_layers": 2, "num_heads": 4, "hidden_dim": 16, "embedding_dim": 12},
    **{"image_shape": [12, 12, 3], "patch_size": 4, "image_layers": 3, "image_heads": 2, "image_dim": 24},
}
END = SIZES["vocab_size"] - 1


def make(size: int = 12) -> Any:
    """Returns a function that makes the model."""
    text = {
        "vocab_size": SIZES["vocab_size"],
        "max_position_embeddings": SIZES["max_length"],
        "num_hidden_layers": SIZES["num_layers"],
        "num_attention_heads": SIZES["num_heads"],
        "hidden_size": SIZES["hidden_dim"],
        "intermediate_size": 4 * SIZES["hidden_dim"],
        "projection_dim": SIZES["embedding_dim"],
        "eos_token_id": END,
        "bos_token_id": 1,
    }
    vision = {
        "image_size": size,
        "patch_size": SIZES["patch_size"],
        "num_hidden_layers": SIZES["image_layers"],
        "num_attention_heads": SIZES["image_heads"],
        "hidden_size": SIZES["image_dim"],
        "intermediate_size": 4 * SIZES["image_dim"],
        "projection_dim": SIZES["embedding_dim"],
    }
    return lambda: CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=SIZES["embedding_dim"]))


def inputs(size: int = 12) -> Any:
    """Returns a function that draws three images and texts of several lengths, padded behind their ends."""

    def draw() -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        token_ids = random.integers(1, END, (3, SIZES["max_length"])).astype("int32")
        for row, end in enumerate((11, 4, 7)):
            token_ids[row, end], token_ids[row, end + 1 :] = END, 0
        return {"images": random.normal(size=(3, size, size, 3)).astype("float32"), "token_ids": token_ids}

    return draw


def run(model: PreTrainedModel, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns how well every image fits every text."""
    out = model(
        input_ids=torch.from_numpy(inputs["token_ids"]).long(),
        pixel_values=torch.from_numpy(inputs["images"]).movedim(-1, 1).contiguous(),
        interpolate_pos_encoding=True,
    )
    return {"logits": out.logits_per_image.numpy()}


CASES = {
    # name: (builder, its arguments, Hugging Face's model, inputs, outputs, whether it is recorded)
    "clip": ("clip_vit_b_32", SIZES, make(), inputs(), run, True),
    "clip_larger": ("clip_tiny", {**SIZES, "image_shape": [20, 20, 3]}, make(), inputs(20), run, False),
}
