"""GoogLeNet (Inception v1): at every depth filters of several sizes side by side, narrowed by 1 x 1 convolutions.

C. Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842 (CVPR 2015), table 1 and figures 2 and 3.
What the paper leaves open (initial weights, constants of the normalisation) is as in the BVLC reference model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.local_response import LocalResponseNormalization

# Table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
_INCEPTIONS = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
_STAGE_ENDS = {"inception3b": "stage2_out", "inception4e": "stage3_out", "inception5b": "stage4_out"}
_AUXILIARY = {"inception4a": "aux1", "inception4d": "aux2"}
_MIN_SIZE, _MIN_SIZE_AUXILIARY = 31, 79  # the poolings of the auxiliary heads need a map of 5 x 5

LOSS_WEIGHTS = {"predictions": 1.0, "aux1": 0.3, "aux2": 0.3}
"""Weights of the three losses in training, for `compile(loss_weights=...)` (section 5 of the paper)."""


@register_model
def googlenet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    auxiliary_heads: bool = False,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.4,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "googlenet",
) -> keras.Model:
    """GoogLeNet of 2014: nine inception modules, no batch normalisation.

    Args:
        input_shape: `(height, width, channels)` of at least 31 x 31, or 79 x 79 with auxiliary heads, which also
            need a fixed size.
        auxiliary_heads: Adds the two classifiers in the middle that the paper trains with. The model then returns a
            dictionary `predictions`, `aux1`, `aux2`; their losses are weighted by
            `kerazoo.convnets.googlenet.LOSS_WEIGHTS`.
        dropout_rate: Fraction of pooled features dropped; the auxiliary heads drop 0.7, or none where this is 0.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes), or three of these by
        name. Without the head the feature map is 32 times smaller than the input.

    Example:
        >>> from kerazoo.convnets.googlenet import LOSS_WEIGHTS
        >>> model = kerazoo.googlenet((224, 224, 3), 20, auxiliary_heads=True)
        >>> losses = dict.fromkeys(LOSS_WEIGHTS, "sparse_categorical_crossentropy")
        >>> model.compile("adam", losses, loss_weights=LOSS_WEIGHTS)

    References:
        Szegedy et al. (2014), https://arxiv.org/abs/1409.4842
    """
    checks.flag("auxiliary_heads", auxiliary_heads)
    checks.head(include_top, pooling)
    if auxiliary_heads and not include_top:
        raise ValueError("auxiliary_heads=True needs include_top=True: they are classifiers. Received: False")
    dynamic = "the auxiliary heads are connected to every position" if auxiliary_heads else None
    smallest = _MIN_SIZE_AUXILIARY if auxiliary_heads else _MIN_SIZE
    sizes = checks.image_shape(input_shape, model=name, min_size=smallest, dynamic=dynamic)
    checks.positive_int("num_classes", num_classes)
    checks.activation("classifier_activation", classifier_activation)
    checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = _stem(x)
    outputs = {}
    for module, widths in _INCEPTIONS.items():
        x = _inception(x, widths, module, _STAGE_ENDS.get(module, f"{module}_out"))
        if auxiliary_heads and module in _AUXILIARY:
            head = _AUXILIARY[module]
            outputs[head] = _auxiliary(x, num_classes, classifier_activation, 0.7 if dropout_rate else 0.0, head)
        if module in ("inception3b", "inception4e"):
            x = blocks.ceil_max_pool(x, f"pool{module[-2]}")
    main = blocks.classification_head(
        x,
        num_classes,
        include_top=include_top,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
    )
    return keras.Model(inputs, {"predictions": main, **outputs} if auxiliary_heads else main, name=name)


def _conv(x: keras.KerasTensor, filters: int, kernel: int, name: str, out: str | None = None, **options: Any) -> Any:
    """Convolution and ReLU, initialised as in the BVLC reference model (Caffe's "xavier" looks at the fan-in only)."""
    return blocks.conv_act(
        x,
        filters,
        kernel,
        names=(name, out or f"{name}_relu"),
        kernel_initializer="lecun_uniform",
        bias_initializer={"class_name": "Constant", "config": {"value": 0.2}},
        **options,
    )


def _stem(x: keras.KerasTensor) -> keras.KerasTensor:
    x = _conv(x, 64, 7, "conv1", "stem_out", strides=2, padding=3)
    x = blocks.ceil_max_pool(x, "pool1")
    x = LocalResponseNormalization(size=5, k=1.0, alpha=2e-5, beta=0.75, name="norm1")(x)
    x = _conv(x, 64, 1, "conv2_reduce")
    x = _conv(x, 192, 3, "conv2", "stage1_out")
    x = LocalResponseNormalization(size=5, k=1.0, alpha=2e-5, beta=0.75, name="norm2")(x)
    return blocks.ceil_max_pool(x, "pool2")


def _inception(x: keras.KerasTensor, widths: tuple[int, ...], name: str, out: str) -> keras.KerasTensor:
    """Figure 2b: four branches next to each other."""
    one, reduce3, three, reduce5, five, project = widths
    pooled = layers.MaxPooling2D(3, strides=1, padding="same", data_format="channels_last", name=f"{name}_pool")(x)
    branches = [
        _conv(x, one, 1, f"{name}_1x1"),
        _conv(_conv(x, reduce3, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3"),
        _conv(_conv(x, reduce5, 1, f"{name}_5x5_reduce"), five, 5, f"{name}_5x5"),
        _conv(pooled, project, 1, f"{name}_pool_proj"),
    ]
    return layers.Concatenate(name=out)(branches)


def _auxiliary(x: keras.KerasTensor, num_classes: int, activation: Any, dropout_rate: float, name: str) -> Any:
    """A classifier on a map in the middle, so that its layers get a gradient from nearby."""
    x = layers.AveragePooling2D(5, strides=3, data_format="channels_last", name=f"{name}_pool")(x)
    x = _conv(x, 128, 1, f"{name}_conv")
    x = layers.Flatten(data_format="channels_last", name=f"{name}_flatten")(x)
    x = layers.Dense(1024, activation="relu", kernel_initializer="lecun_uniform", name=f"{name}_fc")(x)
    x = layers.Dropout(dropout_rate, name=f"{name}_dropout")(x)
    return layers.Dense(num_classes, activation=activation, dtype="float32", name=name)(x)
