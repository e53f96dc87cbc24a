"""Which pixels of the input one pixel of the output depends on, read off the graph of a network.

A network of convolutions, poolings and up-samplings repeats itself every `multiple` pixels. So it is enough to walk
back from one such period of the output to the input, with the range of coordinates every map is needed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import keras
from keras import layers

from kerazoo import _graph
from kerazoo.layers import bias, depth_to_space, doubling, local_response, maxout, reflection_padding, unpooling

Range = tuple[int, int]
"""First coordinate, and the one behind the last."""

_POOLS = (layers.MaxPooling2D, layers.MaxPooling3D, layers.AveragePooling2D, layers.AveragePooling3D)
_CONVS = (layers.Conv2D, layers.Conv3D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_TRANSPOSED = (layers.Conv2DTranspose, layers.Conv3DTranspose)
_UPSAMPLED = (layers.UpSampling2D, layers.UpSampling3D)
_PADDED = (layers.ZeroPadding2D, layers.ZeroPadding3D)
_CROPPED = (layers.Cropping2D, layers.Cropping3D)
_POINTWISE = (
    layers.InputLayer,
    layers.Identity,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Dense,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.Rescaling,
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
    bias.Bias,
    local_response.LocalResponseNormalization,
    maxout.Maxout,
)
_OF_CHANNELS = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.Concatenate,
    layers.Softmax,
    layers.Normalization,
    layers.UnitNormalization,
)
"""Pointwise as long as their axis is that of the channels."""
_WHOLE_IMAGE = (
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
    layers.GroupNormalization,
    layers.MultiHeadAttention,
    layers.Attention,
    layers.Flatten,
    layers.Reshape,
    layers.Permute,
    layers.Resizing,
)


class ReceptiveField(NamedTuple):
    """How a network looks at its input; one entry per spatial axis.

    Attributes:
        multiple: Pixels of the input after which the network repeats itself; its sizes have to be multiples of it.
        margin: Pixels around a period of the input that its output depends on, at most, on either side.
        scales: Per output: its pixels per pixel of the input.
    """

    multiple: tuple[int, ...]
    margin: tuple[int, ...]
    scales: tuple[tuple[Fraction, ...], ...]


class UnknownOperationError(ValueError):
    """The graph has an operation of which it is not known what it looks at."""


class WholeImageError(ValueError):
    """The graph has an operation that looks at the whole image."""


class _Window(NamedTuple):
    """One axis of an operation: the `zoom` of its output, and which part of the input a part of the output needs."""

    zoom: Fraction
    needed: Callable[[Range], Range]


def receptive_field(model: keras.Model) -> ReceptiveField:
    """Reads the receptive field off the graph of a functional model with one image or volume as its input.

    Raises:
        WholeImageError: If an operation looks at the whole image.
        UnknownOperationError: If it is not known what an operation looks at.
    """
    axes = len(model.inputs[0].shape) - 2
    calls = [(node, _windows(node, axes)) for node in _graph.nodes(model)]
    scales = _scales(model, calls, axes)
    multiple = tuple(math.lcm(*(scale[axis].denominator for scale in scales.values())) for axis in range(axes))
    needs: dict[int, list[Range]] = {}
    for output in model.outputs:
        periods = [(0, int(size * scale)) for size, scale in zip(multiple, scales[id(output)], strict=True)]
        needs[id(output)] = _union(needs.get(id(output)), periods)
    for node, windows in reversed(calls):
        wanted: list[Range] | None = None
        for output in node.outputs:
            if id(output) in needs:
                wanted = _union(wanted, needs[id(output)])
        if wanted is None or node.is_input:
            continue
        seen = [window.needed(part) for window, part in zip(windows, wanted, strict=True)]
        for source in node.arguments.keras_tensors:
            needs[id(source)] = _union(needs.get(id(source)), seen)
    ranges = needs.get(id(model.inputs[0]), [(0, size) for size in multiple])
    margin = tuple(max(0, -first, last - size) for (first, last), size in zip(ranges, multiple, strict=True))
    return ReceptiveField(multiple, margin, tuple(scales[id(output)] for output in model.outputs))


def _scales(model: keras.Model, calls: list[tuple[Any, list[_Window]]], axes: int) -> dict[int, tuple[Fraction, ...]]:
    """Returns, for every tensor, its pixels per pixel of the input."""
    scales: dict[int, tuple[Fraction, ...]] = {id(model.inputs[0]): (Fraction(1),) * axes}
    for node, windows in calls:
        if node.is_input:
            continue
        sources = [scales[id(tensor)] for tensor in node.arguments.keras_tensors if id(tensor) in scales]
        zoomed = tuple(size * window.zoom for size, window in zip(sources[0], windows, strict=True))
        scales.update({id(tensor): zoomed for tensor in node.outputs})
    return scales


def _union(a: list[Range] | None, b: list[Range]) -> list[Range]:
    if a is None:
        return b
    return [(min(x[0], y[0]), max(x[1], y[1])) for x, y in zip(a, b, strict=True)]


def _windows(node: Any, axes: int) -> list[_Window]:
    """Returns what one operation looks at, per spatial axis."""
    layer = node.operation
    if any(len(tensor.shape) != axes + 2 for tensor in node.outputs) or isinstance(layer, _WHOLE_IMAGE):
        raise WholeImageError(f"layer {layer.name!r} ({type(layer).__name__}) looks at the whole image")
    for kinds, rule in _RULES.items():
        if isinstance(layer, kinds):
            return rule(layer, axes)
    if isinstance(layer, _POINTWISE) or (isinstance(layer, _OF_CHANNELS) and _along_channels(layer, axes)):
        return [_Window(Fraction(1), lambda part: part)] * axes
    if isinstance(layer, layers.PReLU) and set(layer.shared_axes or ()) >= set(range(1, axes + 1)):
        return [_Window(Fraction(1), lambda part: part)] * axes
    raise UnknownOperationError(f"it is not known what layer {layer.name!r} ({type(layer).__name__}) looks at")


def _along_channels(layer: Any, axes: int) -> bool:
    axis = layer.axis
    listed = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    return all(number in (-1, axes + 1) for number in listed)


def _sliding(kernel: int, stride: int, dilation: int, padding: str) -> _Window:
    """A window that slides over maps whose size is a multiple of the stride."""
    reach = (kernel - 1) * dilation + 1
    before = max(reach - stride, 0) // 2 if padding == "same" else 0
    return _Window(
        Fraction(1, stride), lambda part: (part[0] * stride - before, (part[1] - 1) * stride - before + reach)
    )


def _spread(kernel: int, stride: int, padding: str) -> _Window:
    """A transposed convolution: each pixel is spread over `kernel` pixels of a map `stride` times as large."""
    before = max(kernel - stride, 0) // 2 if padding == "same" else 0
    return _Window(
        Fraction(stride),
        lambda part: (-((kernel - 1 - before - part[0]) // stride), (part[1] - 1 + before) // stride + 1),
    )


def _enlarged(factor: int, neighbours: int = 0) -> _Window:
    return _Window(
        Fraction(factor), lambda part: (part[0] // factor - neighbours, (part[1] - 1) // factor + 1 + neighbours)
    )


def _shifted(pixels: int) -> _Window:
    """Padding on the near side (positive) or cropping there (negative)."""
    return _Window(Fraction(1), lambda part: (part[0] - pixels, part[1] - pixels))


def _conv(layer: Any, axes: int) -> list[_Window]:
    triples = zip(layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    return [_sliding(kernel, stride, rate, layer.padding) for kernel, stride, rate in triples]


def _pool(layer: Any, axes: int) -> list[_Window]:
    return [_sliding(k, s, 1, layer.padding) for k, s in zip(layer.pool_size, layer.strides, strict=True)]


def _transposed(layer: Any, axes: int) -> list[_Window]:
    if any(rate != 1 for rate in layer.dilation_rate):
        raise UnknownOperationError(f"layer {layer.name!r} is a dilated transposed convolution")
    return [_spread(k, s, layer.padding) for k, s in zip(layer.kernel_size, layer.strides, strict=True)]


def _upsampled(layer: Any, axes: int) -> list[_Window]:
    reach = {"nearest": 0, "bilinear": 1}.get(getattr(layer, "interpolation", "nearest"), 4)
    return [_enlarged(factor, reach) for factor in layer.size]


_RULES: Mapping[Any, Callable[[Any, int], list[_Window]]] = {
    _TRANSPOSED: _transposed,
    _CONVS: _conv,
    _POOLS: _pool,
    _UPSAMPLED: _upsampled,
    _PADDED: lambda layer, axes: [_shifted(pair[0]) for pair in layer.padding],
    _CROPPED: lambda layer, axes: [_shifted(-pair[0]) for pair in layer.cropping],
    reflection_padding.ReflectionPadding2D: lambda layer, axes: [_shifted(layer.padding)] * axes,
    depth_to_space.DepthToSpace: lambda layer, axes: [_enlarged(layer.factor)] * axes,
    doubling.BilinearDoubling: lambda layer, axes: [_enlarged(2, 1)] * axes,
    unpooling.MaxPoolWithSwitches2D: lambda layer, axes: [_sliding(2, 2, 1, "valid")] * axes,
    unpooling.MaxUnpool2D: lambda layer, axes: [_enlarged(2)] * axes,
}
