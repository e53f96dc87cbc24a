"""The two halves of a trained autoencoder, and the model class that learns its own input."""

from __future__ import annotations

from typing import Any

import keras

CODE = "code"


@keras.saving.register_keras_serializable(package="kerazoo")
class Autoencoder(keras.Model):
    """A functional model whose target is its own input where `fit` gets no other: `model.fit(x)`."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the loss given to `compile` between input and reconstruction, and the penalties of layers."""
        return super().compute_loss(x, own_input(x) if y is None else y, y_pred, sample_weight, training)


def own_input(x: Any) -> Any:
    """Returns what is to be reconstructed among the inputs of a model: the first one, named `input`."""
    return x["input"] if isinstance(x, dict) else x


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
    code = _code(model).output
    more = [tensor for name, tensor in model.input.items() if name != "input"] if isinstance(model.input, dict) else []
    return keras.Model([code, *more] if more else code, model.output, name=f"{model.name}_decoder")


def _code(model: keras.Model) -> keras.layers.Layer:
    if CODE not in [layer.name for layer in getattr(model, "layers", ())]:
        raise ValueError(f"{getattr(model, 'name', model)!r} is no autoencoder: it has no layer named {CODE!r}")
    return model.get_layer(CODE)
