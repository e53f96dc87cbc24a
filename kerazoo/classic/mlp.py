"""Multi-layer perceptron: dense layers trained by back-propagation.

D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors", Nature
323, 1986.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model


@register_model
def mlp(
    input_shape: Sequence[int] = (784,),
    num_outputs: int = 10,
    *,
    hidden_units: Sequence[int] = (300, 100),
    activation: Any = "sigmoid",
    normalization: str | None = None,
    kernel_initializer: Any = "glorot_uniform",
    l1: float = 0.0,
    l2: float = 0.0,
    output_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "mlp",
) -> keras.Model:
    """Multi-layer perceptron of any depth, by default the 784-300-100-10 net of handwritten-digit fame.

    Args:
        input_shape: Shape of one input without the batch axis; more than one axis is flattened, so images
            work too.
        hidden_units: Units of each hidden layer, from input to output; empty for a linear model.
        activation: Activation of the hidden layers, any of Keras's or `"prelu"`. `"sigmoid"` is the paper's,
            `"relu"` is usual today.
        normalization: `None`, `"batch"` or `"layer"`, between each hidden layer and its activation.
        kernel_initializer: Initialiser by name, e.g. `"he_normal"`, `"glorot_uniform"`, `"orthogonal"`.
        l1: L1 penalty on the kernels.
        l2: L2 penalty on the kernels.
        output_activation: Activation of `predictions`: `"softmax"` for classes, `None` for regression.

    Returns:
        A flat functional `keras.Model`, (batch, *input_shape) -> (batch, num_outputs).

    Example:
        >>> model = kerazoo.mlp((28, 28, 1), 10, hidden_units=(128,), activation="relu")

    References:
        Rumelhart, Hinton, Williams (1986), https://doi.org/10.1038/323533a0; the widths 300 and 100 are those
        of LeCun et al. (1998), https://doi.org/10.1109/5.726791
    """
    sizes = checks.shape(input_shape, ranks=())
    if None in sizes:
        raise ValueError(f"input_shape of mlp must be fixed, since it is flattened. Received: {input_shape!r}")
    num_outputs = checks.positive_int("num_outputs", num_outputs)
    units = checks.positive_ints("hidden_units", hidden_units, allow_empty=True)
    if activation != "prelu":
        checks.activation("activation", activation)
    checks.activation("output_activation", output_activation)
    checks.one_of("normalization", normalization, (None, "batch", "layer"))
    checks.initializer("kernel_initializer", kernel_initializer)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    penalties = {"l1": checks.non_negative("l1", l1), "l2": checks.non_negative("l2", l2)}

    def dense(width: int, name: str, **options: Any) -> layers.Dense:
        regularizer = keras.regularizers.L1L2(**penalties) if l1 or l2 else None
        initializer = blocks.own_initializer(kernel_initializer)
        return layers.Dense(width, kernel_initializer=initializer, kernel_regularizer=regularizer, name=name, **options)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    if len(sizes) > 1:
        x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    for index, width in enumerate(units, start=1):
        x = dense(width, f"hidden{index}_dense", use_bias=normalization != "batch")(x)
        if normalization == "batch":
            x = blocks.batch_norm(x, f"hidden{index}_norm")
        elif normalization == "layer":
            x = layers.LayerNormalization(epsilon=1e-5, name=f"hidden{index}_norm")(x)
        x = blocks.named_activation(x, activation, f"hidden{index}_act")
        if dropout_rate:
            x = layers.Dropout(dropout_rate, name=f"hidden{index}_dropout")(x)
    outputs = dense(num_outputs, "predictions", activation=output_activation, dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)
