"""From a trained network of one size and range to one that takes and gives pixels, of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

Limits = tuple[float, float]


def pixel_input(channels: int, name: str = "input") -> keras.KerasTensor:
    """Returns an input of images of any height and width."""
    import keras

    return keras.Input((None, None, channels), name=name)


def in_pixels(
    network: keras.Model,
    inputs: keras.KerasTensor,
    taken: Limits,
    given: Limits,
    *,
    network_takes: Limits = (-1.0, 1.0),
    network_gives: Limits = (-1.0, 1.0),
    name: str = "output",
) -> keras.KerasTensor:
    """Returns what a network makes of pixels, as pixels; its layers are shared, and it stays one flat graph.

    Args:
        network: A functional model with one input and one output that works at any size.
        inputs: Pixels (batch, height, width, channels).
        taken: Pixels that stand for the limits of what the network takes; what lies beyond is cut off.
        given: Pixels that stand for the limits of what the network gives.
        network_takes: Those limits.
        network_gives: Those limits.
        name: Name of the last layer; those in front of the network begin with it, too.
    """
    from keras import layers

    from kerazoo import _graph

    x = _rescaled(inputs, taken, (-1.0, 1.0), f"{name}_scaled")
    x = layers.Activation("hard_tanh", dtype="float32", name=f"{name}_limited")(x)
    if network_takes != (-1.0, 1.0):
        x = _rescaled(x, (-1.0, 1.0), network_takes, f"{name}_shifted")
    *_, last = _graph.replay(network, [x], lambda layer, args, kwargs: layer(*args, **kwargs))
    return _rescaled(last.outputs[0], network_gives, given, name)


def _rescaled(x: keras.KerasTensor, before: Limits, after: Limits, name: str) -> keras.KerasTensor:
    from keras import layers

    scale = (after[1] - after[0]) / (before[1] - before[0])
    return layers.Rescaling(scale, after[0] - before[0] * scale, dtype="float32", name=name)(x)
