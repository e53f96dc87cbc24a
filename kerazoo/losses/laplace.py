"""The loss of networks that say how sure they are of every pixel."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kerazoo.losses._configured import ConfiguredLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class Laplace(ConfiguredLoss):
    """Negative logarithm of the likelihood under a Laplace distribution for every pixel and channel:

        |y - centre| / scale + log(2 scale)

    Args:
        reduction: As in Keras, over the pixels of the batch.
        name: Name of the loss.
        dtype: Precision of the computation; float32 under any policy unless given.

    Call arguments:
        y_true: (batch, ..., channels).
        y_pred: (batch, ..., 2 * channels): the centres, then the scales, which are above 0.

    Example:
        >>> model = kerazoo.care((None, None, 1), 1, probabilistic=True)
        >>> model.compile("adam", kerazoo.losses.Laplace())

    References:
        Weigert et al. (2018), https://doi.org/10.1038/s41592-018-0216-7
    """

    def __init__(self, *, reduction: str = "sum_over_batch_size", name: str = "laplace", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one loss per pixel."""
        channels = y_true.shape[-1]
        if y_pred.shape[-1] != 2 * channels:
            raise ValueError(
                f"Laplace needs {2 * channels} channels of predictions, centres and then scales. Received: "
                f"{y_pred.shape[-1]}"
            )
        centre, scale = y_pred[..., :channels], y_pred[..., channels:]
        return ops.mean(ops.abs(y_true - centre) / scale + ops.log(scale) + math.log(2.0), axis=-1)
