"""Names of BERT's tensors in the files of Hugging Face, those of the original release and those of today."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import keras

from kerazoo.weights.huggingface.rules import Layout, Rule, attention, dense, norm, same


def _rules(model: keras.Model) -> Iterator[Rule]:
    layers = {layer.name: layer for layer in model.layers}
    yield same(layers["token_embedding"].embeddings, "embeddings.word_embeddings.weight")
    yield same(layers["positions"].embeddings, "embeddings.position_embeddings.weight")
    yield same(layers["segment_embedding"].embeddings, "embeddings.token_type_embeddings.weight")
    yield from norm(layers["embedding_norm"], "embeddings.LayerNorm")
    for index in count():
        ours, theirs = f"block{index + 1}", f"encoder.layer.{index}"
        if f"{ours}_attention" not in layers:
            break
        parts = tuple(f"{theirs}.attention.{part}" for part in ("self.query", "self.key", "self.value", "output.dense"))
        yield from attention(layers[f"{ours}_attention"], parts)
        yield from norm(layers[f"{ours}_attention_norm"], f"{theirs}.attention.output.LayerNorm")
        yield from dense(layers[f"{ours}_mlp_fc1"], f"{theirs}.intermediate.dense")
        yield from dense(layers[f"{ours}_mlp_fc2"], f"{theirs}.output.dense")
        yield from norm(layers[f"{ours}_out"], f"{theirs}.output.LayerNorm")
    if "pooler" in layers:
        yield from dense(layers["pooler"], "pooler.dense")
    if "mlm" in layers:
        yield from dense(layers["mlm_dense"], "cls.predictions.transform.dense")
        yield from norm(layers["mlm_norm"], "cls.predictions.transform.LayerNorm")
        yield same(layers["mlm"].bias, "cls.predictions.bias")
    if "nsp" in layers:
        yield from dense(layers["nsp"], "cls.seq_relationship")
    if "predictions" in layers:
        yield from dense(layers["predictions"], "classifier")


LAYOUT = Layout(
    rules=_rules,
    prefixes=("bert.",),
    renamed={r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"},
    ignored=r"embeddings\.position_ids",
    tied={
        "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    heads=("pooler", "cls.predictions", "cls.seq_relationship", "classifier"),
)
