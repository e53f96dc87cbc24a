"""The stochastic code of a variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def gaussian_divergence(mean: Any, log_variance: Any) -> Any:
    """Returns KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, added up over the last axis."""
    return -0.5 * ops.sum(1.0 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=-1)


@keras.saving.register_keras_serializable(package="kerazoo")
class GaussianSampling(keras.layers.Layer):
    """Draws z = mean + exp(log_variance / 2) * noise in training, else gives the mean; adds beta * KL to the loss.

    Call arguments:
        mean: (batch, latent_dim).
        log_variance: The same shape.

    Args:
        beta: Weight of the divergence from N(0, I), in nats per sample.
        capacity: `None`, or a divergence in nats that is free: the loss is then beta * |KL - capacity|.
        seed: Fixes the noise.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> z = kerazoo.layers.GaussianSampling()(mean, log_variance)

    References:
        Kingma, Welling (2013), https://arxiv.org/abs/1312.6114; the capacity is that of Burgess et al. (2018),
        https://arxiv.org/abs/1804.03599
    """

    def __init__(
        self, beta: float = 1.0, capacity: float | None = None, seed: int | None = None, **options: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **options})  # exponentials of half precision overflow at 11
        self.beta, self.capacity, self.seed = beta, capacity, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, mean: Any, log_variance: Any, training: bool = False) -> Any:
        divergence = ops.mean(gaussian_divergence(mean, log_variance))
        if self.capacity is not None:
            divergence = ops.abs(divergence - self.capacity)
        self.add_loss(self.beta * divergence)
        return draw(mean, log_variance, self.seed_generator) if training else mean

    def compute_output_shape(
        self, mean_shape: Sequence[int | None], log_variance_shape: Any = None
    ) -> tuple[int | None, ...]:
        return tuple(mean_shape)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Element-wise work is not counted."""
        return 0

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"beta": self.beta, "capacity": self.capacity, "seed": self.seed}


def draw(mean: Any, log_variance: Any, seed: Any) -> Any:
    """Returns one sample of N(mean, exp(log_variance)) per row."""
    return mean + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=seed)
