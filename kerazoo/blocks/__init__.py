"""Functions `x -> x` that several families share. A block exists once, here."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.blocks.conv import HE_NORMAL_FAN_OUT, batch_norm, conv_norm_act
from kerazoo.blocks.ends import classification_head, image_input, named_activation, preprocess
from kerazoo.blocks.residual import add_relu, basic_residual, projection_shortcut
from kerazoo.blocks.stack import HE_NORMAL_FAN_IN, conv_stack
from kerazoo.blocks.upsampling import bilinear_upsampling, crop_to, join_skip

__all__ = [
    "HE_NORMAL_FAN_IN",
    "HE_NORMAL_FAN_OUT",
    "add_relu",
    "basic_residual",
    "batch_norm",
    "bilinear_upsampling",
    "classification_head",
    "conv_norm_act",
    "conv_stack",
    "crop_to",
    "image_input",
    "join_skip",
    "named_activation",
    "preprocess",
    "projection_shortcut",
]
