"""What StarDist and Cellpose minimise."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from kerazoo import checks
from kerazoo.losses._configured import ConfiguredLoss

_EPSILON = 1e-7


def _mean(values: Any) -> Any:
    """Returns the mean over pixels (batch, height, width) of each image."""
    return ops.mean(values, axis=(1, 2))


def _class_crossentropy(true: Any, predicted: Any, valid: Any) -> Any:
    """Returns the cross-entropy of class numbers (batch, height, width) and probabilities, for each image."""
    numbers = ops.cast(ops.maximum(true, 0), "int32")
    hit = ops.sum(ops.one_hot(numbers, predicted.shape[-1], dtype=predicted.dtype) * predicted, axis=-1)
    return _mean(valid * -ops.log(ops.maximum(hit, _EPSILON)))


@keras.saving.register_keras_serializable(package="kerazoo")
class StarDist(ConfiguredLoss):
    """Cross-entropy of the object probability d plus the absolute error of the distances r, weighted by d:

        mean(-d log p - (1 - d) log(1 - p))
        + w (mean(d |r - r'|) / mean(d) + b mean((1 - d) |r'|))
        + c mean(-log q)                          where there are classes, with q the probability of the true one

    Means are over pixels and rays, that of d over the whole batch. Pixels with d = -1 do not count.

    Args:
        num_rays: Number of distances.
        distance_weight: w.
        background_weight: b, which draws distances outside of objects to zero.
        class_weight: c.
        reduction: As in Keras, over the images of the batch.
        name: Name of the loss.
        dtype: Precision of the computation; float32 under any policy unless given.

    Example:
        >>> kerazoo.stardist().compile("adam", kerazoo.losses.StarDist(32))

    References:
        Schmidt et al. (2018), https://arxiv.org/abs/1806.03535
    """

    arguments: ClassVar[tuple[str, ...]] = ("num_rays", "distance_weight", "background_weight", "class_weight")

    def __init__(
        self,
        num_rays: int = 32,
        *,
        distance_weight: float = 0.2,
        background_weight: float = 1e-4,
        class_weight: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "stardist",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.num_rays = checks.positive_int("num_rays", num_rays, minimum=3)
        self.distance_weight = checks.non_negative("distance_weight", distance_weight)
        self.background_weight = checks.non_negative("background_weight", background_weight)
        self.class_weight = checks.non_negative("class_weight", class_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one loss per image."""
        rays = slice(1, 1 + self.num_rays)
        depth, valid = ops.maximum(y_true[..., 0], 0), ops.cast(y_true[..., 0] >= 0, y_pred.dtype)
        likely = ops.clip(y_pred[..., 0], _EPSILON, 1 - _EPSILON)
        entropy = -depth * ops.log(likely) - (1 - depth) * ops.log(1 - likely)
        error = ops.mean(ops.abs(y_true[..., rays] - y_pred[..., rays]), axis=-1)
        outside = ops.mean(ops.abs(y_pred[..., rays]), axis=-1)
        distance = _mean(depth * error) / (ops.mean(depth) + _EPSILON)
        distance += self.background_weight * _mean(valid * (1 - depth) * outside)
        loss = _mean(valid * entropy) + self.distance_weight * distance
        if y_pred.shape[-1] > 1 + self.num_rays:
            classes = y_pred[..., 1 + self.num_rays :]
            loss += self.class_weight * _class_crossentropy(y_true[..., 1 + self.num_rays], classes, valid)
        return loss


@keras.saving.register_keras_serializable(package="kerazoo")
class Cellpose(ConfiguredLoss):
    """Half the squared error of five times the flow plus the cross-entropy of lying in an object (a logit z):

        mean((5 f - f')^2) / 2 + mean(log(1 + exp(z)) - m z)
        + c mean(-log q)                          where there are classes, with q the probability of the true one

    with the flow f and m, 1 in objects and 0 outside. Pixels with m = -1 do not count.

    Args:
        flow_scale: The factor 5, which the network learns to multiply flows with.
        class_weight: c.
        reduction: As in Keras, over the images of the batch.
        name: Name of the loss.
        dtype: Precision of the computation; float32 under any policy unless given.

    Example:
        >>> kerazoo.cellpose().compile("adam", kerazoo.losses.Cellpose())

    References:
        Stringer et al. (2021), https://doi.org/10.1038/s41592-020-01018-x
    """

    arguments: ClassVar[tuple[str, ...]] = ("flow_scale", "class_weight")

    def __init__(
        self,
        *,
        flow_scale: float = 5.0,
        class_weight: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "cellpose",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.flow_scale = checks.positive("flow_scale", flow_scale)
        self.class_weight = checks.non_negative("class_weight", class_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one loss per image."""
        inside, valid = ops.maximum(y_true[..., 2], 0), ops.cast(y_true[..., 2] >= 0, y_pred.dtype)
        squared = ops.mean((self.flow_scale * y_true[..., :2] - y_pred[..., :2]) ** 2, axis=-1)
        logit = y_pred[..., 2]
        entropy = ops.softplus(logit) - inside * logit
        loss = _mean(valid * squared) / 2 + _mean(valid * entropy)
        if y_pred.shape[-1] > 3:
            loss += self.class_weight * _class_crossentropy(y_true[..., 3], y_pred[..., 3:], valid)
        return loss
