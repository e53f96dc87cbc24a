"""Denoising autoencoder: a code from which the clean input can be told, learnt from corrupted ones.

P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with denoising
autoencoders", ICML 2008.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.autoencoders._models import CODE, Autoencoder
from kerazoo.catalog import register_model
from kerazoo.layers.corruption import CORRUPTIONS, Corruption
from kerazoo.layers.reversible_dense import ReversibleDense


@register_model
def denoising_autoencoder(
    input_shape: Sequence[int] = (784,),
    latent_dim: int = 500,
    *,
    corruption: str = "masking",
    corruption_level: float = 0.3,
    tied: bool = True,
    activation: Any = "sigmoid",
    output_activation: Any = "sigmoid",
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "denoising_autoencoder",
) -> keras.Model:
    """One layer of logistic units, whose input is corrupted in training and whose target is the clean input.

    Train it with `model.compile("adam", "binary_crossentropy")` and `model.fit(x)`.

    Args:
        input_shape: Shape of one input without the batch axis, fixed.
        latent_dim: Units of the code, usually not fewer than it takes to copy the input.
        corruption: `"masking"` sets a fraction of the input to zero, `"salt_and_pepper"` to 0 or 1, `"gaussian"`
            adds noise.
        corruption_level: The fraction, or the standard deviation of the noise.
        tied: Whether the decoder has the transposed kernel of the encoder, as in the paper.
        activation: Activation of the code.
        output_activation: `"sigmoid"` for inputs in [0, 1], `None` for others.

    Returns:
        An `Autoencoder`, which is a flat functional `keras.Model`, (batch, *input_shape) -> the same.

    Example:
        >>> model = kerazoo.denoising_autoencoder((64,), 100, corruption="gaussian", corruption_level=0.2)

    References:
        Vincent et al. (2008), https://doi.org/10.1145/1390156.1390294; the other corruptions are those of Vincent et
        al. (2010), https://jmlr.org/papers/v11/vincent10a.html
    """
    sizes = checks.shape(input_shape, ranks=())
    if None in sizes:
        raise ValueError(f"input_shape of {name} must be fixed. Received: input_shape={input_shape!r}")
    features = math.prod(int(size or 0) for size in sizes)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    checks.one_of("corruption", corruption, CORRUPTIONS)
    corruption_level = checks.non_negative("corruption_level", corruption_level)
    if corruption != "gaussian":
        checks.fraction("corruption_level", corruption_level)
    checks.flag("tied", tied)
    checks.activation("activation", activation)
    checks.activation("output_activation", output_activation)

    inputs = keras.Input(sizes, name="input")
    x = Corruption(corruption, corruption_level, name="corrupt")(inputs)
    if len(sizes) > 1:
        x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    # U(+-4 sqrt(6 / (fan_in + fan_out))), for logistic units
    spread = {"class_name": "VarianceScaling", "config": {"scale": 16.0, "mode": "fan_avg", "distribution": "uniform"}}
    if tied:
        both = ReversibleDense(latent_dim, activation, kernel_initializer=spread, name="tied")
        code = layers.Activation("linear", name=CODE)(both(x))
        x = both(code, reverse=True)
    else:
        code = layers.Dense(latent_dim, activation=activation, kernel_initializer=spread, name=CODE)(x)
        x = layers.Dense(features, kernel_initializer=spread, name="decoder_dense")(code)
    x = layers.Activation(output_activation or "linear", dtype="float32", name="reconstruction_act")(x)
    return Autoencoder(inputs, layers.Reshape(sizes, dtype="float32", name="reconstruction")(x), name=name)
