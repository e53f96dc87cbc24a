"""GPT-2 as Hugging Face has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model, PreTrainedModel

SIZES = {"vocab_size": 53, "max_length": 24, "num_layers": 3, "num_heads": 4, "hidden_dim": 32, "mlp_dim": 128}
NEW = 10


def make(cls: Any) -> Any:
    """Returns a function that makes the model."""
    config = GPT2Config(
        vocab_size=SIZES["vocab_size"],
        n_positions=SIZES["max_length"],
        n_layer=SIZES["num_layers"],
        n_head=SIZES["num_heads"],
        n_embd=SIZES["hidden_dim"],
        bos_token_id=None,
        eos_token_id=None,
    )
    return lambda: cls(config)


def inputs() -> dict[str, np.ndarray]:
    """Texts shorter than the context."""
    return {"token_ids": np.random.default_rng(0).integers(0, SIZES["vocab_size"], (3, 17)).astype("int32")}


def run(model: PreTrainedModel, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the logits, and of a whole language model what it writes greedily, alone and padded at the left."""
    ids = torch.from_numpy(inputs["token_ids"]).long()
    if not hasattr(model, "lm_head"):
        return {"logits": (model(ids).last_hidden_state @ model.wte.weight.T).numpy()}
    options = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
    mask = torch.ones((3, 7), dtype=torch.long)
    mask[1, :3] = mask[2, :5] = 0
    whole = model.generate(ids[:, :7], attention_mask=torch.ones_like(mask), **options)
    padded = model.generate(ids[:, :7] * mask, attention_mask=mask, **options)
    return {
        "logits": model(ids).logits.numpy(),
        "greedy": whole[:, 7:].numpy().astype("int32"),
        "greedy_padded": padded[:, 7:].numpy().astype("int32"),
    }


CASES = {
    # name: (builder, its arguments, Hugging Face's model, inputs, outputs, whether it is recorded)
    "gpt2": ("gpt2", SIZES, make(GPT2LMHeadModel), inputs, run, True),
    "gpt2_features": ("gpt2_large", SIZES, make(GPT2Model), inputs, run, False),
}
