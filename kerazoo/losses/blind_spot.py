"""The loss of networks that guess hidden pixels."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from kerazoo import checks
from kerazoo.losses._configured import ConfiguredLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class BlindSpot(ConfiguredLoss):
    """Mean error of the hidden pixels of an image; all others do not count.

    Args:
        error: `"absolute"` or `"squared"`.
        reduction: As in Keras, over the images of the batch.
        name: Name of the loss.
        dtype: Precision of the computation; float32 under any policy unless given.

    Call arguments:
        y_true: (batch, ..., 2 * channels): the pixels as they were, then a mask that is 1 where they were hidden.
        y_pred: (batch, ..., channels).

    Example:
        >>> model.compile("adam", kerazoo.losses.BlindSpot())

    References:
        Krull, Buchholz, Jug (2019), https://arxiv.org/abs/1811.10980
    """

    arguments: ClassVar[tuple[str, ...]] = ("error",)

    def __init__(
        self,
        *,
        error: str = "squared",
        reduction: str = "sum_over_batch_size",
        name: str = "blind_spot",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.error = checks.one_of("error", error, ("squared", "absolute"))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one loss per image."""
        channels = y_pred.shape[-1]
        if y_true.shape[-1] != 2 * channels:
            raise ValueError(
                f"BlindSpot needs {2 * channels} channels of targets, pixels and then their mask. Received: "
                f"{y_true.shape[-1]}"
            )
        values, mask = y_true[..., :channels], y_true[..., channels:]
        error = ops.abs(values - y_pred) if self.error == "absolute" else ops.square(values - y_pred)
        axes = tuple(range(1, len(y_pred.shape)))
        return ops.sum(error * mask, axis=axes) / ops.maximum(ops.sum(mask, axis=axes), 1.0)
