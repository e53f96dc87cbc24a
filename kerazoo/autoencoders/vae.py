"""Variational autoencoders: a code with a known distribution, so that new samples can be drawn from it.

D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114 (ICLR 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from kerazoo import blocks, checks
from kerazoo.autoencoders._models import CODE, VariationalAutoencoder, negative_log_likelihood, own_input
from kerazoo.autoencoders._parts import decoder as decoder_of
from kerazoo.catalog import register_model
from kerazoo.layers.gaussian_sampling import GaussianSampling, draw

_INITIALIZER = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01, "seed": None}}


def bound(model: keras.Model, x: Any, *, samples: int = 1, batch_size: int = 256, seed: int = 0) -> Any:
    """Estimates the evidence lower bound log p(x) >= ... of every sample, in nats.

    Args:
        model: A model of `kerazoo.vae` or a relative.
        x: Inputs (n, *input_shape), or the dictionary of a conditional model.
        samples: Draws of the code per input: 1 gives the bound itself, more the tighter importance-weighted one.
        batch_size: Inputs at once.
        seed: Fixes the draws.

    Returns:
        Array (n,): the larger the better.

    Example:
        >>> nats = bound(model, x_test).mean()
        >>> bits_per_dimension = -nats / (784 * math.log(2))

    References:
        Burda, Grosse, Salakhutdinov (2015), "Importance weighted autoencoders", https://arxiv.org/abs/1509.00519
    """
    import numpy as np

    samples = checks.positive_int("samples", samples)
    names = ("code_mean", "code_log_variance")
    posterior = keras.Model(model.input, [model.get_layer(name).output for name in names])
    back, generator = decoder_of(model), keras.random.SeedGenerator(seed)
    found = []
    for start in range(0, len(keras.tree.flatten(x)[0]), batch_size):
        part = keras.tree.map_structure(lambda array: array[start : start + batch_size], x)  # noqa: B023
        part = keras.tree.map_structure(ops.convert_to_tensor, part)
        mean, log_variance = posterior(part)
        weights = []
        for _ in range(samples):
            z = draw(mean, log_variance, generator)
            prior = -0.5 * ops.sum(ops.square(z), axis=-1)
            density = -0.5 * ops.sum(log_variance + ops.square(z - mean) / ops.exp(log_variance), axis=-1)
            given = [z, part["label"]] if isinstance(part, dict) else z
            weights.append(prior - density - negative_log_likelihood(model, own_input(part), back(given)))
        found.append(ops.convert_to_numpy(ops.logsumexp(ops.stack(weights), axis=0) - math.log(samples)))
    return np.concatenate(found)


def _vae(
    input_shape: Sequence[int],
    latent_dim: int,
    *,
    filters: Sequence[int] = (),
    hidden_units: Sequence[int] = (500,),
    activation: Any = "tanh",
    decoder_units: Sequence[int] | None = None,
    decoder_activation: Any = None,
    kernel_initializer: Any = "glorot_uniform",
    beta: float = 1.0,
    capacity: float | None = None,
    output_activation: Any = "sigmoid",
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "vae",
) -> keras.Model:
    """The family builder.

    Args:
        input_shape: Shape of one input without the batch axis, fixed.
        latent_dim: Length of the code.
        filters: Filters of the convolutions 4 x 4 with stride 2 in front of the dense layers; empty for none.
        hidden_units: Units of the dense layers in front of the code.
        activation: Activation of the hidden layers.
        decoder_units: Units of the decoder's dense layers, from the code on; `None` mirrors `hidden_units`.
        decoder_activation: Activation of the decoder's hidden layers; `None` for `activation`.
        kernel_initializer: Initialiser by name or configuration.
        beta: Weight of the divergence of the code from N(0, I), which is counted in nats per sample.
        capacity: Divergence in nats that is free: the penalty is then `beta * |KL - capacity|`; `None` for none.
        output_activation: `"sigmoid"` for inputs in [0, 1] and a Bernoulli likelihood, `None` for a normal one with
            variance 1.

    Returns:
        A `VariationalAutoencoder`, which is a flat functional `keras.Model`, (batch, *input_shape) -> the same: compile
        it without a loss. `kerazoo.autoencoders.encoder` (the mean of the code) and `decoder` give its halves.
    """
    return _build(input_shape, latent_dim, 0, filters=filters, hidden_units=hidden_units, activation=activation,
        decoder_units=decoder_units, decoder_activation=decoder_activation, kernel_initializer=kernel_initializer,
        beta=beta, capacity=capacity, output_activation=output_activation, name=name)  # fmt: skip


def _build(
    input_shape: Sequence[int],
    latent_dim: int,
    num_labels: int,
    *,
    beta: float,
    capacity: float | None,
    output_activation: Any,
    name: str,
    **shape: Any,
) -> keras.Model:
    halves = blocks.checked_halves(name, input_shape, **shape)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    beta = checks.non_negative("beta", beta)
    capacity = None if capacity is None else checks.non_negative("capacity", capacity)
    checks.activation("output_activation", output_activation)

    inputs = keras.Input(halves.input_shape, name="input")
    more = (keras.Input((num_labels,), name="label"),) if num_labels else ()
    hidden = halves.encode(inputs, *more)
    code = GaussianSampling(beta, capacity, name=CODE)(
        *(
            layers.Dense(latent_dim, kernel_initializer=halves.initializer, name=part)(hidden)
            for part in ("code_mean", "code_log_variance")
        )
    )
    outputs = halves.decode(code, *more, output_activation=output_activation)
    given = {"input": inputs, "label": more[0]} if more else inputs
    return VariationalAutoencoder(given, outputs, name=name)


@register_model(family=_vae)
def vae(
    input_shape: Sequence[int] = (784,),
    latent_dim: int = 20,
    *,
    kernel_initializer: Any = None,
    name: str = "vae",
    **options: Any,
) -> keras.Model:
    """Variational autoencoder with 500 tanh units on either side, as in the paper's experiments on handwritten digits.

    Args:
        kernel_initializer: Initialiser by name or configuration; `None` for the paper's N(0, 0.01).

    Example:
        >>> model = kerazoo.vae((784,), 2)
        >>> model.compile("adam")
        >>> model.fit(x, epochs=10)

    References:
        Kingma, Welling (2013), https://arxiv.org/abs/1312.6114
    """
    initializer = _INITIALIZER if kernel_initializer is None else kernel_initializer
    return _vae(input_shape, latent_dim, kernel_initializer=initializer, name=name, **options)


@register_model(family=_vae)
def beta_vae(
    input_shape: Sequence[int] = (64, 64, 1),
    latent_dim: int = 10,
    *,
    filters: Sequence[int] = (32, 32, 32, 32),
    hidden_units: Sequence[int] = (256, 256),
    activation: Any = "relu",
    beta: float = 4.0,
    name: str = "beta_vae",
    **options: Any,
) -> keras.Model:
    """Variational autoencoder whose code pays more for its divergence, so that its axes come to mean one thing each.

    The network is that of Burgess et al. for images of 64 x 64 pixels; with `capacity=C` and a large `beta` their loss,
    where C grows during the training: set `model.get_layer("code").capacity` between two calls of `fit`.

    Example:
        >>> model = kerazoo.beta_vae((32, 32, 3), 16, beta=8.0)

    References:
        Higgins et al. (2017), "beta-VAE: learning basic visual concepts with a constrained variational framework",
        https://openreview.net/forum?id=Sy2fzU9gl; Burgess et al. (2018), https://arxiv.org/abs/1804.03599
    """
    return _vae(input_shape, latent_dim, filters=filters, hidden_units=hidden_units, activation=activation,
        beta=beta, name=name, **options)  # fmt: skip


@register_model
def conditional_vae(
    input_shape: Sequence[int] = (784,),
    latent_dim: int = 20,
    *,
    num_labels: int = 10,
    filters: Sequence[int] = (),
    hidden_units: Sequence[int] = (400,),
    activation: Any = "relu",
    kernel_initializer: Any = "glorot_uniform",
    beta: float = 1.0,
    output_activation: Any = "sigmoid",
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "conditional_vae",
) -> keras.Model:
    """Variational autoencoder that is told what to draw: a label joins the encoder's input and the code.

    The prior of the code is N(0, I) whatever the label.

    Args:
        input_shape: Shape of one input without the batch axis, fixed.
        latent_dim: Length of the code.
        num_labels: Length of the label, e.g. the number of classes, one-hot.
        filters: Filters of the convolutions 4 x 4 with stride 2 in front of the dense layers; empty for none.
        hidden_units: Units of the dense layers in front of the code; the decoder mirrors them.
        activation: Activation of the hidden layers.
        kernel_initializer: Initialiser by name or configuration.
        beta: Weight of the divergence of the code from N(0, I).
        output_activation: `"sigmoid"` for inputs in [0, 1] and a Bernoulli likelihood, `None` for a normal one.

    Returns:
        A `VariationalAutoencoder` with the inputs `input` (batch, *input_shape) and `label` (batch, num_labels).

    Example:
        >>> model = kerazoo.conditional_vae((64,), 8, num_labels=10)
        >>> model.compile("adam")
        >>> model.fit({"input": x, "label": keras.utils.to_categorical(labels)})

    References:
        Sohn, Lee, Yan (2015), "Learning structured output representation using deep conditional generative models",
        https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html
    """
    num_labels = checks.positive_int("num_labels", num_labels)
    return _build(input_shape, latent_dim, num_labels, filters=filters, hidden_units=hidden_units,
        activation=activation, kernel_initializer=kernel_initializer, beta=beta, capacity=None,
        output_activation=output_activation, name=name)  # fmt: skip
