"""Intersection over union, as a mean and for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerazoo import _pixels, checks


@keras.saving.register_keras_serializable(package="kerazoo")
class MeanIoU(keras.metrics.Metric):
    """Mean over the classes of the intersection over union of all pixels seen so far:

        IoU_k = TP_k / (TP_k + FP_k + FN_k)

    A class that is neither there nor predicted does not count. Unlike `keras.metrics.MeanIoU` it takes probabilities
    as they come from a model, class numbers or one column per class as targets, and one or several classes.

    Args:
        num_classes: Number of classes; a model with one output has 2, background and foreground.
        threshold: With one output, predictions that reach it are class 1; 0 for logits.
        ignore_class: Class number of pixels that do not count.
        foreground_only: Whether class 0 is left out of the mean.
        name: Name of the metric.
        dtype: Precision of the sums; float32 under any policy unless given.

    Example:
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=[kerazoo.metrics.MeanIoU(4)])

    References:
        Everingham et al. (2015), https://doi.org/10.1007/s11263-014-0733-5
    """

    def __init__(
        self,
        num_classes: int,
        *,
        threshold: float = 0.5,
        ignore_class: int | None = None,
        foreground_only: bool = False,
        name: str = "mean_iou",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype or "float32")
        self.num_classes = checks.positive_int("num_classes", num_classes, minimum=2)
        self.threshold = threshold
        self.ignore_class = ignore_class
        self.foreground_only = checks.flag("foreground_only", foreground_only)
        shape = (self.num_classes, self.num_classes)
        self.confusion = self.add_variable(shape=shape, initializer="zeros", name="confusion")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds pixels; `sample_weight` is one number per image or per pixel."""
        y_pred = ops.convert_to_tensor(y_pred, "float32")
        y_true, predicted = _pixels.class_numbers(ops.convert_to_tensor(y_true), y_pred, self.threshold)
        weight = ops.ones_like(predicted, self.dtype)
        if sample_weight is not None:
            given = ops.convert_to_tensor(sample_weight, self.dtype)
            weight = weight * ops.reshape(given, (*ops.shape(given), *[1] * (len(weight.shape) - len(given.shape))))
        if self.ignore_class is not None:
            weight = weight * ops.cast(ops.not_equal(y_true, self.ignore_class), self.dtype)
        # Rows are true classes, columns predicted ones; a class number out of range is in no row.
        rows = ops.one_hot(ops.reshape(y_true, (-1,)), self.num_classes, dtype=self.dtype)
        columns = ops.one_hot(ops.reshape(predicted, (-1,)), self.num_classes, dtype=self.dtype)
        self.confusion.assign_add(ops.matmul(ops.transpose(rows * ops.reshape(weight, (-1, 1))), columns))

    def _per_class(self) -> Any:
        """Returns the IoU of each class, 0 where there is none, and whether it is there."""
        counts = ops.convert_to_tensor(self.confusion)
        hit = ops.diagonal(counts)
        union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - hit
        return hit / ops.where(union > 0, union, 1), ops.cast(union > 0, self.dtype)

    def result(self) -> Any:
        """Returns the mean IoU, 0 before the first pixel."""
        iou, there = self._per_class()
        if self.foreground_only:
            iou, there = iou[1:], there[1:]
        return ops.sum(iou * there) / ops.maximum(ops.sum(there), 1)

    def reset_state(self) -> None:
        """Forgets all pixels."""
        self.confusion.assign(ops.zeros_like(self.confusion))

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        own = {key: getattr(self, key) for key in ("num_classes", "threshold", "ignore_class", "foreground_only")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="kerazoo")
class PerClassIoU(MeanIoU):
    """Intersection over union of each class, one entry each in the logs, not a number for a class that is neither
    there nor predicted. `MeanIoU` has the formula.

    Args:
        num_classes: Number of classes; a model with one output has 2, background and foreground.
        class_names: Their names in the logs; by default their numbers.
        threshold: With one output, predictions that reach it are class 1; 0 for logits.
        ignore_class: Class number of pixels that do not count.
        foreground_only: Whether class 0 is left out.
        name: First part of the names in the logs.
        dtype: Precision of the sums; float32 under any policy unless given.

    Example:
        >>> metric = kerazoo.metrics.PerClassIoU(2, class_names=("background", "nucleus"))
        >>> metric.update_state([[0, 1]], [[[0.9, 0.1], [0.2, 0.8]]])
        >>> sorted(metric.result())
        ['iou_background', 'iou_nucleus']

    References:
        Everingham et al. (2015), https://doi.org/10.1007/s11263-014-0733-5
    """

    def __init__(
        self, num_classes: int, *, class_names: Sequence[str] | None = None, name: str = "iou", **options: Any
    ) -> None:
        super().__init__(num_classes, name=name, **options)
        self.class_names = [str(number) for number in range(num_classes)] if class_names is None else list(class_names)
        if len(self.class_names) != num_classes:
            raise ValueError(f"class_names must be {num_classes} names. Received: class_names={class_names!r}")

    def result(self) -> dict[str, Any]:
        """Returns name -> IoU."""
        iou, there = self._per_class()
        values = ops.where(there > 0, iou, float("nan"))
        first = 1 if self.foreground_only else 0
        return {f"{self.name}_{self.class_names[k]}": values[k] for k in range(first, self.num_classes)}

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        return {**super().get_config(), "class_names": self.class_names}
