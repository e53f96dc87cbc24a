"""LeNet-5, as it was published, and in the simplified form that goes by its name today.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.activations import scaled_tanh
from kerazoo.layers.euclidean_rbf import EuclideanRBF
from kerazoo.layers.partial_conv import PartialConv2D

_FORMAT = {"data_format": "channels_last"}

# Table I of the paper: the maps of S2 that each map of C3 sees.
_C3_CONNECTIONS = (
    *(((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5))),
    *(((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5))),
    *(((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5))),
    (0, 1, 2, 3, 4, 5),
)

# Bitmaps of 7 x 12 pixels, drawn for kerazoo: the paper shows its own only as a figure.
_GLYPHS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
.#####.  ...#...  .#####.  .#####.  ....##.  #######  ..####.  #######  .#####.  .#####.
##...##  ..##...  ##...##  ##...##  ...###.  ##.....  .##....  #....##  ##...##  ##...##
##...##  .###...  .....##  .....##  ..####.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...#...  .....##  .....##  .##.##.  ######.  ##.....  ....##.  ##...##  ##...##
##...##  ...#...  ....##.  ..####.  ##..##.  .....##  ######.  ...##..  .#####.  .######
##...##  ...#...  ...##..  .....##  #######  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...#...  ..##...  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
##...##  ...#...  .##....  ##...##  ....##.  ##...##  ##...##  ..##...  ##...##  ....##.
.#####.  .#####.  #######  .#####.  ....##.  .#####.  .#####.  ..##...  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def digit_codes() -> np.ndarray:
    """Returns the target codes of the ten digits: bitmaps of 7 x 12 pixels, +1 for ink and -1 for paper.

    Returns:
        Array (10, 84), float32.
    """
    rows = [line.split() for line in _GLYPHS.strip().splitlines()]
    return np.array(
        [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[digit]] for digit in range(10)],
        "float32",
    )


def _uniform(fan_in: int) -> keras.initializers.Initializer:
    """The paper's initial weights: uniform within 2.4 / fan-in."""
    return keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)


@register_model
def lenet5(
    input_shape: Sequence[int] = (32, 32, 1),
    num_classes: int = 10,
    *,
    variant: str = "original",
    codes: Sequence[Sequence[float]] | None = None,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "lenet5",
) -> keras.Model:
    """LeNet-5 of 1998: trainable sub-sampling, partial connections, and the distance to a bitmap per digit.

    Args:
        input_shape: `(height, width, channels)` of at least 32 x 32; pad MNIST's 28 x 28 by two pixels.
        variant: `"original"`, or `"common"`: full connections, plain average pooling, tanh and a dense
            softmax.
        codes: With `"original"`: the target code of each class, (num_classes, 84) of +1 and -1. Defaults to
            bitmaps of the digits for ten classes and to fixed random codes otherwise.
        include_top: Whether to end in the layer F6 and the output (`flatten`, `f6`, `f6_tanh`, `head_dropout`,
            `predictions`); unlike other classifiers LeNet-5 pools nothing there.
        classifier_activation: Activation of `predictions`. In the original it acts on minus the squared
            distances, so `"softmax"` gives class probabilities and `None` the negative penalties of the
            paper.
        dropout_rate: Fraction of the 84 units of F6 dropped, in [0, 1). The paper has none.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, num_classes).

    Example:
        >>> model = kerazoo.lenet5((32, 32, 1), 10)
        >>> model.compile("sgd", "sparse_categorical_crossentropy")

    References:
        LeCun, Bottou, Bengio, Haffner (1998), https://doi.org/10.1109/5.726791
    """
    dynamic = "F6 is connected to every position of C5"
    sizes = checks.image_shape(input_shape, model="lenet5", min_size=32, dynamic=dynamic)
    num_classes = checks.positive_int("num_classes", num_classes)
    checks.one_of("variant", variant, ("original", "common"))
    targets = _check_codes(codes, num_classes, variant)
    checks.head(include_top, pooling)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    x = _original_body(x) if variant == "original" else _common_body(x)
    if include_top:
        x = _head(x, num_classes, variant, targets, classifier_activation, dropout_rate)
    elif pooling is not None:
        x = blocks.classification_head(
            x, num_classes, include_top=False, pooling=pooling, classifier_activation=None, dropout_rate=0.0
        )
    return keras.Model(inputs, x, name=name)


def _check_codes(codes: Any, num_classes: int, variant: str) -> np.ndarray | None:
    if variant == "common":
        if codes is not None:
            raise ValueError("codes belong to variant='original'; the common form ends in a dense layer")
        return None
    if codes is None:
        return digit_codes() if num_classes == 10 else None
    table = np.asarray(codes, "float32")
    if table.shape != (num_classes, 84) or not np.all(np.abs(table) == 1):
        raise ValueError(f"codes must be {num_classes} rows of 84 values +1 or -1. Received: shape {table.shape}")
    return table


def _subsample(x: keras.KerasTensor, name: str, out: str) -> keras.KerasTensor:
    """Sums 2 x 2 inputs, times a trainable coefficient, plus a bias, squashed: two weights per map."""
    x = layers.AveragePooling2D(2, name=f"{name}_mean", **_FORMAT)(x)
    x = layers.Rescaling(4.0, name=f"{name}_sum")(x)
    x = layers.DepthwiseConv2D(1, depthwise_initializer=_uniform(4), name=name, **_FORMAT)(x)
    return layers.Activation(scaled_tanh, name=out)(x)


def _original_body(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(6, 5, kernel_initializer=_uniform(25 * x.shape[-1]), name="c1", **_FORMAT)(x)
    x = layers.Activation(scaled_tanh, name="c1_tanh")(x)
    x = _subsample(x, "s2", "stage1_out")
    x = PartialConv2D(_C3_CONNECTIONS, 5, keras.initializers.RandomUniform(-2.4, 2.4), name="c3")(x)
    x = layers.Activation(scaled_tanh, name="c3_tanh")(x)
    x = _subsample(x, "s4", "stage2_out")
    x = layers.Conv2D(120, 5, kernel_initializer=_uniform(25 * 16), name="c5", **_FORMAT)(x)
    return layers.Activation(scaled_tanh, name="stage3_out")(x)


def _common_body(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(6, 5, activation="tanh", name="c1", **_FORMAT)(x)
    x = layers.AveragePooling2D(2, name="stage1_out", **_FORMAT)(x)
    x = layers.Conv2D(16, 5, activation="tanh", name="c3", **_FORMAT)(x)
    x = layers.AveragePooling2D(2, name="stage2_out", **_FORMAT)(x)
    return layers.Conv2D(120, 5, activation="tanh", name="stage3_out", **_FORMAT)(x)


def _head(
    x: keras.KerasTensor,
    num_classes: int,
    variant: str,
    codes: Any,
    classifier_activation: Any,
    dropout_rate: float,
) -> keras.KerasTensor:
    original = variant == "original"
    x = layers.Flatten(name="flatten", **_FORMAT)(x)
    initializer = _uniform(x.shape[-1]) if original else "glorot_uniform"
    x = layers.Dense(84, kernel_initializer=initializer, name="f6")(x)
    x = layers.Activation(scaled_tanh if original else "tanh", name="f6_tanh")(x)
    x = layers.Dropout(dropout_rate, dtype="float32", name="head_dropout")(x)
    common = {"activation": classifier_activation, "dtype": "float32", "name": "predictions"}
    return (EuclideanRBF(num_classes, codes, **common) if original else layers.Dense(num_classes, **common))(x)
