"""Layers and activations that Keras does not have, registered under the package name `kerazoo`."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.layers.activations import gelu_tanh, heaviside, quantizer, quick_gelu, scaled_tanh
from kerazoo.layers.attentive_rnn import AttentiveRNN
from kerazoo.layers.bias import Bias
from kerazoo.layers.cached_attention import CachedAttention, KeysAndValues
from kerazoo.layers.corruption import Corruption
from kerazoo.layers.depth_to_space import DepthToSpace
from kerazoo.layers.doubling import BilinearDoubling
from kerazoo.layers.equalized import EqualizedConv2D, EqualizedDense
from kerazoo.layers.euclidean_rbf import EuclideanRBF
from kerazoo.layers.gaussian_rbf import GaussianRBF
from kerazoo.layers.gaussian_sampling import GaussianSampling
from kerazoo.layers.graph import GraphAttention, GraphConvolution
from kerazoo.layers.grid_positions import ClassToken, GridPositions, resize_positions
from kerazoo.layers.local_response import LocalResponseNormalization
from kerazoo.layers.masked_conv import MaskedConv2D
from kerazoo.layers.maxout import Maxout
from kerazoo.layers.one_hot import OneHot
from kerazoo.layers.padding_mask import PaddingMask
from kerazoo.layers.partial_conv import PartialConv2D
from kerazoo.layers.position import PositionEmbedding, SinusoidalPositions, sinusoids
from kerazoo.layers.progressive import FadeIn, MinibatchDeviation, PixelNorm
from kerazoo.layers.reflection_padding import ReflectionPadding2D
from kerazoo.layers.reverse_tokens import ReverseTokens
from kerazoo.layers.reversible_dense import ReversibleDense
from kerazoo.layers.sparsity import SparsityPenalty
from kerazoo.layers.step_embedding import StepEmbedding
from kerazoo.layers.steps import LastStep, MaxStep, MeanStep, PaddingAsZeros
from kerazoo.layers.take_token import TakeToken
from kerazoo.layers.unpooling import MaxPoolWithSwitches2D, MaxUnpool2D
from kerazoo.layers.warp import ScalingAndSquaring, Warp, warped
from kerazoo.layers.weight_norm import WeightNormConv1D

__all__ = [
    "AttentiveRNN",
    "Bias",
    "BilinearDoubling",
    "CachedAttention",
    "ClassToken",
    "Corruption",
    "DepthToSpace",
    "EqualizedConv2D",
    "EqualizedDense",
    "EuclideanRBF",
    "FadeIn",
    "GaussianRBF",
    "GaussianSampling",
    "GraphAttention",
    "GraphConvolution",
    "GridPositions",
    "KeysAndValues",
    "LastStep",
    "LocalResponseNormalization",
    "MaskedConv2D",
    "MaxPoolWithSwitches2D",
    "MaxStep",
    "MaxUnpool2D",
    "Maxout",
    "MeanStep",
    "MinibatchDeviation",
    "OneHot",
    "PaddingAsZeros",
    "PaddingMask",
    "PartialConv2D",
    "PixelNorm",
    "PositionEmbedding",
    "ReflectionPadding2D",
    "ReverseTokens",
    "ReversibleDense",
    "ScalingAndSquaring",
    "SinusoidalPositions",
    "SparsityPenalty",
    "StepEmbedding",
    "TakeToken",
    "Warp",
    "WeightNormConv1D",
    "gelu_tanh",
    "heaviside",
    "quantizer",
    "quick_gelu",
    "resize_positions",
    "scaled_tanh",
    "sinusoids",
    "warped",
]
