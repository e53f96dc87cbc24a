"""Losses that compare areas: Dice, Tversky and focal Tversky."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerazoo import _pixels, checks
from kerazoo.losses.pixel_loss import PixelLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class Dice(PixelLoss):
    """One minus the Dice coefficient, for each image and class, then the mean:

        1 - (2 sum(w y p) + s) / (sum(w y) + sum(w p) + s)

    with targets y, probabilities p and pixel weights w. An image without a class that is not predicted either has
    loss 0 in it. `keras.losses.Dice` sums over the whole batch instead and gives an empty mask loss 1.

    Args:
        smooth: s, in pixels.
        **options: `from_logits`, `ignore_class`, `reduction`, `name`, `dtype` as in every loss of pixels.

    Example:
        >>> model.compile("adam", kerazoo.losses.Dice(ignore_class=255))

    References:
        Milletari, Navab, Ahmadi (2016), https://arxiv.org/abs/1606.04797
    """

    def __init__(self, *, smooth: float = 1.0, name: str = "dice", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.smooth = checks.non_negative("smooth", smooth)

    def image_loss(self, y_true: Any, y_pred: Any, weight: Any, count: Any) -> Any:
        p, w = _pixels.probabilities(y_pred, self.from_logits), weight[..., None]
        both, sizes = ops.sum(w * y_true * p, axis=1), ops.sum(w * (y_true + p), axis=1)
        dice = (2 * both + self.smooth) / ops.maximum(sizes + self.smooth, _pixels.EPSILON)
        return ops.mean(1 - dice, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        return {**super().get_config(), "smooth": self.smooth}


@keras.saving.register_keras_serializable(package="kerazoo")
class Tversky(PixelLoss):
    """One minus the Tversky index, for each image and class, then the mean:

        1 - (TP + s) / (TP + alpha FP + beta FN + s)
        TP = sum(w y p)    FP = sum(w (1 - y) p)    FN = sum(w y (1 - p))

    with targets y, probabilities p and pixel weights w. As in the paper alpha weighs false positives and beta false
    negatives, so that beta > alpha favours finding everything; `keras.losses.Tversky` (3.15) has them swapped. With
    both 0.5 this is Dice with a smoothing of 2 s.

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        smooth: s, in pixels.
        **options: `from_logits`, `ignore_class`, `reduction`, `name`, `dtype` as in every loss of pixels.

    Example:
        >>> model.compile("adam", kerazoo.losses.Tversky(alpha=0.3, beta=0.7))

    References:
        Salehi, Erdogmus, Gholipour (2017), https://arxiv.org/abs/1706.05721
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 1.0,
        name: str = "tversky",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.alpha = checks.non_negative("alpha", alpha)
        self.beta = checks.non_negative("beta", beta)
        self.smooth = checks.non_negative("smooth", smooth)

    def _complement(self, y_true: Any, y_pred: Any, weight: Any) -> Any:
        """Returns 1 - index (batch, classes)."""
        p, w = _pixels.probabilities(y_pred, self.from_logits), weight[..., None]
        hit = ops.sum(w * y_true * p, axis=1)
        false = self.alpha * ops.sum(w * (1 - y_true) * p, axis=1) + self.beta * ops.sum(w * y_true * (1 - p), axis=1)
        return 1 - (hit + self.smooth) / ops.maximum(hit + false + self.smooth, _pixels.EPSILON)

    def image_loss(self, y_true: Any, y_pred: Any, weight: Any, count: Any) -> Any:
        return ops.mean(self._complement(y_true, y_pred, weight), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta, "smooth": self.smooth}


@keras.saving.register_keras_serializable(package="kerazoo")
class FocalTversky(Tversky):
    """A power of one minus the Tversky index, for each image and class, then the mean:

        (1 - (TP + s) / (TP + alpha FP + beta FN + s)) ** gamma

    `gamma` below 1 gives badly segmented classes more weight. The paper's gamma of 4/3 is the inverse of this
    exponent. TP, FP and FN are those of `Tversky`.

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        gamma: The exponent.
        smooth: s, in pixels.
        **options: `from_logits`, `ignore_class`, `reduction`, `name`, `dtype` as in every loss of pixels.

    Example:
        >>> model.compile("adam", kerazoo.losses.FocalTversky())

    References:
        Abraham, Khan (2018), https://arxiv.org/abs/1810.07842
    """

    def __init__(self, *, gamma: float = 0.75, name: str = "focal_tversky", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.gamma = checks.non_negative("gamma", gamma)

    def image_loss(self, y_true: Any, y_pred: Any, weight: Any, count: Any) -> Any:
        # The slope of x ** 0.75 is infinite at a perfect answer.
        rest = ops.maximum(self._complement(y_true, y_pred, weight), _pixels.EPSILON)
        return ops.mean(rest**self.gamma, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        return {**super().get_config(), "gamma": self.gamma}
