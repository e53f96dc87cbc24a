"""How steps are executed: what is tried, what is kept, and that looking changes nothing."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest

from applications.core import execution
from applications.core.application import seconds
from applications.core.execution import Plan, Timing
from applications.image_classification import ImageClassification
from tests.applications.conftest import SMALL_DIGITS


@pytest.fixture(autouse=True)
def looking(monkeypatch):
    """Here it is looked for the fastest way of execution, unlike in all other tests."""
    monkeypatch.setattr(execution, "FEWEST_STEPS", 60)


@pytest.fixture(scope="module")
def fit():
    """A compiled model with batch statistics and dropout, 39 steps per epoch, 1170 in all."""
    from applications.core.fitting import Fit
    from applications.core.training import Session

    options = {"filters": [8], "dropout_rate": 0.3}
    app = ImageClassification(data="digits", model="cnn", model_options=options, tensorboard=False)
    session = Session(app, show=lambda line: None)
    return Fit(session, session.datasets)


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return execution.Memory()


# Milliseconds of a step, seconds of tracing, options, what is expected. 1170 steps of 50 ms are 58 s, of 100 ms 117 s.
CHOICES = [
    ("a short training stays as it is", {"plain": 5, "several": 1, "xla": 1}, 0.1, {}, (False, 1), 1),
    ("several small steps at once", {"plain": 40, "several": 20, "xla": 90, "xla several": 90}, 9, {}, (False, 13), 2),
    ("XLA, one by one", {"plain": 100, "xla": 60}, 0.5, {}, (True, 1), 2),
    ("XLA for several", {"plain": 40, "several": 30, "xla several": 10, "xla": 20}, 0.1, {}, (True, 13), 4),
    ("for XLA alone several pay", {"plain": 40, "several": 40, "xla several": 20, "xla": 30}, 0.1, {}, (True, 13), 4),
    ("a loop XLA is slow in", {"plain": 40, "several": 30, "xla several": 90, "xla": 20}, 0.1, {}, (True, 1), 4),
    ("a gain that may be noise", {"plain": 100, "xla": 97}, 0.5, {}, (False, 1), 2),
    ("no time to compile", {"plain": 100, "xla": 1}, 5, {}, (False, 1), 1),
    ("XLA cannot", {"plain": 100, "xla": None}, 0.5, {}, (False, 1), 2),
    ("ended by the clock", {"plain": 50, "several": 1, "xla": 1}, 0.1, {"max_time": "19s"}, (False, 1), 1),
    ("a checkpoint between", {"plain": 40, "several": 20, "xla": 90}, 9, {"checkpoint_every": 2}, (False, 1), 1),
    ("asked to be plain", {"plain": 40, "several": 20, "xla": 1}, 0.1, {"execution": "plain"}, (False, 13), 2),
    ("asked for two steps", {"plain several": 100, "xla several": 50}, 0.1, {"steps_per_execution": 2}, (True, 2), 2),
]


@pytest.mark.parametrize(
    ("name", "step", "trace", "options", "expected", "looked"), CHOICES, ids=[c[0] for c in CHOICES]
)
def test_the_fastest_way_there_is_time_for_is_taken(
    fit, memory, tmp_path, monkeypatch, name, step, trace, options, expected, looked
):
    from applications.core.run_directory import RunDirectory

    tried = set()

    def timed(work, xla, steps, least_seconds=1.0):
        key = f"{'xla' if xla else 'plain'}{' several' if steps > 1 else ''}"
        milliseconds = step[key] if key in step else step[key.removeprefix("plain ")]
        tried.add((xla, steps))
        return None if milliseconds is None else Timing(trace, milliseconds / 1000)

    monkeypatch.setattr(execution, "_timed", timed)
    monkeypatch.setattr(fit, "application", dataclasses.replace(fit.application, **options))
    monkeypatch.setattr(fit, "max_seconds", seconds(fit.application.max_time))
    first = options.get("steps_per_execution", 1)
    execution.use(fit.model, False, first)
    run = RunDirectory(tmp_path)
    plan = execution.planned(fit, run)
    assert (plan.xla, plan.steps) == expected, name
    assert (bool(fit.model.jit_compile), fit.model.steps_per_execution) == expected
    assert len(tried) == looked

    monkeypatch.setattr(execution, "_timed", None)  # neither a resume nor another run of this training looks again
    assert execution.planned(fit, run) == plan
    if looked > 1 and len(plan.milliseconds) > 1:
        again = execution.planned(fit, RunDirectory(tmp_path / "another"))
        assert (again.xla, again.steps, again.seconds) == (plan.xla, plan.steps, 0.0)


def test_a_gpu_does_without_xla_where_that_cannot(fit, memory, tmp_path, monkeypatch):
    """There XLA is what a training begins with."""
    from applications.core.run_directory import RunDirectory

    tried = []

    def timed(work, xla, steps, least_seconds=1.0):
        tried.append(xla)
        return None if xla else Timing(0.1, 0.1)

    monkeypatch.setattr(execution, "_timed", timed)
    execution.use(fit.model, True, 1)
    assert not execution.planned(fit, RunDirectory(tmp_path)).xla
    assert tried == [True, False, False]
    assert not fit.model.jit_compile


def test_looking_puts_every_variable_back(fit, memory, tmp_path, monkeypatch):
    from applications.core.checkpoint import model_variables, snapshot
    from applications.core.run_directory import RunDirectory

    monkeypatch.setattr(execution, "SHORTEST_TRAINING", 0)
    monkeypatch.setattr(execution, "SHARE", 1e6)
    monkeypatch.setattr(execution, "LEAST_SECONDS", 0)
    execution.use(fit.model, False, 1)
    fit._build_variables(fit._validation()[0])
    before = snapshot(model_variables(fit.model))
    plan = execution.planned(fit, RunDirectory(tmp_path))
    assert len(plan.milliseconds) == 4  # with and without XLA, one by one and 13 steps at once: all were trained with
    after = snapshot(model_variables(fit.model))
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)
    assert any("seed" in name for name in before)


@pytest.mark.parametrize("content", ["{", "[]", '{"KEY": 3}', '{"KEY": {"xla": true}}'])
def test_a_memory_nobody_can_read_is_none(memory, content):
    memory.path.parent.mkdir(parents=True)
    memory.path.write_text(content.replace("KEY", "key"))
    assert memory.get("key") is None
    memory.put("key", {"xla": True, "several": False, "milliseconds": {}})
    assert memory.get("key")["xla"] is True


@pytest.mark.parametrize(
    "words", [{"deterministic": True}, {"epochs": 1}, {"execution": "plain", "steps_per_execution": 2}]
)
def test_nothing_is_timed_where_it_may_not_or_need_not(fit, tmp_path, monkeypatch, words):
    from applications.core.run_directory import RunDirectory

    monkeypatch.setattr(execution, "_timed", None)
    monkeypatch.setattr(fit, "application", dataclasses.replace(fit.application, **words))
    execution.use(fit.model, False, 1)
    assert execution.planned(fit, RunDirectory(tmp_path)) == Plan(False, words.get("steps_per_execution", 1))
    assert not (tmp_path / execution.FILE).exists()


def test_steps_at_once_learn_and_validate_as_those_one_by_one(kerazoo, tmp_path):
    """19 steps of training and 5 of validation: 4 at once have a rest, 19 come as a block."""
    found = {}
    for name, steps, way in (("one", 1, "plain"), ("rest", 4, "plain"), ("block", 19, "plain"), ("xla", 19, "xla")):
        words = ("--steps-per-execution", steps, "--execution", way, "--epochs", "3", "--out", tmp_path)
        answer = kerazoo("train", "image-classification", *SMALL_DIGITS, *words, "--name", name)
        assert answer.status == 0, answer.err
        with open(tmp_path / "image-classification" / name / "history.csv") as file:
            found[name] = [(float(row["loss"]), float(row["val_loss"])) for row in csv.DictReader(file)]
    for name, rows in found.items():
        np.testing.assert_allclose(rows, found["one"], rtol=1e-3, err_msg=name)


def test_a_block_function_says_what_the_last_step_says():
    import keras
    import tensorflow as tf

    from applications.core.pipeline import Samples, training_batches

    def load(index, draws):
        x = tf.cast(index, tf.float32)[:, None] / 12
        return x, 3 * x

    samples = Samples(12, load, at_once=True)
    losses = {}
    for block in (1, 3):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=["mae"])
        execution.use(model, False, block, blocks=block > 1)
        batches = training_batches(samples, 4, seed=0, block=block)
        losses[block] = model.fit(batches, epochs=2, verbose=0).history
        assert isinstance(model.train_function, execution.BlockFunction) is (block > 1)
    assert losses[3].keys() == {"loss", "mae"}
    for name, values in losses[1].items():
        np.testing.assert_allclose(losses[3][name], values, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "steps", "position", "at_once", "expected"),
    [
        ((32, 8), 12, 0, 4, True),
        ((32, 8), 12, 8, 4, True),
        ((32, 8), 12, 6, 4, False),
        ((32, 8), 13, 0, 4, False),
        ((32, 8), 12, 0, 1, False),
        ((32, None), 12, 0, 4, False),
    ],
)
def test_blocks_are_for_batches_of_one_shape_that_fill_the_epoch(shape, steps, position, at_once, expected):
    import tensorflow as tf

    batches = tf.data.Dataset.from_generator(lambda: iter(()), output_signature=(tf.TensorSpec(shape),))
    work = execution.Work(model=None, batches=lambda block: batches, steps=steps, epochs=1)
    assert work.in_blocks(at_once, position) is expected


def test_a_block_is_small_enough_for_the_memory(monkeypatch):
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensors(tf.zeros((32, 8)))
    work = execution.Work(model=None, batches=lambda block: batches, steps=32, epochs=1)
    assert work.several == 32
    monkeypatch.setattr(execution, "LARGEST_BLOCK", 10 * 32 * 8 * 4)
    assert work.several == 8
    assert work.in_blocks(8)
    assert not work.in_blocks(16), "also where somebody asks for that many steps"
    assert not dataclasses.replace(work, devices=2).in_blocks(8)
    monkeypatch.setattr(execution, "LARGEST_BLOCK", 100)
    assert work.several == 1
