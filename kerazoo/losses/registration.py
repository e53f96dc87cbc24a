"""Losses of registration: how alike two images are where they lie on each other, and how smooth a field is."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from kerazoo import checks
from kerazoo.losses._configured import ConfiguredLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class LocalNCC(ConfiguredLoss):
    """Minus the mean squared local correlation of two images or volumes:

        - mean_p  (sum_w (I - mean I) (J - mean J))^2 / (sum_w (I - mean I)^2  sum_w (J - mean J)^2 + epsilon)

    where w is a window around each pixel p; windows end at the edges of the image. -1 where the one is everywhere
    a linear function of the other, whichever: brightness and contrast may differ from place to place.

    Args:
        window: Length of the sides of a window in pixels.
        epsilon: Keeps windows without any contrast at 0, for pixels in [0, 1].
        **options: `reduction`, `name`, `dtype` as in every loss.

    Example:
        >>> model.compile("adam", {"moved": kerazoo.losses.LocalNCC(), "velocity": kerazoo.losses.FieldSmoothness()})

    References:
        Avants et al. (2008), https://doi.org/10.1016/j.media.2007.06.004; as a loss: Balakrishnan et al. (2019),
        https://arxiv.org/abs/1809.05231
    """

    arguments: ClassVar[tuple[str, ...]] = ("window", "epsilon")

    def __init__(self, *, window: int = 9, epsilon: float = 1e-5, name: str = "local_ncc", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.window = checks.positive_int("window", window, minimum=2)
        self.epsilon = checks.positive("epsilon", epsilon)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one number per image."""
        i, j = (ops.convert_to_tensor(image, "float32") for image in (y_true, y_pred))
        mean_i, mean_j = self._mean(i), self._mean(j)
        both = self._mean(i * j) - mean_i * mean_j
        variance_i, variance_j = self._mean(i * i) - mean_i**2, self._mean(j * j) - mean_j**2
        # Sums over a window, whose epsilon is the paper's, are its pixels times these means.
        pixels = self.window ** (len(i.shape) - 2)
        products = ops.maximum(variance_i, 0.0) * ops.maximum(variance_j, 0.0)
        correlation = both**2 / (products + self.epsilon / pixels**2)
        return -ops.mean(correlation, axis=tuple(range(1, len(i.shape))))

    def _mean(self, x: Any) -> Any:
        """Returns the mean over the part of the window that lies in the image, axis by axis."""
        rank = len(x.shape) - 2
        for axis in range(rank):
            size = [1] * rank
            size[axis] = self.window
            x = ops.average_pool(x, size, strides=1, padding="same", data_format="channels_last")
        return x


@keras.saving.register_keras_serializable(package="kerazoo")
class FieldSmoothness(ConfiguredLoss):
    """Mean square of how much a field differs from one pixel to the next, the mean over all axes.

    What is given as the truth does not count: a field is smooth by itself.

    Args:
        **options: `reduction`, `name`, `dtype` as in every loss.

    Example:
        >>> ramp = keras.ops.reshape(keras.ops.arange(5.0), (1, 5, 1, 1)) * keras.ops.ones((1, 5, 5, 2))
        >>> float(kerazoo.losses.FieldSmoothness()(ramp, ramp))
        0.5

    References:
        Balakrishnan et al. (2019), https://arxiv.org/abs/1809.05231
    """

    def __init__(self, *, name: str = "field_smoothness", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns one number per field (batch, sizes, displacements)."""
        field = ops.convert_to_tensor(y_pred, "float32")
        total: Any = 0.0
        rank = len(field.shape) - 2
        for axis in range(1, rank + 1):
            before = (slice(None),) * axis
            step = field[(*before, slice(1, None))] - field[(*before, slice(None, -1))]
            total = total + ops.mean(step**2, axis=tuple(range(1, rank + 2)))
        return total / rank
