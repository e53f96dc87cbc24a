"""What the builders of this folder share."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from kerazoo import checks


def pixel_head(
    x: keras.KerasTensor, image: keras.KerasTensor, num_channels: int, residual: Any, output_activation: Any
) -> keras.KerasTensor:
    """Ends a network in one convolution 1 x 1 in float32, and adds the image where it only says what is to be added.

    Args:
        x: Feature map.
        image: What the network started from.
        num_channels: Output channels.
        residual: `True`, `False`, or `"auto"`: where the channels of the image fit.
        output_activation: Activation of the end.
    """
    fits = image.shape[-1] == num_channels
    checks.one_of("residual", residual, ("auto", True, False))
    checks.activation("output_activation", output_activation)
    if residual is True and not fits:
        raise ValueError(
            "residual=True needs as many channels in as out. Received: "
            f"{image.shape[-1]} channel(s) in, num_channels={num_channels}"
        )
    conv = layers.Conv2D if len(x.shape) == 4 else layers.Conv3D
    adds = fits and residual is not False
    activation = None if adds else output_activation
    x = conv(num_channels, 1, activation=activation, data_format="channels_last", dtype="float32", name="predictions")(
        x
    )
    if not adds:
        return x
    x = layers.Add(dtype="float32", name="predictions_added")([x, image])
    return x if output_activation is None else layers.Activation(output_activation, dtype="float32", name="output")(x)
