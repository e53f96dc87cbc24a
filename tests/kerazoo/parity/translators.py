"""Transformers of others, and their logits for the default test run: `python tests/kerazoo/parity/translators.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import FSMTConfig, FSMTForConditionalGeneration

sys.path.insert(0, str(Path(__file__).parents[1]))
import huggingface
import transformer_rules
from transformer_rules import OPTIONS, SIZES


class Fsmt(nn.Module):
    """Hugging Face's, whose positions are no weights but stand among the parameters."""

    def __init__(self) -> None:
        super().__init__()
        options = OPTIONS["fsmt"]
        both = {
            "layers": SIZES["num_layers"],
            "attention_heads": SIZES["num_heads"],
            "ffn_dim": SIZES["mlp_dim"],
        }
        config = FSMTConfig(
            langs=["a", "b"],
            src_vocab_size=options["source_vocab_size"],
            tgt_vocab_size=options["target_vocab_size"],
            d_model=SIZES["hidden_dim"],
            max_position_embeddings=SIZES["max_length"],
            tie_word_embeddings=False,
            scale_embedding=True,
            **{f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in both.items()},
        )
        self.inner = FSMTForConditionalGeneration(config)

    def weights(self) -> dict[str, nn.Parameter]:
        return {key: value for key, value in self.inner.named_parameters() if "embed_positions" not in key}

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.inner(source, (source != 1).long(), decoder_input_ids=target, use_cache=False).logits


class Torch(nn.Module):
    """torch.nn.Transformer with the tables, positions and logits of the paper around it."""

    def __init__(self) -> None:
        super().__init__()
        depth, width = SIZES["num_layers"], SIZES["hidden_dim"]
        self.table = nn.Embedding(OPTIONS["torch"]["source_vocab_size"], width)
        self.body = nn.Transformer(width, SIZES["num_heads"], depth, depth, SIZES["mlp_dim"], batch_first=True)

    def weights(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())

    def _embedded(self, ids: torch.Tensor) -> torch.Tensor:
        width = SIZES["hidden_dim"]
        places = torch.zeros(ids.shape[1], width)
        for position in range(ids.shape[1]):
            for pair in range(width // 2):
                angle = torch.tensor(position / 10_000 ** (2 * pair / width))
                places[position, 2 * pair], places[position, 2 * pair + 1] = torch.sin(angle), torch.cos(angle)
        return self.table(ids) * width**0.5 + places

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        padding, future = source == 0, torch.ones(target.shape[1], target.shape[1]).triu(1).bool()
        out = self.body(
            self._embedded(source),
            self._embedded(target),
            tgt_mask=future,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return functional.linear(out, self.table.weight)


MODELS = {"fsmt": Fsmt, "torch": Torch}


def logits(name: str, deviation: float) -> np.ndarray:
    """Returns the logits of a model with drawn weights."""
    model = MODELS[name]().eval()
    weights = model.weights()
    drawn = huggingface.weights(name, {key: tuple(value.shape) for key, value in weights.items()}, deviation)
    ids = [torch.from_numpy(value).long() for value in transformer_rules.inputs(name).values()]
    with torch.no_grad():
        for key, parameter in weights.items():
            parameter.copy_(torch.from_numpy(drawn[key]))
        return model(*ids).numpy()


if __name__ == "__main__":
    for name in MODELS:
        parts = {"large": logits(name, huggingface.LARGE), "small": logits(name, huggingface.SMALL)}
        np.savez_compressed(huggingface.REFERENCES / f"transformer_{name}.npz", **parts)
