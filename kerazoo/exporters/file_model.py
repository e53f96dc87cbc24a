"""A loaded export in the place of the model it was made from, for whatever evaluates models."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerazoo.exporters.parity import Runner, run
from kerazoo.exporters.saved_model import SavedModelRunner


class FileModel:
    """Called, also inside a `tf.function`, it runs the file; asked for anything else, it is the model.

    Args:
        model: The `keras.Model` the file was made from.
        runner: The loaded file.
    """

    def __init__(self, model: Any, runner: Runner) -> None:
        self._model, self._runner = model, runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        import tensorflow as tf

        model, given = self._model, keras.tree.flatten(inputs)
        if isinstance(self._runner, SavedModelRunner):
            # As a Python function it would wait for a thread that, on a machine of one core, the caller holds.
            flat = self._traced(self._runner, given)
        else:
            flat = tf.numpy_function(self._run, given, [tensor.dtype for tensor in model.outputs])
        flat = flat if isinstance(flat, list | tuple) else [flat]
        for output, tensor in zip(flat, model.outputs, strict=True):
            output.set_shape(tensor.shape)
        outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
        return keras.tree.pack_sequence_as(outputs, list(flat))

    def _traced(self, runner: SavedModelRunner, inputs: list[Any]) -> list[Any]:
        """Calls a SavedModel within the graph; one of a fixed batch again and again."""
        import tensorflow as tf

        given = [tf.cast(x, tensor.dtype) for x, tensor in zip(inputs, self._model.inputs, strict=True)]
        batch = runner.batch

        def called(tensors: list[Any]) -> list[Any]:
            outputs = zip(runner.traced(tensors), self._model.outputs, strict=True)
            return [tf.cast(output, tensor.dtype) for output, tensor in outputs]

        if batch is None:
            return called(given)
        count = tf.shape(given[0])[0]
        rows = tf.range(-(-count // batch) * batch) % count  # the first samples again where the last batch is not full
        parts = [tf.reshape(tf.gather(x, rows), tf.concat([[-1, batch], tf.shape(x)[1:]], 0)) for x in given]
        types = [tf.TensorSpec(None, tensor.dtype) for tensor in self._model.outputs]
        found = tf.map_fn(called, parts, fn_output_signature=types)
        return [tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], 0))[:count] for x in found]

    def _run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        given = [array.astype(tensor.dtype) for array, tensor in zip(arrays, self._model.inputs, strict=True)]
        return [
            output.astype(tensor.dtype)
            for output, tensor in zip(run(self._runner, given), self._model.outputs, strict=True)
        ]


class ModelRunner:
    """A Keras model as one compiled function, called like a loaded file; to compare its times with those of files."""

    batch: int | None = None

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        # A wrapped function: Keras would take a partial of the model for one that is traced too often.
        self._call = tf.function(lambda batch: model(batch, training=False))
        self._struct = model.inputs[0] if isinstance(model, keras.Sequential) else model.input

    def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        outputs = self._call(keras.tree.pack_sequence_as(self._struct, inputs))
        return [output.numpy() for output in keras.tree.flatten(outputs)]
