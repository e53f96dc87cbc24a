"""Losses that add up over pixels: weighted, focal and class-balanced cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerazoo import _pixels, checks
from kerazoo.losses.pixel_loss import PixelLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class PixelCrossentropy(PixelLoss):
    """Cross-entropy with a weight for every pixel, the energy of U-Net:

        -sum(w log p_true) / N

    with the probability p_true of a pixel's class, weights w (`sample_weight`, of the shape of the class numbers) and
    the number N of pixels that are not ignored. `kerazoo.losses.boundary_weights` computes the weights of the paper.

    Args:
        **options: `from_logits`, `ignore_class`, `reduction`, `name`, `dtype` as in every loss of pixels.

    Example:
        >>> model.compile("adam", kerazoo.losses.PixelCrossentropy())
        >>> model.fit(images, masks, sample_weight=weights)

    References:
        Ronneberger, Fischer, Brox (2015), https://arxiv.org/abs/1505.04597
    """

    def __init__(self, *, name: str = "pixel_crossentropy", **options: Any) -> None:
        super().__init__(name=name, **options)

    def image_loss(self, y_true: Any, y_pred: Any, weight: Any, count: Any) -> Any:
        log_p, log_not_p = _pixels.log_probabilities(y_pred, self.from_logits)
        each = y_true * log_p if log_not_p is None else y_true * log_p + (1 - y_true) * log_not_p
        return -ops.sum(weight * ops.sum(each, axis=-1), axis=1) / ops.maximum(count, 1)


@keras.saving.register_keras_serializable(package="kerazoo")
class Focal(PixelLoss):
    """Focal loss, in which pixels that are right already count little:

        -sum(w alpha_t (1 - p_t) ** gamma log p_t) / N

    p_t is the probability of the pixel's class, w its weight, N the number of pixels that are not ignored. With one
    class alpha_t is alpha for the foreground and 1 - alpha for the background, as in the paper; with several it is
    alpha, or the number alpha has for that class.

    Args:
        alpha: Weight of the foreground; with several classes one number, or one per class.
        gamma: How little easy pixels count; 0 is plain cross-entropy times alpha_t.
        **options: `from_logits`, `ignore_class`, `reduction`, `name`, `dtype` as in every loss of pixels.

    Example:
        >>> model.compile("adam", kerazoo.losses.Focal(alpha=(0.1, 0.3, 0.6)))

    References:
        Lin, Goyal, Girshick, He, Dollar (2017), https://arxiv.org/abs/1708.02002
    """

    def __init__(
        self,
        *,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        name: str = "focal",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        weights = alpha if isinstance(alpha, Sequence) else [alpha]
        self.alpha = [checks.non_negative("alpha", value) for value in weights]
        self.gamma = checks.non_negative("gamma", gamma)

    def image_loss(self, y_true: Any, y_pred: Any, weight: Any, count: Any) -> Any:
        classes = y_pred.shape[-1]
        if len(self.alpha) not in (1, classes):
            raise ValueError(f"alpha must be one number or one for each of {classes} classes. Received: {self.alpha!r}")
        log_p, log_not_p = _pixels.log_probabilities(y_pred, self.from_logits)
        each = y_true * ops.convert_to_tensor(self.alpha, y_pred.dtype) * self._modulated(log_p)
        if log_not_p is not None:
            each = each + (1 - y_true) * (1 - self.alpha[0]) * self._modulated(log_not_p)
        return -ops.sum(weight * ops.sum(each, axis=-1), axis=1) / ops.maximum(count, 1)

    def _modulated(self, log_p: Any) -> Any:
        # 1 - p, kept off zero, where the slope of a power below 1 is infinite
        return ops.maximum(-ops.expm1(log_p), _pixels.EPSILON) ** self.gamma * log_p

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        alpha = self.alpha[0] if len(self.alpha) == 1 else self.alpha
        return {**super().get_config(), "alpha": alpha, "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="kerazoo")
class ClassBalancedCrossentropy(PixelLoss):
    """Binary cross-entropy in which both classes of an image weigh the same, as in HED:

        -(beta sum_+(w log p) + (1 - beta) sum_-(w log(1 - p))) / N        beta = N_- / N

    with N pixels that are not ignored, N_- of them without the class, and pixel weights w. Each class of several is
    balanced by itself against all the others, and the mean is taken over the classes. The paper has the sum over the
    pixels; divided by N it does not depend on the size of the image.

    Args:
        **options: `from_logits`, `ignore_class`, `reduction`, `name`, `dtype` as in every loss of pixels; logits of
            several classes are taken through a sigmoid each.

    Example:
        >>> model = kerazoo.hed(side_outputs=True)
        >>> model.compile("adam", dict.fromkeys(model.output, kerazoo.losses.ClassBalancedCrossentropy()))

    References:
        Xie, Tu (2015), https://arxiv.org/abs/1504.06375
    """

    def __init__(self, *, name: str = "class_balanced_crossentropy", **options: Any) -> None:
        super().__init__(name=name, **options)

    def image_loss(self, y_true: Any, y_pred: Any, weight: Any, count: Any) -> Any:
        if self.from_logits:
            log_p, log_not_p = -ops.softplus(-y_pred), -ops.softplus(y_pred)
        else:
            clipped = ops.clip(y_pred, _pixels.EPSILON, 1 - _pixels.EPSILON)
            log_p, log_not_p = ops.log(clipped), ops.log(1 - clipped)
        count = ops.maximum(count, 1)[:, None]
        beta = 1 - ops.sum(y_true, axis=1) / count
        w = weight[..., None]
        positive = beta * ops.sum(w * y_true * log_p, axis=1)
        negative = (1 - beta) * ops.sum(w * (1 - y_true) * log_not_p, axis=1)
        return -ops.mean((positive + negative) / count, axis=-1)
