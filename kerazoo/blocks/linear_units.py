"""What perceptron and adaline share: one layer of linear units that learns by a rule of its own."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class LinearUnits(keras.Model):
    """A functional model with one dense layer `predictions`, whose loss is a function of its net input.

    The output may be a threshold, which has no gradient, or whatever else the builder was told: the rule looks
    at the net input alone. A loss given to `compile` is not used; metrics are.
    """

    low_target = 0.0  # Target of the units of all other classes, where targets are class numbers.

    def criterion(self, net_input: Any, targets: Any) -> Any:
        """Returns the loss of each unit, of the shape of `net_input`."""
        raise NotImplementedError

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the criterion, added up over the units, as the mean of a batch.

        Args:
            x: Inputs (batch, *input_shape).
            y: Targets (batch, num_outputs), or class numbers (batch,) if there are several outputs.
            y_pred: Not used; the output may be something else than the net input.
            sample_weight: One weight per sample.
            training: Not used.

        Returns:
            A scalar.
        """
        units = self.get_layer("predictions")
        for layer in self.layers[1:-1]:  # a chain: preprocess, flatten
            x = layer(x)
        net_input = ops.matmul(ops.cast(x, "float32"), units.kernel) + units.bias
        targets = self._as_vectors(y, net_input.shape[-1], net_input.dtype)
        criterion = ops.sum(self.criterion(net_input, targets), axis=-1)
        if sample_weight is not None:
            criterion = criterion * ops.cast(ops.reshape(sample_weight, (-1,)), criterion.dtype)
        return ops.mean(criterion)

    def _as_vectors(self, y: Any, units: int, dtype: str) -> Any:
        """Turns class numbers into vectors, and leaves vectors as they are."""
        y = ops.convert_to_tensor(y)
        if units > 1 and (len(y.shape) == 1 or y.shape[-1] == 1):
            chosen = ops.one_hot(ops.cast(ops.reshape(y, (-1,)), "int32"), units, dtype=dtype)
            return self.low_target + (1.0 - self.low_target) * chosen
        return ops.cast(ops.reshape(y, (-1, units)), dtype)
