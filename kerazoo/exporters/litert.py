"""LiteRT (TensorFlow Lite): for phones, small boards and browsers.

Only built-in operations are allowed: a file with TensorFlow operations ("Flex") runs in no Python interpreter
and on few devices. Recurrent layers convert to built-in operations only with a fixed batch, so their files
take one sample.
"""

from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.exporters.messages import first_reason
from kerazoo.exporters.saved_model import natural_order

PACKAGES = ("ai_edge_litert",)
FIXED_BATCH = "The file takes one sample at a time, because LiteRT's recurrent loops need a fixed batch size."


def convert(model: Any, specs: Any, path: Path) -> list[str]:
    """Writes `model` to the file `path` with built-in operations only."""
    import keras
    import tensorflow as tf

    recurrent = is_recurrent(model)
    if recurrent:
        specs = keras.tree.map_structure(
            lambda spec: keras.InputSpec(shape=(1, *spec.shape[1:]), dtype=spec.dtype, name=spec.name), specs
        )
    try:
        model.export(
            str(path),
            format="litert",
            input_signature=[specs],
            verbose=False,
            target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        )
    except Exception as error:
        if any(None in spec.shape[1:] for spec in keras.tree.flatten(specs)):
            # E.g. after nearest up-sampling of a free size the converter no longer knows the channels.
            raise ValueError(f"{first_reason(error)} A model built with a fixed input size may convert.") from error
        raise
    return [FIXED_BATCH] if recurrent else []


def is_recurrent(model: Any) -> bool:
    """Whether any layer of `model`, at any depth, is recurrent."""
    import keras

    return any(isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional) for layer in model._flatten_layers())


def load(path: Path, names: list[str]) -> "LiteRTRunner":
    """Loads the file in the LiteRT interpreter."""
    return LiteRTRunner(path, names)


class LiteRTRunner:
    """Calls the file's only signature; the interpreter is resized when the shape of the inputs changes."""

    def __init__(self, path: Path, names: list[str]):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=path.read_bytes())
        self._call = self._interpreter.get_signature_runner("serving_default")
        details = self._call.get_input_details()
        self._names = names
        self.fixed_batch = all(detail["shape_signature"][0] == 1 for detail in details.values())

    def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        outputs = self._call(**dict(zip(self._names, inputs, strict=True)))
        return [outputs[name] for name in natural_order(outputs)]
