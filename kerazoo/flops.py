"""Counting floating-point operations from the graph, without running it and on any backend.

One multiply-accumulate counts as two operations. Counted are convolutions, matrix products, recurrent layers
and attention; element-wise work (activations, normalisation, pooling, additions) is not, as in the usual
published figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import _graph

Shape = tuple[int, ...]

_FREE = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.UnitNormalization,
    layers.RMSNormalization,
    layers.Normalization,
    layers.PReLU,
    layers.Embedding,
    layers.InputLayer,
)
_CONVS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)
_CONV_RECURRENT = (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)


def count_flops(model: keras.Model, input_shape: Any = None) -> int:
    """Counts the floating-point operations of one forward pass of one sample.

    Args:
        model: A functional model.
        input_shape: Shape of the input without the batch axis, or a list of shapes for several inputs; needed
            where the model leaves sizes open. Defaults to the model's own.

    Returns:
        Two times the number of multiply-accumulates.

    Raises:
        ValueError: If a size is open, or a layer with weights is of an unknown kind and has no method
            `flops(input_shapes, output_shape)`.

    Example:
        >>> kerazoo.count_flops(kerazoo.resnet18()) / 2e9  # GMACs
        1.814073344
    """
    return 2 * sum(
        _layer_macs(operation, [spec.shape for spec in inputs], [spec.shape for spec in outputs])
        for operation, inputs, outputs in _graph.output_specs(model, _probes(model, input_shape))
        if inputs
    )


def _probes(model: keras.Model, input_shape: Any) -> list[keras.KerasTensor]:
    if not getattr(model, "inputs", None):
        raise ValueError(f"{model.name!r} is no functional model: count the FLOPs of its functional parts")
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if input_shape is not None:
        several = isinstance(input_shape[0], (tuple, list))
        shapes = [tuple(shape) for shape in input_shape] if several else [tuple(input_shape)]
    if len(shapes) != len(model.inputs) or any(None in shape for shape in shapes):
        raise ValueError(
            f"input_shape must give every size of the {len(model.inputs)} input(s) of {model.name!r}. "
            f"Received: input_shape={input_shape!r}"
        )
    return [keras.KerasTensor((1, *s), dtype=t.dtype) for s, t in zip(shapes, model.inputs, strict=True)]


def _positions(shape: Sequence[int]) -> int:
    """Number of positions of a channels-last map: all axes but batch and channels."""
    return math.prod(shape[1:-1])


def _size(*weights: Any) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _layer_macs(layer: Any, inputs: list[Shape], outputs: list[Shape]) -> int:
    """Multiply-accumulates of one call."""
    first, out = inputs[0], outputs[0]
    if isinstance(layer, keras.Model):
        return count_flops(layer, [shape[1:] for shape in inputs]) // 2
    if hasattr(layer, "flops"):
        return int(layer.flops(inputs, out)) // 2
    if isinstance(layer, _TRANSPOSED):
        return _positions(first) * _size(layer.kernel)
    if isinstance(layer, _DEPTHWISE) and math.prod(layer.kernel_size) == 1:
        return 0  # one factor per channel, which is element-wise work
    if isinstance(layer, _DEPTHWISE + _CONVS) and not isinstance(layer, _SEPARABLE):
        return _positions(out) * _size(layer.kernel)
    if isinstance(layer, _SEPARABLE):
        return _positions(out) * _size(layer.depthwise_kernel, layer.pointwise_kernel)
    if isinstance(layer, layers.Dense):
        return _positions(out) * _size(layer.kernel)
    if isinstance(layer, layers.EinsumDense):
        return _einsum_macs(layer.equation, first, tuple(layer.kernel.shape))
    if isinstance(layer, _RECURRENT):
        return first[1] * _size(layer.cell.kernel, layer.cell.recurrent_kernel)
    if isinstance(layer, _CONV_RECURRENT):
        return _conv_recurrent_macs(layer, first, out)
    if isinstance(layer, layers.Bidirectional):
        return _layer_macs(layer.forward_layer, inputs, outputs) + _layer_macs(layer.backward_layer, inputs, outputs)
    if isinstance(layer, layers.TimeDistributed):
        return first[1] * _layer_macs(layer.layer, [(first[0], *first[2:])], [(out[0], *out[2:])])
    if isinstance(layer, layers.MultiHeadAttention):
        return _multi_head_macs(layer, inputs)
    if isinstance(layer, (layers.Attention, layers.AdditiveAttention)):
        return 2 * inputs[0][1] * inputs[1][1] * inputs[0][-1]
    if isinstance(layer, _FREE) or not getattr(layer, "weights", None) or isinstance(layer, _seeded()):
        return 0
    raise ValueError(
        f"count_flops does not know layer {layer.name!r} of class {type(layer).__name__}; "
        "give the class a method flops(input_shapes, output_shape)"
    )


def _seeded() -> tuple[type, ...]:
    """Layers whose only state is a random generator."""
    return (layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D)


def _einsum_macs(equation: str, first: Shape, kernel: Shape) -> int:
    """Every index of the equation is one loop; the ellipsis stands for the axes it covers."""
    left, right = equation.replace(" ", "").split("->")[0].split(",")
    if "..." in left:
        covered = len(first) - len(left.replace("...", ""))
        left = left.replace("...", "ZYXWVU"[:covered])
    sizes = dict(zip(left, first, strict=True)) | dict(zip(right.replace("...", ""), kernel, strict=True))
    return math.prod(sizes.values())


def _conv_recurrent_macs(layer: Any, first: Shape, out: Shape) -> int:
    cell = layer.cell
    per_step = tuple(layer.compute_output_shape(first))
    spatial = per_step[2:-1] if layer.return_sequences else per_step[1:-1]
    return first[1] * math.prod(spatial) * _size(cell.kernel, cell.recurrent_kernel)


def _multi_head_macs(layer: Any, inputs: list[Shape]) -> int:
    """Projections, query-key products and weighted values."""
    config = layer.get_config()
    heads, key_dim = config["num_heads"], config["key_dim"]
    value_dim = config["value_dim"] or key_dim
    queries, values = inputs[0][1], inputs[min(1, len(inputs) - 1)][1]
    depth_q, depth_v = inputs[0][-1], inputs[min(1, len(inputs) - 1)][-1]
    depth_k = inputs[2][-1] if len(inputs) > 2 else depth_v
    projections = queries * depth_q * heads * key_dim + values * heads * (depth_k * key_dim + depth_v * value_dim)
    output = queries * heads * value_dim * (config["output_shape"] or depth_q)
    return projections + output + queries * values * heads * (key_dim + value_dim)
