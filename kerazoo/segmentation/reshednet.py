"""ResHedNet: HED with residual blocks, which finds domain walls and edges in electron and probe microscopy.

M. Ziatdinov, A. Ghosh, C. Y. Wong, S. V. Kalinin, "AtomAI: A Deep Learning Framework for Analysis of Image and
Spectroscopy Data in (Scanning) Transmission Electron Microscopy and Beyond", arXiv:2105.07485.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.segmentation._shared import pixel_activation
from kerazoo.segmentation.hed import side_answers

_FORMAT = {"data_format": "channels_last"}
_REPEATS = (3, 4, 5)


@register_model
def reshednet(
    input_shape: Sequence[int | None] = (256, 256, 1),
    num_classes: int = 1,
    *,
    filters: int = 64,
    side_outputs: bool = False,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "reshednet",
) -> keras.Model:
    """ResHedNet: three stages of residual blocks, a score map at the end of each, and their fusion.

    Every fixed size works: an odd map is halved upwards, and what is too much after the up-sampling is cropped. A
    size left open (`None`) must be a multiple of 4 when the model is called.

    Args:
        filters: Filters of the first stage; the others have 2 and 4 times as many.
        side_outputs: `True` returns a dictionary of all answers, to be trained together as in HED: the fused one as
            `"predictions"`, and those of the stages as `"side1"` to `"side3"`.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout at the end of the last stage, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes), or a dictionary of such maps.

    Example:
        >>> model = kerazoo.reshednet((None, None, 1), 1, filters=16)

    References:
        Ziatdinov, Ghosh, Wong, Kalinin (2021), https://arxiv.org/abs/2105.07485
    """
    sizes = checks.image_shape(input_shape, model="reshednet")
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.flag("side_outputs", side_outputs)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, image = blocks.image_input(sizes, include_preprocessing)
    x, scores = image, []
    for stage, repeats in enumerate(_REPEATS, start=1):
        if stage > 1:
            x = layers.MaxPooling2D(2, padding="same", name=f"stage{stage - 1}_pool", **_FORMAT)(x)
        for index in range(1, repeats + 1):
            prefix = f"stage{stage}_block{index}"
            out = f"stage{stage}_out" if index == repeats else f"{prefix}_out"
            x = _residual_block(x, filters * 2 ** (stage - 1), prefix, out)
        if stage == len(_REPEATS) and dropout_rate > 0:
            x = layers.Dropout(dropout_rate, name="dropout")(x)
        score = blocks.batch_norm(
            layers.Conv2D(num_classes, 1, name=f"side{stage}_score", **_FORMAT)(x), f"side{stage}_bn"
        )
        if stage > 1:
            up = layers.UpSampling2D(2 ** (stage - 1), interpolation="bilinear", name=f"side{stage}_up", **_FORMAT)
            score = blocks.crop_to(up(score), image, always=True, name=f"side{stage}_crop")
        scores.append(score)
    fuse = layers.Conv2D(num_classes, 1, activation=activation, dtype="float32", name="predictions", **_FORMAT)
    outputs = fuse(layers.Concatenate(name="sides")(scores))
    if side_outputs:
        outputs = {"predictions": outputs, **side_answers(scores, activation)}
    return keras.Model(inputs, outputs, name=name)


def _residual_block(x: keras.KerasTensor, filters: int, prefix: str, out: str) -> keras.KerasTensor:
    """A 1 x 1 convolution, and two 3 x 3 convolutions whose output is added to it."""
    shortcut = y = layers.Conv2D(
        filters, 1, kernel_initializer=blocks.HE_NORMAL_FAN_IN, name=f"{prefix}_conv0", **_FORMAT
    )(x)
    for index in (1, 2):
        y = layers.Conv2D(
            filters,
            3,
            padding="same",
            kernel_initializer=blocks.HE_NORMAL_FAN_IN,
            name=f"{prefix}_conv{index}",
            **_FORMAT,
        )(y)
        y = blocks.batch_norm(y, f"{prefix}_bn{index}")
        if index == 1:
            y = layers.LeakyReLU(0.01, name=f"{prefix}_relu1")(y)
    y = layers.Add(name=f"{prefix}_add")([y, shortcut])
    return layers.LeakyReLU(0.01, name=out)(y)
