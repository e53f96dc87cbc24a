"""Layers and activations that Keras does not have, registered under the package name `kerazoo`."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.layers.activations import heaviside, scaled_tanh
from kerazoo.layers.euclidean_rbf import EuclideanRBF
from kerazoo.layers.partial_conv import PartialConv2D
from kerazoo.layers.unpooling import MaxPoolWithSwitches2D, MaxUnpool2D

__all__ = ["EuclideanRBF", "MaxPoolWithSwitches2D", "MaxUnpool2D", "PartialConv2D", "heaviside", "scaled_tanh"]
