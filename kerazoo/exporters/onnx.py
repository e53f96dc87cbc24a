"""ONNX: for ONNX Runtime and the many tools that read its files.

tf2onnx only logs its failures and goes on, so a file may need an operation that no runtime has, or ask for
the values of captured constants as further inputs. The checker, ONNX Runtime and the list of inputs tell.
"""

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.exporters import metadata
from kerazoo.exporters.plan import Converted, Plan
from kerazoo.exporters.preparation import input_names

PACKAGES = ("tf2onnx", "onnx", "onnxruntime")
OPSET = 18  # the highest that tf2onnx 1.17 writes


def convert(model: Any, specs: Any, path: Path, plan: Plan) -> Converted:
    """Writes `model` to the file `path`, with readable names and a named batch dimension."""
    import onnx

    _teach_erfc()
    with _without_compiled_calls(), _without_old_graphs():
        model.export(str(path), format="onnx", input_signature=[specs], verbose=False, opset_version=OPSET)
    proto = onnx.load(str(path))
    _check_operations(proto.graph)
    _check_inputs(proto.graph, input_names(specs))
    _rename(proto.graph)
    metadata.add_to_onnx(proto, plan.metadata)
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))
    loops = sorted({node.op_type for node in proto.graph.node}.intersection({"Loop", "Scan"}))
    return Converted([f"The file holds a {loops[0]} operation, which some ONNX runtimes do not have."] if loops else [])


@functools.cache
def _teach_erfc() -> None:
    """Tells tf2onnx what it does not know: TensorFlow's GELU is written with erfc(x), which is 1 - erf(x)."""
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
            (output,) = node.output
            dtype, shape = ctx.get_dtype(output), ctx.get_shape(output)
            one = ctx.make_const(f"{node.name}_one", np.array(1, "float32"))  # exported models are float32
            erf = ctx.make_node("Erf", [node.input[0]], dtypes=[dtype], shapes=[shape])
            ctx.remove_node(node.name)
            ctx.make_node("Sub", [one.output[0], erf.output[0]], outputs=[output], dtypes=[dtype], shapes=[shape])


@contextmanager
def _without_compiled_calls() -> Iterator[None]:
    """Writes grouped convolutions into the graph itself.

    Keras wraps them in a function to be compiled by XLA, which would stand in the file as a call to an unknown
    operation.
    """
    import tensorflow as tf

    original = tf.function

    def function(func: Any = None, *args: Any, jit_compile: Any = None, **options: Any) -> Any:
        if func is None and jit_compile:
            return lambda compiled: compiled
        return original(func, *args, jit_compile=jit_compile, **options)

    tf.function = function
    try:
        yield
    finally:
        tf.function = original


@contextmanager
def _without_old_graphs() -> Iterator[None]:
    """Frees a graph, and its copy of all weights, when the next one is made.

    tf2onnx copies the graph for each of its many passes over it. The old ones refer to themselves, and Python would let
    them lie for long: the 94 MB of a ResNet-50 took 6.3 GB instead of 3.1, and half as long again.
    """
    from tf2onnx.optimizer.optimizer_base import GraphOptimizerBase

    original = GraphOptimizerBase.optimize

    def optimize(self: Any, graph: Any, iteration: int) -> Any:
        gc.collect()
        return original(self, graph, iteration)

    GraphOptimizerBase.optimize = optimize
    gc.freeze()  # what was there before need not be looked through every time
    try:
        yield
    finally:
        gc.unfreeze()
        GraphOptimizerBase.optimize = original


def _check_operations(graph: Any) -> None:
    import onnx

    # Domains other than ONNX's own come from tf2onnx's fall-back for what it cannot convert.
    unknown = sorted(
        {node.op_type for node in graph.node if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type)}
    )
    if unknown:
        raise ValueError(f"ONNX has no operation for {', '.join(unknown)}.")


def _check_inputs(graph: Any, expected: list[str]) -> None:
    initial = {tensor.name for tensor in graph.initializer}
    extra = [value.name for value in graph.input if value.name not in initial and value.name not in expected]
    if extra:
        raise ValueError(
            f"the file would ask for constants of the model as {len(extra)} further input(s); "
            "make them NumPy arrays or weights instead of tensors."
        )


def _rename(graph: Any) -> None:
    """Names the free dimensions, and the outputs as the other formats do: `output_0`, `output_1`."""
    names: dict[str, str] = {}
    for index, value in enumerate(graph.output):
        if value.name.startswith("Identity"):
            names[value.name] = f"output_{index}"
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in graph.output:
        value.name = names.get(value.name, value.name)
    for value in (*graph.input, *graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_param"):
                dim.dim_param = "batch" if axis == 0 else f"{value.name}_{axis}"
    # Shapes of inner tensors are only hints, and theirs still carry the old names.
    del graph.value_info[:]


def load(path: Path, names: list[str]) -> "ONNXRunner":
    """Loads the file in ONNX Runtime on the CPU."""
    return ONNXRunner(path, names)


class ONNXRunner:
    """Calls the graph; inputs and outputs stand in the model's order."""

    def __init__(self, path: Path, names: list[str]):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._names = names
        first = self._session.get_inputs()[0].shape[0]
        self.batch = first if isinstance(first, int) else None

    def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return self._session.run(None, dict(zip(self._names, inputs, strict=True)))
