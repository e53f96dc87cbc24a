"""The command line on finished runs: evaluate, predict, export, report, and the catalogue."""

from __future__ import annotations

import csv
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.applications.conftest import SMALL_DIGITS, save_image

RUN_FILES = {
    "config.yaml",
    "environment.json",
    "data.json",
    "checkpoints",
    "model.keras",
    "history.csv",
    "metrics.json",
    "report.json",
    "report.html",
    "figures",
    "status.json",
}


@pytest.mark.parametrize("fixture", ["digits_run", "nuclei_run"])
def test_a_run_directory_is_complete(fixture, request):
    run = request.getfixturevalue(fixture)
    assert {path.name for path in run.iterdir()} >= RUN_FILES
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["baseline"]) <= set(metrics["test"])
    assert metrics["headline"] in metrics["test"]
    page = html.unescape((run / "report.html").read_text())
    assert metrics["baseline_name"].split("(")[0].strip() in page
    assert (run / "figures" / "predictions.png").stat().st_size > 1000


def test_the_model_loads_without_the_application(digits_run):
    import keras

    model = keras.models.load_model(digits_run / "model.keras")
    assert model.input_shape == (None, 8, 8, 1)
    assert model.get_layer("preprocess").__class__.__name__ == "Rescaling"
    assert not model.compiled


def test_evaluate_finds_the_same_figures_again(digits_run, kerazoo):
    answer = kerazoo("evaluate", digits_run)
    assert answer.status == 0, answer.err
    saved = json.loads((digits_run / "metrics.json").read_text())["test"]
    again = json.loads((digits_run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, abs=1e-6)


def test_evaluate_on_other_data_numbers_the_classes_as_the_run_does(digits_run, kerazoo, tmp_path):
    import keras
    from sklearn.datasets import load_digits

    digits = load_digits()
    for digit in (7, 3):
        for number in np.flatnonzero(digits.target == digit)[:20]:
            pixels = np.round(digits.images[number] * 255 / 16).astype(np.uint8)
            save_image(tmp_path / "mine" / str(digit) / f"{number}.png", pixels)
    answer = kerazoo("evaluate", digits_run, "--data", tmp_path / "mine")
    assert answer.status == 0, answer.err
    figures = json.loads((digits_run / "evaluations" / "mine" / "metrics.json").read_text())["test"]
    model = keras.models.load_model(digits_run / "model.keras")
    chosen = np.concatenate([np.flatnonzero(digits.target == digit)[:20] for digit in (3, 7)])
    predicted = model.predict(digits.images[chosen, :, :, None], verbose=0).argmax(axis=1)
    # Pixels come in another depth, and only two of the ten classes: they keep the numbers of the training.
    assert figures["accuracy"] == pytest.approx((predicted == digits.target[chosen]).mean(), abs=0.026)


def test_evaluations_of_other_data_have_folders_and_reports_of_their_own(digits_run, kerazoo, tmp_path):
    import shlex

    random = np.random.default_rng(0)
    for place in ("first", "second"):  # two images of one class, in a folder that is named as the run's own evaluation
        for number in range(2):
            pixels = random.integers(0, 255, (8, 8)).astype(np.uint8)
            save_image(tmp_path / place / "test" / "7" / f"{number}.png", pixels)
    folders = []
    for place in ("first", "second", "first"):
        answer = kerazoo("evaluate", digits_run, "--data", tmp_path / place / "test")
        assert answer.status == 0, answer.err
        folders.append(answer.out.split("written: ")[1].strip())
    assert folders == [str(digits_run / "evaluations" / name) for name in ("test-2", "test-3", "test-2")]
    page = html.unescape((digits_run / "evaluations" / "test-2" / "report.html").read_text())
    assert f"kerazoo export {shlex.quote(str(digits_run))} --format" in page
    assert "Result on other data" in page
    assert str(tmp_path / "first" / "test") in page
    assert "Samples: 2 test." in page


def test_evaluate_warns_of_the_training_data(digits_run, kerazoo):
    answer = kerazoo("evaluate", digits_run, "--data", "digits")
    assert "warning: the run was trained on most of these data" in answer.out


def test_a_changed_division_is_refused(digits_run, kerazoo, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("\nseed: 0\n", "\nseed: 1\n"))
    (run / "status.json").write_text('{"status": "interrupted"}')
    for verb in ("resume", "evaluate"):
        answer = kerazoo(verb, run)
        assert answer.status == 2
        assert "seed, split and k_folds" in answer.err


def test_only_whole_numbers_are_brought_to_another_depth():
    from applications.core.evaluation import images_as_trained
    from applications.core.inference import adapted
    from applications.datasets.data import Datasets
    from applications.datasets.store import ImageStore

    known = {"class_names": ["a", "b"], "channels": 1, "value_range": [0.0, 1.0]}
    for dtype, high, expected in (("uint8", 255, 200 / 255), ("uint16", 65535, 200 / 65535), ("float32", 200, 200)):
        images = [np.full((2, 2, 1), 200, dtype), np.zeros((2, 2, 1), dtype)]
        other = Datasets(
            name="x",
            description="",
            images=ImageStore.from_arrays(images),
            split={"train": np.arange(0), "val": np.arange(0), "test": np.arange(2)},
            class_names=("a", "b"),
            ids=("0", "1"),
            labels=np.array([0, 1]),
            value_range=(0.0, float(high)),
        )
        for image in (images_as_trained(other, known).images[0], adapted(images[0], 1, known["value_range"], "x")):
            assert image.max() == pytest.approx(expected), dtype


def test_files_of_one_name_get_names_of_their_own():
    from applications.core.inference import unique_stems

    files = ["a/x.png", "b/x.png", "x-2.png", "c/X.tif", "y.png"]
    assert unique_stems(map(Path, files)) == ["x", "x-3", "x-2", "X-4", "y"]


def test_predict_writes_one_row_per_file(digits_run, kerazoo, tmp_path):
    import keras
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number in range(30):
        pixels = np.round(digits.images[number] * 255 / 16).astype(np.uint8)
        save_image(tmp_path / "in" / "ä folder" / f"{number:02d}.png", pixels)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    answer = kerazoo("predict", digits_run, tmp_path / "in", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert [Path(row["file"]).name for row in rows] == [f"{number:02d}.png" for number in range(30)]
    # Pixels of 0...255 must have been brought to the 0...16 of the training.
    model = keras.models.load_model(digits_run / "model.keras")
    expected = model.predict(digits.images[:30, :, :, None], verbose=0)
    assert [int(row["class"]) for row in rows] == list(expected.argmax(axis=1))
    assert [float(row["probability"]) for row in rows] == pytest.approx(expected.max(axis=1), abs=0.02)


def test_predict_masks_have_the_size_of_their_images(nuclei_run, kerazoo, tmp_path):
    random = np.random.default_rng(0)
    save_image(tmp_path / "a b.tif", random.integers(90, 200, (37, 53)).astype(np.uint16))
    save_image(tmp_path / "c.png", random.integers(0, 255, (64, 64, 3)).astype(np.uint8))
    answer = kerazoo("predict", nuclei_run, tmp_path / "a b.tif", tmp_path / "c.png", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    mask = np.asarray(Image.open(tmp_path / "out" / "a b_mask.png"))
    assert mask.shape == (37, 53)
    assert set(np.unique(mask)) <= {0, 1}
    assert Image.open(tmp_path / "out" / "c_overlay.png").size == (64, 64)


@pytest.mark.parametrize("fixture", ["digits_run", "nuclei_run"])
@pytest.mark.parametrize(
    ("form", "file"), [("saved_model", "saved_model"), ("litert", "model.tflite"), ("onnx", "model.onnx")]
)
def test_export_checks_the_file_and_writes_the_labels(fixture, form, file, request, kerazoo, tmp_path):
    run = request.getfixturevalue(fixture)
    answer = kerazoo("export", run, "--format", form, "-o", tmp_path / file)
    assert answer.status == 0, answer.err
    about = json.loads((tmp_path / f"{file}.json").read_text())
    assert about["agreement"] == 1.0
    assert "pixels from 0 to" in about["signature"]["input"]
    labels = (tmp_path / "labels.txt").read_text().splitlines()
    assert labels == json.loads((run / "data.json").read_text())["class_names"]
    again = kerazoo("export", run, "--format", form, "-o", tmp_path / file)
    assert again.status == 2
    assert "exists" in again.err


def test_report_is_written_anew(digits_run, kerazoo):
    (digits_run / "report.html").unlink()
    answer = kerazoo("report", digits_run)
    assert answer.status == 0, answer.err
    assert (digits_run / "report.html").stat().st_size > 10_000


def test_resume_of_a_finished_run_says_so(digits_run, kerazoo):
    answer = kerazoo("resume", digits_run)
    assert answer.status == 0
    assert "finished already" in answer.out


def test_a_run_repeats_from_its_own_config(digits_run, kerazoo, tmp_path):
    answer = kerazoo(
        "train",
        "image-classification",
        "--config",
        digits_run / "config.yaml",
        "--out",
        tmp_path,
        "--name",
        "again",
    )
    assert answer.status == 0, answer.err
    first = (digits_run / "history.csv").read_text()
    assert (tmp_path / "image-classification" / "again" / "history.csv").read_text() == first


def test_print_config_is_a_configuration(kerazoo, tmp_path):
    printed = kerazoo("train", "image-classification", *SMALL_DIGITS, "--augment.rotation", "3", "--print-config")
    assert printed.status == 0
    (tmp_path / "c.yaml").write_text(printed.out)
    again = kerazoo("train", "image-classification", "--config", tmp_path / "c.yaml", "--print-config")
    assert again.out == printed.out
    assert "rotation: 3.0" in again.out


@pytest.mark.parametrize("task", ["image-classification", "semantic-segmentation"])
def test_help_lists_every_option(kerazoo, task):
    from applications.core.config import describe
    from applications.core.registry import application_class

    shown = kerazoo("train", task, "--help").out
    for entry in describe(application_class(task)):
        assert f"--{entry.path.replace('_', '-')} (" in shown


def test_models_and_cards(kerazoo):
    shown = kerazoo("models", "unet*").out
    assert shown.startswith("unet")
    card = kerazoo("card", "unet").out
    assert "31,030,658" in card
    assert "filters=64" in card
    assert "arxiv.org/abs/1505.04597" in card


def test_a_pipe_that_nobody_reads_any_more_is_no_error(digits_run):
    import subprocess
    import sys

    for words in ("models", f"resume {digits_run}"):
        script = f"set -o pipefail; {sys.executable} -m applications.cli {words} | true"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")


def test_doctor_names_the_essentials(kerazoo):
    answer = kerazoo("doctor")
    assert answer.status == 0
    for word in ("keras", "tensorflow", "memory", "CPU:0", "extra export", "disk"):
        assert word in answer.out


def test_quickstart_goes_through_all_of_it(kerazoo, tmp_path):
    answer = kerazoo("quickstart", "--out", tmp_path, "--fast-dev-run")
    assert answer.status == 0, answer.err
    for word in (
        "test accuracy",
        "support vector machine",
        "test foreground_iou",
        "Otsu",
        "LiteRT file agrees",
        "next:",
    ):
        assert word in answer.out
    assert len(list(tmp_path.rglob("report.html"))) == len(list(tmp_path.rglob("model.tflite"))) == 2


@pytest.mark.parametrize("words", [["--help"], [], ["train", "--help"], ["--version"]])
def test_help_and_version(kerazoo, words):
    answer = kerazoo(*words)
    assert answer.status == 0
    assert "kerazoo" in answer.out


@pytest.mark.parametrize("verb", ["resume", "evaluate", "predict", "export", "report", "models", "card", "doctor"])
def test_every_verb_explains_itself(kerazoo, verb):
    with pytest.raises(SystemExit, match="0"):
        kerazoo(verb, "--help")


def test_export_in_8_bits_with_samples_of_the_run(digits_run, kerazoo, tmp_path):
    answer = kerazoo(
        "export", digits_run, "--format", "litert", "--quantize", "int8", "--list-errors", "-o", tmp_path / "m.tflite"
    )
    assert answer.status == 0, answer.err
    assert "steps of 8 bits" in answer.out
    report = json.loads((tmp_path / "m.tflite.json").read_text())
    assert report["quantize"] == "int8"
    assert report["sqnr_db"] > 20
    assert report["samples"] == "64 given samples"
    assert (tmp_path / "labels.txt").is_file()


def test_export_of_a_keras_file(kerazoo, tmp_path):
    import keras

    inputs = keras.Input((4,), name="features")
    keras.Model(inputs, keras.layers.Dense(3)(inputs)).save(tmp_path / "own.keras")
    answer = kerazoo("export", tmp_path / "own.keras", "--format", "litert", "--batch", "2")
    assert answer.status == 0, answer.err
    assert (tmp_path / "own.tflite").is_file()
    words = ["export", tmp_path / "own.keras", "--format", "litert", "--quantize", "int8"]
    assert "--calibrate FILE.npy" in kerazoo(*words).err
    np.save(tmp_path / "samples.npy", np.random.default_rng(0).uniform(-1, 1, (64, 4)))
    answer = kerazoo(*words, "--calibrate", tmp_path / "samples.npy")
    assert answer.status == 0, answer.err
    assert (tmp_path / "own_int8.tflite").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--format", "litert", "--quantize", "int9"], "Unknown quantisation 'int9'.*int8"),
        (["--format", "onnx", "--quantize", "float16"], "is for LiteRT files"),
        (["--format", "litert", "--batch", "many"], "--batch: expected dynamic or a number"),
        (["--format", "litert", "--calibrate", "nowhere.npy"], "there is no file 'nowhere.npy'"),
        (["--format", "litert", "--signature", "image-bytes"], "--signature image-bytes is for --format saved_model"),
        (["--format", "saved_model", "--signature", "image"], "Unknown signature 'image'.*image-bytes"),
        (["--format", "litert", "--parts"], "has no parts of its own"),
        (["--format", "saved_model", "--parts"], "--parts is for --format litert or onnx"),
        (["--format", "litert", "--keep-float", "predictions"], "keep_float is for quantize='int8'"),
        (["--format", "litert", "--quantize", "int8", "--keep-float", "middle"], "'middle' is no layer"),
        (["--format", "litert", "--tolerance", "0"], "tolerance must be a positive number, received 0.0"),
        (
            ["--format", "litert", "--quantize", "float16", "--tolerance", "1e-9"],
            "the tolerance is 1e-09, and a larger `tolerance` would accept it",
        ),
    ],
)
def test_exports_that_make_no_sense(words, sentence, digits_run, kerazoo, tmp_path):
    answer = kerazoo("export", digits_run, *words, "-o", tmp_path / _name(words))
    assert answer.status == 2
    assert re.search(sentence, answer.err), answer.err
    assert not list(tmp_path.iterdir())


def _name(words):
    """Returns a name of the export that fits the format."""
    form = words[words.index("--format") + 1]
    return "m" if "--parts" in words or form == "saved_model" else {"litert": "m.tflite", "onnx": "m.onnx"}[form]


def test_keras_files_and_calibrations_that_do_not_fit(kerazoo, tmp_path):
    import keras

    class Stranger(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    one, two = keras.Input((4,), name="one"), keras.Input((2,), name="two")
    keras.Model(one, Stranger()(one)).save(tmp_path / "strange.keras")
    keras.Model([one, two], keras.layers.Concatenate()([one, two])).save(tmp_path / "two.keras")
    keras.Model(one, keras.layers.Dense(2)(one)).save(tmp_path / "plain.keras")
    np.save(tmp_path / "four.npy", np.zeros((64, 4)))
    np.save(tmp_path / "five.npy", np.zeros((64, 5)))
    (tmp_path / "text.npy").write_text("no numbers")
    (tmp_path / "taken.tflite").write_text("mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    int8 = ["--format", "litert", "--quantize", "int8", "--calibrate"]
    for file, words, sentence in (
        ("strange", ["--format", "onnx"], "Stranger"),
        ("two", [*int8, tmp_path / "four.npy"], "takes 2 inputs, calibration hold 1 arrays"),
        ("plain", [*int8, tmp_path / "five.npy"], r"takes arrays of shape \(None, 4\), calibration have \(64, 5\)"),
        ("plain", [*int8, tmp_path / "text.npy"], "is no readable .npy or .npz file"),
        ("plain", ["--format", "litert", "-o", tmp_path / "taken.tflite"], "already exists"),
        ("plain", ["--format", "saved_model", "--signature", "image-bytes"], "needs a model of images"),
        ("plain", ["--format", "onnx", "--parts"], "has no parts of its own"),
        ("missing", ["--format", "onnx"], "missing.keras"),
    ):
        answer = kerazoo("export", tmp_path / f"{file}.keras", *words)
        assert answer.status == 2, (file, words)
        assert re.search(sentence, answer.err), answer.err
        assert "Traceback" not in answer.err
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "taken.tflite").read_text() == "mine"
