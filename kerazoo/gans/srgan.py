"""SRGAN: super-resolution that is judged by a discriminator and by what another network sees, not by pixels alone.

C. Ledig, L. Theis, F. Huszar, J. Caballero, A. Cunningham, A. Acosta, A. Aitken, A. Tejani, J. Totz, Z. Wang, W. Shi,
"Photo-realistic single image super-resolution using a generative adversarial network", arXiv:1609.04802 (CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import keras
from keras import layers, ops

from kerazoo import blocks, checks
from kerazoo.catalog import create_model, register_model
from kerazoo.gans._adversarial import AdversarialModel, taken_for_made, taken_for_real
from kerazoo.gans._pairs import pair

_FORMAT = {"data_format": "channels_last"}
_STEPS = ((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2))  # times the filters, stride
FEATURE_SCALE = 1 / 12.75  # brings losses of VGG's features to about those of pixels


@keras.saving.register_keras_serializable(package="kerazoo")
class SRGAN(AdversarialModel):
    """An SRResNet, a discriminator and a network whose features are to agree; `kerazoo.srgan` builds it.

    Small images are in [0, 1], large ones in [-1, 1]. `fit(small, large)` takes them in pairs, as does a data set.

    Args:
        generator: Small image -> large image.
        discriminator: Large image -> logit.
        perceptual: Large image -> features; `None` compares pixels.
        adversarial_weight: Weight of the adversarial loss beside that of the content.
        **options: Those of every `AdversarialModel`.
    """

    PARTS = ("generator", "discriminator", "perceptual")
    SETTINGS = ("adversarial_weight",)
    METRICS = ("content", "adversarial")

    def build(self, input_shape: Any = None) -> None:
        if self.perceptual is not None:
            self.perceptual.trainable = False
        super().build(input_shape)

    def batch(self, data: Any) -> dict[str, Any]:
        small, large = pair(self, data, self.generator.input, self.discriminator.input, "large images")
        return {"image": large, "small": small}

    def discriminator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """log D(large) + log(1 - D(G(small)))."""
        made = ops.stop_gradient(self.generator(batch["small"], training=training))
        real = taken_for_real(self.discriminator(batch["image"], training=training))
        return real + taken_for_made(self.discriminator(made, training=training))

    def generator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """The distance of the contents, and -log D(G(small))."""
        made = self.generator(batch["small"], training=training)
        content = ops.mean(ops.square(self._seen(made) - self._seen(batch["image"])))
        judged = taken_for_real(self.discriminator(made, training=training))
        return {"content": content, "adversarial": self.adversarial_weight * judged}

    def _seen(self, images: Any) -> Any:
        return images if self.perceptual is None else ops.cast(self.perceptual(images, training=False), "float32")

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        return keras.optimizers.Adam(1e-4, beta_1=0.9, epsilon=1e-8)

    def upscale(self, images: Any, *, batch_size: int = 8) -> Any:
        """Makes images larger.

        Args:
            images: Array (count, height, width, channels) in [0, 1], of the size the model was built for.
            batch_size: Images at once.

        Returns:
            Array (count, scale height, scale width, channels) in [-1, 1].

        Example:
            >>> model.upscale(small_images)
        """
        return self.generator.predict(images, batch_size, verbose=0)


def vgg19_features(channels: int = 3, *, weights: str | None = None) -> keras.Model:
    """Returns the part of a VGG-19 that the paper compares images by: up to the 4th convolution of its 5th stage.

    Args:
        channels: Channels of the images; `weights` of ImageNet need 3.
        weights: As in `kerazoo.vgg19`; `None` leaves them random, which still compares edges and textures.

    Returns:
        A functional `keras.Model`, images in [-1, 1] -> features, scaled as in the paper.

    Raises:
        ValueError: If the weights do not fit.

    Example:
        >>> model = kerazoo.srgan(perceptual_network=kerazoo.gans.vgg19_features(weights="imagenet"))

    References:
        Ledig et al. (2017), section 2.2.1, https://arxiv.org/abs/1609.04802
    """
    from kerazoo.weights.imagenet import SCALES

    offset: Any = tuple(127.5 + value for value in SCALES["caffe"][1]) if channels == 3 else 0.0
    network = create_model(
        "vgg19",
        (None, None, channels), include_top=False, include_preprocessing=(127.5, offset), weights=weights,
        name="vgg19_features",
    )  # fmt: skip
    features = layers.Rescaling(FEATURE_SCALE, name="scaled")(network.get_layer("stage5_out").output)
    return keras.Model(network.input, features, name="vgg19_features")


class SRGANOptions(TypedDict, total=False):
    """Keyword arguments beside sizes, factor and depth."""

    global_skip: bool
    output_activation: Any
    perceptual_network: Any
    adversarial_weight: float
    weights: str | None
    dtype: str | None
    name: str


@register_model
def srgan(
    input_shape: Sequence[int | None] = (24, 24, 3),
    num_channels: int = 3,
    *,
    scale: int = 4,
    filters: int = 64,
    num_blocks: int = 16,
    discriminator_filters: int = 64,
    dense_units: int = 1024,
    global_skip: bool = False,
    output_activation: Any = None,
    perceptual_network: Any = None,
    adversarial_weight: float = 1e-3,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "srgan",
) -> keras.Model:
    """SRGAN: makes images `scale` times larger, with textures that a discriminator takes for real ones.

    Small images are in [0, 1], large ones in [-1, 1]. Compile it without a loss and call `fit(small, large)`. The paper
    starts from a trained SRResNet: `kerazoo.load_weights(model.generator, path)`. `model.generator` is one.

    Args:
        input_shape: Shape of a small image, fixed, since the discriminator ends in dense layers. Images of any size
            come out of a `kerazoo.srresnet((None, None, 3), 3)` with the weights of the generator.
        num_channels: Channels of the large image.
        scale: How many times larger the image becomes: 2, 4, 8, ...
        filters: Filters of the generator.
        num_blocks: Its residual blocks.
        discriminator_filters: Filters of the discriminator's first layer, which double up to eight times as many.
        dense_units: Units of its dense layer.
        global_skip: As in `kerazoo.srresnet`.
        perceptual_network: What the content of two large images is compared by: a Keras model, the path of a `.keras`
            file, or `"vgg19"` for one with random weights; `None` compares pixels, the paper's SRGAN-MSE. See
            `kerazoo.gans.vgg19_features` for the paper's SRGAN-VGG54.
        adversarial_weight: Weight of the adversarial loss beside that of the content.

    Returns:
        A `keras.Model`, small image -> large image, with the parts `generator` and `discriminator`.

    Example:
        >>> model = kerazoo.srgan((24, 24, 1), 1, scale=2, filters=32, num_blocks=4)
        >>> model.compile()

    References:
        Ledig et al. (2017), https://arxiv.org/abs/1609.04802
    """
    counts = {"discriminator_filters": discriminator_filters, "dense_units": dense_units}
    for word, value in counts.items():
        checks.positive_int(word, value)
    adversarial_weight = checks.non_negative("adversarial_weight", adversarial_weight)
    sizes = checks.image_shape(input_shape, model=name, dynamic="its discriminator ends in dense layers")
    generator = create_model(
        "srresnet",
        sizes, num_channels, scale=scale, filters=filters, num_blocks=num_blocks, global_skip=global_skip,
        output_activation=output_activation, name="generator",
    )  # fmt: skip
    large = generator.output.shape[1:]
    return SRGAN(
        generator=generator,
        discriminator=_discriminator(large, discriminator_filters, dense_units),
        perceptual=_perceptual(perceptual_network, large),
        adversarial_weight=adversarial_weight,
        name=name,
    )


@register_model(family=srgan)
def srgan_small(
    input_shape: Sequence[int | None] = (24, 24, 3),
    num_channels: int = 3,
    *,
    scale: int = 2,
    filters: int = 32,
    num_blocks: int = 4,
    discriminator_filters: int = 16,
    dense_units: int = 64,
    **options: Unpack[SRGANOptions],
) -> keras.Model:
    """SRGAN that a laptop trains in minutes: twice as large, four blocks of 32 filters, a quarter of the judge.

    Example:
        >>> model = kerazoo.srgan_small((24, 24, 1), 1)
    """
    return srgan(
        input_shape, num_channels, scale=scale, filters=filters, num_blocks=num_blocks,
        discriminator_filters=discriminator_filters, dense_units=dense_units, **options,
    )  # fmt: skip


def _discriminator(sizes: checks.Shape, filters: int, dense_units: int) -> keras.Model:
    """Eight convolutions 3 x 3, every second one with stride 2, and two dense layers."""
    x = image = keras.Input(sizes, name="large")
    for index, (multiple, strides) in enumerate(_STEPS, start=1):
        if strides > 1:
            x = layers.ZeroPadding2D(1, name=f"conv{index}_pad", **_FORMAT)(x)
        x = layers.Conv2D(
            filters * multiple, 3, strides=strides, padding="valid" if strides > 1 else "same", name=f"conv{index}",
            **_FORMAT,
        )(x)  # fmt: skip
        x = x if index == 1 else blocks.batch_norm(x, f"bn{index}")
        x = layers.LeakyReLU(0.2, name=f"conv{index}_out")(x)
    x = layers.Flatten(name="flatten", **_FORMAT)(x)
    x = layers.LeakyReLU(0.2, name="fc_out")(layers.Dense(dense_units, name="fc")(x))
    return keras.Model(image, layers.Dense(1, dtype="float32", name="logit")(x), name="discriminator")


def _perceptual(given: Any, large: checks.Shape) -> keras.Model | None:
    """Returns the network whose features are compared, or `None` for pixels; refuses one for other images."""
    if given is None:
        return None
    network = given
    if given == "vgg19":
        network = vgg19_features(int(large[-1] or 0))
    elif isinstance(given, str) and given.endswith(".keras"):
        from kerazoo.files import load_model

        network = load_model(given)
    inputs = getattr(network, "inputs", None) if isinstance(network, keras.Model) else None
    if not inputs or len(inputs) != 1 or len(network.outputs) != 1:
        raise ValueError(
            "perceptual_network must be None, 'vgg19', the path of a .keras file or a Keras model with one input and "
            f"one output. Received: perceptual_network={given!r}"
        )
    wanted = inputs[0].shape[1:]
    fits = len(wanted) == 3 and all(size in (None, have) for size, have in zip(wanted, large, strict=True))
    if not fits:
        raise ValueError(
            f"perceptual_network must take images of shape {tuple(large)} in [-1, 1]. Received one for {tuple(wanted)}"
        )
    return network
