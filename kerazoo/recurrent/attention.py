"""What a decoder with attention looks at."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerazoo.layers.reverse_tokens import ReverseTokens
from kerazoo.recurrent._stepping import attentive_steps


def attention_weights(model: keras.Model, source_ids: Any, target_ids: Any) -> np.ndarray:
    """Returns what a model looks at while it predicts the token behind each token of the target.

    Args:
        model: One of `bahdanau_seq2seq` or `luong_seq2seq`.
        source_ids: Tokens (batch, source length), padded with 0 at the end.
        target_ids: Tokens (batch, target length) the model is given, the start token first.

    Returns:
        Array (batch, target length, source length), rows that add up to 1, exactly 0 where the source is padding. The
        columns are in the order of `source_ids`, also where the model reads it reversed.

    Raises:
        ValueError: If the model has no attention.

    Example:
        >>> model = kerazoo.luong_seq2seq(30, 20, units=32, embedding_dim=16, num_layers=1)
        >>> kerazoo.recurrent.attention.attention_weights(model, [[5, 9, 0]], [[1, 4]]).shape
        (1, 2, 3)
    """
    begin, step = attentive_steps(model, None)
    source, target = np.asarray(source_ids, "int32"), np.asarray(target_ids, "int32")
    states, rows = begin(source), []
    for tokens in target.T:
        states = step([tokens, states])
        rows.append(states[1])
    weights = np.stack(rows, axis=1).astype("float32")
    if any(isinstance(layer, ReverseTokens) for layer in model.layers):
        places = np.where(source != 0, np.arange(1, source.shape[1] + 1), 0)
        order = keras.ops.convert_to_numpy(ReverseTokens()(places)) - 1
        weights = np.take_along_axis(weights, np.maximum(order, 0)[:, None], axis=2) * (source != 0)[:, None]
    return weights
