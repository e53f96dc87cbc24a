"""The loss of CenterNet: focal loss of the heat map, L1 of size and offset at the centres."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from kerazoo import checks
from kerazoo.detection.boxes import NUM_REGRESSED
from kerazoo.losses._configured import ConfiguredLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class CenterNet(ConfiguredLoss):
    """Focal loss of the heat map and L1 of size and offset, for targets as `kerazoo.detection.boxes` draws them.

    With heat map p, its target y and N objects in the image,

        L = -1/N sum [ (1 - p)^alpha log p             where y = 1
                       (1 - y)^beta p^alpha log(1 - p)  elsewhere ]
            + size_weight / N sum |s - s_true| + offset_weight / N sum |o - o_true|

    with the last two sums over the centres alone. Of an image without objects the first sum counts as for one object.
    Pixels with y < 0 do not count.

    Args:
        alpha: How little easy pixels count.
        beta: How little pixels close to a centre count.
        size_weight: Weight of the sizes, which are in pixels of the maps.
        offset_weight: Weight of the offsets.
        reduction: As in Keras, over the images of the batch.
        name: Name of the loss.
        dtype: Precision of the computation; float32 under any policy unless given.

    Example:
        >>> model.compile("adam", kerazoo.losses.CenterNet())

    References:
        Zhou, Wang, Kraehenbuehl (2019), https://arxiv.org/abs/1904.07850
    """

    arguments: ClassVar[tuple[str, ...]] = ("alpha", "beta", "size_weight", "offset_weight")

    def __init__(
        self,
        *,
        alpha: float = 2.0,
        beta: float = 4.0,
        size_weight: float = 0.1,
        offset_weight: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "centernet",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.alpha = checks.non_negative("alpha", alpha)
        self.beta = checks.non_negative("beta", beta)
        self.size_weight = checks.non_negative("size_weight", size_weight)
        self.offset_weight = checks.non_negative("offset_weight", offset_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one loss per image."""
        y, p = y_true[..., :-NUM_REGRESSED], ops.clip(y_pred[..., :-NUM_REGRESSED], 1e-4, 1 - 1e-4)
        centre = ops.cast(ops.equal(y, 1), p.dtype)
        counted = ops.cast(ops.greater_equal(y, 0), p.dtype)
        found = centre * (1 - p) ** self.alpha * ops.log(p)
        elsewhere = (counted - centre) * (1 - ops.maximum(y, 0)) ** self.beta * p**self.alpha * ops.log(1 - p)
        objects = ops.maximum(ops.sum(centre, axis=(1, 2, 3)), 1)

        there = ops.max(centre, axis=-1, keepdims=True)
        wrong = there * ops.abs(y_true[..., -NUM_REGRESSED:] - y_pred[..., -NUM_REGRESSED:])
        heat = -ops.sum(found + elsewhere, axis=(1, 2, 3))
        size, offset = ops.sum(wrong[..., :2], axis=(1, 2, 3)), ops.sum(wrong[..., 2:], axis=(1, 2, 3))
        return (heat + self.size_weight * size + self.offset_weight * offset) / objects
