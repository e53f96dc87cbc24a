"""Penalties that keep most units of a code quiet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def bernoulli_divergence(target: float, mean: Any) -> Any:
    """Returns KL(target || mean) of two Bernoulli variables; a mean of 0 or 1 is taken for one close to it."""
    mean = ops.clip(mean, 1e-6, 1 - 1e-6)
    return target * ops.log(target / mean) + (1 - target) * ops.log((1 - target) / (1 - mean))


@keras.saving.register_keras_serializable(package="kerazoo")
class SparsityPenalty(keras.layers.Layer):
    """Hands its input on and adds a penalty on it to the loss in training.

    Args:
        kind: `"kl"`: weight * sum_j KL(target || mean_i a_ij), where the mean is that of the whole batch, for
            activations in (0, 1); `"l1"`: weight * mean_i sum_j |a_ij|.
        weight: Factor.
        target: Mean activation wished for, for `"kl"`.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.SparsityPenalty("kl", weight=3.0, target=0.01)

    References:
        Ng (2011), "Sparse autoencoder", CS294A lecture notes,
        https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf
    """

    def __init__(self, kind: str = "kl", weight: float = 3.0, target: float = 0.05, **options: Any) -> None:
        super().__init__(**options)
        self.kind, self.weight, self.target = kind, weight, target

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            activity = ops.cast(inputs, "float32")
            if self.kind == "kl":
                penalty = ops.sum(bernoulli_divergence(self.target, ops.mean(activity, axis=0)))
            else:
                penalty = ops.mean(ops.sum(ops.abs(activity), axis=-1))
            self.add_loss(self.weight * penalty)
        return inputs

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"kind": self.kind, "weight": self.weight, "target": self.target}
