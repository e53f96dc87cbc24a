"""Holistically-nested edge detection: an answer at the end of every stage, and their fusion.

S. Xie, Z. Tu, "Holistically-Nested Edge Detection", arXiv:1504.06375 (ICCV 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.segmentation._shared import VGG16_STAGES, pixel_activation

_FORMAT = {"data_format": "channels_last"}


@register_model
def hed(
    input_shape: Sequence[int | None] = (481, 321, 3),
    num_classes: int = 1,
    *,
    filters: int = 64,
    side_outputs: bool = False,
    classifier_activation: Any = "auto",
    dropout_rate: float = 0.0,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "hed",
) -> keras.Model:
    """HED: the convolutions of VGG-16 with a score map at the end of each of its five stages.

    Every fixed size works: an odd map is halved upwards, and what is too much after the up-sampling is cropped. A
    size left open (`None`) must be a multiple of 16 when the model is called. The paper trains all six answers with
    `kerazoo.losses.ClassBalancedCrossentropy`.

    Args:
        filters: Filters of the first stage; the others have 2, 4, 8 and 8 times as many.
        side_outputs: `True` returns a dictionary of all answers, to be trained together: the fused one as
            `"predictions"`, and those of the stages as `"side1"` to `"side5"`.
        classifier_activation: Activation of the last layer; `None` returns logits. `"auto"` is `"softmax"`,
            or `"sigmoid"` for one class.
        dropout_rate: Dropout at the end of the last stage, in [0, 1).

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width,
        num_classes), or a dictionary of such maps.

    Example:
        >>> model = kerazoo.hed(side_outputs=True)
        >>> model.compile("adam", dict.fromkeys(model.output, kerazoo.losses.ClassBalancedCrossentropy()))

    References:
        Xie, Tu (2015), https://arxiv.org/abs/1504.06375
    """
    sizes = checks.image_shape(input_shape, model="hed")
    checks.positive_int("num_classes", num_classes)
    checks.positive_int("filters", filters)
    checks.flag("side_outputs", side_outputs)
    checks.fraction("dropout_rate", dropout_rate)
    activation = pixel_activation(classifier_activation, num_classes)

    inputs, image = blocks.image_input(sizes, include_preprocessing)
    x, scores = image, []
    for stage, (multiple, count) in enumerate(VGG16_STAGES, start=1):
        if stage > 1:
            x = layers.MaxPooling2D(2, padding="same", name=f"stage{stage - 1}_pool", **_FORMAT)(x)
        x = blocks.conv_stack(x, (filters * multiple,) * count, prefix=f"stage{stage}", out=f"stage{stage}_out")
        if stage == len(VGG16_STAGES) and dropout_rate > 0:
            x = layers.Dropout(dropout_rate, name="dropout")(x)
        score = layers.Conv2D(num_classes, 1, name=f"side{stage}_score", **_FORMAT)(x)
        if stage > 1:
            up = layers.UpSampling2D(2 ** (stage - 1), interpolation="bilinear", name=f"side{stage}_up", **_FORMAT)
            score = blocks.crop_to(up(score), image, always=True, name=f"side{stage}_crop")
        scores.append(score)

    fuse = layers.Conv2D(num_classes, 1, activation=activation, dtype="float32", name="predictions", **_FORMAT)
    outputs = fuse(layers.Concatenate(name="sides")(scores))
    # The fusion starts as the mean of the sides; with the same 0.2 for all classes they could not be told apart.
    fuse.kernel.assign(np.tile(np.eye(num_classes) / len(scores), (len(scores), 1))[None, None])
    if side_outputs:
        outputs = {"predictions": outputs, **side_answers(scores, activation)}
    return keras.Model(inputs, outputs, name=name)


def side_answers(scores: Sequence[keras.KerasTensor], activation: Any) -> dict[str, keras.KerasTensor]:
    """Returns the answers of the stages, `side1`, `side2`, ..., from their scores."""
    return {
        f"side{stage}": layers.Activation(activation or "linear", dtype="float32", name=f"side{stage}")(score)
        for stage, score in enumerate(scores, start=1)
    }
