"""What the losses of pixels share: class numbers or columns, ignored pixels, weights of pixels, float32."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from kerazoo import _pixels, checks
from kerazoo.losses._configured import ConfiguredLoss


class PixelLoss(ConfiguredLoss):
    """Base of the losses that give one number per image.

    Args:
        from_logits: Whether predictions are logits: softmax is applied over several classes, sigmoid to one.
        ignore_class: Class number of pixels that do not count, e.g. 255; only with class numbers as targets.
        reduction: As in Keras, over the images of the batch.
        name: Name of the loss.
        dtype: Precision of the computation; float32 under any policy unless given.
    """

    arguments: ClassVar[tuple[str, ...]] = ("from_logits", "ignore_class")

    def __init__(
        self,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits = checks.flag("from_logits", from_logits)
        self.ignore_class = ignore_class

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Returns the loss; `sample_weight` is one number per image, or one per pixel, which acts inside the sums."""
        if sample_weight is None or len(sample_weight.shape) < 2:
            return super().__call__(y_true, y_pred, sample_weight)
        return super().__call__((y_true, sample_weight), y_pred)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one loss per image."""
        y_true, pixel_weight = y_true if isinstance(y_true, tuple) else (y_true, None)
        target, valid = _pixels.columns(y_true, y_pred, self.ignore_class)
        weight = valid
        if pixel_weight is not None:
            weight = valid * ops.reshape(ops.cast(pixel_weight, valid.dtype), ops.shape(valid))
        shape = (ops.shape(target)[0], -1, y_pred.shape[-1])
        return self.image_loss(target, ops.reshape(y_pred, shape), weight, ops.sum(valid, axis=1))

    def image_loss(self, y_true: Any, y_pred: Any, weight: Any, count: Any) -> Any:
        """Returns one loss per image.

        Args:
            y_true: One column per class (batch, pixels, classes).
            y_pred: Predictions of the same shape.
            weight: Weights (batch, pixels), 0 for ignored pixels.
            count: Number of pixels that are not ignored (batch,).
        """
        raise NotImplementedError
