"""Output units that measure the distance to a fixed code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class EuclideanRBF(keras.layers.Layer):
    """Euclidean radial-basis-function units, the output of LeNet-5: minus the squared distance to each
    class's code.

    With `activation="softmax"` the outputs are class probabilities, and cross-entropy is the paper's
    discriminative criterion.

    Args:
        units: Number of classes.
        codes: One row of +1 and -1 per class, as long as the input. Defaults to rows drawn once and for all.
        activation: Activation of minus the squared distances.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.EuclideanRBF(10, activation="softmax")
        >>> tuple(layer(keras.ops.zeros((1, 84))).shape)
        (1, 10)

    References:
        LeCun et al. (1998), section II.B, https://doi.org/10.1109/5.726791
    """

    def __init__(
        self,
        units: int,
        codes: Sequence[Sequence[float]] | None = None,
        activation: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = units
        self.codes = None if codes is None else np.asarray(codes, "float32").tolist()
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Sequence[int]) -> None:
        codes = random_codes(self.units, input_shape[-1]) if self.codes is None else np.array(self.codes, "float32")
        if codes.shape != (self.units, input_shape[-1]):
            raise ValueError(f"codes must have shape {(self.units, input_shape[-1])}. Received: {codes.shape}")
        self.centres = self.add_weight(
            name="centres",
            shape=codes.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(codes, dtype),
            trainable=False,
        )

    def call(self, inputs: Any) -> Any:
        return self.activation(minus_squared_distances(inputs, ops.cast(self.centres, inputs.dtype)))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Counts the product with the codes."""
        return 2 * self.units * input_shapes[0][-1]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "codes": self.codes,
            "activation": keras.activations.serialize(self.activation),
        }


def minus_squared_distances(inputs: Any, centres: Any) -> Any:
    """Returns -|x - c|^2 of every input and every centre by one matrix product.

    Args:
        inputs: Tensor (..., length).
        centres: Tensor (units, length).

    Returns:
        Tensor (..., units).
    """
    squares = ops.sum(inputs**2, axis=-1, keepdims=True) + ops.sum(centres**2, axis=-1)
    return 2 * ops.matmul(inputs, ops.transpose(centres)) - squares


def random_codes(units: int, length: int) -> np.ndarray:
    """Returns rows of +1 and -1 that are the same on every call; more classes only add rows.

    Args:
        units: Number of rows.
        length: Length of a row.

    Returns:
        Array (units, length), float32.
    """
    return np.random.default_rng(1998).integers(0, 2, (units, length)).astype("float32") * 2 - 1
