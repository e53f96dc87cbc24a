"""The learning rate of CycleGAN's paper."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerazoo import checks


@keras.saving.register_keras_serializable(package="kerazoo")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """Stays as it is for some steps, then falls in a straight line to a last value and stays there.

    Args:
        learning_rate: Value of the first steps.
        constant_steps: Steps before it falls.
        decay_steps: Steps in which it falls.
        end_learning_rate: Value it falls to.

    Example:
        >>> rate = ConstantThenLinear(2e-4, constant_steps=100 * 1096, decay_steps=100 * 1096)

    References:
        Zhu et al. (2017), section 4, https://arxiv.org/abs/1703.10593
    """

    def __init__(
        self, learning_rate: float, constant_steps: int, decay_steps: int, end_learning_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.learning_rate = checks.positive("learning_rate", learning_rate)
        self.constant_steps = checks.positive_int("constant_steps", constant_steps, minimum=0)
        self.decay_steps = checks.positive_int("decay_steps", decay_steps)
        self.end_learning_rate = checks.non_negative("end_learning_rate", end_learning_rate)

    def __call__(self, step: Any) -> Any:
        """Returns the rate after so many steps."""
        fallen = (ops.cast(step, "float32") - self.constant_steps) / self.decay_steps
        fallen = ops.clip(fallen, 0.0, 1.0)
        return self.learning_rate + (self.end_learning_rate - self.learning_rate) * fallen

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments."""
        names = ("learning_rate", "constant_steps", "decay_steps", "end_learning_rate")
        return {name: getattr(self, name) for name in names}
