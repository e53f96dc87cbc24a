"""The loss of quantiles, by which one network learns prediction intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from kerazoo import checks
from kerazoo.losses._configured import ConfiguredLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class Pinball(ConfiguredLoss):
    """Pinball (quantile) loss, smallest where a prediction is the quantile of its target:

        mean(max(q (y - p), (q - 1) (y - p)))

    over the quantiles q and the targets y with their predictions p. The median alone is half the mean absolute error.

    Args:
        quantiles: Numbers between 0 and 1, rising.
        reduction: As in Keras, over the samples of the batch.
        name: Name of the loss.
        dtype: Precision of the computation; float32 under any policy unless given.

    Call arguments:
        y_true: Targets (batch, targets), or of any further shape.
        y_pred: Predictions (batch, targets * quantiles), the quantiles of a target beside each other.

    Raises:
        ValueError: Quantiles that are none, and predictions whose number is not targets times quantiles.

    Example:
        >>> model = kerazoo.mlp((24,), 12 * 3, output_activation=None)
        >>> model.compile("adam", kerazoo.losses.Pinball(quantiles=(0.1, 0.5, 0.9)))

    References:
        Koenker, Bassett, "Regression Quantiles", Econometrica 46 (1978), https://doi.org/10.2307/1913643
    """

    arguments: ClassVar[tuple[str, ...]] = ("quantiles",)

    def __init__(
        self,
        *,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        reduction: str = "sum_over_batch_size",
        name: str = "pinball",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.quantiles = [checks.fraction("quantiles", value) for value in quantiles]
        rising = all(low < high for low, high in zip(self.quantiles, self.quantiles[1:], strict=False))
        if not self.quantiles or not rising or self.quantiles[0] == 0:
            raise ValueError(
                f"quantiles must be rising numbers between 0 and 1, both left out. Received: quantiles={quantiles!r}"
            )

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one loss per sample."""
        count = len(self.quantiles)
        batch, wanted = ops.shape(y_pred)[0], _size(y_true)
        if None not in (wanted, _size(y_pred)) and _size(y_pred) != wanted * count:
            raise ValueError(
                f"Pinball loss of {count} quantiles needs {count} predictions per target. Received: targets of shape "
                f"{tuple(y_true.shape)}, predictions of shape {tuple(y_pred.shape)}"
            )
        target = ops.reshape(ops.cast(y_true, y_pred.dtype), (batch, -1, 1))
        error = target - ops.reshape(y_pred, (batch, -1, count))
        quantiles = ops.convert_to_tensor(self.quantiles, dtype=y_pred.dtype)
        return ops.mean(ops.maximum(quantiles * error, (quantiles - 1) * error), axis=(1, 2))


def _size(tensor: Any) -> Any:
    """Returns the numbers per sample, or None where that is not known yet."""
    size = 1
    for length in tensor.shape[1:]:
        if length is None:
            return None
        size *= length
    return size
