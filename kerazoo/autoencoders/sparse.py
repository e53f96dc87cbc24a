"""Sparse autoencoder: a wide code of which only a few units are active at a time.

A. Ng, "Sparse autoencoder", CS294A lecture notes, Stanford University, 2011.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from kerazoo import checks
from kerazoo.autoencoders._models import CODE, Autoencoder
from kerazoo.catalog import register_model
from kerazoo.layers.sparsity import SparsityPenalty


@keras.saving.register_keras_serializable(package="kerazoo")
def half_squared_error(y_true: Any, y_pred: Any) -> Any:
    """Returns half the squared error of each sample, added up over its values: the lecture's reconstruction term."""
    error = ops.cast(y_true, y_pred.dtype) - y_pred
    return 0.5 * ops.sum(ops.square(error), axis=tuple(range(1, len(y_pred.shape))))


@register_model
def sparse_autoencoder(
    input_shape: Sequence[int] = (64,),
    latent_dim: int = 25,
    *,
    penalty: str = "kl",
    sparsity: float = 0.01,
    sparsity_weight: float = 3.0,
    l2: float = 1e-4,
    activation: Any = None,
    output_activation: Any = "sigmoid",
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "sparse_autoencoder",
) -> keras.Model:
    """One hidden layer with a penalty that keeps most of its units quiet.

    The lecture's loss is half the squared error, added up over the outputs and averaged over the batch (compile with
    `half_squared_error` of this module; Keras' mean would weigh the rest much more), plus `l2 / 2` times the squared
    kernels, plus `sparsity_weight` times the divergence of each unit's mean activation over the batch from `sparsity`:
    take batches that are large enough for that mean.

    Args:
        input_shape: Shape of one input without the batch axis, fixed; by default a patch of 8 x 8 pixels in [0.1, 0.9].
        latent_dim: Units of the code.
        penalty: `"kl"`, the lecture's, for a logistic code; `"l1"`, the mean of the added-up absolute code, for ReLU.
        sparsity: Mean activation wished for, in (0, 1); for `"kl"`.
        sparsity_weight: Factor of the penalty.
        l2: Weight decay of the kernels.
        activation: Activation of the code; `None` for `"sigmoid"` with `"kl"` and `"relu"` with `"l1"`.
        output_activation: `"sigmoid"` for inputs in (0, 1), `None` for others.

    Returns:
        An `Autoencoder`, which is a flat functional `keras.Model`, (batch, *input_shape) -> the same.

    Example:
        >>> from kerazoo.autoencoders.sparse import half_squared_error
        >>> model = kerazoo.sparse_autoencoder((784,), 200, sparsity=0.1, l2=3e-3)
        >>> model.compile("adam", half_squared_error)

    References:
        Ng (2011), https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf
    """
    sizes = checks.shape(input_shape, ranks=())
    if None in sizes:
        raise ValueError(f"input_shape of {name} must be fixed. Received: input_shape={input_shape!r}")
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    checks.one_of("penalty", penalty, ("kl", "l1"))
    if checks.fraction("sparsity", sparsity) == 0:
        raise ValueError(f"sparsity must be a number between 0 and 1. Received: sparsity={sparsity!r}")
    sparsity_weight = checks.non_negative("sparsity_weight", sparsity_weight)
    l2 = checks.non_negative("l2", l2)
    checks.activation("activation", activation)
    checks.activation("output_activation", output_activation)
    chosen = activation or ("sigmoid" if penalty == "kl" else "relu")
    if penalty == "kl" and chosen != "sigmoid":
        raise ValueError(
            f"activation must be 'sigmoid' with penalty='kl', which is about means in (0, 1). Received: {activation!r}"
        )

    def decay() -> Any:
        return keras.regularizers.L2(l2 / 2) if l2 else None

    inputs = x = keras.Input(sizes, name="input")
    if len(sizes) > 1:
        x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    code = layers.Dense(latent_dim, activation=chosen, kernel_regularizer=decay(), name=CODE)(x)
    quiet = SparsityPenalty(penalty, sparsity_weight, sparsity, name="sparsity")(code)
    features = math.prod(int(size or 0) for size in sizes)
    flat = {"activation": output_activation, "kernel_regularizer": decay(), "dtype": "float32"}
    if len(sizes) == 1:
        return Autoencoder(inputs, layers.Dense(features, name="reconstruction", **flat)(quiet), name=name)
    x = layers.Dense(features, name="reconstruction_flat", **flat)(quiet)
    return Autoencoder(inputs, layers.Reshape(sizes, dtype="float32", name="reconstruction")(x), name=name)
