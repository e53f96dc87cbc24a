"""The application `image-generation`: drawing, scores, classes, files of `kerazoo generate`, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kerazoo
from applications.core.errors import UserError
from applications.core.pictures import read_sheet, sheets
from applications.generation import features
from applications.image_generation import ImageGeneration
from tests.applications.conftest import command, save_image

QUICK = ("--no-tensorboard", "--batch-size", "64", "--judged", "200")


def train(out: Path, *words: object) -> Path:
    answer = command("train", "image-generation", *QUICK, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "image-generation" / "run"


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("vae"), "--model", "vae", "--epochs", "3")


@pytest.fixture(scope="module")
def told_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quick = ("--epochs", "12", "--learning-rate", "0.005")
    return train(tmp_path_factory.mktemp("told"), "--model", "conditional_vae", *quick)


def metrics_of(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_a_run_is_scored_beside_two_halves_of_the_real_pictures(vae_run):
    found = metrics_of(vae_run)
    assert found["headline"] == "kernel_distance"
    assert found["baseline_name"] == "one half of the real pictures"
    assert found["baseline"]["kernel_distance"] < found["test"]["kernel_distance"]
    assert found["baseline"]["precision"] > 0.8 > found["test"]["recall"]
    assert found["baseline"]["recall"] > 0.8
    assert found["test"]["elbo_nats"] < 0
    assert {"precision", "recall", "confidence", "smallest_class_share", "covered_classes"} <= set(found["test"])
    assert "class_consistency" not in found["test"]
    page = (vae_run / "report.html").read_text(encoding="utf-8")
    for words in ("New pictures", "The nearest training pictures", "A walk through the noise", "is no FID"):
        assert words in page
    assert "kerazoo generate" in page
    assert "kerazoo predict" not in page
    assert len(sheets(vae_run)) == 3


SMALL: dict[str, tuple[str, ...]] = {
    "dcgan": ("--model-options.filters", "8"),
    "acgan": (
        *("--model-options.generator-filters", "[16, 8]"),
        *("--model-options.discriminator-filters", "[8, 8, 8, 8]"),
    ),
    "wgan_gp": ("--model-options.filters", "8", "--model-options.critic-steps", "2"),
    "progan": (
        *("--image-size", "8", "--model-options.filters", "32"),
        *("--model-options.stabilize-images", "40", "--model-options.fade-images", "40"),
    ),
}


@pytest.mark.parametrize("name", ["ddpm_small", "pixelcnn"])
def test_models_that_draw_in_many_steps(name, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "EPOCHS", 1)
    words = ("--model-options.filters", "8", "--judged", "20", "--fast-dev-run", "--batch-size", "16")
    small = {"ddpm_small": ("--model-options.timesteps", "20"), "pixelcnn": ("--model-options.head-filters", "8")}
    run = train(tmp_path, "--model", name, *words, *small[name])
    assert "class_consistency" in metrics_of(run)["test"]
    assert "A walk through the noise" not in (run / "report.html").read_text(encoding="utf-8")
    guided = ("--guidance", "2") if name == "ddpm_small" else ()
    answer = generate(run, tmp_path / "out", "--count", "3", "--label", "7", *guided)
    assert answer.status == 0, answer.err
    assert read_sheet(tmp_path / "out" / "sheet.png").shape == (3, 8, 8, 1)
    answer = command("export", run, "--format", "saved_model", "-o", tmp_path / "network")
    assert answer.status == 0, answer.err
    assert "one step" in json.loads((tmp_path / "network.json").read_text())["signature"]["output"]
    if name == "ddpm_small":  # the steps around the network are in the example
        answer = command("export", run, "--format", "onnx", "--parts", "-o", tmp_path / "painter")
        assert answer.status == 0, answer.err
        assert {"denoiser.onnx", "denoise.py"} <= {path.name for path in (tmp_path / "painter").iterdir()}


@pytest.mark.parametrize("name", ["acgan", "wgan_gp", "progan"])  # dcgan below; the others differ in the builder alone
def test_networks_that_train_against_each_other(name, tmp_path, monkeypatch):
    """A run from training to files, without a judge that is worth its name."""
    monkeypatch.setattr(features, "EPOCHS", 1)
    words = ("--fast-dev-run", "--batch-size", "16", "--model", name, *SMALL[name])
    run = train(tmp_path, *words)
    history = (run / "history.csv").read_text().splitlines()
    assert "discriminator_loss" in history[0]
    assert "generator_loss" in history[0]
    assert len(sheets(run)) == 1
    told = "class_consistency" in metrics_of(run)["test"]
    assert told == (name == "acgan")
    answer = generate(run, tmp_path / "out", "--count", "3", *(("--label", "7") if told else ()))
    assert answer.status == 0, answer.err
    assert read_sheet(tmp_path / "out" / "sheet.png").shape == (3, 8, 8, 1)


def test_dense_networks_take_larger_steps():
    rates = {model: ImageGeneration(model=model).peak_rate for model in ("gan", "cgan", "dcgan", "vae")}
    assert rates == {"gan": 2e-3, "cgan": 2e-3, "dcgan": 5e-4, "vae": 5e-4}
    assert ImageGeneration(model="cgan", learning_rate=1e-4).peak_rate == 1e-4
    with pytest.raises(UserError, match="learning_rate: expected a value above 0, received 0"):
        ImageGeneration(learning_rate=0.0).check()


def test_a_model_that_is_told_classes_draws_them(told_run):
    test = metrics_of(told_run)["test"]
    assert test["class_consistency"] > 0.6
    columns = json.loads((told_run / "report.json").read_text())["tables"][0]["columns"]
    assert columns[-1] == "right where asked for"


def noise(folder: Path, count: int) -> Path:
    """Pictures without classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        save_image(folder / f"{number}.png", random.integers(0, 256, (8, 8, 3), np.uint8))
    return folder


def generate(run: Path, out: Path, *words: object):
    return command("generate", run, "-o", out, *words)


def test_generate_writes_files_that_the_seed_fixes(vae_run, tmp_path):
    answer = generate(vae_run, tmp_path / "a", "--count", "12", "--seed", "3")
    assert answer.status == 0, answer.err
    assert "12 pictures written to" in answer.out
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        *(f"picture_{number:04d}.png" for number in range(1, 13)),
        "sheet.png",
    ]
    assert generate(vae_run, tmp_path / "b", "--count", "12", "--seed", "3").status == 0
    assert generate(vae_run, tmp_path / "c", "--count", "12", "--seed", "4").status == 0
    one, same, other = ((tmp_path / name / "sheet.png").read_bytes() for name in "abc")
    assert one == same != other
    with Image.open(tmp_path / "a" / "picture_0002.png") as image:
        np.testing.assert_array_equal(np.asarray(image), read_sheet(tmp_path / "a" / "sheet.png")[1, ..., 0])


def test_generate_draws_the_class_that_is_asked_for(told_run, tmp_path):
    assert generate(told_run, tmp_path / "turns", "--count", "20").status == 0
    assert (tmp_path / "turns" / "picture_0012_class1.png").exists()
    assert generate(told_run, tmp_path / "threes", "--count", "5", "--label", "3").status == 0
    assert len(list((tmp_path / "threes").glob("*_class3.png"))) == 5


@pytest.mark.parametrize(
    ("fixture", "words", "sentence"),
    [
        ("told_run", ("--label", "30"), "label: the run knows 0, 1, 2"),
        ("vae_run", ("--label", "3"), "is told no classes"),
        ("vae_run", ("--count", "0"), "count: expected a value of at least 1"),
        ("vae_run", ("--prompt", "x"), "Unknown option '--prompt'"),
        ("vae_run", ("--guidance", "2"), "guidance_scale"),
        ("vae_run", ("surplus",), "Unexpected word 'surplus'"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(fixture, words, sentence, request, tmp_path):
    answer = generate(request.getfixturevalue(fixture), tmp_path / "out", *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "out").exists()


def test_help_explains_the_options_of_every_task_that_generates():
    answer = command("generate", "--help")
    assert answer.status == 0
    for words in ("runs of image-generation", "--count (int)", "runs of language-modelling", "--prompt (text)"):
        assert words in answer.out
    answer = command("generate", "--count", "3")
    assert answer.status == 2
    assert "needs a run directory first" in answer.err


def test_files_cannot_be_predicted(vae_run, tmp_path):
    answer = command("predict", vae_run, tmp_path, "-o", tmp_path / "out")
    assert answer.status == 2
    assert "takes no files; `kerazoo generate" in answer.err


@pytest.mark.parametrize("fixture", ["vae_run", "told_run"])
def test_the_part_that_draws_is_exported(fixture, request, tmp_path):
    run = request.getfixturevalue(fixture)
    answer = command("export", run, "--format", "saved_model", "-o", tmp_path / "drawing")
    assert answer.status == 0, answer.err
    report = json.loads((tmp_path / "drawing.json").read_text())
    assert "pixels from 0 to 1" in report["signature"]["output"]
    assert (tmp_path / "labels.txt").exists() == (fixture == "told_run")


def test_evaluate_gives_the_same_scores(vae_run):
    answer = command("evaluate", vae_run)
    assert answer.status == 0, answer.err
    again = json.loads((vae_run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again["kernel_distance"] == pytest.approx(metrics_of(vae_run)["test"]["kernel_distance"], rel=0.2)


def test_own_pictures_without_classes(tmp_path):
    data = noise(tmp_path / "data", 40)
    run = train(tmp_path, "--model", "vae", "--epochs", "1", "--batch-size", "8", "--data", data)
    assert "principal components of the pixels" in (run / "report.html").read_text(encoding="utf-8")
    assert set(metrics_of(run)["baseline"]) == {"kernel_distance", "precision", "recall"}
    answer = command("train", "image-generation", "--model", "conditional_vae", "--data", tmp_path / "data")
    assert answer.status == 2
    assert "is told the class of each picture" in answer.err


def test_inception_features_come_from_a_weights_file(tmp_path):
    model = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg", input_shape=(299, 299, 3))
    model.save_weights(tmp_path / "inception.weights.h5")
    pictures = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    found = features.inception_features(str(tmp_path / "inception.weights.h5"))(pictures)
    large = keras.ops.image.resize(np.repeat(pictures, 3, -1), (299, 299), data_format="channels_last")
    np.testing.assert_allclose(found, model.predict(np.array(large) * 2 - 1, verbose=0), rtol=1e-3, atol=1e-5)
    kerazoo.cnn((8, 8, 1), 3).save_weights(tmp_path / "other.weights.h5")
    answer = command("train", "image-generation", "--model", "vae", "--inception-weights", tmp_path / "nothing.h5")
    assert answer.status == 2
    assert "there is no file" in answer.err
    with pytest.raises(ValueError, match="does not fit InceptionV3"):
        features.inception_features(str(tmp_path / "other.weights.h5"))


def test_what_the_scores_see_of_real_pictures():
    """A judge of real digits tells them apart, and real digits are among themselves."""
    from applications.generation.picture_report import real

    datasets = ImageGeneration(model="vae").datasets()
    truth = real(datasets)
    assert truth is real(datasets), "trained once"
    assert truth.judge is not None
    assert truth.judge.accuracy > 0.95
    assert truth.features(truth.train).std() == pytest.approx(1, abs=0.05)


BAD = [
    (("--model", "resnet20"), "image-generation needs one of"),
    (("--model", "autoencoder"), "image-generation needs one of"),
    (("--model", "vae", "--loss", "mean_squared_error"), "have losses of their own"),
    (("--model", "vae", "--model-options.num-labels", "3"), "follows from the data"),
    (("--model", "vae", "--judged", "3"), "judged: expected a value of at least 20"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=lambda value: str(value)[:30])
def test_bad_input_is_one_sentence(words, sentence, tmp_path):
    answer = command("train", "image-generation", "--out", tmp_path, *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.iterdir())


def test_formats_are_compared_without_a_metric(vae_run):
    answer = command("benchmark", vae_run, "--formats", "litert")
    assert answer.status == 0, answer.err
    assert "No metric for what is exported" in answer.out
    found = json.loads((vae_run / "exports" / "benchmark.json").read_text())["formats"]["litert"]
    assert found["metric"] is None
    assert found["relative_diff"] < 1e-4
