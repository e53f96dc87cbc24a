"""The moving average of a model's weights: what is validated and kept, while the weights themselves go on learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    import numpy as np


def keep_average(optimizer: keras.Optimizer, momentum: float) -> None:
    """Makes an optimiser, not yet used, keep a moving average of the weights; a checkpoint has it as its variables."""
    optimizer.use_ema, optimizer.ema_momentum = True, momentum


class AveragedWeights(keras.callbacks.Callback):
    """Puts the average in place of the weights from the validation to the end of an epoch.

    It stands behind the callback that keeps the best weights, and in front of the one that saves checkpoints, which
    hold the weights themselves. Keras would leave the average in the model at the end of every `fit`, and a training
    that was interrupted, or goes on for other reasons, has several.
    """

    def __init__(self) -> None:
        super().__init__()
        self._raw: list[np.ndarray] | None = None

    @property
    def optimizer(self) -> keras.Optimizer:
        """The optimiser that keeps the average, inside that which scales the loss in half precision."""
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)

    def put_in(self) -> None:
        """Gives the model the average."""
        self.optimizer.use_ema = True
        self.optimizer.finalize_variable_values(self.model.trainable_variables)
        self.optimizer.use_ema = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.optimizer.use_ema = True  # before the step is traced

    def on_test_begin(self, logs: Any = None) -> None:
        self._raw = [keras.ops.convert_to_numpy(variable).copy() for variable in self.model.trainable_variables]
        self.put_in()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._raw is not None:
            for variable, value in zip(self.model.trainable_variables, self._raw, strict=True):
                variable.assign(value)
            self._raw = None
        self.optimizer.use_ema = False  # so that the end of `fit` leaves the weights alone
