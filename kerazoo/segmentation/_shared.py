"""What the builders of this folder share: their common arguments and the activation of a pixel."""

from __future__ import annotations

from typing import Any, TypedDict

import keras

from kerazoo import checks, surgery
from kerazoo._words import nearest
from kerazoo.catalog import create_model, list_models


class DenseOptions(TypedDict, total=False):
    """Keyword arguments of every network that labels pixels."""

    classifier_activation: Any
    dropout_rate: float
    include_preprocessing: bool | tuple[float, float]
    weights: str | None
    dtype: str | None
    name: str


def pixel_activation(classifier_activation: Any, num_classes: int) -> Any:
    """Checks the activation of the last layer; `"auto"` is softmax, or sigmoid for one class."""
    if isinstance(classifier_activation, str) and classifier_activation == "auto":
        return "softmax" if num_classes > 1 else "sigmoid"
    return checks.activation("classifier_activation", classifier_activation)


VGG16_STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Configuration D of VGG, the body of several of these networks: width in multiples of the first, convolutions."""


def backbone_features(
    backbone: str, inputs: keras.KerasTensor, x: keras.KerasTensor, output_stride: int | None = None
) -> dict[int, keras.KerasTensor]:
    """Builds an image classifier on a tensor.

    Args:
        backbone: Its name.
        inputs: The input of the network, which has the classifier's input shape.
        x: The tensor to start from.
        output_stride: Largest stride; convolutions behind it are dilated instead. `None` for the classifier's own.

    Returns:
        Pyramid level (of the classifier as it was) -> feature map.
    """
    known = list_models(kind="image_classifier")
    if backbone not in known:
        raise ValueError(f"backbone must name an image classifier. Received: {backbone!r}.{nearest(backbone, known)}")
    encoder = create_model(backbone, tuple(inputs.shape[1:]), include_top=False)
    # Called on `x`, the encoder would be a model inside the model; its layers are run one by one instead.
    features = surgery.graft(encoder, x, output_stride=output_stride)
    if output_stride is not None and (2 not in features or 2 ** max(features) < output_stride):
        raise ValueError(
            f"backbone {backbone!r} cannot be used with output_stride={output_stride}: its maps have the strides "
            f"{', '.join(str(2**level) for level in features)}"
        )
    for level, feature in features.items():
        stride = min(2**level, output_stride or 2**level)
        for size, full in zip(feature.shape[1:3], x.shape[1:3], strict=True):
            if full is not None and size != -(-full // stride):
                raise ValueError(
                    f"backbone {backbone!r} cannot be used: its maps are not halves of the input, since its "
                    "convolutions are not padded"
                )
    return features
