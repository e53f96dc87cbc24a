"""TensorFlow SavedModel: for TensorFlow Serving, C++, Java, and as the source of other converters."""

from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.exporters import metadata, serving
from kerazoo.exporters.plan import Converted, Plan

PACKAGES: tuple[str, ...] = ()


def convert(model: Any, specs: Any, path: Path, plan: Plan) -> Converted:
    """Writes `model` to the folder `path` with the signature `serve`, the default, and `serve_bytes` if asked for."""
    if plan.image is None:
        model.export(str(path), format="tf_saved_model", input_signature=[specs], verbose=False)
    else:
        serving.write(model, specs, path, plan.image)
    metadata.add_to_saved_model(path, plan.metadata)
    return Converted([])


def load(path: Path, names: list[str]) -> "SavedModelRunner":
    """Loads the folder as TensorFlow Serving does."""
    return SavedModelRunner(path, names)


class SavedModelRunner:
    """Calls the signature `serving_default`, whose arguments have the names of the model's inputs."""

    def __init__(self, path: Path, names: list[str]):
        import tensorflow as tf

        self._loaded = tf.saved_model.load(str(path))  # keeps the variables alive
        self._function = self._loaded.signatures["serving_default"]
        signature = self._function.structured_input_signature[1]
        self._inputs = [signature[name] for name in names]
        self.batch = self._inputs[0].shape[0]

    def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return [output.numpy() for output in self.traced(inputs)]

    def traced(self, inputs: list[Any]) -> list[Any]:
        """Returns the outputs as tensors, also of symbolic inputs."""
        import tensorflow as tf

        tensors = {s.name: tf.convert_to_tensor(x, s.dtype) for s, x in zip(self._inputs, inputs, strict=True)}
        outputs = self._function(**tensors)
        return [outputs[name] for name in natural_order(outputs)]


def natural_order(names: Any) -> list[str]:
    """Sorts output names as the model flattens its outputs: `output_2` before `output_10`."""
    numbered = all(name.startswith("output_") and name[7:].isdigit() for name in names)
    return sorted(names, key=lambda name: int(name[7:])) if numbered else sorted(names)
