"""The games that several papers share: of the first paper, of DCGAN, and of Wasserstein GANs with gradient penalty."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kerazoo.gans._adversarial import NoiseToImage, taken_for_made, taken_for_real

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


@keras.saving.register_keras_serializable(package="kerazoo")
class DCGAN(GAN):
    """The game of the first paper between convolutional networks; `kerazoo.dcgan` builds it."""

    def latents(self, count: Any, seed: Any) -> Any:
        return keras.random.uniform((count, self.latent_dim), -1.0, 1.0, seed=seed)

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        """Adam with a learning rate of 0.0002 and a momentum term of 0.5."""
        return keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-8)


@keras.saving.register_keras_serializable(package="kerazoo")
class WassersteinGAN(NoiseToImage):
    """Generator and critic with gradient penalty; `kerazoo.wgan_gp` builds it.

    The noise is normal. In each step the critic takes `critic_steps` turns on the same real images, with new noise,
    then the generator takes one.
    """

    SETTINGS: tuple[str, ...] = ("num_classes", "critic_steps", "penalty_weight")
    METRICS = ("gradient_penalty",)

    @property
    def turns(self) -> tuple[str, ...]:
        return ("discriminator",) * self.critic_steps + ("generator",)

    def draws(self, batch: dict[str, Any], training: bool) -> dict[str, Any]:
        def mix(count: Any, seed: Any) -> Any:
            return keras.random.uniform((count, *[1] * (len(batch["image"].shape) - 1)), seed=seed)

        return super().draws(batch, training) | {"mix": self.drawn(mix, batch, training)}

    def discriminator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """E D(G(z)) - E D(x) + lambda E (|grad D| - 1)^2"""
        made = self.generated(batch, training)
        distance = self.mean_score(made, training) - self.mean_score(batch, training)
        penalty = self.gradient_penalty(batch, made["image"], training)
        return {"critic": distance, "gradient_penalty": self.penalty_weight * penalty}

    def generator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """- E D(G(z))"""
        return -self.mean_score(self.generated(batch, training), training)

    def mean_score(self, batch: dict[str, Any], training: bool) -> Any:
        """Returns what the critic says about the images of a batch, on average."""
        return ops.mean(ops.cast(self.run(self.discriminator, batch, training), "float32"))

    def gradient_penalty(self, batch: dict[str, Any], made: Any, training: bool) -> Any:
        """E (|grad D(x)| - 1)^2 at points x between real and made images."""
        from kerazoo import _tensorflow_step

        between = batch["mix"] * batch["image"] + (1.0 - batch["mix"]) * made
        norms = _tensorflow_step.gradient_norms(
            lambda image: self.run(self.discriminator, batch | {"image": image}, training), between
        )
        return ops.mean(ops.square(norms - 1.0))

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        """Adam with a learning rate of 0.0001 and the moments 0 and 0.9."""
        return keras.optimizers.Adam(1e-4, beta_1=0.0, beta_2=0.9, epsilon=1e-8)
