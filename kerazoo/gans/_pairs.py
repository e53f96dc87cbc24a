"""The two images that models which translate learn from in one step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def pair(model: keras.Model, data: Any, first: Any, second: Any, missing: str) -> tuple[Any, Any]:
    """Returns the two images of a step as float32; refuses other shapes than those of two tensors of the model."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError(f"{model.name} takes no sample_weight: all samples of a batch count the same.")
    if y is None:
        raise ValueError(f"{model.name} learns from two images at a time: fit(images, {missing}).")
    found = [ops.cast(ops.convert_to_tensor(image), "float32") for image in (x, y)]
    for image, wanted in zip(found, (first.shape[1:], second.shape[1:]), strict=True):
        fits = len(image.shape) == 4 and all(
            size in (None, have) for size, have in zip(wanted, image.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"{model.name} was built for images of shape {tuple(wanted)}. Received: {tuple(image.shape[1:])}"
            )
    return found[0], found[1]
