"""Counting floating-point operations from the graph, without running it and on any backend.

One multiply-accumulate counts as two operations. Counted are convolutions, matrix products (also those of
`keras.ops`), recurrent layers and attention; element-wise work (activations, normalisation, pooling,
additions) is not, as in the usual published figures.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from kerazoo import _graph, checks

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
        model: A functional or sequential model.
        input_shape: Shape of the input without the batch axis, or a list of shapes for several inputs; needed
            where the model leaves sizes open. Sizes that the model fixes must be the same. Defaults to the
            model's own.

    Returns:
        Two times the number of multiply-accumulates.

    Raises:
        ValueError: If a size is open or does not fit, or a layer with weights is of an unknown kind and has no method
            `flops(input_shapes, output_shape)`.

    Example:
        >>> kerazoo.count_flops(kerazoo.resnet18()) / 2e9  # GMACs
        1.814073344
    """
    probes = _probes(model, input_shape)
    try:
        calls = list(_graph.output_specs(model, probes))
    except (ValueError, TypeError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(f"{model.name!r} cannot be run on input_shape={input_shape!r}: {reason}") from error
    return 2 * sum(_macs(call) for call in calls if call.inputs)


def _probes(model: keras.Model, input_shape: Any) -> list[keras.KerasTensor]:
    if not getattr(model, "inputs", None):
        raise ValueError(f"{model.name!r} is no functional model: count the FLOPs of its functional parts")
    own = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    shapes: list[Any] = list(own)
    if input_shape is not None:
        several = isinstance(input_shape, (tuple, list)) and input_shape and isinstance(input_shape[0], (tuple, list))
        given = input_shape if several else [input_shape]
        shapes = [checks.shape(shape, ranks=()) if shape else () for shape in given]
    if len(shapes) != len(own) or any(None in shape for shape in shapes):
        raise ValueError(
            f"input_shape must give every size of the {len(own)} input(s) of {model.name!r}. "
            f"Received: input_shape={input_shape!r}"
        )
    for shape, wanted in zip(shapes, own, strict=True):
        if len(shape) != len(wanted) or any(w not in (None, s) for s, w in zip(shape, wanted, strict=True)):
            raise ValueError(f"input_shape must fit {wanted}, an input of {model.name!r}. Received: {shape}")
    return [keras.KerasTensor((1, *s), dtype=t.dtype) for s, t in zip(shapes, model.inputs, strict=True)]


def _positions(shape: Sequence[int]) -> int:
    """Number of positions of a channels-last map: all axes but batch and channels."""
    return math.prod(shape[1:-1])


def _size(*weights: Any) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _macs(call: _graph.Call) -> int:
    """Multiply-accumulates of one call."""
    operation = call.operation
    if isinstance(operation, layers.MultiHeadAttention):
        return _multi_head_macs(operation, call)
    if isinstance(operation, layers.ReversibleEmbedding) and call.kwargs.get("reverse"):
        return _positions(call.outputs[0].shape) * _size(operation.embeddings)
    if not isinstance(operation, layers.Layer):
        return _product_macs(operation, call)
    return _layer_macs(operation, [spec.shape for spec in call.inputs], [spec.shape for spec in call.outputs])


def _product_macs(operation: Any, call: _graph.Call) -> int:
    """Those of a function of `keras.ops`, told by its name since its class is not public."""
    kind, out = type(operation).__name__, math.prod(call.outputs[0].shape)
    operands = [tuple(np.shape(x)) for x in (*call.args, *call.kwargs.values()) if _is_array(x)]
    if kind in ("Matmul", "Dot", "Inner") and all(operands):
        return out * operands[0][-1]
    if kind == "Vdot":
        return math.prod(operands[0])
    if kind == "Tensordot":
        axes = operation.axes
        summed = operands[0][len(operands[0]) - axes :] if isinstance(axes, int) else _picked(operands[0], axes[0])
        return out * math.prod(summed)
    if kind == "Einsum":
        return _einsum_macs(operation.subscripts, *operands)
    if kind == "DotProductAttention":  # (batch, length, heads, depth) each
        return math.prod(operands[0]) * operands[1][1] + math.prod(operands[0][:3]) * math.prod(operands[2][1::2])
    if kind in ("Conv", "DepthwiseConv", "SeparableConv"):
        return _positions(call.outputs[0].shape) * sum(map(math.prod, operands[1:]))
    if kind == "ConvTranspose":
        return _positions(operands[0]) * math.prod(operands[1])
    return 0


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape")


def _picked(shape: Shape, axes: Any) -> list[int]:
    return [shape[axis] for axis in np.atleast_1d(axes)]


def _layer_macs(layer: Any, inputs: list[Shape], outputs: list[Shape]) -> int:
    """Multiply-accumulates of one call of a layer."""
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
    if isinstance(layer, (layers.Attention, layers.AdditiveAttention)):
        return inputs[0][1] * inputs[1][1] * (inputs[0][-1] + inputs[1][-1])
    if isinstance(layer, layers.Dot):
        axes = (layer.axes, layer.axes) if isinstance(layer.axes, int) else layer.axes
        return math.prod(out) * first[axes[0]]
    if isinstance(layer, _FREE) or not getattr(layer, "weights", None) or isinstance(layer, _seeded()):
        return 0
    raise ValueError(
        f"count_flops does not know layer {layer.name!r} of class {type(layer).__name__}; "
        "give the class a method flops(input_shapes, output_shape)"
    )


def _seeded() -> tuple[type, ...]:
    """Layers whose only state is a random generator."""
    return (layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D)


def _einsum_macs(equation: str, *operands: Shape) -> int:
    """Every index of the equation is one loop; the ellipsis stands for the axes it covers, aligned at the end."""
    sizes: dict[str, int] = {}
    for term, shape in zip(equation.replace(" ", "").split("->")[0].split(","), operands, strict=True):
        if "..." in term:
            covered = len(shape) - len(term.replace("...", ""))
            term = term.replace("...", "ZYXWVU"[:covered][::-1])
        for index, size in zip(term, shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))  # axes of an ellipsis are broadcast
    return math.prod(sizes.values()) * (len(operands) - 1)


def _conv_recurrent_macs(layer: Any, first: Shape, out: Shape) -> int:
    cell = layer.cell
    per_step = tuple(layer.compute_output_shape(first))
    spatial = per_step[2:-1] if layer.return_sequences else per_step[1:-1]
    return first[1] * math.prod(spatial) * _size(cell.kernel, cell.recurrent_kernel)


def _multi_head_macs(layer: Any, call: _graph.Call) -> int:
    """Projections, query-key products and weighted values."""
    given = inspect.signature(layer.call).bind(*call.args, **call.kwargs).arguments
    query, value = given["query"].shape, given["value"].shape
    key = value if given.get("key") is None else given["key"].shape
    config = layer.get_config()
    heads, key_dim = config["num_heads"], config["key_dim"]
    value_dim = config["value_dim"] or key_dim
    projections = _positions(query) * query[-1] * key_dim + _positions(value) * value[-1] * value_dim
    projections += _positions(key) * key[-1] * key_dim
    output = _positions(query) * value_dim * math.prod(np.atleast_1d(config["output_shape"] or query[-1]).tolist())
    attended = _positions(value) if layer.attention_axes is None else math.prod(_picked(value, layer.attention_axes))
    return heads * (projections + output + _positions(query) * attended * (key_dim + value_dim))
