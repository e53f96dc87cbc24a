"""Predictions through one compiled function: any number of samples, any size, several inputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from applications.core import inference
from applications.core.inference import Predictor, bucket

RANDOM = np.random.default_rng(0)


def test_batches_are_filled_to_powers_of_two():
    assert [bucket(count, 100) for count in (1, 2, 3, 5, 64, 65, 100)] == [1, 2, 4, 8, 64, 100, 100]


@pytest.mark.parametrize("count", [1, 3, 8, 19])
def test_any_number_of_samples(count):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    x = RANDOM.normal(size=(count, 4)).astype("float32")
    predict = Predictor(model, batch_size=8)
    np.testing.assert_allclose(predict(x), model(x), atol=1e-6)
    np.testing.assert_allclose(list(predict.each(x)), model(x), atol=1e-6)
    with pytest.raises(ValueError, match="at least one sample"):
        predict(x[:0])


def test_several_inputs_by_name():
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    model = keras.Model(inputs, keras.layers.Subtract()([inputs["a"], inputs["b"]]))
    a, b = RANDOM.normal(size=(2, 5, 2)).astype("float32")
    np.testing.assert_allclose(Predictor(model)({"b": b, "a": a}), a - b, atol=1e-6)


def test_images_of_any_size_where_keras_wants_to_know_it():
    """`UpSampling2D` fails on sizes that are open in the graph, as DeepLab and HED have them."""
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.UpSampling2D(2, interpolation="bilinear")(inputs))
    predict = Predictor(model)
    for size in ((3, 4), (5, 2)):
        x = RANDOM.normal(size=(3, *size, 1)).astype("float32")
        np.testing.assert_allclose(predict(x), model(x), atol=1e-6)


@pytest.mark.parametrize("execution", ["xla", "auto"])
def test_compiled_by_xla(execution):
    inputs = keras.Input((6, 3))
    model = keras.Model(inputs, keras.layers.LSTM(4)(inputs))
    predict = Predictor(model, 8, execution)
    for count in (1, 3, 3):
        x = RANDOM.normal(size=(count, 6, 3)).astype("float32")
        np.testing.assert_allclose(predict(x), model(x), atol=1e-6)


@pytest.mark.parametrize("faster", ["_plain", "_xla"])
def test_the_faster_way_is_kept(faster, monkeypatch):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    predict, x, tried = Predictor(model, execution="auto"), np.ones((1, 4), "float32"), []

    def shortest_time(call, batch):
        tried.append(call)
        return 1.0 if call is getattr(predict, faster) else 2.0

    monkeypatch.setattr(inference, "shortest_time", shortest_time)
    for _ in range(2):
        np.testing.assert_allclose(predict(x), model(x), atol=1e-6)
    assert tried == [predict._plain, predict._xla], "one shape is tried once"
    assert predict._way(x) is getattr(predict, faster)


def test_what_xla_cannot_compile_stays_plain():
    class Doubled(keras.layers.Layer):
        def call(self, x):
            y = tf.numpy_function(lambda array: 2 * array, [x], tf.float32)
            return tf.ensure_shape(y, x.shape)

        def compute_output_shape(self, shape):
            return shape

    inputs = keras.Input((4,))
    model, x = keras.Model(inputs, Doubled()(inputs)), np.ones((3, 4), "float32")
    np.testing.assert_allclose(Predictor(model, execution="auto")(x), 2 * x)
    with pytest.raises(tf.errors.InvalidArgumentError, match="unsupported operations"):
        Predictor(model, execution="xla")(x)


def test_another_word_for_the_execution():
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="'plain', 'xla' or 'auto', received 'fast'"):
        Predictor(keras.Model(inputs, inputs), execution="fast")
