"""Denoising diffusion: a U-Net that is told how noisy its input is, and estimates the noise.

J. Ho, A. Jain, P. Abbeel, "Denoising diffusion probabilistic models", arXiv:2006.11239 (NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.blocks.transformer import Transformer
from kerazoo.catalog import register_model
from kerazoo.diffusion._models import DDPM, INPUT, STEP
from kerazoo.layers.step_embedding import StepEmbedding

_FORMAT = {"data_format": "channels_last"}


@dataclass(frozen=True, kw_only=True)
class DenoisingUNet:
    """The U-Net of the paper, appendix B.

    Attributes:
        filters: Filters of the first stage.
        multipliers: How many times as many each stage has; every stage but the last one halves the map.
        blocks_per_stage: Residual blocks of a stage on the way down; one more on the way up.
        attention_sizes: Heights of the maps with attention; the middle has it always.
        num_heads: Heads of every attention.
        groups: Groups of the normalisations.
        dropout_rate: Inside the residual blocks.
    """

    filters: int
    multipliers: Sequence[int]
    blocks_per_stage: int
    attention_sizes: Sequence[int]
    num_heads: int
    groups: int
    dropout_rate: float

    def __post_init__(self) -> None:
        for name in ("filters", "blocks_per_stage", "num_heads", "groups"):
            checks.positive_int(name, getattr(self, name))
        for name in ("multipliers", "attention_sizes"):
            numbers = checks.positive_ints(name, getattr(self, name), allow_empty=name == "attention_sizes")
            object.__setattr__(self, name, numbers)
        checks.fraction("dropout_rate", self.dropout_rate)
        if self.filters % self.groups or self.filters % self.num_heads or self.filters % 4:
            raise ValueError(
                "filters must be a multiple of 4, of groups and of num_heads. Received: "
                f"filters={self.filters}, groups={self.groups}, num_heads={self.num_heads}"
            )

    def build(
        self,
        model: str,
        input_shape: Any,
        *,
        told: dict[str, keras.KerasTensor],
        vector: Any = None,
        context: keras.KerasTensor | None = None,
    ) -> keras.Model:
        """Returns the network, a functional model of a dictionary.

        Args:
            model: Name of the builder, for messages.
            input_shape: (height, width, channels), fixed.
            told: Further inputs by name.
            vector: Tensor (batch, features), which joins the embedding of the step, or `None`; `features` is 4 times
                `filters`.
            context: Sequence (batch, length, features) that every attention looks at, too, or `None`.
        """
        step = 2 ** (len(self.multipliers) - 1)
        sizes = checks.image_shape(input_shape, model=model, dynamic="its maps of fixed size have attention")
        if any(int(size or 0) % step for size in sizes[:-1]):
            raise ValueError(
                f"input_shape of {model} with {len(self.multipliers)} stages must have a height and width that are "
                f"multiples of {step}. Received: input_shape={input_shape!r}"
            )
        x, steps = keras.Input(sizes, name=INPUT), keras.Input((), dtype="int32", name=STEP)
        outputs = self._body(x, self._embedded(steps, vector), context, int(sizes[-1] or 0))
        network = keras.Model({INPUT: x, STEP: steps, **told}, outputs, name="denoiser")
        for layer in network.layers:
            if isinstance(layer, layers.MultiHeadAttention):  # so that every attention starts as the identity
                layer.output_dense.kernel.assign(layer.output_dense.kernel * 0)
        return network

    def _embedded(self, steps: keras.KerasTensor, vector: Any) -> keras.KerasTensor:
        y = StepEmbedding(self.filters, name="step_sinusoids")(steps)
        y = layers.Dense(4 * self.filters, name="step_fc1")(y)
        y = layers.Activation("silu", name="step_act1")(y)
        y = layers.Dense(4 * self.filters, name="step_fc2")(y)
        y = y if vector is None else layers.Add(name="step_add")([y, vector])
        return layers.Activation("silu", name="step_act2")(y)  # every block has it in front of its dense layer

    def _body(self, x: Any, step: Any, context: Any, channels: int) -> keras.KerasTensor:
        """Down, through the middle and up again, as in the paper's code."""
        widths = [self.filters * factor for factor in self.multipliers]
        x = _conv(x, self.filters, "stem_conv")
        skips = [x]
        for stage, width in enumerate(widths, start=1):
            for block in range(1, self.blocks_per_stage + 1):
                x = self._unit(x, step, context, width, f"stage{stage}_block{block}")
                skips.append(x)
            if stage < len(widths):
                x = _conv(x, width, f"stage{stage}_down", strides=2)
                skips.append(x)
        x = self._residual(x, step, widths[-1], "middle_block1")
        x = self._attention(x, context, "middle_attention")
        x = self._residual(x, step, widths[-1], "middle_block2")
        for stage in range(len(widths), 0, -1):
            for block in range(1, self.blocks_per_stage + 2):
                name = f"decoder{stage}_block{block}"
                x = layers.Concatenate(name=f"{name}_concat")([x, skips.pop()])
                x = self._unit(x, step, context, widths[stage - 1], name)
            if stage > 1:
                x = layers.UpSampling2D(2, interpolation="nearest", name=f"decoder{stage}_up", **_FORMAT)(x)
                x = _conv(x, widths[stage - 1], f"decoder{stage}_conv")
        x = layers.Activation("silu", name="head_act")(self._norm(x, "head_norm"))
        return _conv(x, channels, "estimate", kernel_initializer="zeros", dtype="float32")

    def _unit(self, x: Any, step: Any, context: Any, width: int, name: str) -> keras.KerasTensor:
        """A residual block, and attention where the map has the right size."""
        x = self._residual(x, step, width, name)
        return self._attention(x, context, f"{name}_attention") if x.shape[1] in self.attention_sizes else x

    def _residual(self, x: Any, step: Any, width: int, name: str) -> keras.KerasTensor:
        y = layers.Activation("silu", name=f"{name}_act1")(self._norm(x, f"{name}_norm1"))
        y = _conv(y, width, f"{name}_conv1")
        shift = layers.Dense(width, name=f"{name}_step")(step)
        y = layers.Add(name=f"{name}_step_add")([y, layers.Reshape((1, 1, width), name=f"{name}_step_map")(shift)])
        y = layers.Activation("silu", name=f"{name}_act2")(self._norm(y, f"{name}_norm2"))
        y = layers.Dropout(self.dropout_rate, name=f"{name}_dropout")(y)
        y = _conv(y, width, f"{name}_conv2", kernel_initializer="zeros")
        if x.shape[-1] != width:
            x = layers.Conv2D(width, 1, name=f"{name}_shortcut", **_FORMAT)(x)
        return layers.Add(name=f"{name}_out")([x, y])

    def _attention(self, x: Any, context: Any, name: str) -> keras.KerasTensor:
        """All places of a map look at each other, and at the context."""
        height, width, channels = x.shape[1:]
        y = layers.Reshape((height * width, channels), name=f"{name}_flat")(self._norm(x, f"{name}_norm"))
        seen = y
        if context is not None:
            own = layers.Dense(channels, name=f"{name}_context")(context)
            seen = layers.Concatenate(axis=1, name=f"{name}_seen")([y, own])
        heads = Transformer(num_heads=self.num_heads, mlp_dim=1, pre_norm=True)
        y = heads.attention(y, seen, name, None, causal=False)
        return layers.Add(name=f"{name}_out")([x, layers.Reshape((height, width, channels), name=f"{name}_map")(y)])

    def _norm(self, x: Any, name: str) -> keras.KerasTensor:
        return layers.GroupNormalization(self.groups, epsilon=1e-6, name=name)(x)


def _conv(x: Any, filters: int, name: str, strides: int = 1, **options: Any) -> keras.KerasTensor:
    return layers.Conv2D(filters, 3, strides=strides, padding="same", name=name, **_FORMAT, **options)(x)


@register_model
def ddpm(
    input_shape: Sequence[int] = (32, 32, 3),
    num_classes: int | None = None,
    *,
    filters: int = 128,
    multipliers: Sequence[int] = (1, 2, 2, 2),
    blocks_per_stage: int = 2,
    attention_sizes: Sequence[int] = (16,),
    num_heads: int = 1,
    groups: int = 32,
    schedule: str = "linear",
    timesteps: int = 1000,
    variance: str = "large",
    target: str = "noise",
    label_dropout: float = 0.1,
    ema_decay: float = 0.9999,
    dropout_rate: float = 0.1,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "ddpm",
) -> keras.Model:
    """Denoising diffusion as in the paper's experiments on CIFAR-10.

    Pictures are in [-1, 1]. With `num_classes` the network is told the class, and now and then it is not, so that
    `generate` can exaggerate the difference (guidance without a classifier).

    Args:
        input_shape: Shape of one picture, channels last, fixed; height and width can be halved once per stage but one.
        num_classes: Number of classes the network is told; `None` for none.
        filters: Filters of the first stage.
        multipliers: How many times as many each stage has; between stages the map is halved.
        blocks_per_stage: Residual blocks of a stage on the way down; one more on the way up.
        attention_sizes: Heights of the maps with attention; the middle has it always.
        num_heads: Heads of every attention.
        groups: Groups of the normalisations.
        schedule: Noise of the steps: `"linear"`, or `"cosine"` as Nichol and Dhariwal have it.
        timesteps: Number of steps.
        variance: Noise of the DDPM sampler: `"large"` is beta, `"small"` the variance of the posterior.
        target: What the network estimates, `"noise"` or the `"clean"` picture, which short trainings learn sooner.
        label_dropout: How often the network is not told the class in training, in [0, 1).
        ema_decay: Share of the averaged weights that a step keeps, in [0, 1).
        dropout_rate: Fraction of values dropped inside the residual blocks, in [0, 1).

    Returns:
        A `keras.Model` with `generate(count, labels=..., steps=..., guidance_scale=..., seed=...)`. `model.denoiser`
        and `model.average`, the network with averaged weights, are functional models, which can be exported.

    Example:
        >>> model = kerazoo.ddpm((32, 32, 3))
        >>> model.compile()
        >>> model.fit(x, epochs=100)
        >>> pictures = model.generate(16, steps=50, seed=0)

    References:
        Ho, Jain, Abbeel (2020), https://arxiv.org/abs/2006.11239; guidance: Ho, Salimans (2022),
        https://arxiv.org/abs/2207.12598; cosine schedule: Nichol, Dhariwal (2021), https://arxiv.org/abs/2102.09672
    """
    checks.fraction("label_dropout", label_dropout)
    network = DenoisingUNet(
        filters=filters,
        multipliers=multipliers,
        blocks_per_stage=blocks_per_stage,
        attention_sizes=attention_sizes,
        num_heads=num_heads,
        groups=groups,
        dropout_rate=dropout_rate,
    )
    told, vector = {}, None
    if num_classes is not None:
        told["label"] = keras.Input((), dtype="int32", name="label")
        table = layers.Embedding(
            checks.positive_int("num_classes", num_classes) + 1, 4 * filters, name="label_embedding"
        )
        vector = table(told["label"])  # the last row says nothing
    denoiser = network.build(name, input_shape, told=told, vector=vector)
    return DDPM(
        denoiser,
        schedule=schedule,
        timesteps=timesteps,
        variance=variance,
        target=target,
        nothing=num_classes or 0,
        dropped={"label": label_dropout} if told else None,
        ema_decay=ema_decay,
        name=name,
    )


@register_model(family=ddpm)
def ddpm_256(
    input_shape: Sequence[int] = (256, 256, 3),
    num_classes: int | None = None,
    *,
    multipliers: Sequence[int] = (1, 1, 2, 2, 4, 4),
    variance: str = "small",
    dropout_rate: float = 0.0,
    name: str = "ddpm_256",
    **options: Any,
) -> keras.Model:
    """Denoising diffusion as in the paper's experiments on pictures of 256 x 256 pixels.

    Example:
        >>> model = kerazoo.ddpm_256()
    """
    return ddpm(
        input_shape, num_classes, multipliers=multipliers, variance=variance, dropout_rate=dropout_rate, name=name,
        **options,
    )  # fmt: skip


@register_model(family=ddpm)
def ddpm_small(
    input_shape: Sequence[int] = (28, 28, 1),
    num_classes: int | None = None,
    *,
    filters: int = 32,
    multipliers: Sequence[int] = (1, 2, 2),
    blocks_per_stage: int = 1,
    attention_sizes: Sequence[int] = (16, 14, 8, 7, 4),
    groups: int = 8,
    schedule: str = "cosine",
    ema_decay: float = 0.999,
    dropout_rate: float = 0.0,
    name: str = "ddpm_small",
    **options: Any,
) -> keras.Model:
    """Denoising diffusion that a laptop trains: 32 filters, three stages of one block, cosine schedule.

    Example:
        >>> model = kerazoo.ddpm_small((8, 8, 1), 10, multipliers=(1, 2))
    """
    return ddpm(
        input_shape, num_classes, filters=filters, multipliers=multipliers, blocks_per_stage=blocks_per_stage,
        attention_sizes=attention_sizes, groups=groups, schedule=schedule, ema_decay=ema_decay,
        dropout_rate=dropout_rate, name=name, **options,
    )  # fmt: skip
