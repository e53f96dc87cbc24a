"""ADALINE: adaptive linear units, trained by the delta rule.

B. Widrow, M. E. Hoff, "Adaptive switching circuits", IRE WESCON Convention Record, part 4, 1960.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from kerazoo import blocks, checks
from kerazoo.blocks.linear_units import LinearUnits
from kerazoo.catalog import register_model
from kerazoo.layers.activations import quantizer


@keras.saving.register_keras_serializable(package="kerazoo")
class Adaline(LinearUnits):
    """A functional model whose loss is half the squared error of its net input; `kerazoo.adaline` builds it.

    The half makes the gradient (a - t) x, so that plain SGD of learning rate eta with one sample per batch is
    exactly the delta rule w += eta (t - a) x, whatever the output shows. Class numbers become +1 and -1.
    """

    low_target = -1.0

    def criterion(self, net_input: Any, targets: Any) -> Any:
        return 0.5 * ops.square(net_input - targets)


@register_model
def adaline(
    input_shape: Sequence[int] = (784,),
    num_outputs: int = 1,
    *,
    output_activation: Any = None,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "adaline",
) -> keras.Model:
    """Adaptive linear units, trained by the delta (Widrow-Hoff, least-mean-squares) rule on their linear output.

    Standardise the inputs first: the rule is stable only for learning rates below 2 over the largest eigenvalue
    of their mean outer product, and as slow as the smallest one. Compile with plain SGD and no loss,
    `model.compile(keras.optimizers.SGD(0.01))`; with a batch of one this is the rule itself, larger batches take
    the mean of the corrections.

    Args:
        input_shape: Shape of one input without the batch axis; more than one axis is flattened, so images
            work too.
        output_activation: `None` gives the net input, for regression; `"sign"` the paper's decision, +1 from
            the threshold 0 on and else -1. The training rule is the same for all. Targets of classes are +1
            and -1, or class numbers where there are several units.

    Returns:
        An `Adaline`, which is a functional `keras.Model`, (batch, *input_shape) -> (batch, num_outputs). All
        weights start at zero.

    Example:
        >>> model = kerazoo.adaline((2,), 1, output_activation="sign")
        >>> model.compile(keras.optimizers.SGD(0.05))
        >>> model.fit(x, y, batch_size=1, epochs=20)

    References:
        Widrow, Hoff (1960), https://doi.org/10.21236/AD0241531
    """
    sizes = checks.shape(input_shape, ranks=())
    if None in sizes:
        raise ValueError(f"input_shape of adaline must be fixed, since it is flattened. Received: {input_shape!r}")
    num_outputs = checks.positive_int("num_outputs", num_outputs)
    if output_activation != "sign":
        checks.activation("output_activation", output_activation)
    activation = quantizer if output_activation == "sign" else output_activation

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    if len(sizes) > 1:
        x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    outputs = layers.Dense(
        num_outputs, activation=activation, kernel_initializer="zeros", dtype="float32", name="predictions"
    )(x)
    return Adaline(inputs, outputs, name=name)
