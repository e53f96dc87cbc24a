"""The one place that looks into the graph of a functional model: its operations, in order, with their shapes.

Keras has no public way to walk a functional graph; everything kerazoo needs from it is kept in this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras


class Call(NamedTuple):
    """One call of an operation: its tensors as flat lists, and its arguments as they were given."""

    operation: Any
    inputs: list[Any]
    outputs: list[Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}


def nodes(model: keras.Model) -> Iterator[Any]:
    """Yields the calls in a functional model in an order in which they can be run, inputs first.

    Each has `operation`, `arguments` and `outputs`.
    """
    by_depth = getattr(_functional(model), "_nodes_by_depth", None)
    if by_depth is None:
        raise ValueError(f"{model.name!r} is no functional model, it has no graph to walk")
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def _functional(model: keras.Model) -> keras.Model:
    """A built `keras.Sequential` holds its graph in a functional model."""
    return getattr(model, "_functional", None) or model


def inputs(model: keras.Model) -> Any:
    """Returns the inputs in the structure the model takes them in: one tensor, a list or a dictionary."""
    return _functional(model)._inputs_struct


def tensors(model: keras.Model) -> dict[str, list[keras.KerasTensor]]:
    """Returns layer name -> output tensors in the graph of this model.

    `layer.output` is the tensor of the first graph a layer was used in, which may be another one.
    """
    return {node.operation.name: node.outputs for node in nodes(model)}


def replay(
    model: keras.Model, inputs: Sequence[Any], call: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
) -> Iterator[Call]:
    """Runs through the graph on other inputs.

    Args:
        model: A functional model.
        inputs: One value per input of the model, e.g. `keras.KerasTensor`s of another size.
        call: What to do for each operation: `call(operation, args, kwargs)` returns its output.

    Yields:
        The calls.
    """
    values = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}
    for node in nodes(model):
        if node.is_input:
            yield Call(node.operation, [], [values[id(tensor)] for tensor in node.outputs])
            continue
        args, kwargs = node.arguments.fill_in(values)
        result = keras.tree.flatten(call(node.operation, args, kwargs))
        values.update({id(tensor): value for tensor, value in zip(node.outputs, result, strict=True)})
        sources = [values[id(tensor)] for tensor in node.arguments.keras_tensors]
        yield Call(node.operation, sources, result, args, kwargs)


def output_specs(model: keras.Model, inputs: Sequence[keras.KerasTensor]) -> Iterator[Call]:
    """Yields the calls with specs as inputs and outputs, for inputs of other shapes than the model's own."""
    return replay(model, inputs, lambda operation, args, kwargs: operation.compute_output_spec(*args, **kwargs))
