"""DCGAN: a generator and a discriminator of strided convolutions and batch normalisation.

A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", arXiv:1511.06434 (ICLR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._parts import down, fixed_shape, halvings, image_shape, norm, norm_relu, normal, score, up
from kerazoo.gans.gan import GAN


@keras.saving.register_keras_serializable(package="kerazoo")
class DCGAN(GAN):
    """The game of the first paper between convolutional networks; `kerazoo.dcgan` builds it."""

    def latents(self, count: Any, seed: Any) -> Any:
        return keras.random.uniform((count, self.latent_dim), -1.0, 1.0, seed=seed)

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        """Adam with a learning rate of 0.0002 and a momentum term of 0.5."""
        return keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-8)


@register_model
def dcgan(
    input_shape: Sequence[int] = (64, 64, 3),
    latent_dim: int = 100,
    *,
    filters: int = 128,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "dcgan",
) -> keras.Model:
    """Deep convolutional generative adversarial network.

    Images are in [-1, 1]. Train it with `model.compile()`, which takes the paper's optimisers, and `model.fit(x)`; the
    paper's batch has 128 images. Size and depth go together: images are halved until they are 4 to 7 pixels small, so
    28 x 28 pixels make two steps, 64 x 64 four.

    Args:
        input_shape: Shape of one image; an even height and width of at least 8.
        latent_dim: Length of the noise, which is uniform in [-1, 1].
        filters: Filters of the discriminator's first convolution, doubled at each step; the generator mirrors them.

    Returns:
        A `keras.Model` (batch, latent_dim) -> (batch, *input_shape) that holds the functional models `generator` and
        `discriminator` (image -> logit of being real). `model.generate(count, seed=0)` draws images.

    Example:
        >>> model = kerazoo.dcgan((16, 16, 1), 32, filters=32)
        >>> model.compile()
        >>> model.fit(images, epochs=50, batch_size=64)
        >>> pictures = model.generate(16)

    References:
        Radford, Metz, Chintala (2015), https://arxiv.org/abs/1511.06434
    """
    height, width, channels = image_shape(name, fixed_shape(name, input_shape), 2)
    if min(height, width) < 8:
        raise ValueError(f"input_shape of {name} must be at least 8 x 8. Received: input_shape={input_shape!r}")
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    filters = checks.positive_int("filters", filters)
    steps = halvings(height, width)
    widths = [filters * 2**step for step in range(steps)]  # from the picture inwards

    latent = keras.Input((latent_dim,), name="latent")
    smallest = (height >> steps, width >> steps, widths[-1])
    units = smallest[0] * smallest[1] * smallest[2]
    x = layers.Dense(units, use_bias=False, kernel_initializer=normal(), name="project")(latent)
    x = norm_relu(layers.Reshape(smallest, name="project_map")(x), "project")
    for index, width_there in enumerate(widths[-2::-1], start=1):
        x = norm_relu(up(x, width_there, f"up{index}"), f"up{index}")
    picture = up(x, channels, "picture", activation="tanh", dtype="float32")
    generator = keras.Model(latent, picture, name="generator")

    image = x = keras.Input((height, width, channels), name="image")
    for index, width_there in enumerate(widths, start=1):
        x = down(x, width_there, f"down{index}", normalization=None if index == 1 else norm)
    x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    discriminator = keras.Model(image, score(x, use_bias=False), name="discriminator")
    return DCGAN(generator=generator, discriminator=discriminator, num_classes=0, name=name)
