"""BERT as Hugging Face has it, with every head."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    PreTrainedModel,
)

SIZES = {"vocab_size": 53, "max_length": 24, "num_layers": 3, "num_heads": 4, "hidden_dim": 32, "mlp_dim": 48}


def make(cls: Any, **options: Any) -> Any:
    """Returns a function that makes the model."""
    config = BertConfig(
        vocab_size=SIZES["vocab_size"],
        max_position_embeddings=SIZES["max_length"],
        num_hidden_layers=SIZES["num_layers"],
        num_attention_heads=SIZES["num_heads"],
        hidden_size=SIZES["hidden_dim"],
        intermediate_size=SIZES["mlp_dim"],
        **options,
    )
    return lambda: cls(config)


def inputs() -> dict[str, np.ndarray]:
    """Two padded texts and a full one, shorter than the longest; two segments."""
    token_ids = np.random.default_rng(0).integers(1, SIZES["vocab_size"], (3, 17)).astype("int32")
    token_ids[1, 12:] = token_ids[2, 5:] = 0
    return {"token_ids": token_ids, "segment_ids": np.tile(np.arange(17) > 8, (3, 1)).astype("int32")}


def run(model: PreTrainedModel, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs under our names."""
    token_ids, segment_ids = (torch.from_numpy(inputs[key]).long() for key in ("token_ids", "segment_ids"))
    out = model(token_ids, attention_mask=(token_ids != 0).long(), token_type_ids=segment_ids)
    names = {
        "prediction_logits": "mlm",
        "seq_relationship_logits": "nsp",
        "logits": "logits",
        "last_hidden_state": "sequence",
        "pooler_output": "pooled",
    }
    return {ours: out[theirs].numpy() for theirs, ours in names.items() if theirs in out}


_CLASSIFIER = {**SIZES, "head": "classifier", "num_classes": 5, "classifier_activation": None}
CASES = {
    # name: (builder, its arguments, Hugging Face's model, inputs, outputs, whether it is recorded)
    "bert": ("bert_tiny", {**SIZES, "head": "pretraining"}, make(BertForPreTraining), inputs, run, True),
    "bert_masked_lm": ("bert_base", {**SIZES, "head": "masked_lm"}, make(BertForMaskedLM), inputs, run, False),
    "bert_classifier": (
        "bert_large",
        _CLASSIFIER,
        make(BertForSequenceClassification, num_labels=5),
        inputs,
        run,
        False,
    ),
    "bert_features": ("bert_mini", {**SIZES, "head": None}, make(BertModel), inputs, run, False),
    "bert_tanh": (
        "bert_tiny",
        {**SIZES, "head": "pretraining", "gelu_approximate": True},
        make(BertForPreTraining, hidden_act="gelu_new"),
        inputs,
        run,
        False,
    ),
}
