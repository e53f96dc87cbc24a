"""Autoencoders with a narrow code: dense, as in the paper, and convolutional.

G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313, 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.autoencoders._models import CODE, Autoencoder
from kerazoo.catalog import register_model


def _autoencoder(
    input_shape: Sequence[int],
    latent_dim: int,
    *,
    filters: Sequence[int] = (),
    hidden_units: Sequence[int] = (1000, 500, 250),
    activation: Any = "sigmoid",
    code_activation: Any = None,
    kernel_initializer: Any = "glorot_uniform",
    output_activation: Any = "sigmoid",
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "autoencoder",
) -> keras.Model:
    """The family builder.

    Args:
        input_shape: Shape of one input without the batch axis, fixed.
        latent_dim: Length of the code.
        filters: Filters of the convolutions 4 x 4 with stride 2 in front of the dense layers; empty for none.
        hidden_units: Units of the dense layers between them and the code; the decoder mirrors all of it.
        activation: Activation of the hidden layers.
        code_activation: Activation of the code; `None` leaves it linear.
        kernel_initializer: Initialiser by name.
        output_activation: `"sigmoid"` for inputs in [0, 1], `None` for others.

    Returns:
        An `Autoencoder`, which is a flat functional `keras.Model`, (batch, *input_shape) -> the same. `fit(x)` takes
        the input for the target. `kerazoo.autoencoders.encoder` and `decoder` give its halves.
    """
    halves = blocks.checked_halves(
        name, input_shape, filters=filters, hidden_units=hidden_units, activation=activation,
        kernel_initializer=kernel_initializer,
    )  # fmt: skip
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    checks.activation("code_activation", code_activation)
    checks.activation("output_activation", output_activation)

    inputs = keras.Input(halves.input_shape, name="input")
    dense = layers.Dense(latent_dim, activation=code_activation, kernel_initializer=halves.initializer, name=CODE)
    code = dense(halves.encode(inputs))
    return Autoencoder(inputs, halves.decode(code, output_activation=output_activation), name=name)


@register_model(family=_autoencoder)
def autoencoder(
    input_shape: Sequence[int] = (784,), latent_dim: int = 30, *, name: str = "autoencoder", **options: Any
) -> keras.Model:
    """Deep autoencoder 784-1000-500-250-30 and back: logistic hidden units, a linear code.

    Train it with `model.compile("adam", "binary_crossentropy")` and `model.fit(x)`. The paper pre-trained each layer
    as a restricted Boltzmann machine; today's optimisers and initial weights do without.

    Example:
        >>> model = kerazoo.autoencoder((64,), 10, hidden_units=(128,), activation="relu")

    References:
        Hinton, Salakhutdinov (2006), https://doi.org/10.1126/science.1127647
    """
    return _autoencoder(input_shape, latent_dim, name=name, **options)


@register_model(family=_autoencoder)
def autoencoder_conv(
    input_shape: Sequence[int] = (32, 32, 3),
    latent_dim: int = 128,
    *,
    filters: Sequence[int] = (32, 64, 128),
    hidden_units: Sequence[int] = (),
    activation: Any = "relu",
    name: str = "autoencoder_conv",
    **options: Any,
) -> keras.Model:
    """Convolutional autoencoder: strided convolutions down to a dense code, transposed ones back.

    Example:
        >>> model = kerazoo.autoencoder_conv((64, 64, 1), 32)

    References:
        Masci, Meier, Ciresan, Schmidhuber (2011), "Stacked convolutional auto-encoders for hierarchical feature
        extraction", https://doi.org/10.1007/978-3-642-21735-7_7
    """
    return _autoencoder(
        input_shape, latent_dim, filters=filters, hidden_units=hidden_units, activation=activation, name=name, **options
    )
