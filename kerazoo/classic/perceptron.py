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
from kerazoo.blocks.linear_units import LinearUnits
from kerazoo.catalog import register_model
from kerazoo.layers.activations import heaviside


@keras.saving.register_keras_serializable(package="kerazoo")
class Perceptron(LinearUnits):
    """A functional model whose loss is the perceptron criterion; `kerazoo.perceptron` builds it.

    A threshold has no gradient. The criterion (y - t) a, with the net input `a` and the error `y - t` held
    constant, has the gradient (y - t) x: plain SGD of learning rate eta with one sample per batch is
    therefore exactly Rosenblatt's rule w += eta (t - y) x. Targets are 0 and 1.
    """

    def criterion(self, net_input: Any, targets: Any) -> Any:
        return ops.stop_gradient(heaviside(net_input) - targets) * net_input


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
