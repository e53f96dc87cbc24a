"""A loaded export stands for its model, also within a traced function."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerazoo
from kerazoo.exporters.file_model import FileModel
from kerazoo.exporters.litert import LiteRTRunner
from kerazoo.exporters.saved_model import SavedModelRunner


@pytest.fixture(scope="module")
def model():
    """Two inputs and two outputs."""
    a, b = keras.Input((4,), name="a"), keras.Input((3,), dtype="int32", name="b")
    joined = keras.layers.Concatenate()([a, keras.layers.Embedding(5, 2)(b)[:, 0]])
    outputs = {"first": keras.layers.Dense(2)(joined), "second": keras.layers.Dense(1)(joined)}
    return keras.Model({"a": a, "b": b}, outputs)


@pytest.mark.parametrize(("name", "batch"), [("saved_model", None), ("saved_model", 3), ("litert", 3)])
def test_a_file_computes_what_the_model_does(model, tmp_path, name, batch):
    path = tmp_path / {"saved_model": "model", "litert": "model.tflite"}[name]
    kerazoo.export(model, path, format=name, batch=batch)
    runner = SavedModelRunner(path, ["a", "b"]) if name == "saved_model" else LiteRTRunner(path, ["a", "b"])
    stand_in = FileModel(model, runner)
    random = np.random.default_rng(0)
    call = tf.function(lambda x: stand_in(x), autograph=False)
    for count in (1, 3, 7):
        x = {"a": random.random((count, 4), "float32"), "b": random.integers(0, 5, (count, 3)).astype("int32")}
        expected = model(x)
        for found in (stand_in(x), call(x)):
            for key, value in expected.items():
                np.testing.assert_allclose(found[key], value, atol=1e-6)
    function = call.get_concrete_function({k: tf.TensorSpec((None, *v.shape[1:]), v.dtype) for k, v in x.items()})
    python = [operation for operation in function.graph.get_operations() if operation.type == "PyFunc"]
    # The only thread of a machine with one core waits for the Python function, which cannot run another graph then.
    assert bool(python) == (name != "saved_model")
    assert stand_in.count_params() == model.count_params()
