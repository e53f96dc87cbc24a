"""The model classes of the autoencoders, which learn to give back their own input."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerazoo import checks
from kerazoo.losses._mean import mean_over_batch

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


@keras.saving.register_keras_serializable(package="kerazoo")
class VariationalAutoencoder(keras.Model):
    """A functional model trained by the evidence lower bound; `kerazoo.vae` and its relatives build it.

    Compile it without a loss and call `fit(x)`: the loss is the negative log-likelihood of the input in nats, added up
    over its values (Bernoulli where the output is a sigmoid, else normal with variance 1), plus the divergence of the
    code, which its layer adds. Both are means over the batch. In inference the code is its mean.
    """

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the negative bound; at `evaluate` without the noise of the code, see `bound` for the real one."""
        nats = negative_log_likelihood(self, own_input(x) if y is None else y, y_pred)
        return mean_over_batch(nats, sample_weight) + mean_over_batch(ops.reshape(sum(self.losses), (1,)))

    def generate(self, count: int, *, seed: int = 0, labels: Any = None, batch_size: int = 256) -> Any:
        """Draws new samples: codes from N(0, I), decoded.

        Args:
            count: How many.
            seed: The same one gives the same samples.
            labels: Of a conditional model: the class of all of them, or one per sample; `None` takes them in turn.
            batch_size: Samples at once.

        Returns:
            Array (count, *input_shape): means of the distribution of the data given the code.

        Raises:
            ValueError: If an argument has a value that cannot work.

        Example:
            >>> pictures = model.generate(16, seed=1)
        """
        from kerazoo.autoencoders._parts import decoder

        count, batch_size = checks.positive_int("count", count), checks.positive_int("batch_size", batch_size)
        half, size = decoder(self), self.get_layer(CODE).output.shape[-1]
        code, more = keras.random.normal((count, size), seed=seed), self._one_hot(labels, count)
        given = [code, *more] if more else code
        found = [
            half(keras.tree.map_structure(lambda part: part[start : start + batch_size], given))  # noqa: B023
            for start in range(0, count, batch_size)
        ]
        return np.concatenate([ops.convert_to_numpy(part) for part in found])

    def _one_hot(self, labels: Any, count: int) -> list[Any]:
        """Returns the labels a conditional model is to be told, in a list; an empty one for other models."""
        if not isinstance(self.input, dict):
            if labels is not None:
                raise ValueError(f"labels: {self.name} knows no classes. Received: labels={labels!r}")
            return []
        classes = self.input["label"].shape[-1]
        found = np.arange(count) % classes if labels is None else np.asarray(labels)
        fits = np.issubdtype(found.dtype, np.integer) and found.shape in ((), (count,))
        if not fits or np.any(found < 0) or np.any(found >= classes):
            raise ValueError(
                f"labels must be a whole number from 0 to {classes - 1}, or {count} of them. "
                f"Received: labels={labels!r}"
            )
        return [ops.one_hot(np.broadcast_to(found, (count,)), classes)]


def negative_log_likelihood(model: keras.Model, x: Any, reconstruction: Any) -> Any:
    """Returns -log p(x | z) in nats per sample, added up over all values."""
    x, axes = ops.cast(x, "float32"), tuple(range(1, len(reconstruction.shape)))
    if is_bernoulli(model):
        p = ops.clip(reconstruction, 1e-7, 1 - 1e-7)
        return -ops.sum(x * ops.log(p) + (1 - x) * ops.log(1 - p), axis=axes)
    constant = 0.5 * math.log(2 * math.pi)
    return ops.sum(0.5 * ops.square(x - reconstruction) + constant, axis=axes)


def is_bernoulli(model: keras.Model) -> bool:
    """Whether the outputs are probabilities of ones."""
    names = [layer.name for layer in model.layers]
    last = model.get_layer("reconstruction_flat" if "reconstruction_flat" in names else "reconstruction")
    return last.activation is keras.activations.sigmoid
