"""Loads exported parts in the runtime that is installed: LiteRT or ONNX Runtime; needs NumPy besides."""

import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def about():
    """Returns what parts.json, beside this file, says about the parts."""
    return json.loads((HERE / "parts.json").read_text(encoding="utf-8"))


def load(name):
    """Returns the part in a file beside this one."""
    path = HERE / name
    return _LiteRT(path) if path.suffix == ".tflite" else _ONNX(path)


class _Part:
    """Called with arrays by name it gives the list of its outputs; `inputs` has the shape and the type of each."""

    def zeros(self, name):
        """Returns a first value of an input, for one sample."""
        shape, dtype = self.inputs[name]
        return np.zeros(shape, dtype)

    def __call__(self, **arrays):
        return self._run({name: np.asarray(array, self.inputs[name][1]) for name, array in arrays.items()})


class _LiteRT(_Part):
    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path))
        self._call = self._interpreter.get_signature_runner("serving_default")
        details = self._call.get_input_details()
        self.inputs = {name: (np.maximum(at["shape_signature"], 1), at["dtype"]) for name, at in details.items()}

    def _run(self, arrays):
        found = self._call(**arrays)
        return [found[name] for name in sorted(found, key=lambda name: int(name.rpartition("_")[2]))]


class _ONNX(_Part):
    TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}

    def __init__(self, path):
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.inputs = {
            node.name: ([n if isinstance(n, int) else 1 for n in node.shape], self.TYPES[node.type])
            for node in self._session.get_inputs()
        }

    def _run(self, arrays):
        return self._session.run(None, arrays)
