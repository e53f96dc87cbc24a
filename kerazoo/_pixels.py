"""Labels and predictions of pixels in one form, for the losses and the metrics."""

from __future__ import annotations

from typing import Any

from keras import ops

EPSILON = 1e-7


def labels(y_true: Any, y_pred: Any) -> tuple[Any, bool]:
    """Returns the targets without a superfluous last axis, and whether they are class numbers.

    Args:
        y_true: Class numbers (batch, ...) or (batch, ..., 1), or one column per class (batch, ..., classes).
        y_pred: Predictions (batch, ..., classes).
    """
    if len(y_true.shape) == len(y_pred.shape) - 1:
        return y_true, True
    if len(y_true.shape) != len(y_pred.shape) or y_true.shape[-1] not in (1, y_pred.shape[-1], None):
        raise ValueError(
            f"y_true must be class numbers {tuple(y_pred.shape[:-1])} or one column per class {tuple(y_pred.shape)}. "
            f"Received: y_true of shape {tuple(y_true.shape)}"
        )
    sparse = y_true.shape[-1] == 1
    return (ops.squeeze(y_true, -1), True) if sparse else (y_true, False)


def columns(y_true: Any, y_pred: Any, ignore_class: int | None) -> tuple[Any, Any]:
    """Returns the targets as one column per class, and the weight of each pixel: 0 where it is to be ignored.

    Args:
        y_true: As in `labels`.
        y_pred: Predictions (batch, ..., classes); with one class, of the probability of class 1.
        ignore_class: Class number of pixels that do not count.

    Returns:
        Targets (batch, pixels, classes), all zero for ignored pixels, and weights (batch, pixels), of the dtype of
        `y_pred`.
    """
    y_true, sparse = labels(y_true, y_pred)
    classes, dtype = y_pred.shape[-1], y_pred.dtype
    batch = ops.shape(y_pred)[0]
    if not sparse:
        y_true = ops.reshape(ops.cast(y_true, dtype), (batch, -1, classes))
        return y_true, ops.ones_like(y_true[..., 0])
    y_true = ops.reshape(ops.cast(y_true, "int32"), (batch, -1))
    weights = ops.ones_like(y_true) if ignore_class is None else ops.not_equal(y_true, ignore_class)
    if classes == 1:
        target = ops.cast(ops.equal(y_true, 1), dtype)[..., None]
    else:
        target = ops.one_hot(y_true, classes, dtype=dtype)
    weights = ops.cast(weights, dtype)
    return target * weights[..., None], weights


def class_numbers(y_true: Any, y_pred: Any, threshold: float) -> tuple[Any, Any]:
    """Returns the class numbers (batch, ...) of targets and predictions, int32.

    Args:
        y_true: As in `labels`.
        y_pred: Predictions (batch, ..., classes); with one class, class 1 is where they reach the threshold.
        threshold: That threshold.
    """
    y_true, sparse = labels(y_true, y_pred)
    if not sparse:
        y_true = ops.argmax(y_true, axis=-1)
    single = y_pred.shape[-1] == 1
    predicted = y_pred[..., 0] >= threshold if single else ops.argmax(y_pred, axis=-1)
    return ops.cast(y_true, "int32"), ops.cast(predicted, "int32")


def probabilities(y_pred: Any, from_logits: bool) -> Any:
    """Returns probabilities (batch, ..., classes): softmax over several classes, sigmoid of one."""
    if not from_logits:
        return y_pred
    return ops.sigmoid(y_pred) if y_pred.shape[-1] == 1 else ops.softmax(y_pred, axis=-1)


def log_probabilities(y_pred: Any, from_logits: bool) -> tuple[Any, Any]:
    """Returns log p of every class and, for a single class, log(1 - p); else `None` for the latter."""
    single = y_pred.shape[-1] == 1
    if from_logits:
        if single:
            return -ops.softplus(-y_pred), -ops.softplus(y_pred)
        return ops.log_softmax(y_pred, axis=-1), None
    clipped = ops.clip(y_pred, EPSILON, 1 - EPSILON)
    return ops.log(clipped), ops.log(1 - clipped) if single else None
