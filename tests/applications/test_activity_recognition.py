"""The application `activity-recognition` from the command line: training, report, prediction, export."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from applications.activity_recognition import ActivityRecognition, SignalAugmentation, changed
from tests.applications.conftest import command
from tests.applications.datasets.test_data_activities import recordings

QUICK = ("--no-tensorboard", "--model", "gru", "--model-options.units", "8", "--learning-rate", "0.02")


def train(out: Path, *words: object) -> Path:
    answer = command("train", "activity-recognition", *QUICK, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "activity-recognition" / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on recordings of one's own."""
    folder = tmp_path_factory.mktemp("activities")
    return train(folder, "--data", recordings(folder / "mine.csv"), "--window", "16", "--epochs", "25")


def test_a_run_directory_is_complete(run):
    assert {path.stem for path in (run / "figures").glob("*.png")} == {
        "confusion_matrix",
        "signals",
        "learning_curves",
    }
    metrics, page = json.loads((run / "metrics.json").read_text()), (run / "report.html").read_text()
    assert metrics["headline"] == "macro_f1"
    assert metrics["test"]["macro_f1"] > 0.8
    assert set(metrics["baseline"]) == set(metrics["test"])
    assert "random forest on window statistics" in page
    assert "None of them was seen in training" in page


def test_the_saved_model_takes_signals_in_units(run):
    import keras

    model = keras.models.load_model(run / "model.keras")
    random = np.random.default_rng(1)
    signals = np.concatenate([0.1 * random.normal(size=(5, 16, 3)), random.normal(size=(5, 16, 3))]).astype("float32")
    outputs = model(signals).numpy()
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
    assert (outputs.argmax(axis=1) == [0] * 5 + [1] * 5).mean() > 0.8


def test_evaluate_finds_the_same_figures_again_and_takes_other_recordings(run, tmp_path):
    assert command("evaluate", run).status == 0
    saved = json.loads((run / "metrics.json").read_text())["test"]
    again = json.loads((run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, abs=1e-6)
    one = dict.fromkeys(range(80), "shake")  # a single class, of a single person
    other = recordings(tmp_path / "other.csv", people=1, label=one)
    answer = command("evaluate", run, "--data", other)
    assert answer.status == 0, answer.err
    answer = command("evaluate", run, "--data", recordings(other, people=1, label={0: "jump", **one}))
    assert answer.status == 0, answer.err
    answer = command("evaluate", run, "--data", recordings(other, people=1, label=dict.fromkeys(range(40), "jump")))
    assert "The data have the class 'jump', the run was trained on 2 (rest, shake)" in answer.err
    assert answer.status == 2


def test_predict_answers_for_every_window(run, tmp_path):
    source = recordings(tmp_path / "new.csv", people=2)
    lines = source.read_text().splitlines()
    source.write_text("\n".join(",".join(c for i, c in enumerate(line.split(",")) if i != 2) for line in lines))
    answer = command("predict", run, source, "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    with (tmp_path / "out" / "new_predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["subject"] for row in rows} == {"P0", "P1"}
    assert {row["class"] for row in rows} == {"rest", "shake"}
    assert (rows[0]["first line"], rows[0]["last line"]) == ("2", "17")
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    source.write_text("\n".join(line.rsplit(",", 1)[0] for line in lines))
    answer = command("predict", run, source, "-o", tmp_path / "out")
    assert answer.status == 2
    assert "lacks the channel 'z'" in answer.err


@pytest.mark.parametrize(("form", "file"), [("onnx", "m.onnx"), ("litert", "m.tflite"), ("saved_model", "m")])
def test_the_export_has_its_labels(form, file, run, tmp_path):
    answer = command("export", run, "--format", form, "-o", tmp_path / file)
    assert answer.status == 0, answer.err
    assert (tmp_path / "labels.txt").read_text() == "rest\nshake\n"
    signature = json.loads((tmp_path / f"{file}.json").read_text())["signature"]
    assert "x, y, z in the units of the training at 20 samples per second" in signature["input"]


@pytest.mark.parametrize("model", ["tcn", "cnn"])
def test_models_go_through_everything_on_virtual_people(model, tmp_path):
    words = ("--data-options.subjects", "6", "--data-options.seconds", "4", "--augment.turn", "10", "--window", "64")
    answer = command(
        *("train", "activity-recognition", "--model", model, *words, "--class-weights", "balanced"),
        *("--fast-dev-run", "--no-tensorboard", "--out", tmp_path, "--augment.gain", "0.1", "--readout", "last"),
    )
    assert answer.status == 0, answer.err
    run = next((tmp_path / "activity-recognition").iterdir())
    assert json.loads((run / "data.json").read_text())["subjects"] == 6


def test_turned_sensors_feel_the_same_strength():
    import tensorflow as tf

    random = np.random.default_rng(0)
    windows = tf.constant(random.normal(size=(7, 5, 6)), tf.float32)
    draws = tf.constant(random.random((7, 5)), tf.float32)
    turned = changed(windows, draws, SignalAugmentation(turn=60.0)).numpy()
    lengths = [np.linalg.norm(np.reshape(x, (7, 5, 2, 3)), axis=-1) for x in (windows.numpy(), turned)]
    np.testing.assert_allclose(*lengths, rtol=1e-5)
    assert not np.allclose(windows.numpy(), turned, atol=0.05)
    dots = [np.einsum("bsc,bsc->bs", x[..., :3], x[..., 3:]) for x in (windows.numpy(), turned)]
    np.testing.assert_allclose(*dots, atol=1e-4)  # all vectors of a window turn together
    louder = changed(windows, draws, SignalAugmentation(gain=0.5)).numpy() / windows.numpy()
    assert np.ptp(louder, axis=(1, 2)).max() < 1e-4
    assert louder.min() >= 0.5
    assert louder.max() <= 1.5


BAD = [
    (("--model", "mlp"), "'mlp' is a vector model, activity-recognition needs one of: cnn, gru, lstm"),
    (("--loss", "huber"), "expected auto, categorical_crossentropy for activity-recognition"),
    (("--data", "imus"), "Did you mean 'imu'"),
    (("--data", "nowhere/t.csv"), "does not exist"),
    (("--data-options.subjcts", "5"), "Did you mean 'subjects'"),
    (("--model-options.mode", "many_to_many"), "mode follows from the data"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(words, sentence, tmp_path):
    answer = command("train", "activity-recognition", "--no-tensorboard", "--out", tmp_path / "out", *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_turning_needs_vectors(tmp_path):
    path = recordings(tmp_path / "a.csv")
    path.write_text("\n".join(line.rsplit(",", 1)[0] for line in path.read_text().splitlines()))
    words = ("--data", path, "--window", "16", "--augment.turn", "10", "--out", tmp_path / "out")
    answer = command("train", "activity-recognition", *words)
    assert answer.status == 2
    assert "needs channels in threes (x, y, z), the data have 2" in answer.err


def test_the_forest_and_the_folds_keep_people_apart(tmp_path):
    app = ActivityRecognition(data_options={"subjects": 8, "seconds": 4}, window=64)
    data = app.datasets()
    assert data.groups is not None
    name, metrics = app.baseline(data)
    assert name == "random forest on window statistics"
    assert 0.1 < metrics["macro_f1"] < 0.95
    run = train(tmp_path, "--data", recordings(tmp_path / "a.csv"), "--window", "16", "--k-folds", "2", "--epochs", "1")
    assert len(json.loads((run / "metrics.json").read_text())["folds"]) == 2
