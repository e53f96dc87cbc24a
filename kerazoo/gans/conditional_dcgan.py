"""Conditional DCGAN: the label joins every layer of both networks, as in the authors' script for handwritten digits.

A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", arXiv:1511.06434 (ICLR 2016), and the code published with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._parts import (
    bare_norm,
    down,
    image_shape,
    label_input,
    norm_relu,
    normal,
    score,
    up,
    with_label,
)
from kerazoo.gans.dcgan import DCGAN


@register_model
def conditional_dcgan(
    input_shape: Sequence[int] = (28, 28, 1),
    latent_dim: int = 100,
    *,
    num_classes: int = 10,
    filters: int = 64,
    hidden_units: int = 1024,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "conditional_dcgan",
) -> keras.Model:
    """DCGAN that is told which class to make and to judge, at every layer.

    Images are in [0, 1], labels are whole numbers. Train it with `model.compile()`, which takes the paper's optimisers,
    and `model.fit(x, labels)`; the paper's batch has 128 images. Made images get the labels of the real ones beside
    them.

    Args:
        input_shape: Shape of one image; height and width a multiple of 4.
        latent_dim: Length of the noise, which is uniform in [-1, 1].
        num_classes: Number of classes.
        filters: Filters of the discriminator's first convolution; the second has twice as many, and the generator
            mirrors them.
        hidden_units: Units of the fully connected layer of both.

    Returns:
        A `keras.Model` {"latent": (batch, latent_dim), "label": (batch,)} -> (batch, *input_shape) that holds the
        functional models `generator` and `discriminator` ({"image", "label"} -> logit of being real).
        `model.generate(count, seed=0, labels=None)` draws images.

    Example:
        >>> model = kerazoo.conditional_dcgan((16, 16, 1), 32, filters=32, hidden_units=256)
        >>> model.compile()
        >>> model.fit(images, labels, epochs=50, batch_size=64)
        >>> sevens = model.generate(16, labels=7)

    References:
        Radford, Metz, Chintala (2015), https://arxiv.org/abs/1511.06434; Mirza, Osindero (2014),
        https://arxiv.org/abs/1411.1784
    """
    height, width, channels = image_shape(name, input_shape, 4)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    num_classes = checks.positive_int("num_classes", num_classes)
    filters = checks.positive_int("filters", filters)
    hidden_units = checks.positive_int("hidden_units", hidden_units)

    def dense(x: keras.KerasTensor, units: int, word: str) -> keras.KerasTensor:
        return layers.Dense(units, use_bias=False, kernel_initializer=normal(), name=word)(x)

    latent, (label, vector) = keras.Input((latent_dim,), name="latent"), label_input(num_classes)
    x = norm_relu(dense(with_label(latent, vector, "latent_label"), hidden_units, "hidden"), "hidden", bare_norm)
    smallest = (height // 4, width // 4, 2 * filters)
    x = dense(with_label(x, vector, "hidden_label"), smallest[0] * smallest[1] * smallest[2], "project")
    x = layers.Reshape(smallest, name="project_map")(norm_relu(x, "project", bare_norm))
    x = norm_relu(up(with_label(x, vector, "project_label"), filters, "up1"), "up1", bare_norm)
    picture = up(with_label(x, vector, "up1_label"), channels, "picture", activation="sigmoid", dtype="float32")
    generator = keras.Model({"latent": latent, "label": label}, picture, name="generator")

    image, (label, vector) = keras.Input((height, width, channels), name="image"), label_input(num_classes)
    x = down(with_label(image, vector, "image_label"), filters, "down1", normalization=None)
    x = down(with_label(x, vector, "down1_label"), 2 * filters, "down2", normalization=bare_norm)
    x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    x = bare_norm(dense(with_label(x, vector, "down2_label"), hidden_units, "hidden"), "hidden_bn")
    x = layers.LeakyReLU(0.2, name="hidden_relu")(x)
    judged = score(with_label(x, vector, "hidden_label"), use_bias=False)
    discriminator = keras.Model({"image": image, "label": label}, judged, name="discriminator")
    return DCGAN(generator=generator, discriminator=discriminator, num_classes=num_classes, name=name)
