"""DCGAN: a generator and a discriminator of strided convolutions and batch normalisation.

A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", arXiv:1511.06434 (ICLR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._models import DCGAN
from kerazoo.gans._parts import down, fixed_shape, halvings, image_shape, norm, norm_relu, normal, score, up


@register_model
def dcgan(
    input_shape: Sequence[int] = (64, 64, 3),
    latent_dim: int = 100,
    *,
    filters: int = 128,
    depth: int | None = None,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "dcgan",
) -> keras.Model:
    """Deep convolutional generative adversarial network.

    Images are in [-1, 1]. Train it with `model.compile()`, which takes the paper's optimisers, and `model.fit(x)`; the
    paper's batch has 128 images.

    Args:
        input_shape: Shape of one image; an even height and width of at least 8.
        latent_dim: Length of the noise, which is uniform in [-1, 1].
        filters: Filters of the discriminator's first convolution, doubled at each halving; the generator mirrors them.
        depth: Number of halvings. Defaults to as many as leave 4 to 7 pixels, as in the paper: two for 28 x 28 pixels,
            four for 64 x 64. Smaller images are halved twice, too, where their size allows it, since a discriminator
            of one convolution teaches little.

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
    depth = None if depth is None else checks.positive_int("depth", depth)
    height, width, channels = image_shape(name, fixed_shape(name, input_shape), 2 ** (depth or 1))
    if min(height, width) < 8:
        raise ValueError(f"input_shape of {name} must be at least 8 x 8. Received: input_shape={input_shape!r}")
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    filters = checks.positive_int("filters", filters)
    steps = depth or max(halvings(height, width), 1 if height % 4 or width % 4 else 2)
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
