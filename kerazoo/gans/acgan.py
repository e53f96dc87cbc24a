"""AC-GAN: the discriminator also says which class an image belongs to.

A. Odena, C. Olah, J. Shlens, "Conditional image synthesis with auxiliary classifier GANs", arXiv:1610.09585
(ICML 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._adversarial import NoiseToImage, taken_for_made, taken_for_real
from kerazoo.gans._parts import down, image_shape, label_input, norm, norm_relu, normal, score, up, with_label


@keras.saving.register_keras_serializable(package="kerazoo")
class ACGAN(NoiseToImage):
    """The game with an auxiliary classifier; `kerazoo.acgan` builds it."""

    SETTINGS = (*NoiseToImage.SETTINGS, "generator_class_weight")
    METRICS = ("discriminator_class_loss", "generator_class_loss")

    def source_and_class(self, batch: dict[str, Any], training: bool) -> tuple[Any, Any]:
        """Returns the logit of being real, and -log P(C = c), the mean over the batch."""
        scores = ops.cast(self.run(self.discriminator, batch, training), "float32")
        wrong = keras.losses.sparse_categorical_crossentropy(batch["label"], scores[:, 1:], from_logits=True)
        return scores[:, :1], ops.mean(wrong)

    def discriminator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """- L_S - L_C, both on real and on made images"""
        real, wrong_of_real = self.source_and_class(batch, training)
        made, wrong_of_made = self.source_and_class(self.generated(batch, training), training)
        return {
            "source": taken_for_real(real) + taken_for_made(made),
            "discriminator_class_loss": wrong_of_real + wrong_of_made,
        }

    def generator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """L_S - w L_C, the first in the form that does not saturate"""
        made, wrong = self.source_and_class(self.generated(batch, training), training)
        return {"source": taken_for_real(made), "generator_class_loss": self.generator_class_weight * wrong}

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        """Adam with a learning rate of 0.0002 and a momentum term of 0.5."""
        return keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-8)


@register_model
def acgan(
    input_shape: Sequence[int] = (32, 32, 3),
    latent_dim: int = 100,
    *,
    num_classes: int = 10,
    generator_filters: Sequence[int] = (384, 192, 96),
    discriminator_filters: Sequence[int] = (16, 32, 64, 128, 256, 512),
    dropout_rate: float = 0.5,
    generator_class_weight: float = 1.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "acgan",
) -> keras.Model:
    """Auxiliary classifier GAN: the generator is told a class, and the discriminator has to find it out.

    Images are in [-1, 1], labels are whole numbers. Train it with `model.compile()`, which takes the paper's
    optimisers, and `model.fit(x, labels)`; the paper's batch has 100 images. Made images get the labels of the real
    ones beside them.

    Args:
        input_shape: Shape of one image; by default height and width a multiple of 8.
        latent_dim: Length of the noise, which is normal.
        num_classes: Number of classes.
        generator_filters: Filters of the generator's smallest map and behind each doubling but the last; their number
            is that of the doublings.
        discriminator_filters: Filters of the discriminator's convolutions, of which every other one, from the first
            on, halves the image; twice as many as `generator_filters`.
        dropout_rate: Fraction of the discriminator's units dropped, in [0, 1). A discriminator much smaller than the
            paper's wants less than its 0.5, or all pictures of a class may end as one.
        generator_class_weight: Factor of the class in the generator's loss. The paper's is 1; less leaves more to the
            judgement of what is real.

    Returns:
        A `keras.Model` {"latent": (batch, latent_dim), "label": (batch,)} -> (batch, *input_shape) that holds the
        functional models `generator` and `discriminator` (image -> logit of being real, then the logits of the
        classes). `model.generate(count, seed=0, labels=None)` draws images.

    Example:
        >>> model = kerazoo.acgan((16, 16, 1), 32, generator_filters=(64, 32), discriminator_filters=(16, 32, 32, 64))
        >>> model.compile()
        >>> model.fit(images, labels, epochs=50, batch_size=64)
        >>> sevens = model.generate(16, labels=7)

    References:
        Odena, Olah, Shlens (2016), https://arxiv.org/abs/1610.09585
    """
    generator_filters = checks.positive_ints("generator_filters", generator_filters)
    discriminator_filters = checks.positive_ints("discriminator_filters", discriminator_filters)
    if len(discriminator_filters) != 2 * len(generator_filters):
        raise ValueError(
            f"discriminator_filters must have twice as many entries as generator_filters={generator_filters}, so that "
            f"both halve and double the image as often. Received: discriminator_filters={discriminator_filters}"
        )
    multiple = 2 ** len(generator_filters)
    height, width, channels = image_shape(name, input_shape, multiple)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    num_classes = checks.positive_int("num_classes", num_classes)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    weight = checks.non_negative("generator_class_weight", generator_class_weight)

    latent, (label, vector) = keras.Input((latent_dim,), name="latent"), label_input(num_classes)
    x = with_label(latent, vector, "latent_label")
    smallest = (height // multiple, width // multiple, generator_filters[0])
    units = smallest[0] * smallest[1] * smallest[2]
    x = layers.Dense(units, activation="relu", kernel_initializer=normal(), name="project")(x)
    x = layers.Reshape(smallest, name="project_map")(x)
    for index, filters in enumerate(generator_filters[1:], start=1):
        x = norm_relu(up(x, filters, f"up{index}", use_bias=True), f"up{index}")
    picture = up(x, channels, "picture", use_bias=True, activation="tanh", dtype="float32")
    generator = keras.Model({"latent": latent, "label": label}, picture, name="generator")

    image = x = keras.Input((height, width, channels), name="image")
    for index, filters in enumerate(discriminator_filters, start=1):
        options: dict[str, Any] = {"strides": 1 + index % 2, "normalization": None if index == 1 else norm}
        x = down(x, filters, f"conv{index}", kernel_size=3, use_bias=True, **options)
        x = layers.Dropout(dropout_rate, name=f"conv{index}_dropout")(x)
    x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    discriminator = keras.Model(image, score(x, units=1 + num_classes), name="discriminator")
    settings: dict[str, Any] = {"num_classes": num_classes, "generator_class_weight": weight}
    return ACGAN(generator=generator, discriminator=discriminator, **settings, name=name)
