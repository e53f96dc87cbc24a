"""The two halves of a trained autoencoder."""

from __future__ import annotations

import keras

from kerazoo import _graph
from kerazoo.autoencoders._models import CODE


def encoder(model: keras.Model) -> keras.Model:
    """Returns the part of an autoencoder from the input to the code; weights are shared, it can be exported.

    Args:
        model: A model with a layer named `code`, such as `kerazoo.autoencoder` or `kerazoo.vae` (the mean of its code).

    Returns:
        A functional model, inputs -> (batch, latent_dim).

    Raises:
        ValueError: If the model has no code.

    Example:
        >>> codes = kerazoo.autoencoders.encoder(model).predict(x)
    """
    return keras.Model(model.input, _code(model).output, name=f"{model.name}_encoder")


def decoder(model: keras.Model) -> keras.Model:
    """Returns the part of an autoencoder from the code to the reconstruction; weights are shared, it can be exported.

    Args:
        model: A model with a layer named `code`.

    Returns:
        A functional model, (batch, latent_dim) -> (batch, *input_shape); [code, label] -> the same where
        the model is conditional.

    Raises:
        ValueError: If the model has no code.

    Example:
        >>> kerazoo.autoencoders.decoder(model)(keras.random.normal((16, 20)))
    """
    code, name = _code(model).output, f"{model.name}_decoder"
    if not isinstance(model.input, dict):
        return keras.Model(code, model.output, name=name)
    # A part that begins both in the middle and at an input would change that input, and the model could not be saved
    # any more; so it is cut out of another graph of the same layers.
    graph = keras.models.clone_model(keras.Model(model.input, model.output), clone_function=lambda layer: layer)
    more = [tensor for key, tensor in graph.input.items() if key != "input"]
    return keras.Model([_graph.tensors(graph)[CODE][0], *more], graph.output, name=name)


def _code(model: keras.Model) -> keras.layers.Layer:
    if CODE not in [layer.name for layer in getattr(model, "layers", ())]:
        raise ValueError(f"{getattr(model, 'name', model)!r} is no autoencoder: it has no layer named {CODE!r}")
    return model.get_layer(CODE)
