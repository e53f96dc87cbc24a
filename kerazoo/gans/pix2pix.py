"""pix2pix: a U-Net turns one kind of image into another, and a discriminator judges its patches.

P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-image translation with conditional adversarial networks",
arXiv:1611.07004 (CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import keras
from keras import layers, ops

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._adversarial import AdversarialModel, taken_for_made, taken_for_real
from kerazoo.gans._parts import normal
from kerazoo.gans._patches import check_sizes, normalised, patch_discriminator

_FORMAT = {"data_format": "channels_last"}
_WIDEST = 8  # times the filters of the first layer
_FIRST_WITH_DROPOUT = 5  # of eight levels, counted from the outermost


@keras.saving.register_keras_serializable(package="kerazoo")
class Pix2Pix(AdversarialModel):
    """A generator that turns a source into a target, and a discriminator that sees both; `kerazoo.pix2pix` builds it.

    Images are in [-1, 1]. `fit(sources, targets)` takes them in pairs, as does a data set.

    Args:
        generator: Source -> target.
        discriminator: Source and target -> one logit per patch.
        l1_weight: Weight of the mean absolute error beside the adversarial loss.
        **options: Those of every `AdversarialModel`.
    """

    SETTINGS = ("l1_weight",)
    METRICS = ("adversarial", "l1")

    def batch(self, data: Any) -> dict[str, Any]:
        source, target = pair(self, data, self.generator.input, self.generator.output, "targets")
        return {"image": source, "source": source, "target": target}

    def discriminator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """Half of log D(x, y) + log(1 - D(x, G(x))): the paper slows the discriminator down."""
        made = batch | {"target": ops.stop_gradient(self.run(self.generator, batch, training))}
        real = taken_for_real(self.run(self.discriminator, batch, training))
        return (real + taken_for_made(self.run(self.discriminator, made, training))) / 2

    def generator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """-log D(x, G(x)), and the distance to the target."""
        made = self.run(self.generator, batch, training)
        judged = self.run(self.discriminator, batch | {"target": made}, training)
        distance = ops.mean(ops.absolute(made - batch["target"]))
        return {"adversarial": taken_for_real(judged), "l1": self.l1_weight * distance}

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        return keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-8)

    def translate(self, images: Any, *, batch_size: int = 8) -> Any:
        """Turns sources into targets.

        Args:
            images: Array (count, height, width, channels) in [-1, 1].
            batch_size: Images at once.

        Returns:
            Array of the same count, height and width in [-1, 1].

        Example:
            >>> model.translate(sources)
        """
        return self.generator.predict(images, batch_size, verbose=0)


def pair(model: keras.Model, data: Any, first: Any, second: Any, missing: str) -> tuple[Any, Any]:
    """Returns the two images of a step as float32; refuses other shapes than those of two tensors of the model."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError(f"{model.name} takes no sample_weight: all samples of a batch count the same.")
    if y is None:
        raise ValueError(f"{model.name} learns from two images at a time: fit(images, {missing}).")
    found = [ops.cast(ops.convert_to_tensor(image), "float32") for image in (x, y)]
    for image, wanted in zip(found, (first.shape[1:], second.shape[1:]), strict=True):
        fits = len(image.shape) == 4 and all(
            size in (None, have) for size, have in zip(wanted, image.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"{model.name} was built for images of shape {tuple(wanted)}. Received: {tuple(image.shape[1:])}"
            )
    return found[0], found[1]


class Pix2PixOptions(TypedDict, total=False):
    """Keyword arguments beside sizes."""

    normalization: str
    dropout_rate: float
    l1_weight: float
    weights: str | None
    dtype: str | None
    name: str


@register_model
def pix2pix(
    input_shape: Sequence[int | None] = (256, 256, 3),
    num_channels: int = 3,
    *,
    filters: int = 64,
    depth: int = 8,
    normalization: str = "batch",
    discriminator_filters: int = 64,
    discriminator_layers: int = 3,
    dropout_rate: float = 0.5,
    l1_weight: float = 100.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "pix2pix",
) -> keras.Model:
    """Image to image, learnt from pairs: pix2pix with a U-Net and a discriminator of patches of 70 x 70 pixels.

    Images are in [-1, 1]. Compile it without a loss and call `fit(sources, targets)`. `model.generator` and
    `model.discriminator` are functional models, which can be exported.

    Args:
        num_channels: Channels of the target; `input_shape` is that of the source.
        filters: Filters of the generator's first layer; they double down to eight times as many.
        depth: Times the generator halves the map; 8 makes one pixel of 256.
        normalization: `"batch"`, or `"instance"`: each channel of each image by itself, which is what batch
            normalisation does in the paper, whose batches have one image.
        discriminator_filters: Filters of the discriminator's first layer.
        discriminator_layers: Its convolutions with stride 2: 1, 3 and 5 look at patches of 16, 70 and 286 pixels.
        dropout_rate: Dropout in the expanding path from the fifth level on, in [0, 1).
        l1_weight: Weight of the mean absolute error.

    Returns:
        A `keras.Model`, source -> target, with the parts `generator` and `discriminator`.

    Example:
        >>> model = kerazoo.pix2pix((64, 64, 1), 1, filters=16, depth=5)
        >>> model.compile()

    References:
        Isola, Zhu, Zhou, Efros (2017), https://arxiv.org/abs/1611.07004
    """
    counts = {
        **{"num_channels": num_channels, "filters": filters, "depth": depth},
        **{"discriminator_filters": discriminator_filters, "discriminator_layers": discriminator_layers},
    }
    for word, value in counts.items():
        checks.positive_int(word, value)
    checks.one_of("normalization", normalization, ("batch", "instance"))
    dropout_rate, l1_weight = checks.fraction("dropout_rate", dropout_rate), checks.non_negative("l1_weight", l1_weight)
    sizes = checks.image_shape(input_shape, model=name)
    check_sizes(sizes, discriminator_layers, 2**depth, name)
    generator = _generator(sizes, num_channels, filters, depth, normalization, dropout_rate)
    source = keras.Input(sizes, name="source")
    target = keras.Input((*sizes[:2], num_channels), name="target")
    discriminator = patch_discriminator(
        {"source": source, "target": target},
        filters=discriminator_filters,
        num_layers=discriminator_layers,
        normalization=normalization,
        name="discriminator",
    )
    return Pix2Pix(generator=generator, discriminator=discriminator, l1_weight=l1_weight, name=name)


@register_model(family=pix2pix)
def pix2pix_small(
    input_shape: Sequence[int | None] = (64, 64, 1),
    num_channels: int = 1,
    *,
    filters: int = 16,
    depth: int = 5,
    discriminator_filters: int = 16,
    discriminator_layers: int = 2,
    **options: Unpack[Pix2PixOptions],
) -> keras.Model:
    """The pix2pix that a laptop trains in minutes: a quarter of the filters, five levels, patches of 34 x 34 pixels.

    Example:
        >>> model = kerazoo.pix2pix_small((64, 64, 3), 1)
    """
    return pix2pix(
        input_shape, num_channels, filters=filters, depth=depth, discriminator_filters=discriminator_filters,
        discriminator_layers=discriminator_layers, **options,
    )  # fmt: skip


def _generator(
    sizes: checks.Shape, num_channels: int, filters: int, depth: int, normalization: str, dropout_rate: float
) -> keras.Model:
    """The U-Net of the paper: every layer halves or doubles the map, with a kernel of 4 x 4."""
    x = source = keras.Input(sizes, name="source")
    has_bias, skips = normalization == "instance", []
    for level in range(1, depth + 1):
        x = x if level == 1 else layers.LeakyReLU(0.2, name=f"down{level}_leaky_relu")(x)
        width = filters * min(2 ** (level - 1), _WIDEST)
        x = layers.Conv2D(
            width, 4, strides=2, padding="same", use_bias=has_bias, kernel_initializer=normal(),
            name=f"down{level}_conv", **_FORMAT,
        )(x)  # fmt: skip
        x = normalised(x, normalization, f"down{level}_norm") if 1 < level < depth else x
        skips.append(x)
    for level in range(depth - 1, 0, -1):
        x = layers.Activation("relu", name=f"up{level}_relu")(x)
        width = filters * min(2 ** (level - 1), _WIDEST)
        x = layers.Conv2DTranspose(
            width, 4, strides=2, padding="same", use_bias=has_bias, kernel_initializer=normal(),
            name=f"up{level}_conv", **_FORMAT,
        )(x)  # fmt: skip
        x = normalised(x, normalization, f"up{level}_norm")
        if level >= _FIRST_WITH_DROPOUT and dropout_rate > 0:
            x = layers.Dropout(dropout_rate, name=f"up{level}_dropout")(x)
        x = layers.Concatenate(name=f"up{level}_concat")([skips[level - 1], x])
    x = layers.Activation("relu", name="target_relu")(x)
    head = layers.Conv2DTranspose(
        num_channels, 4, strides=2, padding="same", activation="tanh", kernel_initializer=normal(), dtype="float32",
        name="target", **_FORMAT,
    )  # fmt: skip
    return keras.Model(source, head(x), name="generator")
