"""The perceptron: threshold units trained by correcting their errors.

F. Rosenblatt, "The perceptron: a probabilistic model for information storage and organization in the brain",
Psychological Review 65(6), 1958.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.activations import heaviside


@keras.saving.register_keras_serializable(package="kerazoo")
class Perceptron(keras.Model):
    """A functional model whose loss is the perceptron criterion; `kerazoo.perceptron` builds it.

    A threshold has no gradient. The criterion (y - t) a, with the net input `a` and the error `y - t` held
    constant, has the gradient (y - t) x: plain SGD of learning rate eta with one sample per batch is
    therefore exactly Rosenblatt's rule w += eta (t - y) x. A loss given to `compile` is not used; metrics
    are.
    """

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the mean perceptron criterion of a batch.

        Args:
            x: Inputs (batch, *input_shape).
            y: Targets of 0 and 1, (batch, num_outputs), or class numbers (batch,) if there are several
                outputs.
            y_pred: Not used; the output may be something else than the step.
            sample_weight: One weight per sample.
            training: Not used.

        Returns:
            A scalar.
        """
        units = self.get_layer("predictions")
        for layer in self.layers[1:-1]:  # a chain: preprocess, flatten
            x = layer(x)
        net_input = ops.matmul(ops.cast(x, "float32"), units.kernel) + units.bias
        targets = _as_vectors(y, net_input.shape[-1], net_input.dtype)
        error = ops.stop_gradient(heaviside(net_input) - targets)
        criterion = ops.sum(error * net_input, axis=-1)
        if sample_weight is not None:
            criterion = criterion * ops.cast(ops.reshape(sample_weight, (-1,)), criterion.dtype)
        return ops.mean(criterion)


def _as_vectors(y: Any, units: int, dtype: str) -> Any:
    """Turns class numbers into vectors of 0 and 1, and leaves such vectors as they are."""
    y = ops.convert_to_tensor(y)
    if units > 1 and (len(y.shape) == 1 or y.shape[-1] == 1):
        return ops.one_hot(ops.cast(ops.reshape(y, (-1,)), "int32"), units, dtype=dtype)
    return ops.cast(ops.reshape(y, (-1, units)), dtype)


@register_model
def perceptron(
    input_shape: Sequence[int] = (784,),
    num_outputs: int = 10,
    *,
    output_activation: Any = "step",
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "perceptron",
) -> keras.Model:
    """Single layer of threshold units, trained by Rosenblatt's error-correction rule.

    Compile it with plain SGD and no loss: `model.compile(keras.optimizers.SGD(1.0))`. With a batch of one
    this is the rule itself; larger batches take the mean of the corrections.

    Args:
        input_shape: Shape of one input without the batch axis; more than one axis is flattened, so images
            work too.
        output_activation: `"step"` gives 0 or 1 per unit as in the paper. As a classifier several units, or
            none, may then fire; `"softmax"` or `None` (the net inputs) rank the classes, so use one of these
            with arg max. The training rule is the same for all.

    Returns:
        A `Perceptron`, which is a functional `keras.Model`, (batch, *input_shape) -> (batch, num_outputs).
        All weights start at zero.

    Example:
        >>> gate = kerazoo.perceptron((2,), 1)
        >>> gate.compile(keras.optimizers.SGD(1.0))
        >>> gate.fit(x, y, batch_size=1, epochs=10)

    References:
        Rosenblatt (1958), https://doi.org/10.1037/h0042519
    """
    sizes = checks.shape(input_shape, ranks=())
    if None in sizes:
        raise ValueError(f"input_shape of perceptron must be fixed, since it is flattened. Received: {input_shape!r}")
    num_outputs = checks.positive_int("num_outputs", num_outputs)
    if output_activation != "step":
        checks.activation("output_activation", output_activation)
    activation = heaviside if output_activation == "step" else output_activation

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    if len(sizes) > 1:
        x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    outputs = layers.Dense(
        num_outputs, activation=activation, kernel_initializer="zeros", dtype="float32", name="predictions"
    )(x)
    return Perceptron(inputs, outputs, name=name)
