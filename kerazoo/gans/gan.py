"""Generative adversarial nets: a generator that learns to fool a discriminator, both fully connected.

I. J. Goodfellow, J. Pouget-Abadie, M. Mirza, B. Xu, D. Warde-Farley, S. Ozair, A. Courville, Y. Bengio, "Generative
adversarial nets", arXiv:1406.2661 (NeurIPS 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._adversarial import NoiseToImage, taken_for_made, taken_for_real
from kerazoo.gans._parts import fixed_shape, flat_picture, flattened, maxout, score, uniform

_SPREAD = math.sqrt(3)  # U(-sqrt 3, sqrt 3) has variance 1


@keras.saving.register_keras_serializable(package="kerazoo")
class GAN(NoiseToImage):
    """The game of the paper, with the generator's loss that does not saturate; `kerazoo.gan` builds it."""

    def latents(self, count: Any, seed: Any) -> Any:
        return keras.random.uniform((count, self.latent_dim), -_SPREAD, _SPREAD, seed=seed)

    def discriminator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """- log D(x) - log(1 - D(G(z)))"""
        real, made = (self.run(self.discriminator, x, training) for x in (batch, self.generated(batch, training)))
        return taken_for_real(real) + taken_for_made(made)

    def generator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """- log D(G(z))"""
        return taken_for_real(self.run(self.discriminator, self.generated(batch, training), training))

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        """SGD whose learning rate of 0.1 shrinks by a factor of 1.000004 per step, with a momentum of 0.5."""
        rate = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=1 / 1.000004)
        return keras.optimizers.SGD(rate, momentum=0.5)


@register_model
def gan(
    input_shape: Sequence[int] = (784,),
    latent_dim: int = 100,
    *,
    hidden_units: Sequence[int] = (1200, 1200),
    maxout_units: Sequence[int] = (240, 240),
    pieces: int = 5,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "gan",
) -> keras.Model:
    """Generative adversarial net of fully connected layers, as the authors trained it on handwritten digits.

    Images are in [0, 1]. Train it with `model.compile()`, which takes the paper's optimisers, and `model.fit(x)`; the
    paper's batch has 100 images.

    Args:
        input_shape: Shape of one image without the batch axis, fixed; one of several axes is flattened inside.
        latent_dim: Length of the noise, which is uniform with variance 1.
        hidden_units: Units of the generator's layers.
        maxout_units: Units of the discriminator's layers.
        pieces: Linear pieces of each maxout unit.

    Returns:
        A `keras.Model` (batch, latent_dim) -> (batch, *input_shape) that holds the functional models `generator` and
        `discriminator` (image -> logit of being real). `model.generate(count, seed=0)` draws images.

    Example:
        >>> model = kerazoo.gan((8, 8, 1), 32, hidden_units=(128, 128), maxout_units=(64, 64))
        >>> model.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5))
        >>> model.fit(images, epochs=50, batch_size=64)
        >>> pictures = model.generate(16)

    References:
        Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661
    """
    sizes = fixed_shape(name, input_shape)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    hidden_units = checks.positive_ints("hidden_units", hidden_units)
    maxout_units = checks.positive_ints("maxout_units", maxout_units)
    pieces = checks.positive_int("pieces", pieces)

    latent = x = keras.Input((latent_dim,), name="latent")
    for index, units in enumerate(hidden_units, start=1):
        x = layers.Dense(units, activation="relu", kernel_initializer=uniform(0.05), name=f"hidden{index}")(x)
    generator = keras.Model(latent, flat_picture(x, sizes, "sigmoid", uniform(0.05)), name="generator")

    image = keras.Input(sizes, name="image")
    x = layers.Dropout(0.2, name="image_dropout")(flattened(image))
    for index, units in enumerate(maxout_units, start=1):
        x = maxout(x, units, pieces, f"maxout{index}", uniform(0.005))
        x = layers.Dropout(0.5, name=f"maxout{index}_dropout")(x)
    discriminator = keras.Model(image, score(x, uniform(0.005)), name="discriminator")
    return GAN(generator=generator, discriminator=discriminator, num_classes=0, name=name)
