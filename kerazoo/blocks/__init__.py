"""Functions `x -> x` that several families share. A block exists once, here."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.blocks.codes import Halves, checked_halves
from kerazoo.blocks.conv import (
    HE_NORMAL_FAN_OUT,
    batch_norm,
    ceil_max_pool,
    conv_act,
    conv_norm_act,
    norm_act,
    norm_act_conv,
    own_initializer,
)
from kerazoo.blocks.ends import (
    classification_head,
    dense_head,
    image_input,
    named_activation,
    preprocess,
    sequence_input,
    token_input,
)
from kerazoo.blocks.inverted import (
    depthwise_norm_act,
    drop_path,
    inverted_residual,
    round_channels,
    squeeze_excite,
)
from kerazoo.blocks.patches import check_patches, patch_embedding
from kerazoo.blocks.residual import add_relu, basic_residual, projection_shortcut
from kerazoo.blocks.stack import HE_NORMAL_FAN_IN, conv_stack
from kerazoo.blocks.transformer import Transformer
from kerazoo.blocks.unet_path import unet_path
from kerazoo.blocks.upsampling import bilinear_upsampling, crop_to, join_skip

__all__ = [
    "HE_NORMAL_FAN_IN",
    "HE_NORMAL_FAN_OUT",
    "Halves",
    "Transformer",
    "add_relu",
    "basic_residual",
    "batch_norm",
    "bilinear_upsampling",
    "ceil_max_pool",
    "check_patches",
    "checked_halves",
    "classification_head",
    "conv_act",
    "conv_norm_act",
    "conv_stack",
    "crop_to",
    "dense_head",
    "depthwise_norm_act",
    "drop_path",
    "image_input",
    "inverted_residual",
    "join_skip",
    "named_activation",
    "norm_act",
    "norm_act_conv",
    "own_initializer",
    "patch_embedding",
    "preprocess",
    "projection_shortcut",
    "round_channels",
    "sequence_input",
    "squeeze_excite",
    "token_input",
    "unet_path",
]
