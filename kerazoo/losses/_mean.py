"""The mean of what a model's own loss says of each sample."""

from __future__ import annotations

from typing import Any

import keras


class _Mean(keras.losses.Loss):
    """Hands on values, so that Keras' reduction does the rest: on several devices each has its share of the mean."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


def mean_over_batch(values: Any, sample_weight: Any = None) -> Any:
    """Returns the mean of one value per sample, weighted where there are weights.

    A `compute_loss` that takes the mean by itself is right on one device only: of several, Keras adds up the losses.

    Args:
        values: (batch,).
        sample_weight: (batch,) or `None`.
    """
    if sample_weight is not None:
        sample_weight = keras.ops.reshape(sample_weight, (-1,))
    return _Mean(name="mean_over_batch")(values, values, sample_weight)
