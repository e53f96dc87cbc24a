"""Accuracy and perplexity of the tokens that count."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerazoo import _tokens, checks


class _TokenMean(keras.metrics.Metric):
    """Mean of a number per token.

    Args:
        ignore_id: Target of the tokens that do not count, by default padding; `None` if all count.
        name: Name of the metric.
        dtype: Precision of the sums; float32 under any policy unless given.
    """

    def __init__(self, *, ignore_id: int | None = 0, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype or "float32")
        self.ignore_id = ignore_id
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")
        self.count = self.add_variable(shape=(), initializer="zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds tokens; `sample_weight` is one number per sequence or per token."""
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = _tokens.labels(y_true, y_pred)
        weight = _tokens.weights(y_true, self.ignore_id, sample_weight, self.dtype)
        self.total.assign_add(ops.sum(weight * ops.cast(self.per_token(y_true, y_pred), self.dtype)))
        self.count.assign_add(ops.sum(weight))

    def per_token(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one number per token."""
        raise NotImplementedError

    def result(self) -> Any:
        """Returns the mean, 0 before the first token."""
        return self.total / ops.maximum(self.count, keras.config.epsilon())

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        return {"name": self.name, "dtype": self.dtype, "ignore_id": self.ignore_id}


@keras.saving.register_keras_serializable(package="kerazoo")
class TokenAccuracy(_TokenMean):
    """Share of the tokens that count which get the highest probability.

    Args:
        ignore_id: Target of the tokens that do not count, by default padding; `None` if all count.
        name: Name of the metric.
        dtype: Precision of the sums; float32 under any policy unless given.

    Example:
        >>> model.compile("adam", loss, metrics=[kerazoo.metrics.TokenAccuracy()])
    """

    def __init__(self, *, ignore_id: int | None = 0, name: str = "token_accuracy", dtype: Any = None) -> None:
        super().__init__(ignore_id=ignore_id, name=name, dtype=dtype)

    def per_token(self, y_true: Any, y_pred: Any) -> Any:
        return ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), y_true)


@keras.saving.register_keras_serializable(package="kerazoo")
class Perplexity(_TokenMean):
    """exp of the mean of -log p over the tokens that count: among how many equally likely tokens the model chooses.

    It depends on what a token is: figures of different vocabularies cannot be compared.

    Args:
        ignore_id: Target of the tokens that do not count, by default padding; `None` if all count.
        from_logits: Whether predictions are logits or probabilities.
        name: Name of the metric.
        dtype: Precision of the sums; float32 under any policy unless given.

    Example:
        >>> model.compile("adam", loss, metrics=[kerazoo.metrics.Perplexity()])
    """

    def __init__(
        self,
        *,
        ignore_id: int | None = 0,
        from_logits: bool = True,
        name: str = "perplexity",
        dtype: Any = None,
    ) -> None:
        super().__init__(ignore_id=ignore_id, name=name, dtype=dtype)
        self.from_logits = checks.flag("from_logits", from_logits)

    def per_token(self, y_true: Any, y_pred: Any) -> Any:
        return -_tokens.picked(_tokens.log_probabilities(y_pred, self.from_logits), y_true)

    def result(self) -> Any:
        """Returns the perplexity, 1 before the first token."""
        return ops.exp(super().result())

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        return super().get_config() | {"from_logits": self.from_logits}
