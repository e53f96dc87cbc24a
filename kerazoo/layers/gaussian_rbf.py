"""Hidden units that answer to inputs near a centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerazoo.layers.euclidean_rbf import minus_squared_distances


@keras.saving.register_keras_serializable(package="kerazoo")
class GaussianRBF(keras.layers.Layer):
    """Gaussian radial basis functions exp(-|x - c|^2 / (2 s^2)), one centre and one width per unit.

    Args:
        units: Number of units.
        trainable_centres: Whether training moves the centres.
        trainable_widths: Whether training changes the widths.
        centres_initializer: Initial centres. Defaults to standard normal ones, for standardised inputs.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.GaussianRBF(3)
        >>> tuple(layer(keras.ops.zeros((1, 2))).shape)
        (1, 3)

    References:
        Broomhead, Lowe (1988), "Multivariable functional interpolation and adaptive networks", Complex Systems 2
    """

    def __init__(
        self,
        units: int,
        trainable_centres: bool = False,
        trainable_widths: bool = False,
        centres_initializer: Any = "random_normal",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = units
        self.trainable_centres = trainable_centres
        self.trainable_widths = trainable_widths
        self.centres_initializer = keras.initializers.get(centres_initializer)

    def build(self, input_shape: Sequence[int]) -> None:
        self.centres = self.add_weight(
            name="centres",
            shape=(self.units, input_shape[-1]),
            initializer=self.centres_initializer,
            trainable=self.trainable_centres,
        )
        self.widths = self.add_weight(
            name="widths", shape=(self.units,), initializer="ones", trainable=self.trainable_widths
        )

    def call(self, inputs: Any) -> Any:
        # Distances are differences of large squares, which half precision would lose.
        x, centres, widths = (ops.cast(tensor, "float32") for tensor in (inputs, self.centres, self.widths))
        # Rounding can make the distance of a point from itself negative.
        exponent = ops.minimum(minus_squared_distances(x, centres), 0.0)
        return ops.cast(ops.exp(exponent / (2 * ops.square(widths))), self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Counts the product with the centres."""
        return 2 * self.units * input_shapes[0][-1]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "trainable_centres": self.trainable_centres,
            "trainable_widths": self.trainable_widths,
            "centres_initializer": keras.initializers.serialize(self.centres_initializer),
        }
