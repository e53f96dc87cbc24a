"""Losses that Keras does not have or has otherwise, registered under the package name `kerazoo`."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.losses.blind_spot import BlindSpot
from kerazoo.losses.boundary import boundary_weights
from kerazoo.losses.centernet import CenterNet
from kerazoo.losses.crossentropy import ClassBalancedCrossentropy, Focal, PixelCrossentropy
from kerazoo.losses.instances import Cellpose, StarDist
from kerazoo.losses.laplace import Laplace
from kerazoo.losses.overlap import Dice, FocalTversky, Tversky
from kerazoo.losses.quantile import Pinball
from kerazoo.losses.registration import FieldSmoothness, LocalNCC
from kerazoo.losses.sequence import SequenceCrossentropy

__all__ = [
    "BlindSpot",
    "Cellpose",
    "CenterNet",
    "ClassBalancedCrossentropy",
    "Dice",
    "FieldSmoothness",
    "Focal",
    "FocalTversky",
    "Laplace",
    "LocalNCC",
    "Pinball",
    "PixelCrossentropy",
    "SequenceCrossentropy",
    "StarDist",
    "Tversky",
    "boundary_weights",
]
