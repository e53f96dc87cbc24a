"""WGAN-GP: a critic that measures a distance between distributions, kept smooth by a penalty on its gradient.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, "Improved training of Wasserstein GANs",
arXiv:1704.00028 (NeurIPS 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._adversarial import NoiseToImage
from kerazoo.gans._parts import fixed_shape, image_shape, norm_relu, plain_norm, score, uniform


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


def _initializer(fan_in: float, fan_out: float) -> keras.Initializer:
    """That of the authors' convolutions: uniform with variance 4 / (fan_in + fan_out)."""
    return uniform(math.sqrt(3 * 4 / (fan_in + fan_out)))


def _generator(
    sizes: list[tuple[int, int]], channels: int, latent_dim: int, filters: int, normalized: bool, activation: str
) -> keras.Model:
    normalization = plain_norm if normalized else None
    latent = keras.Input((latent_dim,), name="latent")
    smallest = (*sizes[-1], 4 * filters)
    x = layers.Dense(smallest[0] * smallest[1] * smallest[2], name="project")(latent)
    x = layers.Reshape(smallest, name="project_map")(norm_relu(x, "project", normalization))
    widths = (2 * filters, filters, channels)
    for index, (width, size) in enumerate(zip(widths, sizes[-2::-1], strict=True), start=1):
        last, height = index == len(widths), x.shape[1:3]
        name = "picture" if last else f"up{index}"
        dtype = {"dtype": "float32"} if last else {}
        crop = tuple((0, 2 * before - after) for before, after in zip(height, size, strict=True))
        cropped = crop != ((0, 0), (0, 0))
        x = layers.Conv2DTranspose(
            width,
            5,
            strides=2,
            padding="same",
            data_format="channels_last",
            kernel_initializer=_initializer(x.shape[-1] * 25 / 4, width * 25),
            activation=activation if last else None,
            name=f"{name}_conv" if cropped or not last else name,
            **dtype,
        )(x)
        x = x if last else norm_relu(x, name, normalization)
        x = layers.Cropping2D(crop, data_format="channels_last", name=name, **dtype)(x) if cropped else x
    return keras.Model(latent, x, name="generator")


@register_model
def wgan_gp(
    input_shape: Sequence[int] = (28, 28, 1),
    latent_dim: int = 128,
    *,
    filters: int = 64,
    normalization: str | None = None,
    picture_activation: str = "sigmoid",
    critic_steps: int = 5,
    penalty_weight: float = 10.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "wgan_gp",
) -> keras.Model:
    """Wasserstein GAN with gradient penalty, with the convolutional networks of the authors' scripts.

    By default it is the network for handwritten digits, whose images are in [0, 1]; `filters=128`,
    `normalization="batch"` and `picture_activation="tanh"` give that for CIFAR-10, in [-1, 1]. Train it with
    `model.compile()`, which takes the paper's optimisers, and `model.fit(x)`; the paper's batch has 50 or 64 images.
    `discriminator_loss` without `gradient_penalty` is minus the distance between real and made images.

    Args:
        input_shape: Shape of one image, of any fixed size.
        latent_dim: Length of the noise, which is normal.
        filters: Filters of the critic's first convolution, doubled twice; the generator mirrors them.
        normalization: `"batch"` normalises the generator's layers; the critic has none in any case.
        picture_activation: Activation of the picture: `"sigmoid"` for [0, 1], `"tanh"` for [-1, 1].
        critic_steps: Turns of the critic in each step.
        penalty_weight: Factor lambda of the gradient penalty.

    Returns:
        A `keras.Model` (batch, latent_dim) -> (batch, *input_shape) that holds the functional models `generator` and
        `discriminator`, the critic (image -> score). `model.generate(count, seed=0)` draws images.

    Example:
        >>> model = kerazoo.wgan_gp((16, 16, 1), 32, filters=16)
        >>> model.compile()
        >>> model.fit(images, epochs=50, batch_size=64)
        >>> pictures = model.generate(16)

    References:
        Gulrajani et al. (2017), https://arxiv.org/abs/1704.00028
    """
    height, width, channels = image_shape(name, fixed_shape(name, input_shape), 1)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    filters = checks.positive_int("filters", filters)
    checks.one_of("normalization", normalization, (None, "batch"))
    checks.one_of("picture_activation", picture_activation, ("sigmoid", "tanh"))
    critic_steps = checks.positive_int("critic_steps", critic_steps)
    penalty_weight = checks.non_negative("penalty_weight", penalty_weight)
    sizes = [(height, width)]
    for _ in range(3):
        sizes.append(tuple(-(-size // 2) for size in sizes[-1]))  # type: ignore[arg-type]

    generator = _generator(sizes, channels, latent_dim, filters, normalization == "batch", picture_activation)
    image = x = keras.Input((height, width, channels), name="image")
    for index, units in enumerate((filters, 2 * filters, 4 * filters), start=1):
        initializer = _initializer(x.shape[-1] * 25, units * 25 / 4)
        options = {"padding": "same", "data_format": "channels_last", "kernel_initializer": initializer}
        x = layers.Conv2D(units, 5, strides=2, name=f"down{index}_conv", **options)(x)
        x = layers.LeakyReLU(0.2, name=f"down{index}_relu")(x)
    x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    critic = keras.Model(image, score(x, "glorot_uniform"), name="discriminator")
    settings: dict[str, Any] = {"num_classes": 0, "critic_steps": critic_steps, "penalty_weight": penalty_weight}
    return WassersteinGAN(generator=generator, discriminator=critic, **settings, name=name)
