"""Progressive growing of GANs: both networks start with images of 4 x 4 pixels, and new layers are faded in.

T. Karras, T. Aila, S. Laine, J. Lehtinen, "Progressive growing of GANs for improved quality, stability, and variation",
arXiv:1710.10196 (ICLR 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._parts import fixed_shape, halvings, image_shape
from kerazoo.gans.wgan_gp import WassersteinGAN
from kerazoo.layers.bias import Bias
from kerazoo.layers.equalized import EqualizedConv2D, EqualizedDense
from kerazoo.layers.progressive import FadeIn, MinibatchDeviation, PixelNorm

_AVERAGE = 0.999  # of the generator that draws
_DRIFT = 0.001
_LAST = {"data_format": "channels_last"}


@keras.saving.register_keras_serializable(package="kerazoo")
class ProgressiveGAN(WassersteinGAN):
    """Two networks that grow while they train; `kerazoo.progan` builds it.

    All layers are there from the beginning. How far the networks have grown follows from `images_shown`, a weight of
    the model, and stands in the `alpha` of their `FadeIn` layers: level k is there in part while 0 < alpha_k < 1. A
    step only computes the levels that are there. Pictures are drawn by `averaged_generator`, the running mean of the
    generator, in full size whatever the level.
    """

    PARTS = ("generator", "discriminator", "averaged_generator")
    SETTINGS = (*WassersteinGAN.SETTINGS, "levels", "stabilize_images", "fade_images")

    def build(self, input_shape: Any = None) -> None:
        self.averaged_generator.trainable = False
        self.images_shown = self.add_weight(
            name="images_shown", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.averaged_generator(inputs, training=training)

    def sampler(self) -> keras.Model:
        return self.averaged_generator

    # --- growth -------------------------------------------------------------------------------------

    def level(self) -> Any:
        """Returns the level of growth: k + alpha while level k + 1 is faded in."""
        shown = ops.cast(self.images_shown, "float32") - self.stabilize_images
        period = self.stabilize_images + self.fade_images
        whole = ops.floor(ops.maximum(shown, 0.0) / period)
        part = ops.clip((shown - whole * period) / self.fade_images, 0.0, 1.0)
        return ops.minimum(whole + part, float(self.levels))

    @property
    def stages(self) -> int:
        return self.levels + 1

    def stage(self) -> Any:
        """Returns the highest level that is there, be it in part."""
        return ops.cast(ops.ceil(self.level()), "int32")

    def after_step(self, batch: dict[str, Any]) -> None:
        from kerazoo import _tensorflow_step

        for mean, weight in zip(self.averaged_generator.weights, self.generator.weights, strict=True):
            mean.assign(_AVERAGE * mean + (1 - _AVERAGE) * weight)
        self.images_shown.assign_add(_tensorflow_step.of_all_devices(ops.shape(batch["image"])[0]))
        level = self.level()
        for part in self.PARTS:
            for number in range(1, self.levels + 1):
                getattr(self, part).get_layer(f"fade{number}").alpha.assign(ops.clip(level - (number - 1), 0.0, 1.0))

    def run(self, part: keras.Model, batch: dict[str, Any], training: bool) -> Any:
        """Runs those layers of a part that are there at a stage."""
        stage = batch["stage"] if "stage" in batch else self.levels
        if stage < self.levels:
            part = grown_generator(part, stage) if part is self.generator else grown_discriminator(part, stage)
        return super().run(part, batch, training)

    def real(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the batch with the real images as a stage shows them: as small, and blurred while it fades in."""
        stage, image = batch["stage"] if "stage" in batch else self.levels, batch["image"]
        for _ in range(self.levels - stage):
            image = ops.average_pool(image, 2, **_LAST)
        if stage:
            alpha = self.generator.get_layer(f"fade{stage}").alpha
            blurred = ops.average_pool(image, 2, **_LAST)
            blurred = ops.repeat(ops.repeat(blurred, 2, axis=1), 2, axis=2)
            image = (1.0 - alpha) * blurred + alpha * image
        return batch | {"image": image}

    # --- losses -------------------------------------------------------------------------------------

    def discriminator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """That of WGAN-GP, and 0.001 E D(x)^2, which keeps the scores near zero"""
        real, made = self.real(batch), self.generated(batch, training)
        score = ops.cast(self.run(self.discriminator, real, training), "float32")
        penalty = self.gradient_penalty(real, made["image"], training)
        return {
            "critic": self.mean_score(made, training) - ops.mean(score),
            "gradient_penalty": self.penalty_weight * penalty,
            "drift": _DRIFT * ops.mean(ops.square(score)),
        }

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        """Adam with a learning rate of 0.001 and the moments 0 and 0.99."""
        return keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99, epsilon=1e-8)


def grown_generator(generator: keras.Model, stage: int) -> keras.Model:
    """Returns the part of a generator that makes the pictures of a stage."""
    last = generator.get_layer(f"fade{stage}" if stage else "to_rgb0")
    return keras.Model(generator.input, last.output, name=f"generator{stage}")


def grown_discriminator(discriminator: keras.Model, stage: int) -> keras.Model:
    """Returns the part of a discriminator that judges the pictures of a stage, below the highest one."""
    small = discriminator.get_layer(f"image{stage}").output
    inside = keras.Model([discriminator.get_layer(f"fade{stage + 1}").output, small], discriminator.output)
    image = keras.Input(small.shape[1:], name="image")
    x = discriminator.get_layer(f"from_rgb{stage}_relu")(discriminator.get_layer(f"from_rgb{stage}")(image))
    return keras.Model(image, inside([x, image]), name=f"discriminator{stage}")


def _relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.LeakyReLU(0.2, name=f"{name}_relu")(x)


def _generator(
    smallest: tuple[int, int], levels: int, channels: int, latent_dim: int, width: Callable[[int], int], name: str
) -> keras.Model:
    def conv(x: keras.KerasTensor, units: int, word: str) -> keras.KerasTensor:
        return PixelNorm(name=f"{word}_norm")(_relu(EqualizedConv2D(units, 3, name=word)(x), word))

    latent = keras.Input((latent_dim,), name="latent")
    x = PixelNorm(name="latent_norm")(latent)
    units = smallest[0] * smallest[1] * width(1)
    x = EqualizedDense(units, gain=math.sqrt(2) / 4, use_bias=False, name="level0_dense")(x)
    x = Bias(name="level0_bias")(layers.Reshape((*smallest, width(1)), name="level0_map")(x))
    x = PixelNorm(name="level0_dense_norm")(_relu(x, "level0_dense"))
    x = conv(x, width(1), "level0_conv")
    picture = EqualizedConv2D(channels, 1, gain=1.0, dtype="float32", name="to_rgb0")(x)
    for level in range(1, levels + 1):
        x = layers.UpSampling2D(2, name=f"level{level}_up", **_LAST)(x)
        x = conv(x, width(level + 1), f"level{level}_conv1")
        x = conv(x, width(level + 1), f"level{level}_conv2")
        new = EqualizedConv2D(channels, 1, gain=1.0, dtype="float32", name=f"to_rgb{level}")(x)
        old = layers.UpSampling2D(2, dtype="float32", name=f"picture{level}_up", **_LAST)(picture)
        picture = FadeIn(dtype="float32", name=f"fade{level}")([old, new])
    return keras.Model(latent, picture, name=name)


def _discriminator(size: tuple[int, int], levels: int, channels: int, width: Callable[[int], int]) -> keras.Model:
    def conv(x: keras.KerasTensor, units: int, word: str, kernel_size: int = 3) -> keras.KerasTensor:
        return _relu(EqualizedConv2D(units, kernel_size, name=word)(x), word)

    image = small = keras.Input((*size, channels), name="image")
    x = conv(image, width(levels + 1), f"from_rgb{levels}", 1)
    for level in range(levels, 0, -1):
        x = conv(x, width(level + 1), f"level{level}_conv1")
        x = conv(x, width(level), f"level{level}_conv2")
        x = layers.AveragePooling2D(2, name=f"level{level}_down", **_LAST)(x)
        small = layers.AveragePooling2D(2, name=f"image{level - 1}", **_LAST)(small)
        old = conv(small, width(level), f"from_rgb{level - 1}", 1)
        x = FadeIn(name=f"fade{level}")([old, x])
    x = MinibatchDeviation(name="deviation")(x)
    x = conv(x, width(1), "level0_conv")
    x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    x = _relu(EqualizedDense(width(0), name="level0_dense")(x), "level0_dense")
    score = EqualizedDense(1, gain=1.0, dtype="float32", name="score")(x)
    return keras.Model(image, score, name="discriminator")


@register_model
def progan(
    input_shape: Sequence[int] = (1024, 1024, 3),
    latent_dim: int = 512,
    *,
    filters: int = 8192,
    max_filters: int = 512,
    stabilize_images: int = 800_000,
    fade_images: int = 800_000,
    penalty_weight: float = 10.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "progan",
) -> keras.Model:
    """Progressively growing GAN: learns images of 4 x 4 pixels first, then twice as large ones, up to the whole.

    Images are in [-1, 1], those it draws may lie a little outside. Train it with `model.compile()`, which takes the
    paper's optimisers, and `model.fit(x)` with images of the full size, which are made smaller inside; the paper's
    batch has 16 images. The smallest size is learnt for `stabilize_images`; each next one is faded in for `fade_images`
    and then learnt for `stabilize_images`, the last one for as long as the training goes on.

    Args:
        input_shape: Shape of one image, e.g. 4, 8, 16, 32 ... pixels high and wide: it is halved down to 4 to 7 pixels.
        latent_dim: Length of the noise, which is normal.
        filters: The level of size 4 * 2**k has `filters / 2**(k + 1)` filters,
        max_filters: but not more than these.
        stabilize_images: Images shown to the networks of one size.
        fade_images: Images shown while a level is faded in.
        penalty_weight: Factor of the gradient penalty.

    Returns:
        A `keras.Model` (batch, latent_dim) -> (batch, *input_shape) that holds the functional models `generator`,
        `averaged_generator`, its running mean, which draws, and `discriminator` (image -> score).
        `model.generate(count, seed=0)` draws images.

    Example:
        >>> model = kerazoo.progan((16, 16, 1), 32, filters=128, stabilize_images=10_000, fade_images=10_000)
        >>> model.compile()
        >>> model.fit(images, epochs=40, batch_size=16)
        >>> pictures = model.generate(16)

    References:
        Karras et al. (2017), https://arxiv.org/abs/1710.10196
    """
    height, width, channels = image_shape(name, fixed_shape(name, input_shape), 1)
    if min(height, width) < 4:
        raise ValueError(f"input_shape of {name} must be at least 4 x 4. Received: input_shape={input_shape!r}")
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    filters = checks.positive_int("filters", filters)
    max_filters = checks.positive_int("max_filters", max_filters)
    stabilize_images = checks.positive_int("stabilize_images", stabilize_images)
    fade_images = checks.positive_int("fade_images", fade_images)
    penalty_weight = checks.non_negative("penalty_weight", penalty_weight)
    levels = halvings(height, width)
    smallest = (height >> levels, width >> levels)

    def maps(stage: int) -> int:
        return min(max(filters >> stage, 1), max_filters)

    words = ("generator", "averaged_generator")
    parts = {word: _generator(smallest, levels, channels, latent_dim, maps, word) for word in words}
    for mean, weight in zip(parts["averaged_generator"].weights, parts["generator"].weights, strict=True):
        mean.assign(weight)
    discriminator = _discriminator((height, width), levels, channels, maps)
    growth: dict[str, Any] = {"levels": levels, "stabilize_images": stabilize_images, "fade_images": fade_images}
    settings = {"num_classes": 0, "critic_steps": 1, "penalty_weight": penalty_weight, **growth}
    return ProgressiveGAN(**parts, discriminator=discriminator, **settings, name=name)
