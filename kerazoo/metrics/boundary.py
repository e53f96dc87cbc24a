"""How well outlines are met."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kerazoo import _pixels, checks


@keras.saving.register_keras_serializable(package="kerazoo")
class BoundaryF1(keras.metrics.Metric):
    """Boundary F1 score (BF) of each image and class, then the mean:

        P = share of the predicted boundary within the tolerance of the true one
        R = share of the true boundary within the tolerance of the predicted one
        F1 = 2 P R / (P + R)

    A class's boundary is its pixels with one of the eight neighbours outside the class; the edge of the image is no
    boundary. Images in which neither boundary exists do not count for that class; if only one exists, F1 is 0.

    Args:
        num_classes: Number of classes; a model with one output has 2, background and foreground.
        tolerance: Largest distance in pixels between boundaries that meet, a whole number.
        threshold: With one output, predictions that reach it are class 1; 0 for logits.
        foreground_only: Whether class 0 is left out of the mean.
        name: Name of the metric.
        dtype: Precision of the sums; float32 under any policy unless given.

    Example:
        >>> model.compile("adam", "binary_crossentropy", metrics=[kerazoo.metrics.BoundaryF1(2, tolerance=2)])

    References:
        Csurka, Larlus, Perronnin (2013), https://doi.org/10.5244/C.27.32
    """

    def __init__(
        self,
        num_classes: int,
        *,
        tolerance: int = 2,
        threshold: float = 0.5,
        foreground_only: bool = True,
        name: str = "boundary_f1",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype or "float32")
        self.num_classes = checks.positive_int("num_classes", num_classes, minimum=2)
        self.tolerance = checks.positive_int("tolerance", tolerance, minimum=0)
        self.threshold = threshold
        self.foreground_only = checks.flag("foreground_only", foreground_only)
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")
        self.count = self.add_variable(shape=(), initializer="zeros", name="count")
        reach = np.arange(-self.tolerance, self.tolerance + 1)
        disc = reach[:, None] ** 2 + reach**2 <= self.tolerance**2
        self._disc = disc.astype("float32")[:, :, None, None]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds images (batch, height, width, classes); `sample_weight` is one number per image."""
        y_pred = ops.convert_to_tensor(y_pred, "float32")
        y_true, predicted = _pixels.class_numbers(ops.convert_to_tensor(y_true), y_pred, self.threshold)
        true, found = self._boundaries(y_true), self._boundaries(predicted)
        precision = _share(found, self._near(true))
        recall = _share(true, self._near(found))
        there = ops.cast(ops.any(true + found > 0, axis=(1, 2)), "float32")
        score = 2 * precision * recall / ops.maximum(precision + recall, _pixels.EPSILON)
        weight = there
        if sample_weight is not None:
            weight = there * ops.reshape(ops.convert_to_tensor(sample_weight, "float32"), (-1, 1))
        self.total.assign_add(ops.cast(ops.sum(weight * score), self.dtype))
        self.count.assign_add(ops.cast(ops.sum(weight), self.dtype))

    def _boundaries(self, numbers: Any) -> Any:
        """Returns the boundary of each class that counts (batch, height, width, classes), zeros and ones."""
        mask = ops.one_hot(numbers, self.num_classes, dtype="float32")
        mask = mask[..., 1:] if self.foreground_only else mask
        outside = ops.max_pool(1 - mask, 3, strides=1, padding="same", data_format="channels_last")
        return mask * outside

    def _near(self, boundary: Any) -> Any:
        """Returns the pixels within the tolerance of a boundary."""
        classes = boundary.shape[-1]
        kernel = ops.convert_to_tensor(np.repeat(self._disc, classes, axis=2))
        count = ops.depthwise_conv(boundary, kernel, padding="same", data_format="channels_last")
        return ops.cast(count > 0.5, "float32")

    def result(self) -> Any:
        """Returns the mean score, 0 before the first boundary."""
        return self.total / ops.maximum(self.count, _pixels.EPSILON)

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        own = {key: getattr(self, key) for key in ("num_classes", "tolerance", "threshold", "foreground_only")}
        return {**super().get_config(), **own}


def _share(boundary: Any, near: Any) -> Any:
    """Returns which share of a boundary is near the other one, for each image and class."""
    return ops.sum(boundary * near, axis=(1, 2)) / ops.maximum(ops.sum(boundary, axis=(1, 2)), 1)
