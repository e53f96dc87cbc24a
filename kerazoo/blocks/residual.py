"""Parts of residual blocks (He et al., arXiv:1512.03385)."""

from __future__ import annotations

import keras
from keras import layers

from kerazoo.blocks.conv import conv_norm_act


def projection_shortcut(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Option B of the paper: a 1 x 1 convolution and batch normalisation where the shape changes."""
    return conv_norm_act(x, filters, 1, strides=strides, names=(f"{name}_shortcut_conv", f"{name}_shortcut_bn", None))


def add_relu(x: keras.KerasTensor, shortcut: keras.KerasTensor, name: str, out: str) -> keras.KerasTensor:
    """Adds the shortcut, then ReLU under the name `out`."""
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=out)(x)


def basic_residual(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """The residual of a basic block: two 3 x 3 convolutions, the first one strided."""
    for index, (step, last) in enumerate(((strides, False), (1, True)), start=1):
        act = None if last else f"{name}_relu{index}"
        x = conv_norm_act(x, filters, 3, strides=step, names=(f"{name}_conv{index}", f"{name}_bn{index}", act))
    return x
