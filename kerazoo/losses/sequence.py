"""Cross-entropy of tokens, of those that count."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from kerazoo import _tokens, checks
from kerazoo.losses._configured import ConfiguredLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class SequenceCrossentropy(ConfiguredLoss):
    """Mean over the tokens that count of the cross-entropy to smoothed targets:

        -((1 - s) log p_true + s / V sum_k log p_k)

    with smoothing s and vocabulary size V. Padding does not count, so a batch may hold sequences of any lengths; for a
    masked language model the tokens that were not covered do not count (`ignore_id=-1`, see
    `kerazoo.transformers.masking`).

    Args:
        ignore_id: Target of the tokens that do not count, by default padding; `None` if all count.
        label_smoothing: Probability spread over all tokens, in [0, 1).
        from_logits: Whether predictions are logits or probabilities.
        reduction: `"sum_over_batch_size"` is the mean over the tokens that count, `"sum"` their sum, `None` gives one
            number per token, 0 for those that do not count.
        name: Name of the loss.
        dtype: Precision of the computation; float32 under any policy unless given.

    Example:
        >>> model.compile("adam", kerazoo.losses.SequenceCrossentropy(label_smoothing=0.1))

    References:
        Szegedy et al. (2015), "Rethinking the Inception architecture for computer vision", section 7,
        https://arxiv.org/abs/1512.00567
    """

    arguments: ClassVar[tuple[str, ...]] = ("ignore_id", "label_smoothing", "from_logits")

    def __init__(
        self,
        *,
        ignore_id: int | None = 0,
        label_smoothing: float = 0.0,
        from_logits: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sequence_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.ignore_id = ignore_id
        self.label_smoothing = checks.fraction("label_smoothing", label_smoothing)
        self.from_logits = checks.flag("from_logits", from_logits)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Returns the loss; `sample_weight` is one number per sequence or per token."""
        y_pred = ops.convert_to_tensor(y_pred)
        losses = self.call(y_true, y_pred)
        # those of the tokens and no others make the mean, not a mask that Keras may have handed on behind the scenes
        numbers = _tokens.labels(y_true, y_pred)
        counts = _tokens.weights(numbers, self.ignore_id, None, losses.dtype)
        losses = losses * _tokens.weights(numbers, self.ignore_id, sample_weight, losses.dtype)
        if self.reduction in (None, "none"):
            return losses
        total = ops.sum(losses)
        return total if self.reduction == "sum" else total / ops.maximum(ops.sum(counts), 1)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one loss per token, ignored or not."""
        log_p = _tokens.log_probabilities(y_pred, self.from_logits)
        true = _tokens.picked(log_p, _tokens.labels(y_true, y_pred))
        if not self.label_smoothing:
            return -true
        return -(1 - self.label_smoothing) * true - self.label_smoothing * ops.mean(log_p, axis=-1)
