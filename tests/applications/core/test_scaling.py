"""What a run can ask for beside its model: averages, memory, batch size, learning rate, and how long it waits."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest

from applications.core import optimization
from applications.core.errors import UserError
from tests.applications.conftest import SMALL_DIGITS

TABLE = ("--data", "breast_cancer", "--no-tensorboard", "--seed", "1", "--early-stopping.patience", "0")


def train(kerazoo, out, task, *words):
    answer = kerazoo("train", task, *words, "--out", out, "--name", "r")
    assert answer.status == 0, answer.err
    return out / task / "r", json.loads((out / task / "r" / "metrics.json").read_text()), answer


# Learning rate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "batch", "accumulation", "factor"),
    [("none", 256, 1, 1), ("linear", 256, 1, 8), ("linear", 32, 4, 4), ("sqrt", 128, 1, 2), ("linear", 16, 1, 0.5)],
)
def test_the_learning_rate_follows_the_samples_of_an_update(rule, batch, accumulation, factor):
    from applications.tabular import Tabular

    app = Tabular(
        schedule_options=optimization.ScheduleOptions(scaling=rule),
        optimizer_options=optimization.OptimizerOptions(accumulation_steps=accumulation),
    )
    assert optimization.scaled_rate(0.01, batch, app) == pytest.approx(0.01 * factor)


# Moving average of the weights ----------------------------------------------------------------------------------------


def session(**options):
    from applications.core.training import Session
    from applications.tabular import Tabular

    stopping = dataclasses.replace(Tabular().early_stopping, patience=0)
    return Session(Tabular(seed=1, early_stopping=stopping, tensorboard=False, **options), show=lambda line: None)


def test_the_average_of_the_weights_is_what_is_kept(tmp_path):
    import keras

    from applications.core.run_directory import RunDirectory

    momentum, steps, seen, average = 0.9, [], [], []

    class Watch(keras.callbacks.Callback):
        def weights(self):
            return [variable.numpy() for variable in self.model.trainable_variables]

        def on_train_batch_end(self, batch, logs=None):
            steps.append(self.weights())
            average[:] = (
                [momentum * old + (1 - momentum) * new for old, new in zip(average, steps[-1], strict=True)]
                if average
                else steps[-1]
            )

        def on_test_end(self, logs=None):
            seen.append((self.weights(), list(average)))

        def on_epoch_begin(self, epoch, logs=None):
            if steps:
                for now, before in zip(self.weights(), steps[-1], strict=True):
                    np.testing.assert_array_equal(now, before)

    fit = session(epochs=3, ema=momentum).first_fit
    fit.extra_callbacks["watch"] = Watch()
    fit.train(RunDirectory(tmp_path))
    assert len(seen) == 3
    for validated, expected in seen:
        for one, two in zip(validated, expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    kept = [variable.numpy() for variable in fit.model.trainable_variables]
    assert any(not np.allclose(one, two, atol=1e-4) for one, two in zip(kept, steps[-1], strict=True))
    for one, two in zip(kept, seen[-1][0], strict=True):  # the loss falls, so the last epoch is the best
        np.testing.assert_array_equal(one, two)


def test_a_training_with_an_average_goes_on_exactly(tmp_path):
    """Two fits of two epochs and one of four end alike, though every fit of Keras would leave the average behind."""
    from applications.core.run_directory import RunDirectory

    whole = session(epochs=4, ema=0.9).first_fit
    whole.train(RunDirectory(tmp_path / "whole"))
    first = session(epochs=4, ema=0.9).first_fit
    first.until = 2
    first.train(RunDirectory(tmp_path / "parts"))
    second = session(epochs=4, ema=0.9).first_fit
    second.train(RunDirectory(tmp_path / "parts"))
    assert [row["val_loss"] for row in second.history] == [row["val_loss"] for row in whole.history]
    for one, two in zip(second.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def double_precision():
    """Layers in float64, so that two ways to the same number differ in nothing but the last digits."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("double_precision")
def test_rematerialised_layers_learn_the_same_and_compute_more(tmp_path):
    import keras
    import tensorflow as tf

    from applications.core.rematerialisation import rematerialise

    def make():
        """A network of layers of all sorts: with statistics, with masks, with arguments by name."""
        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Reshape((36, 4))(x)
        x = keras.layers.MultiHeadAttention(2, 2)(x, x)
        x = keras.layers.LayerNormalization()(x)
        x = keras.layers.Flatten()(x)
        x = keras.layers.Dropout(0.3, seed=1)(x)
        return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))

    def remade():
        model = make()
        rematerialise(model)
        return model

    def products(model, x):
        @tf.function
        def gradients(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(x, training=True) ** 2)
            return tape.gradient(loss, model.trainable_variables)

        graph = gradients.get_concrete_function(x).graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        return sum(node.op in ("Conv2D", "Einsum") for node in nodes)

    x, y = np.random.default_rng(0).normal(size=(32, 8, 8, 1)), np.arange(32) % 3
    found, counts = [], []
    for build in (make, remade):
        keras.utils.set_random_seed(0)
        model = build()
        counts.append(products(model, tf.constant(x)))
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
        found.append(model.get_weights())
        model.save(tmp_path / "model.keras")  # as any other
        keras.models.load_model(tmp_path / "model.keras")
    assert counts[1] > counts[0]
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-12)


def test_the_largest_batch_is_found_and_written_down(kerazoo, tmp_path):
    words = (*TABLE, "--batch-size", "max", "--epochs", "1")
    run, _, answer = train(kerazoo, tmp_path, "tabular", *words)
    assert "batch size: 256, the largest that fits" in answer.out  # of 398 rows
    assert "batch_size: 256" in (run / "config.yaml").read_text()


def test_batches_are_not_doubled_beyond_the_memory(monkeypatch):
    from applications.core import batch_size, meters
    from applications.datasets import store

    class Pretended:
        session = type("Session", (), {"replicas": 1})
        samples = type("Samples", (), {"size": 10**6})

    used = []
    monkeypatch.setattr(batch_size, "_two_steps", lambda fit, size: used.append(size))
    monkeypatch.setattr(meters, "peak_memory", lambda: {"process": 1000 + 10 * used[-1]})
    monkeypatch.setattr(store, "available_memory", lambda: 1000)
    assert batch_size.largest(Pretended()) == 64  # 1000 + 10 * 64 fits into 1010 + 0.8 * 1000, twice that does not
    assert used[-1] == 64


@pytest.mark.parametrize("value", ["0", "min", "1.5"])
def test_other_batch_sizes_are_refused(kerazoo, value):
    answer = kerazoo("train", "tabular", "--batch-size", value)
    assert (answer.status, "batch_size: expected" in answer.err) == (2, True)


# Waiting for data -----------------------------------------------------------------------------------------------------


def test_the_meter_tells_a_slow_pipeline_from_a_slow_model(monkeypatch):
    import keras
    import tensorflow as tf

    from applications.core import meters

    class Slow(keras.callbacks.Callback):
        def __init__(self, seconds):
            super().__init__()
            self.seconds = seconds

        def on_train_batch_begin(self, batch, logs=None):
            time.sleep(self.seconds)

    def share(reading, computing):
        def read(x):
            time.sleep(reading)
            return x

        x = tf.data.Dataset.from_tensor_slices((np.ones((40, 1), "float32"), np.ones((40, 1), "float32"))).batch(1)
        x = x.map(lambda a, b: (tf.ensure_shape(tf.numpy_function(read, [a], tf.float32), (1, 1)), b))
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False)
        meter = meters.DataWait()
        model.fit(meter.timed(x), epochs=2, verbose=0, callbacks=[Slow(computing), meter])
        assert len(meter.shares) == 2
        return meter

    # Nothing of the pipeline is done beforehand. However slow the machine is, 39 steps of two epochs wait at least as
    # long as reading sleeps, and no sleep of the training itself is counted.
    slow, quick = share(0.02, 0.0), share(0.0, 0.02)
    assert slow.seconds_waited >= 2 * 39 * 0.02
    assert quick.seconds - quick.seconds_waited >= 2 * 39 * 0.02
    assert slow.figures()["data_wait"] == pytest.approx(slow.seconds_waited / slow.seconds, abs=1e-4)

    monkeypatch.setattr(meters, "SHORTEST_WAIT", 0.5)
    for meter, seconds, waited in ((slow, 4.0, 1.0), (quick, 4.0, 0.3)):
        meter.seconds, meter.seconds_waited = seconds, waited
    assert "25% of the training was spent waiting for data" in slow.warning()
    assert quick.warning() is None


def test_a_run_says_what_it_waited_for_and_what_memory_it_took(kerazoo, tmp_path):
    run, metrics, _ = train(kerazoo, tmp_path, "image-classification", *SMALL_DIGITS)
    assert 0 <= metrics["data_wait"] <= 1
    assert len(metrics["data_wait_per_epoch"]) == 2
    assert metrics["peak_memory"]["process"] > 100e6
    html = (run / "report.html").read_text()
    assert "waiting for data" in html
    assert "Peak memory" in html


# Devices that are not there -------------------------------------------------------------------------------------------


def test_no_tpu_is_said_in_one_sentence(kerazoo, monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    answer = kerazoo("train", "tabular", "--strategy", "tpu")
    assert answer.status == 2
    assert "no TPU was found" in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    from applications.core.strategy import make_strategy

    with pytest.raises(UserError, match="set TPU_NAME"):
        make_strategy("tpu")
