"""Layers and activations that Keras does not have, registered under the package name `kerazoo`."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.layers.activations import heaviside, quantizer, scaled_tanh
from kerazoo.layers.euclidean_rbf import EuclideanRBF
from kerazoo.layers.gaussian_rbf import GaussianRBF
from kerazoo.layers.graph import GraphAttention, GraphConvolution
from kerazoo.layers.local_response import LocalResponseNormalization
from kerazoo.layers.padding_mask import PaddingMask
from kerazoo.layers.partial_conv import PartialConv2D
from kerazoo.layers.position import PositionEmbedding, SinusoidalPositions, sinusoids
from kerazoo.layers.unpooling import MaxPoolWithSwitches2D, MaxUnpool2D

__all__ = [
    "EuclideanRBF",
    "GaussianRBF",
    "GraphAttention",
    "GraphConvolution",
    "LocalResponseNormalization",
    "MaxPoolWithSwitches2D",
    "MaxUnpool2D",
    "PaddingMask",
    "PartialConv2D",
    "PositionEmbedding",
    "SinusoidalPositions",
    "heaviside",
    "quantizer",
    "scaled_tanh",
    "sinusoids",
]
