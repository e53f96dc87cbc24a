"""The application `autoencoding`: run directory, scores, folders with and without classes, predictions, resume."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerazoo
from applications.autoencoding import Autoencoding, inner, scaled
from applications.core.errors import UserError
from applications.core.pictures import read_sheet, sheets
from applications.datasets.pictures import load_pictures
from applications.generation.autoencoding_report import factorised_bits, principal_components
from applications.generation.walks import between, walk
from tests.applications.conftest import command, save_image

QUICK = ("--no-tensorboard", "--batch-size", "64", "--learning-rate", "0.003")


def bars(folder: Path, count: int = 30, classes: bool = True, size: int = 16, colour: bool = False) -> Path:
    """Pictures of a bright bar, upright or level."""
    random = np.random.default_rng(0)
    for number in range(count):
        picture = np.full((size, size, 3 if colour else 1), 30, np.uint8)
        place = int(random.integers(2, size - 2))
        upright = number % 2 == 0
        picture[(slice(None), slice(place - 2, place + 2)) if upright else (slice(place - 2, place + 2),)] = 220
        where = folder / ("upright" if upright else "level") if classes else folder
        save_image(where / f"{number}.png", picture.squeeze())
    return folder


def train(out: Path, *words: object) -> Path:
    answer = command("train", "autoencoding", *QUICK, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "autoencoding" / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("--epochs", "20", "--model-options.hidden-units", "[64]", "--model-options.latent-dim", "8")
    return train(tmp_path_factory.mktemp("autoencoder"), *words)


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("vae"), "--model", "vae", "--epochs", "15")


def metrics_of(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_a_run_directory_is_complete(run):
    assert {path.name for path in (run / "figures").iterdir()} == {
        "learning_curves.png", "filmstrip.png", "reconstructions.png", "codes.png", "walk.gif",
    }  # fmt: skip
    assert list(sheets(run)) == list(range(1, 21))
    page = (run / "report.html").read_text(encoding="utf-8")
    for words in ("Samples during training", "Map of the codes", "The most unusual pictures", "8 principal components"):
        assert words in page
    found = metrics_of(run)
    assert found["headline"] == "mse"
    assert 0 < found["test"]["mse"] < 0.06
    assert found["test"]["psnr"] == pytest.approx(-10 * np.log10(found["test"]["mse"]))


def test_the_saved_model_takes_and_gives_pixels(run):
    application, model = Autoencoding(), kerazoo.load_model(run / "model.keras")
    datasets = application.datasets()
    pixels = datasets.images.as_array(datasets.split["test"]).astype("float32")
    found = np.array(model(pixels))
    assert found.min() >= 0
    assert 12 < found.max() <= 16
    mse = np.square((found - pixels) / 16).mean()
    assert mse == pytest.approx(metrics_of(run)["test"]["mse"], rel=1e-4)


def test_the_filmstrip_shows_that_it_learns(run):
    application = Autoencoding()
    datasets = application.datasets()
    truth = scaled(datasets, datasets.split["val"][:16])
    errors = [np.square(read_sheet(path) / 255 - truth).mean() for path in sheets(run).values()]
    assert errors[-1] < 0.7 * errors[0]


def test_a_variational_model_beats_pixels_without_neighbours(vae_run):
    found = metrics_of(vae_run)
    ours, alone = found["test"]["bits_per_dimension"], found["baseline"]["bits_per_dimension"]
    assert found["headline"] == "bits_per_dimension"
    assert found["test"]["bits_per_dimension_16_samples"] < ours < alone
    assert found["test"]["elbo_nats"] == pytest.approx(-ours * 64 * np.log(2))
    assert {"confidence", "smallest_class_share", "covered_classes"} <= set(found["test"])
    assert (vae_run / "figures" / "new_pictures.png").exists()


def test_evaluate_and_export_again(run, vae_run, tmp_path):
    answer = command("evaluate", vae_run)
    assert answer.status == 0, answer.err
    again = json.loads((vae_run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again["elbo_nats"] == pytest.approx(metrics_of(vae_run)["test"]["elbo_nats"], rel=1e-5)
    answer = command("export", run, "--format", "litert", "-o", tmp_path / "a.tflite")
    assert answer.status == 0, answer.err


def test_unusual_files_are_told_from_usual_ones(run, tmp_path):
    from sklearn.datasets import load_digits

    for number, picture in enumerate(load_digits().images[:5]):
        save_image(tmp_path / "in" / f"digit{number}.png", (picture * (255 / 16)).astype(np.uint8))
    board = np.indices((8, 8)).sum(0) % 2 * 255
    save_image(tmp_path / "in" / "board.png", board.astype(np.uint8))
    answer = command("predict", run, tmp_path / "in", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines()))
    errors = {Path(row["file"]).stem: float(row["mse"]) for row in rows}
    assert errors.pop("board") > 3 * max(errors.values())
    assert [row["above_95_percent"] for row in rows if "board" in row["file"]] == ["yes"]
    with Image.open(tmp_path / "out" / "digit0.png") as image:
        assert (image.size, image.mode) == ((8, 8), "L")


@pytest.mark.parametrize("name", ["denoising_autoencoder", "sparse_autoencoder", "autoencoder_conv", "beta_vae"])
def test_every_autoencoder_runs(name, tmp_path):
    options = {"autoencoder_conv": "[8, 8]", "beta_vae": "[8, 8]"}
    words = ("--model-options.filters", options[name]) if name in options else ()
    folder = bars(tmp_path / "data", classes=name == "beta_vae", colour=name == "autoencoder_conv")
    run = train(tmp_path, "--model", name, "--epochs", "2", "--batch-size", "8", "--data", folder, *words)
    found = metrics_of(run)
    assert np.isfinite(found["test"]["mse"])
    assert found["headline"] in found["baseline"]
    assert ("median filter" in found["baseline_name"]) == (name == "denoising_autoencoder")


def test_pictures_with_and_without_classes(tmp_path):
    alone = load_pictures(str(bars(tmp_path / "alone", classes=False)))
    assert alone.labels is None
    assert alone.class_names == ()
    assert {part: len(i) for part, i in alone.split.items()} == {"train": 21, "val": 5, "test": 4}
    classes = load_pictures(str(bars(tmp_path / "classes")))
    assert classes.class_names == ("level", "upright")
    for part, count in {"train": 12, "test": 6}.items():
        bars(tmp_path / "parts" / part, count, classes=False)
    parts = load_pictures(str(tmp_path / "parts"))
    assert len(parts.split["test"]) == 6
    assert all(parts.ids[i].startswith("test/") for i in parts.split["test"])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="holds no image that can be read"):
        load_pictures(str(tmp_path / "nothing"))


def test_other_pictures_may_have_classes_of_their_own(tmp_path):
    data = bars(tmp_path / "data")
    run = train(tmp_path, "--epochs", "2", "--batch-size", "8", "--data", data)
    for name in ("one", "two"):
        save_image(tmp_path / "other" / name / "a.png", np.full((16, 16), 128, np.uint8))
    answer = command("evaluate", run, "--data", tmp_path / "other")
    assert answer.status == 0, answer.err


def test_sizes_are_rounded_up_to_what_the_network_needs():
    datasets = Autoencoding(model="beta_vae").datasets()
    assert datasets.images.max_shape == (16, 16, 1)


def test_pixels_alone_by_hand():
    train, test = np.array([[[[0.0]]], [[[1.0]]]]), np.array([[[[1.0]]]])
    assert factorised_bits(train, test, bernoulli=True) == pytest.approx(1.0)
    assert factorised_bits(train, test, bernoulli=False) == pytest.approx(
        (0.5 * 0.25 + 0.5 * np.log(2 * np.pi)) / np.log(2)
    )
    line = np.arange(4.0)[:, None, None, None] * np.ones((1, 1, 3, 1))
    np.testing.assert_allclose(principal_components(line, line, 1), line, atol=1e-9)


def test_ways_between_codes_by_hand():
    start, end = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    np.testing.assert_allclose(between(start, end, 0.5, spherical=False), [[0.5, 0.5]])
    np.testing.assert_allclose(between(start, end, 0.5, spherical=True), [[0.5**0.5, 0.5**0.5]])
    np.testing.assert_allclose(between(start, start, 0.3, spherical=True), start)
    corners = np.array([[[0.0]], [[1.0]]])
    frames = walk(lambda codes: np.broadcast_to(codes[:, :, None, None], (len(codes), 4, 4, 1)), corners, steps=2)
    assert [frame[0, 0, 0] for frame in frames] == [0, 128, 255, 128]


BAD = [
    (("--model", "resnet20"), "autoencoding needs one of"),
    (("--model", "conditional_vae"), "autoencoding needs one of"),
    (("--model", "vae", "--loss", "mean_squared_error"), "learns by its own bound"),
    (("--class-weights", "balanced"), "classes are not learnt here"),
    (("--image-size", "8,8,8"), "expected one or two numbers"),
    (("--model-options.latent-dim", "0"), "latent_dim must be"),
    (("--data", "digit"), "Did you mean 'digits'"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=lambda value: str(value)[:30])
def test_bad_input_is_one_sentence(words, sentence, tmp_path):
    answer = command("train", "autoencoding", "--out", tmp_path, *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.iterdir())


def test_the_model_inside_has_its_own_class(run):
    assert type(inner(kerazoo.load_model(run / "model.keras"))).__name__ == "Autoencoder"
