"""LiteRT (TensorFlow Lite): for phones, small boards and browsers.

Only built-in operations are allowed: a file with TensorFlow operations ("Flex") runs in no Python interpreter
and on few devices. Recurrent layers convert to built-in operations only with a fixed batch, so their files
take one sample.
"""

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.exporters import metadata, preparation, quantization
from kerazoo.exporters.messages import first_reason
from kerazoo.exporters.plan import Converted, Plan
from kerazoo.exporters.saved_model import natural_order

PACKAGES = ("ai_edge_litert",)
FIXED_BATCH = "The file takes one sample at a time, because LiteRT's recurrent loops need a fixed batch size."


def convert(model: Any, specs: Any, path: Path, plan: Plan) -> Converted:
    """Writes `model` to the file `path` with built-in operations only."""
    import keras

    notes, recurrent = [], is_recurrent(model)
    if recurrent and plan.batch is None:
        specs, notes = preparation.with_batch(specs, 1), [FIXED_BATCH]
    errors: tuple[dict[str, Any], ...] = ()
    try:
        if quantization.is_integer(plan.quantize):
            if recurrent:
                specs, more = preparation.with_lengths(specs, plan.calibration)
                model, notes = preparation.unrolled_clone(model, specs), notes + more
            with pooling_in_planes(model):
                errors = _integers(model, specs, path, plan)
        else:
            settings = quantization.options(plan.quantize)
            with pooling_in_planes(model):
                model.export(str(path), format="litert", input_signature=[specs], verbose=False, **settings)
    except Exception as error:
        if any(None in spec.shape[1:] for spec in keras.tree.flatten(specs)):
            # E.g. after nearest up-sampling of a free size the converter no longer knows the channels.
            raise ValueError(f"{first_reason(error)} A model built with a fixed input size may convert.") from error
        raise
    metadata.add_to_litert(path, plan.metadata)
    return Converted(notes, errors)


def _integers(model: Any, specs: Any, path: Path, plan: Plan) -> tuple[dict[str, Any], ...]:
    """Goes by way of a SavedModel, which the other process can read; returns the errors of the operations."""
    import keras

    samples = dict(zip(preparation.input_names(specs), keras.tree.flatten(plan.calibration), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model"
        model.export(str(source), format="tf_saved_model", input_signature=[specs], verbose=False)
        soften_masks(source)
        ends = list(getattr(model, "output_names", ()))
        errors = quantization.convert_to_integers(source, path, samples, plan, ends)
    return tuple(errors)


MASKED = -16.0  # e^-16 is far below the steps of an 8-bit softmax, and leaves the scores 200 steps of their own


def soften_masks(saved_model: Path) -> None:
    """Replaces the -1e9, or -0.7 times the largest number, of masked attention in the graphs of a SavedModel.

    A softmax forgets what is that far below. But 8 bits that have to reach down to it have no steps left between the
    scores, and every token would get the same attention.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    file = saved_model / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in (meta.graph_def for meta in proto.meta_graphs):
        for node in [*graph.node, *(node for function in graph.library.function for node in function.node_def)]:
            if node.op != "Const" or node.attr["dtype"].type != tf.float32.as_datatype_enum:
                continue
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.size == 1 and np.finfo(np.float32).min < value.item() <= -1e8:
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.full_like(value, MASKED)))
    file.write_bytes(proto.SerializeToString())


@contextlib.contextmanager
def pooling_in_planes(model: Any) -> Iterator[None]:
    """While active, the pooling of volumes is that of planes and then of depths, as LiteRT has no other."""
    import keras

    found = [
        layer
        for layer in model._flatten_layers()
        if type(layer) is keras.layers.MaxPooling3D and layer.data_format == "channels_last"
    ]
    for layer in found:
        layer.call = functools.partial(_pooled, layer)
    try:
        yield
    finally:
        for layer in found:
            del layer.call


def _pooled(layer: Any, volumes: Any) -> Any:
    """Returns what `keras.layers.MaxPooling3D` makes of (batch, depth, height, width, channels)."""
    from keras import ops

    (depth, *size), (step, *steps) = layer.pool_size, layer.strides
    batch, planes, height, width, channels = ops.shape(volumes)
    flat = ops.reshape(volumes, (batch * planes, height, width, channels))
    flat = ops.max_pool(flat, tuple(size), tuple(steps), layer.padding, layer.data_format)
    _, height, width, _ = ops.shape(flat)
    flat = ops.reshape(flat, (batch, planes, height * width, channels))
    flat = ops.max_pool(flat, (depth, 1), (step, 1), layer.padding, layer.data_format)
    return ops.reshape(flat, (batch, ops.shape(flat)[1], height, width, channels))


def is_recurrent(model: Any) -> bool:
    """Whether any layer of `model`, at any depth, is recurrent."""
    import keras

    return any(isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional) for layer in model._flatten_layers())


def load(path: Path, names: list[str]) -> "LiteRTRunner":
    """Loads the file in the LiteRT interpreter."""
    return LiteRTRunner(path, names)


class LiteRTRunner:
    """Calls the file's only signature, in float also where the file itself takes and gives 8-bit numbers."""

    def __init__(self, path: Path, names: list[str]):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=path.read_bytes())
        self._call = self._interpreter.get_signature_runner("serving_default")
        self._inputs, self._outputs = self._call.get_input_details(), self._call.get_output_details()
        self._names = names
        batch = int(self._inputs[names[0]]["shape_signature"][0])
        self.batch = None if batch < 0 else batch

    def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        given = {name: _to_integers(array, self._inputs[name]) for name, array in zip(self._names, inputs, strict=True)}
        outputs = self._call(**given)
        return [_to_floats(outputs[name], self._outputs[name]) for name in natural_order(outputs)]


def _to_integers(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Returns numbers as a file takes them: real ones in steps of its scale where it takes 8 bits."""
    scale, zero = detail["quantization"]
    if not scale or array.dtype.kind != "f":
        return array
    kind = np.iinfo(detail["dtype"])
    return np.clip(np.round(array / scale + zero), kind.min, kind.max).astype(detail["dtype"])


def _to_floats(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    return (array.astype("float32") - zero) * np.float32(scale) if scale else array
