"""CycleGAN: two generators learn to turn two kinds of images into each other without a single pair of examples.

J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
networks", arXiv:1703.10593 (ICCV 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import keras
from keras import layers, ops

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.gans._adversarial import AdversarialModel
from kerazoo.gans._image_pool import ImagePool
from kerazoo.gans._parts import normal
from kerazoo.gans._patches import check_sizes, conv, normalised, patch_discriminator
from kerazoo.gans.pix2pix import pair
from kerazoo.layers.reflection_padding import ReflectionPadding2D

_FORMAT = {"data_format": "channels_last"}
DOMAINS = ("a", "b")


@keras.saving.register_keras_serializable(package="kerazoo")
class CycleGAN(AdversarialModel):
    """Generators from A to B and back, and a discriminator for each of the two; `kerazoo.cyclegan` builds it.

    Images are in [-1, 1]. `fit(a, b)` takes images of both kinds that have nothing to do with each other.

    Args:
        generator_ab: A -> B.
        generator_ba: B -> A.
        discriminator_a: A -> one logit per patch.
        discriminator_b: B -> one logit per patch.
        cycle_weight: Weight of the mean absolute error after the way there and back.
        identity_weight: Weight of the mean absolute error of B -> B and A -> A, as a fraction of `cycle_weight`.
        pool_size: Generated images of each kind that are kept for the discriminators, 0 for none.
        **options: Those of every `AdversarialModel`.
    """

    PARTS = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
    SETTINGS = ("cycle_weight", "identity_weight", "pool_size")
    METRICS = ("adversarial", "cycle", "identity")
    PLAYERS = ("generator", "discriminator")  # in this order, so that both see the same generated images

    def build(self, input_shape: Any = None) -> None:
        if self.pool_size:
            self.pool_a = ImagePool(self.pool_size, self.discriminator_a.input.shape[1:], name="pool_a")
            self.pool_b = ImagePool(self.pool_size, self.discriminator_b.input.shape[1:], name="pool_b")
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """From A to B."""
        return self.generator_ab(inputs, training=training)

    def batch(self, data: Any) -> dict[str, Any]:
        a, b = pair(self, data, self.generator_ab.input, self.generator_ba.input, "images of the other kind")
        if self.pool_size and a.shape[0] is not None and a.shape[0] > self.pool_size:
            raise ValueError(
                f"{self.name} needs batches of at most pool_size={self.pool_size} images. Received: {a.shape[0]}"
            )
        return {"image": a, "a": a, "b": b}

    def draws(self, batch: dict[str, Any], training: bool) -> dict[str, Any]:
        """Four numbers in [0, 1) for each image: where in the pool, and whether, for A and for B."""
        return {"dice": self.drawn(lambda rows, seed: keras.random.uniform((rows, 4), seed=seed), batch, training)}

    def generator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """Least squares towards "real", and the distance after the way there and back."""
        to_a, to_b = self.generator_ba, self.generator_ab
        batch["made_b"], batch["made_a"] = to_b(batch["a"], training=training), to_a(batch["b"], training=training)
        back_a, back_b = to_a(batch["made_b"], training=training), to_b(batch["made_a"], training=training)
        judged_a = self.discriminator_a(batch["made_a"], training=training)
        judged_b = self.discriminator_b(batch["made_b"], training=training)
        cycle = distance(back_a, batch["a"]) + distance(back_b, batch["b"])
        losses = {"adversarial": squares(judged_a, 1.0) + squares(judged_b, 1.0), "cycle": self.cycle_weight * cycle}
        if self.identity_weight:
            same = distance(to_b(batch["b"], training=training), batch["b"])
            same += distance(to_a(batch["a"], training=training), batch["a"])
            losses["identity"] = self.cycle_weight * self.identity_weight * same
        return losses

    def discriminator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """Half of the least squares towards "real" and "made", of both; what is made comes out of the pools."""
        loss = 0.0
        for place, domain in enumerate(DOMAINS):
            made = ops.stop_gradient(batch[f"made_{domain}"])
            if training and self.pool_size:
                dice = batch["dice"][:, 2 * place : 2 * place + 2]
                made, batch[f"pool_{domain}"] = getattr(self, f"pool_{domain}").exchange(made, dice)
            judge = getattr(self, f"discriminator_{domain}")
            real = squares(judge(batch[domain], training=training), 1.0)
            loss = loss + (real + squares(judge(made, training=training), 0.0)) / 2
        return loss

    def after_step(self, batch: dict[str, Any]) -> None:
        if self.pool_size:
            count = ops.shape(batch["image"])[0]
            self.pool_a.keep(batch["pool_a"], count)
            self.pool_b.keep(batch["pool_b"], count)

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        return keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-8)

    def translate(self, images: Any, *, direction: str = "a_to_b", batch_size: int = 8) -> Any:
        """Turns images of one kind into the other.

        Args:
            images: Array (count, height, width, channels) in [-1, 1].
            direction: `"a_to_b"` or `"b_to_a"`.
            batch_size: Images at once.

        Returns:
            Array of the same count, height and width in [-1, 1].

        Example:
            >>> model.translate(photographs, direction="b_to_a")
        """
        checks.one_of("direction", direction, ("a_to_b", "b_to_a"))
        generator = self.generator_ab if direction == "a_to_b" else self.generator_ba
        return generator.predict(images, batch_size, verbose=0)


def squares(judged: Any, answer: float) -> Any:
    """Returns the mean squared distance of what a discriminator says to one answer for all: 1 for "real"."""
    return ops.mean(ops.square(judged - answer))


def distance(first: Any, second: Any) -> Any:
    """Returns the mean absolute difference."""
    return ops.mean(ops.absolute(first - second))


class CycleGANOptions(TypedDict, total=False):
    """Keyword arguments beside sizes."""

    cycle_weight: float
    identity_weight: float
    pool_size: int
    weights: str | None
    dtype: str | None
    name: str


@register_model
def cyclegan(
    input_shape: Sequence[int | None] = (256, 256, 3),
    num_channels: int = 3,
    *,
    filters: int = 64,
    num_blocks: int = 9,
    discriminator_filters: int = 64,
    discriminator_layers: int = 3,
    cycle_weight: float = 10.0,
    identity_weight: float = 0.5,
    pool_size: int = 50,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "cyclegan",
) -> keras.Model:
    """CycleGAN: image to image in both directions, learnt without pairs.

    Images are in [-1, 1]. Compile it without a loss and call `fit(images_a, images_b)`. `model.generator_ab`,
    `generator_ba`, `discriminator_a` and `discriminator_b` are functional models, which can be exported.

    Args:
        num_channels: Channels of B; `input_shape` is that of A.
        filters: Filters of the generators' first layer, which double twice.
        num_blocks: Residual blocks of the generators: 9 for images of 256 pixels, 6 for 128.
        discriminator_filters: Filters of the discriminators' first layer.
        discriminator_layers: Their convolutions with stride 2: 1, 3 and 5 look at patches of 16, 70 and 286 pixels.
        cycle_weight: Weight of the mean absolute error after the way there and back.
        identity_weight: Weight of the mean absolute error between an image of B and what the way from A to B makes of
            it, and the reverse, as a fraction of `cycle_weight`; it needs A and B with as many channels.
        pool_size: Generated images of each kind kept for the discriminators, 0 for none.

    Returns:
        A `keras.Model`, A -> B, with two generators and two discriminators.

    Example:
        >>> model = kerazoo.cyclegan((64, 64, 1), 1, filters=16, num_blocks=3)
        >>> model.compile()

    References:
        Zhu, Park, Isola, Efros (2017), https://arxiv.org/abs/1703.10593
    """
    counts = {
        **{"num_channels": num_channels, "filters": filters, "num_blocks": num_blocks},
        **{"discriminator_filters": discriminator_filters, "discriminator_layers": discriminator_layers},
    }
    for word, value in counts.items():
        checks.positive_int(word, value)
    checks.positive_int("pool_size", pool_size, minimum=0)
    settings: dict[str, Any] = {"cycle_weight": cycle_weight, "identity_weight": identity_weight}
    settings = {word: checks.non_negative(word, value) for word, value in settings.items()}
    sizes = checks.image_shape(
        input_shape, model=name, dynamic="its image pool needs one size, unless pool_size=0" if pool_size else None
    )
    check_sizes(sizes, discriminator_layers, 4, name, smallest=8)
    if identity_weight and num_channels != sizes[-1]:
        raise ValueError(
            f"identity_weight must be 0 where A has {sizes[-1]} channels and B num_channels={num_channels}: no "
            f"generator could be given both. Received: identity_weight={identity_weight!r}"
        )
    shapes = {"a": sizes, "b": (*sizes[:2], num_channels)}
    judges = {
        f"discriminator_{domain}": patch_discriminator(
            {"image": keras.Input(shapes[domain], name="image")},
            filters=discriminator_filters,
            num_layers=discriminator_layers,
            normalization="instance",
            name=f"discriminator_{domain}",
        )
        for domain in DOMAINS
    }
    return CycleGAN(
        generator_ab=_generator(shapes["a"], num_channels, filters, num_blocks, "generator_ab"),
        generator_ba=_generator(shapes["b"], int(sizes[-1] or 0), filters, num_blocks, "generator_ba"),
        **judges, **settings, pool_size=pool_size, name=name,
    )  # fmt: skip


@register_model(family=cyclegan)
def cyclegan_small(
    input_shape: Sequence[int | None] = (64, 64, 1),
    num_channels: int = 1,
    *,
    filters: int = 16,
    num_blocks: int = 3,
    discriminator_filters: int = 16,
    discriminator_layers: int = 2,
    **options: Unpack[CycleGANOptions],
) -> keras.Model:
    """CycleGAN that a laptop trains in minutes: a quarter of the filters, three blocks, patches of 34 x 34 pixels.

    Example:
        >>> model = kerazoo.cyclegan_small((64, 64, 3), 3)
    """
    return cyclegan(
        input_shape, num_channels, filters=filters, num_blocks=num_blocks, discriminator_filters=discriminator_filters,
        discriminator_layers=discriminator_layers, **options,
    )  # fmt: skip


def _generator(sizes: checks.Shape, num_channels: int, filters: int, num_blocks: int, name: str) -> keras.Model:
    """The network of Johnson et al. with instance normalisation: c7s1-64, d128, d256, R256 ..., u128, u64, c7s1-3."""
    x = image = keras.Input(sizes, name="image")
    x = conv(ReflectionPadding2D(3, name="stem_pad")(x), filters, 7, name="stem_conv")
    x = _norm_relu(x, "stem")
    for index in (1, 2):
        x = layers.ZeroPadding2D(1, name=f"down{index}_pad", **_FORMAT)(x)
        x = conv(x, filters * 2**index, 3, strides=2, name=f"down{index}_conv")
        x = _norm_relu(x, f"down{index}")
    for index in range(1, num_blocks + 1):
        x = _residual_block(x, f"block{index}")
    for index in (1, 2):
        x = layers.Conv2DTranspose(
            filters * 2 ** (2 - index), 3, strides=2, padding="valid", kernel_initializer=normal(),
            name=f"up{index}_conv", **_FORMAT,
        )(x)  # fmt: skip
        # The first row and column go: this is PyTorch's padding of 1 with one more pixel at the far end.
        x = layers.Cropping2D(((1, 0), (1, 0)), name=f"up{index}_crop", **_FORMAT)(x)
        x = _norm_relu(x, f"up{index}")
    x = ReflectionPadding2D(3, name="translated_pad")(x)
    head = layers.Conv2D(
        num_channels, 7, activation="tanh", kernel_initializer=normal(), dtype="float32", name="translated", **_FORMAT
    )
    return keras.Model(image, head(x), name=name)


def _residual_block(x: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
    shortcut, filters = x, x.shape[-1]
    x = conv(ReflectionPadding2D(1, name=f"{prefix}_pad1")(x), filters, 3, name=f"{prefix}_conv1")
    x = _norm_relu(x, prefix, f"{prefix}_norm1", f"{prefix}_relu")
    x = conv(ReflectionPadding2D(1, name=f"{prefix}_pad2")(x), filters, 3, name=f"{prefix}_conv2")
    return layers.Add(name=f"{prefix}_out")([shortcut, normalised(x, "instance", f"{prefix}_norm2")])


def _norm_relu(x: keras.KerasTensor, prefix: str, norm: str = "", relu: str = "") -> keras.KerasTensor:
    x = normalised(x, "instance", norm or f"{prefix}_norm")
    return layers.Activation("relu", name=relu or f"{prefix}_out")(x)
