"""Conditional generative adversarial nets: generator and discriminator are both told the class.

M. Mirza, S. Osindero, "Conditional generative adversarial nets", arXiv:1411.1784, 2014.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._models import GAN
from kerazoo.gans._parts import fixed_shape, flat_picture, flattened, label_input, maxout, score, uniform


@keras.saving.register_keras_serializable(package="kerazoo")
class ConditionalGAN(GAN):
    """The game of the first paper with the class as an input of both players; `kerazoo.cgan` builds it.

    The noise is that of the code of the first paper, which shares an author: uniform with mean 0 and variance 1. With
    noise in [0, 1], as "uniform within the unit hypercube" may be read, the generator learns one picture per class.
    """

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        """SGD whose learning rate of 0.1 shrinks by a factor of 1.00004 per step, with a momentum of 0.5."""
        rate = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=1 / 1.00004)
        return keras.optimizers.SGD(rate, momentum=0.5)


@register_model
def cgan(
    input_shape: Sequence[int] = (784,),
    latent_dim: int = 100,
    *,
    num_classes: int = 10,
    latent_units: int = 200,
    label_units: int = 1000,
    joint_units: int = 1200,
    dropout_rate: float = 0.5,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "cgan",
) -> keras.Model:
    """Conditional generative adversarial net of fully connected layers, as in the paper's experiment on digits.

    Images are in [0, 1], labels are whole numbers. Train it with `model.compile()`, which takes the paper's optimisers,
    and `model.fit(x, labels)`; the paper's batch has 100 images. Made images get the labels of the real ones beside
    them.

    Args:
        input_shape: Shape of one image without the batch axis, fixed; one of several axes is flattened inside.
        latent_dim: Length of the noise, which is uniform with mean 0 and variance 1.
        num_classes: Number of classes.
        latent_units: Units of the generator's layer behind the noise.
        label_units: Units of the generator's layer behind the label.
        joint_units: Units of the generator's layer behind both.
        dropout_rate: Fraction of hidden units dropped in both networks, in [0, 1).

    Returns:
        A `keras.Model` {"latent": (batch, latent_dim), "label": (batch,)} -> (batch, *input_shape) that holds the
        functional models `generator` and `discriminator` ({"image", "label"} -> logit of being real).
        `model.generate(count, seed=0, labels=None)` draws images.

    Example:
        >>> model = kerazoo.cgan((8, 8, 1), 32)
        >>> model.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5))
        >>> model.fit(images, labels, epochs=50, batch_size=64)
        >>> sevens = model.generate(16, labels=7)

    References:
        Mirza, Osindero (2014), https://arxiv.org/abs/1411.1784
    """
    sizes = fixed_shape(name, input_shape)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    num_classes = checks.positive_int("num_classes", num_classes)
    latent_units = checks.positive_int("latent_units", latent_units)
    label_units = checks.positive_int("label_units", label_units)
    joint_units = checks.positive_int("joint_units", joint_units)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    def hidden(x: keras.KerasTensor, units: int, word: str) -> keras.KerasTensor:
        x = layers.Dense(units, activation="relu", kernel_initializer=uniform(0.05), name=word)(x)
        return layers.Dropout(dropout_rate, name=f"{word}_dropout")(x)

    def judged(x: keras.KerasTensor, units: int, pieces: int, word: str) -> keras.KerasTensor:
        x = maxout(x, units, pieces, word, uniform(0.005))
        return layers.Dropout(dropout_rate, name=f"{word}_dropout")(x)

    latent, (label, vector) = keras.Input((latent_dim,), name="latent"), label_input(num_classes)
    parts = [hidden(latent, latent_units, "latent_hidden"), hidden(vector, label_units, "label_hidden")]
    x = hidden(layers.Concatenate(name="both")(parts), joint_units, "joint_hidden")
    picture = flat_picture(x, sizes, "sigmoid", uniform(0.05))
    generator = keras.Model({"latent": latent, "label": label}, picture, name="generator")

    image, (label, vector) = keras.Input(sizes, name="image"), label_input(num_classes)
    parts = [judged(flattened(image), 240, 5, "image_maxout"), judged(vector, 50, 5, "label_maxout")]
    x = judged(layers.Concatenate(name="both")(parts), 240, 4, "joint_maxout")
    discriminator = keras.Model({"image": image, "label": label}, score(x, uniform(0.005)), name="discriminator")
    return ConditionalGAN(generator=generator, discriminator=discriminator, num_classes=num_classes, name=name)
