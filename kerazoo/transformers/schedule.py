"""The learning rate of the Transformer's paper."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerazoo import checks


@keras.saving.register_keras_serializable(package="kerazoo")
class TransformerSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a straight line for some steps, then falls with the root of the step's number:

        scale * hidden_dim^-0.5 * min(step^-0.5, step * warmup_steps^-1.5)

    where the first step has number 1.

    Args:
        hidden_dim: Features of a token.
        warmup_steps: Steps until the rate is highest.
        scale: Factor, 1 in the paper.

    Example:
        >>> rate = TransformerSchedule(512)
        >>> optimizer = keras.optimizers.Adam(rate, beta_1=0.9, beta_2=0.98, epsilon=1e-9)

    References:
        Vaswani et al. (2017), section 5.3, https://arxiv.org/abs/1706.03762
    """

    def __init__(self, hidden_dim: int, warmup_steps: int = 4000, scale: float = 1.0) -> None:
        super().__init__()
        self.hidden_dim = checks.positive_int("hidden_dim", hidden_dim)
        self.warmup_steps = checks.positive_int("warmup_steps", warmup_steps)
        self.scale = checks.positive("scale", scale)

    def __call__(self, step: Any) -> Any:
        """Returns the rate after so many steps, as Keras counts them: 0 before the first."""
        number = ops.cast(step, "float32") + 1
        factor = ops.minimum(number**-0.5, number * self.warmup_steps**-1.5)
        return self.scale * self.hidden_dim**-0.5 * factor

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        return {"hidden_dim": self.hidden_dim, "warmup_steps": self.warmup_steps, "scale": self.scale}
