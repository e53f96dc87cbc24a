"""The halves of autoencoders: stacks of dense or strided convolutional layers, down to a code and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.blocks.conv import own_initializer
from kerazoo.blocks.ends import named_activation


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Encoder and decoder that mirror each other.

    Attributes:
        input_shape: Shape of one input, fixed.
        filters: Filters of the convolutions 4 x 4 with stride 2; empty for dense layers only.
        hidden_units: Units of the dense layers behind them.
        activation: Of all hidden layers.
        decoder_activation: The same for the decoder, where it is another one.
        decoder_units: Units of the decoder's dense layers, from the code on; `None` mirrors the encoder's.
        kernel_initializer: Of all kernels.
    """

    input_shape: tuple[int, ...]
    filters: tuple[int, ...] = ()
    hidden_units: tuple[int, ...] = ()
    activation: Any = "relu"
    decoder_activation: Any = None
    decoder_units: tuple[int, ...] | None = None
    kernel_initializer: Any = "glorot_uniform"

    def encode(self, x: keras.KerasTensor, *more: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the last hidden layer in front of the code; `more` joins the flat input of the dense layers."""
        for index, width in enumerate(self.filters, start=1):
            x = layers.Conv2D(width, 4, strides=2, **self._conv, name=f"encoder_conv{index}")(x)
            x = named_activation(x, self.activation, f"encoder_conv{index}_act")
        if len(x.shape) > 2:
            x = layers.Flatten(data_format="channels_last", name="encoder_flatten")(x)
        if more:
            x = layers.Concatenate(name="encoder_label")([x, *more])
        return self._dense(x, self.hidden_units, "encoder", self.activation)

    def decode(self, code: keras.KerasTensor, *more: keras.KerasTensor, output_activation: Any) -> keras.KerasTensor:
        """Returns the reconstruction, in float32 and with the shape of the input."""
        activation = self.activation if self.decoder_activation is None else self.decoder_activation
        units = self.hidden_units[::-1] if self.decoder_units is None else self.decoder_units
        x = layers.Concatenate(name="decoder_label")([code, *more]) if more else code
        x = self._dense(x, units, "decoder", activation)
        if not self.filters:
            return self._flat_end(x, output_activation)
        height, width = (size >> len(self.filters) for size in self.input_shape[:2])
        x = self._dense(x, (height * width * self.filters[-1],), "decoder_map", activation)
        x = layers.Reshape((height, width, self.filters[-1]), name="decoder_reshape")(x)
        for index, width in enumerate(self.filters[-2::-1], start=1):
            x = layers.Conv2DTranspose(width, 4, strides=2, **self._conv, name=f"decoder_conv{index}")(x)
            x = named_activation(x, activation, f"decoder_conv{index}_act")
        last = {"activation": output_activation, "dtype": "float32", "name": "reconstruction"}
        return layers.Conv2DTranspose(self.input_shape[-1], 4, strides=2, **self._conv, **last)(x)

    def _flat_end(self, x: keras.KerasTensor, output_activation: Any) -> keras.KerasTensor:
        flat = len(self.input_shape) == 1
        x = layers.Dense(
            math.prod(self.input_shape),
            activation=output_activation,
            kernel_initializer=self.initializer,
            dtype="float32",
            name="reconstruction" if flat else "reconstruction_flat",
        )(x)
        return x if flat else layers.Reshape(self.input_shape, dtype="float32", name="reconstruction")(x)

    def _dense(self, x: keras.KerasTensor, units: Sequence[int], prefix: str, activation: Any) -> keras.KerasTensor:
        for index, width in enumerate(units, start=1):
            name = f"{prefix}{index}"
            x = layers.Dense(width, kernel_initializer=self.initializer, name=f"{name}_dense")(x)
            x = named_activation(x, activation, f"{name}_act")
        return x

    @property
    def initializer(self) -> Any:
        """An initialiser for one more layer."""
        return own_initializer(self.kernel_initializer)

    @property
    def _conv(self) -> dict[str, Any]:
        return {"padding": "same", "data_format": "channels_last", "kernel_initializer": self.initializer}


def checked_halves(
    model: str,
    input_shape: Any,
    *,
    filters: Any,
    hidden_units: Any,
    activation: Any,
    kernel_initializer: Any,
    decoder_units: Any = None,
    decoder_activation: Any = None,
) -> Halves:
    """Returns the two halves of a model after a check of the arguments that shape them."""
    sizes = checks.shape(input_shape, ranks=())
    if None in sizes:
        raise ValueError(f"input_shape of {model} must be fixed. Received: input_shape={input_shape!r}")
    filters = checks.positive_ints("filters", filters, allow_empty=True)
    if activation != "prelu":
        checks.activation("activation", activation)
    if decoder_activation != "prelu":
        checks.activation("decoder_activation", decoder_activation)
    step = 2 ** len(filters)
    if filters and (len(sizes) != 3 or any(int(size or 0) % step for size in sizes[:2])):
        raise ValueError(
            f"input_shape of {model} with {len(filters)} convolutions must be (height, width, channels) with height "
            f"and width a multiple of {step}. Received: input_shape={input_shape!r}"
        )
    return Halves(
        input_shape=tuple(int(size or 0) for size in sizes),
        filters=filters,
        hidden_units=checks.positive_ints("hidden_units", hidden_units, allow_empty=True),
        activation=activation,
        decoder_units=None
        if decoder_units is None
        else checks.positive_ints("decoder_units", decoder_units, allow_empty=True),
        decoder_activation=decoder_activation,
        kernel_initializer=checks.initializer("kernel_initializer", kernel_initializer),
    )
