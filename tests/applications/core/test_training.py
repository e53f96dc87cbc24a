"""What the training core promises beside exact resume: schedules, callbacks, strategies, folds, limits."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from applications.core import optimization
from applications.core.application import seconds
from applications.core.errors import UserError
from tests import processes
from tests.applications.conftest import SMALL_DIGITS, SMALL_NUCLEI, save_image

SCHEDULES = [
    # name, options, epochs (of 10 steps), expected rate after n steps relative to the largest
    ("constant", {}, 3, {0: 1, 29: 1}),
    ("constant", {"warmup_epochs": 1}, 3, {0: 0.1, 4: 0.5, 9: 1, 29: 1}),
    ("step", {"decay_epochs": 1, "decay_rate": 0.5}, 3, {0: 1, 9: 1, 10: 0.5, 20: 0.25}),
    ("exponential", {"decay_epochs": 1, "decay_rate": 0.5}, 3, {0: 1, 10: 0.5, 15: 0.5**1.5}),
    ("inverse-time", {"decay_epochs": 1, "decay_rate": 1}, 3, {0: 1, 10: 0.5, 20: 1 / 3}),
    ("cosine", {}, 2, {0: 1, 10: 0.5, 20: 0}),
    ("cosine", {"warmup_epochs": 1}, 3, {4: 0.5, 10: 1, 20: 0.5, 30: 0}),
    ("cosine", {"minimum": 0.02}, 2, {0: 1, 20: 0.2}),
    ("linear", {}, 2, {0: 1, 10: 1, 15: 0.5, 20: 0, 30: 0}),
    ("linear", {"minimum": 0.02}, 2, {10: 1, 15: 0.6, 20: 0.2}),
    ("linear", {"warmup_epochs": 1}, 4, {4: 0.5, 10: 1, 20: 1, 30: 0.5, 40: 0}),
]


@pytest.mark.parametrize(("name", "options", "epochs", "expected"), SCHEDULES)
def test_schedules_follow_their_formulas(name, options, epochs, expected):
    import keras

    options = optimization.ScheduleOptions(**options)
    rate = optimization.make_schedule(name, 0.1, epochs=epochs, steps_per_epoch=10, options=options)
    if callable(rate):
        rate = type(rate).from_config(rate.get_config())  # as a saved optimiser does
    for step, factor in expected.items():
        value = float(keras.ops.convert_to_numpy(rate(step))) if callable(rate) else rate
        assert value == pytest.approx(0.1 * factor, abs=1e-6), step


@pytest.mark.parametrize("name", optimization.OPTIMIZERS)
def test_optimizers_lower_a_loss_and_obey_their_options(name):
    import keras

    options = optimization.OptimizerOptions(clip_norm=1.0, weight_decay=0.01, accumulation_steps=2)
    optimizer = optimization.make_optimizer(name, 0.1, options)
    assert optimizer.global_clipnorm == 1.0
    assert optimizer.weight_decay == 0.01
    assert optimizer.gradient_accumulation_steps == 2
    if hasattr(optimizer, "nesterov"):
        assert optimizer.nesterov == (name == "nesterov")
        assert optimizer.momentum == (0.0 if name == "sgd" else 0.9)
    variable = keras.Variable(np.full((3,), 4.0, "float32"), name="kernel")
    for _ in range(20):
        optimizer.apply([variable * 2.0], [variable])
    assert np.abs(np.asarray(variable.value)).max() < 4.0


@pytest.mark.parametrize(
    ("name", "decay", "expected"),
    [("adamw", None, 0.004), ("adamw", 0.0, 0.0), ("adam", None, None), ("adam", 0.0, None)],
)
def test_no_weight_decay_is_none(name, decay, expected):
    options = optimization.OptimizerOptions(weight_decay=decay)
    assert optimization.make_optimizer(name, 0.1, options).weight_decay == expected


def test_biases_and_norm_gains_are_spared_from_weight_decay():
    import keras

    optimizer = optimization.make_optimizer("adamw", 0.1, optimization.OptimizerOptions(weight_decay=0.5))
    for name, shrinks in (("kernel", True), ("bias", False), ("gamma", False), ("beta", False)):
        variable = keras.Variable(np.ones(2, "float32"), name=name)
        optimizer.build([variable])
        assert optimizer._use_weight_decay(variable) is shrinks


@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "mean_absolute_error", "huber", "dice", "focal"])
def test_losses_by_name(name):
    loss = optimization.make_loss(name)
    assert loss.name.replace("_loss", "") == name
    assert type(loss).__module__.startswith("kerazoo.") == (name in ("dice", "focal"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimization.make_loss("mean_absolut_error"),
        lambda: optimization.make_optimizer("adm", 0.1, optimization.OptimizerOptions()),
        lambda: optimization.make_schedule(
            "cosin", 0.1, epochs=1, steps_per_epoch=1, options=optimization.ScheduleOptions()
        ),
    ],
)
def test_misspelt_names_are_answered_with_the_nearest(make):
    with pytest.raises(UserError, match="Did you mean"):
        make()


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("12", 12), (None, None)])
def test_lengths_of_time(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["soon", "-3m", "0", "nan", ""])
def test_impossible_lengths_of_time(text):
    with pytest.raises(UserError, match="30m"):
        seconds(text)


def train(kerazoo, out, task, *words):
    answer = kerazoo("train", task, *words, "--out", out, "--name", "r")
    assert answer.status == 0, answer.err
    run = out / task / "r"
    return run, json.loads((run / "metrics.json").read_text()), answer


def rows(run):
    with (run / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_the_best_epoch_is_kept(kerazoo, tmp_path):
    words = (*SMALL_DIGITS, "--epochs", "6", "--learning-rate", "0.05")
    run, metrics, _ = train(kerazoo, tmp_path, "image-classification", *words)
    history = rows(run)
    best = min(history, key=lambda row: row["val_loss"])
    assert metrics["best_epoch"] == int(best["epoch"])
    import keras

    from applications.core.run_directory import RunDirectory
    from applications.core.training import load_application

    application = load_application(RunDirectory(run))
    datasets = application.datasets()
    model = keras.models.load_model(run / "model.keras")
    chosen = datasets.split["val"]
    probabilities = model.predict(datasets.images.as_array(chosen), verbose=0)
    loss = -np.log(probabilities[np.arange(len(chosen)), datasets.labels[chosen]]).mean()
    assert loss == pytest.approx(best["val_loss"], rel=1e-4)


def test_early_stopping_ends_a_training_that_no_longer_improves(kerazoo, tmp_path):
    words = (
        *SMALL_DIGITS,
        "--epochs",
        "30",
        "--learning-rate",
        "1e-9",
        "--early-stopping.patience",
        "2",
        "--early-stopping.min-delta",
        "0.5",
        "--optimizer",
        "sgd",
    )
    run, metrics, _ = train(kerazoo, tmp_path, "image-classification", *words)
    assert metrics["stopped_by"] == "early-stopping"
    assert len(rows(run)) == 3


def test_a_plateau_lowers_the_learning_rate(kerazoo, tmp_path):
    words = (
        *SMALL_DIGITS,
        "--epochs",
        "9",
        "--learning-rate",
        "1e-6",
        "--schedule",
        "plateau",
        "--optimizer",
        "sgd",
        "--schedule-options.patience",
        "1",
        "--schedule-options.decay-rate",
        "0.5",
    )
    # Keras counts an improvement from 1e-4 on, which this rate cannot reach once the batch statistics have settled.
    run, _, _ = train(kerazoo, tmp_path, "image-classification", *words)
    rates = [row["learning_rate"] for row in rows(run)]
    assert rates[-1] == pytest.approx(1e-6 * 0.5 ** (len(set(rates)) - 1), rel=1e-3)
    assert len(set(rates)) >= 3


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training in which every look at the clock takes 0.1 seconds, however fast the machine is."""
    from applications.core import stopping

    ticks = itertools.count(0, 0.1)
    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.mark.usefixtures("slow_clock")
def test_max_time_ends_the_training_and_still_reports(kerazoo, tmp_path):
    words = (*SMALL_DIGITS, "--epochs", "10000", "--max-time", "8s", "--early-stopping.patience", "0")
    run, metrics, _ = train(kerazoo, tmp_path, "image-classification", *words)
    assert metrics["stopped_by"] == "max-time"
    assert 0 < metrics["epochs"] < 10
    assert (run / "report.html").exists()


@pytest.mark.usefixtures("slow_clock")
def test_folds_share_the_time(kerazoo, tmp_path):
    words = (*SMALL_DIGITS, "--epochs", "10000", "--k-folds", "2", "--max-time", "8s", "--early-stopping.patience", "0")
    run, metrics, _ = train(kerazoo, tmp_path, "image-classification", *words)
    spent = [json.loads((run / "folds" / f"fold-{i}" / "metrics.json").read_text()) for i in (1, 2)]
    assert [fold["stopped_by"] for fold in spent] == ["max-time"] * 2
    assert 4 <= spent[0]["training_seconds"] < 5, "the first fold must leave half of the time to the second"
    assert metrics["training_seconds_of_all_folds"] == pytest.approx(sum(f["training_seconds"] for f in spent))
    assert metrics["training_seconds"] == spent[metrics["best_fold"] - 1]["training_seconds"]


def test_fast_dev_run_touches_everything(kerazoo, tmp_path):
    run, metrics, _ = train(kerazoo, tmp_path, "image-classification", "--model", "resnet20", "--fast-dev-run")
    assert metrics["epochs"] == 1
    assert {"model.keras", "report.html", "metrics.json", "tensorboard"} <= {path.name for path in run.iterdir()}
    assert list((run / "tensorboard").rglob("events*"))


def test_steps_per_execution_checkpoints_at_its_boundaries(kerazoo, tmp_path):
    words = (*SMALL_DIGITS, "--steps-per-execution", "4", "--checkpoint-every", "5", "--epochs", "1")
    run, _, _ = train(kerazoo, tmp_path, "image-classification", *words)
    assert [int(path.name) for path in sorted((run / "checkpoints").glob("[0-9]*"))] == [16, 19]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_saves_float32(kerazoo, tmp_path, precision):
    import keras

    words = (*SMALL_DIGITS, "--precision", precision, "--epochs", "1")
    run, metrics, _ = train(kerazoo, tmp_path, "image-classification", *words)
    assert np.isfinite(metrics["test"]["log_loss"])
    model = keras.models.load_model(run / "model.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


@pytest.mark.parametrize("model", ["mlp", "perceptron", "adaline", "lenet5"])
def test_other_kinds_of_classifiers_train(kerazoo, tmp_path, model):
    words = (
        "--model",
        model,
        "--no-tensorboard",
        "--epochs",
        "2",
        "--image-size",
        "32",
        "--learning-rate",
        "0.01",
        "--optimizer",
        "adam",
    )
    _, metrics, _ = train(kerazoo, tmp_path, "image-classification", *words)
    assert metrics["test"]["accuracy"] > 0.2


def test_class_weights_balance_rare_classes(tmp_path):
    from applications.image_classification import ImageClassification

    for name, count in (("many", 30), ("few", 6)):
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 255, (8, 8)).astype(np.uint8)
            save_image(tmp_path / name / f"{number}.png", pixels)
    application = ImageClassification(data=str(tmp_path), class_weights="balanced")
    datasets = application.datasets()
    samples = application.samples(datasets, "train", training=True)
    import tensorflow as tf

    batch = [samples.load(tf.constant(i, tf.int64), tf.zeros([samples.num_draws])) for i in range(samples.size)]
    sums = {name: sum(float(w) for _, y, w in batch if int(y) == i) for i, name in enumerate(datasets.class_names)}
    assert sums["few"] == pytest.approx(sums["many"])
    plain = dataclasses.replace(application, class_weights="none").samples(datasets, "train", training=True)
    assert len(plain.load(tf.constant(0, tf.int64), tf.zeros([plain.num_draws]))) == 2


@pytest.mark.parametrize("loss", ["categorical_focal_crossentropy", "focal_tversky"])
def test_segmentation_with_class_weights_and_a_dense_loss(loss, kerazoo, tmp_path):
    words = (*SMALL_NUCLEI, "--class-weights", "balanced", "--loss", loss)
    _, metrics, _ = train(kerazoo, tmp_path, "semantic-segmentation", *words)
    assert 0 <= metrics["test"]["foreground_iou"] <= 1


def test_k_folds_report_mean_and_spread_and_leave_the_test_split_alone(kerazoo, tmp_path):
    words = (*SMALL_DIGITS, "--k-folds", "3", "--epochs", "1")
    run, metrics, answer = train(kerazoo, tmp_path, "image-classification", *words)
    assert len(metrics["folds"]) == 3
    accuracies = [row["val_accuracy"] for row in metrics["folds"]]
    assert len(set(accuracies)) > 1
    assert f"{np.mean(accuracies):.4g} +- {np.std(accuracies, ddof=1):.2g} over 3 folds" in answer.out
    assert metrics["best_fold"] == 1 + int(np.argmin([row["val_loss"] for row in metrics["folds"]]))
    sizes = [json.loads((run / "folds" / f"fold-{i}" / "data.json").read_text())["splits"] for i in (1, 2, 3)]
    whole = json.loads((run / "data.json").read_text())["splits"]
    assert whole == sizes[metrics["best_fold"] - 1], "the report is about the best fold"
    assert {size["test"] for size in sizes} == {whole["test"]}
    assert sum(size["val"] for size in sizes) == whole["train"] + whole["val"]
    assert (run / "model.keras").exists()
    assert "fold" in (run / "report.html").read_text().lower()


def test_paths_are_found_from_any_folder(kerazoo, tmp_path, monkeypatch):
    for name in ("a", "b"):
        for number in range(6):
            pixels = np.random.default_rng(number).integers(0, 255, (8, 8)).astype(np.uint8)
            save_image(tmp_path / "my data" / name / f"{number}.png", pixels)
    monkeypatch.chdir(tmp_path)
    run, _, _ = train(
        kerazoo, tmp_path, "image-classification", *SMALL_DIGITS, "--data", "my data", "--batch-size", "4"
    )
    monkeypatch.chdir("/")
    answer = kerazoo("evaluate", run)
    assert answer.status == 0, answer.err


def test_k_folds_are_resumed_without_repeating_finished_ones(kerazoo, tmp_path):
    words = (*SMALL_DIGITS, "--k-folds", "2", "--epochs", "1")
    run, metrics, _ = train(kerazoo, tmp_path, "image-classification", *words)
    first = (run / "folds" / "fold-1" / "model.keras").stat().st_mtime_ns
    (run / "folds" / "fold-2" / "status.json").unlink()
    (run / "status.json").write_text('{"status": "interrupted"}')
    assert kerazoo("resume", run).status == 0
    assert (run / "folds" / "fold-1" / "model.keras").stat().st_mtime_ns == first
    again = json.loads((run / "metrics.json").read_text())
    assert again["folds"] == metrics["folds"]


MIRRORED = """
import sys
import tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from applications.cli import main
from applications.core.strategy import make_strategy
assert make_strategy("mirrored").num_replicas_in_sync == 2
sys.exit(main(sys.argv[1:]))
"""


def test_mirrored_training_on_two_devices_learns_as_one_does(kerazoo, tmp_path):
    words = (*SMALL_DIGITS, "--epochs", "3", "--model-options.normalization", "none", "--seed", "1")
    single, _, _ = train(kerazoo, tmp_path / "single", "image-classification", *words)
    words = (
        "train",
        "image-classification",
        *words,
        "--strategy",
        "mirrored",
        "--out",
        tmp_path,
        "--name",
        "two",
    )
    process = processes.run("-c", MIRRORED, *words)
    assert process.returncode == 0, process.stderr
    mirrored = rows(tmp_path / "image-classification" / "two")
    # The same batches, divided over two devices: sums in another order, otherwise the same numbers.
    for one, two in zip(rows(single), mirrored, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=2e-2)
        assert two["val_loss"] == pytest.approx(one["val_loss"], rel=2e-2)


def test_batch_statistics_of_two_devices_survive_a_resume(tmp_path):
    # 60 images leave 9 for validation: less than a batch, and an odd number.
    for name in ("a", "b"):
        for number in range(30):
            pixels = np.random.default_rng(number).integers(0, 255, (8, 8)).astype(np.uint8)
            save_image(tmp_path / "data" / name / f"{number}.png", pixels)
    words = (*SMALL_DIGITS, "--data", tmp_path / "data", "--batch-size", "10", "--deterministic", "--no-tensorboard")
    words = (*words, "--strategy", "mirrored")
    script = Path(__file__).with_name("mirrored_training.py")
    process = processes.run(script, tmp_path / "runs", *words)
    assert process.returncode == 0, process.stderr
    assert "63 samples cannot be divided equally over 2 devices; 62 or 64 can" in process.stderr


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_plateau_warms_up_over_batches(accumulation):
    import keras

    from applications.core.callbacks import Plateau

    options = optimization.OptimizerOptions(accumulation_steps=accumulation)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=optimization.make_optimizer("sgd", 0.1, options), loss="mse")
    rates = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    plateau = Plateau(monitor="loss", mode="min", warmup_batches=4)
    model.fit(np.ones((6, 1)), np.ones((6, 1)), batch_size=1, verbose=0, callbacks=[plateau, watch])
    expected = {1: [0.025, 0.05, 0.075, 0.1, 0.1, 0.1], 2: [0.05, 0.05, 0.1, 0.1, 0.1, 0.1]}
    assert rates == pytest.approx(expected[accumulation])


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(kerazoo, tmp_path, digits_run):
    words = (*SMALL_DIGITS, "--seed", "1")
    run, _, _ = train(kerazoo, tmp_path, "image-classification", *words)
    assert (run / "history.csv").read_text() != (digits_run / "history.csv").read_text()


def test_running_means_count_every_batch_once(kerazoo, tmp_path):
    # Keras counts one batch too many where it has to find the end of an epoch by itself.
    words = (
        *SMALL_DIGITS,
        "--epochs",
        "1",
        "--batch-size",
        "600",
        "--learning-rate",
        "1e-12",
        "--optimizer",
        "sgd",
        "--augment.rotation",
        "0",
        "--augment.shift",
        "0",
        "--augment.zoom",
        "0",
        "--model-options.normalization",
        "none",
    )
    run, _, _ = train(kerazoo, tmp_path, "image-classification", *words)
    row = rows(run)[0]
    assert row["loss"] == pytest.approx(row["val_loss"], rel=0.1)


def test_the_line_of_an_epoch_is_never_broken():
    import io

    from rich.console import Console
    from rich.progress import Progress as Bar

    from applications.core.callbacks import Progress

    progress = Progress(3, 10, print)
    out = io.StringIO()
    progress._bar = Bar(console=Console(file=out, width=40))
    progress.on_epoch_end(0, {f"a_rather_long_metric_{i}": 0.5 for i in range(4)} | {"[red]": 1.0})
    assert [line.count("0.5") for line in out.getvalue().splitlines()] == [4]
    assert "[red] 1" in out.getvalue()
