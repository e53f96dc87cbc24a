"""The general convolutional network: stages of convolutions with a pooling between them, in one or two
dimensions.

Y. LeCun et al., "Backpropagation applied to handwritten zip code recognition", Neural Computation 1(4), 1989.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model


def _per_stage(name: str, value: Any, stages: int) -> tuple[int, ...]:
    """Spreads one number over all stages, or checks that there is one per stage."""
    if not isinstance(value, Sequence):
        return (checks.positive_int(name, value),) * stages
    values = checks.positive_ints(name, value)
    if len(values) != stages:
        raise ValueError(f"{name} must be one number or one per stage ({stages}). Received: {name}={value!r}")
    return values


def _normalize(x: keras.KerasTensor, normalization: str | None, groups: int, name: str) -> keras.KerasTensor:
    if normalization == "batch":
        return blocks.batch_norm(x, name)
    if normalization == "layer":
        return layers.LayerNormalization(epsilon=1e-5, name=name)(x)
    if normalization == "group":
        return layers.GroupNormalization(groups=groups, epsilon=1e-5, name=name)(x)
    return x


@register_model
def cnn(
    input_shape: Sequence[int | None] = (32, 32, 3),
    num_classes: int = 10,
    *,
    filters: Sequence[int] = (32, 64, 128),
    kernel_size: int | Sequence[int] = 3,
    strides: int | Sequence[int] = 1,
    convs_per_stage: int | Sequence[int] = 1,
    downsampling: str | None = "max",
    pool_size: int = 2,
    normalization: str | None = "batch",
    groups: int = 8,
    activation: Any = "relu",
    kernel_initializer: Any = "he_normal",
    l1: float = 0.0,
    l2: float = 0.0,
    spatial_dropout_rate: float = 0.0,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "cnn",
) -> keras.Model:
    """Convolutional network put together by its arguments, for images (2-D) or signals (1-D).

    Each stage is `convs_per_stage` times convolution - normalisation - activation; a pooling stands between
    stages. All padding is "same" and the head pools globally, so every size works, also one left open.

    Args:
        input_shape: `(height, width, channels)` of an image or `(steps, channels)` of a signal.
        filters: Filters of each stage; their number is the number of stages.
        kernel_size: Kernel size, one or one per stage.
        strides: Stride of a stage's first convolution, one or one per stage.
        convs_per_stage: Convolutions in a stage, one or one per stage.
        downsampling: Pooling between stages: `"max"`, `"average"` or `None`.
        pool_size: Size and stride of that pooling.
        normalization: `None`, `"batch"`, `"layer"` or `"group"`.
        groups: Groups of the group normalisation; each entry of `filters` must be a multiple of it.
        activation: Any activation of Keras or `"prelu"`, after each normalisation.
        kernel_initializer: Initialiser by name, e.g. `"he_normal"`, `"glorot_uniform"`, `"orthogonal"`.
        l1: L1 penalty on the convolution kernels.
        l2: L2 penalty on the convolution kernels.
        spatial_dropout_rate: Fraction of whole feature maps dropped at the end of each stage, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, *input_shape) -> (batch, num_classes).

    Example:
        >>> ecg = kerazoo.cnn((1000, 2), 5, filters=(16, 32, 64), kernel_size=7, downsampling="average")

    References:
        LeCun et al. (1989), https://doi.org/10.1162/neco.1989.1.4.541
    """
    sizes = checks.image_shape(input_shape, model="cnn", ranks=(2, 3))
    num_classes = checks.positive_int("num_classes", num_classes)
    filters = checks.positive_ints("filters", filters)
    stages = len(filters)
    kernels = _per_stage("kernel_size", kernel_size, stages)
    steps = _per_stage("strides", strides, stages)
    repeats = _per_stage("convs_per_stage", convs_per_stage, stages)
    checks.one_of("downsampling", downsampling, (None, "max", "average"))
    pool_size = checks.positive_int("pool_size", pool_size)
    checks.one_of("normalization", normalization, (None, "batch", "layer", "group"))
    groups = checks.positive_int("groups", groups)
    if normalization == "group" and any(width % groups for width in filters):
        raise ValueError(f"groups must divide every entry of filters={filters}. Received: groups={groups}")
    if activation != "prelu":
        checks.activation("activation", activation)
    checks.initializer("kernel_initializer", kernel_initializer)
    penalties = {"l1": checks.non_negative("l1", l1), "l2": checks.non_negative("l2", l2)}
    spatial_dropout_rate = checks.fraction("spatial_dropout_rate", spatial_dropout_rate)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    rank = len(sizes) - 1
    conv = layers.Conv1D if rank == 1 else layers.Conv2D
    pool = {
        ("max", 1): layers.MaxPooling1D,
        ("max", 2): layers.MaxPooling2D,
        ("average", 1): layers.AveragePooling1D,
        ("average", 2): layers.AveragePooling2D,
    }.get((str(downsampling), rank))
    spatial_dropout = layers.SpatialDropout1D if rank == 1 else layers.SpatialDropout2D
    inputs, x = blocks.image_input(sizes, include_preprocessing)
    for stage, (width, kernel, step, repeat) in enumerate(zip(filters, kernels, steps, repeats, strict=True), start=1):
        if stage > 1 and pool is not None:
            x = pool(pool_size, padding="same", data_format="channels_last", name=f"stage{stage}_pool")(x)
        for index in range(1, repeat + 1):
            x = conv(
                width,
                kernel,
                strides=step if index == 1 else 1,
                padding="same",
                use_bias=normalization != "batch",
                kernel_initializer=blocks.own_initializer(kernel_initializer),
                kernel_regularizer=keras.regularizers.L1L2(**penalties) if l1 or l2 else None,
                data_format="channels_last",
                name=f"stage{stage}_conv{index}",
            )(x)
            x = _normalize(x, normalization, groups, f"stage{stage}_norm{index}")
            x = blocks.named_activation(x, activation, f"stage{stage}_act{index}")
        if spatial_dropout_rate:
            x = spatial_dropout(spatial_dropout_rate, name=f"stage{stage}_dropout")(x)
        x = layers.Identity(name=f"stage{stage}_out")(x)
    outputs = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, outputs, name=name)
