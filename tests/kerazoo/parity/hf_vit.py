"""The vision transformer as Hugging Face has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, ViTConfig, ViTForImageClassification, ViTModel

SIZES = {"patch_size": 4, "num_layers": 3, "num_heads": 4, "hidden_dim": 32, "mlp_dim": 48}
_OPTIONS = {**SIZES, "num_classes": 5, "classifier_activation": None, "variant": "hf"}


def make(cls: Any, size: int = 12, **options: Any) -> Any:
    """Returns a function that makes the model."""
    config = ViTConfig(
        image_size=size,
        patch_size=SIZES["patch_size"],
        num_hidden_layers=SIZES["num_layers"],
        num_attention_heads=SIZES["num_heads"],
        hidden_size=SIZES["hidden_dim"],
        intermediate_size=SIZES["mlp_dim"],
        num_labels=5,
        **options,
    )
    return lambda: cls(config)


def images(height: int, width: int) -> Any:
    """Returns a function that draws images."""
    return lambda: {"input": np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("float32")}


def run(model: PreTrainedModel, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the logits, or the map of features; images of another size get other positions."""
    x = inputs["input"]
    out = model(torch.from_numpy(x).movedim(-1, 1).contiguous(), interpolate_pos_encoding=True)
    if "logits" in out:
        return {"logits": out.logits.numpy()}
    rows, columns = (size // SIZES["patch_size"] for size in x.shape[1:3])
    return {"map": out.last_hidden_state[:, 1:].reshape(len(x), rows, columns, -1).numpy()}


def _case(shape: tuple[int, int], recorded: bool = False, builder: str = "vit_base_16", **options: Any) -> tuple:
    sized = {**_OPTIONS, "input_shape": [*shape, 3], **options}
    return (builder, sized, make(ViTForImageClassification), images(*shape), run, recorded)


CASES = {
    # name: (builder, its arguments, Hugging Face's model, inputs, outputs, whether it is recorded)
    "vit": _case((12, 12), recorded=True),
    "vit_larger": _case((20, 28), builder="vit_tiny_16"),
    "vit_smaller": _case((8, 8)),
    "vit_features": (
        "vit_small_16",
        {**_OPTIONS, "input_shape": [12, 12, 3], "include_top": False},
        make(ViTModel),
        images(12, 12),
        run,
        False,
    ),
    "vit_tanh": (
        "vit_base_16",
        {**_OPTIONS, "input_shape": [12, 12, 3], "variant": "jax"},
        make(ViTForImageClassification, hidden_act="gelu_new", layer_norm_eps=1e-6),
        images(12, 12),
        run,
        False,
    ),
}
