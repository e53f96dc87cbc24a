"""Tokens that count and what a model gives them, for the losses and the metrics of sequences."""

from __future__ import annotations

from typing import Any

from keras import ops


def labels(y_true: Any, y_pred: Any) -> Any:
    """Returns the token numbers as int32, without a superfluous last axis.

    Args:
        y_true: Token numbers (batch, ..., length) or (batch, ..., length, 1).
        y_pred: Logits or probabilities (batch, ..., length, vocabulary).
    """
    y_true = ops.convert_to_tensor(y_true)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if len(y_true.shape) != len(y_pred.shape) - 1:
        raise ValueError(
            f"y_true must be token numbers {tuple(y_pred.shape[:-1])}. Received: y_true of shape {tuple(y_true.shape)}"
        )
    return ops.cast(y_true, "int32")


def weights(y_true: Any, ignore_id: int | None, sample_weight: Any, dtype: str) -> Any:
    """Returns the weight of each token: 0 for those that are ignored, else what `sample_weight` says.

    Args:
        y_true: Token numbers (batch, ...).
        ignore_id: Number of the token that does not count; `None` if all do.
        sample_weight: `None`, one number per sequence or one per token.
        dtype: That of the result.
    """
    weight = ops.ones_like(y_true) if ignore_id is None else ops.not_equal(y_true, ignore_id)
    weight = ops.cast(weight, dtype)
    if sample_weight is None:
        return weight
    given = ops.cast(ops.convert_to_tensor(sample_weight), dtype)
    return weight * ops.reshape(given, (*ops.shape(given), *[1] * (len(y_true.shape) - len(given.shape))))


def log_probabilities(y_pred: Any, from_logits: bool) -> Any:
    """Returns the logarithms of the probabilities of all tokens, in float32."""
    y_pred = ops.cast(y_pred, "float32")
    return ops.log_softmax(y_pred, axis=-1) if from_logits else ops.log(ops.maximum(y_pred, 1e-7))


def picked(log_p: Any, y_true: Any) -> Any:
    """Returns those of the tokens in `y_true`; a number out of range gets that of the nearest token."""
    numbers = ops.clip(y_true, 0, log_p.shape[-1] - 1)
    return ops.squeeze(ops.take_along_axis(log_p, ops.expand_dims(numbers, -1), axis=-1), -1)
