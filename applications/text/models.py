"""Models of the catalogue as the tasks of text use them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def without_segments(model: keras.Model) -> keras.Model:
    """Returns a BERT that takes `token_ids` alone: a single text is all of the first segment."""
    import keras

    ids = keras.Input(model.input["token_ids"].shape[1:], dtype="int32", name="token_ids")
    return keras.Model(ids, model({"token_ids": ids, "segment_ids": keras.ops.zeros_like(ids)}), name=model.name)


def bits_metric(name: str, scale: float) -> keras.metrics.Metric:
    """Returns the mean cross-entropy of logits in bits, times a scale (tokens per character).

    Args:
        name: Name of the metric.
        scale: What the bits of a token are multiplied by.
    """
    import keras

    def bits(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        nats = keras.losses.sparse_categorical_crossentropy(true, logits, from_logits=True)
        return nats * (scale / math.log(2))

    return keras.metrics.MeanMetricWrapper(bits, name=name)
