"""The application `super-resolution`: photographs, both models, bicubic beside them, any size, bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerazoo
from applications.core.errors import UserError
from applications.core.pipeline import evaluation_batches, training_batches
from applications.datasets.photographs import BUNDLED, load_photographs
from applications.super_resolution import SuperResolution, begin_with, bicubic, scores, shrunk
from applications.super_resolution import shrunk_test_images as pairs_of
from tests.applications.conftest import command, save_image

QUICK = (
    *("--no-tensorboard", "--epochs", "2", "--crop-size", "16", "--batch-size", "4"),
    *("--model-options.filters", "4", "--model-options.num_blocks", "1"),
)
SRGAN = (*QUICK, "--model", "srgan_small", "--model-options.discriminator_filters", "2")


def waves(seed: int, size: tuple[int, int] = (24, 34)) -> np.ndarray:
    """A picture of fine and coarse waves in colour."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    phases = [np.sin(x * random.uniform(0.2, 1) + y * random.uniform(0.2, 1)) for _ in range(3)]
    return (127 + 100 * np.stack(phases, -1)).astype(np.uint8)


def folder_of(folder: Path, count: int = 10) -> Path:
    for number in range(count):
        save_image(folder / f"{number}.png", waves(number))
    return folder


def train(out: Path, *words: object, name: str = "run") -> Path:
    answer = command("train", "super-resolution", "--out", out, "--name", name, *words)
    assert answer.status == 0, answer.err
    return out / "super-resolution" / name


@pytest.fixture(scope="module")
def srresnet_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("srresnet")
    return train(folder, *QUICK, "--data", folder_of(folder / "data"))


@pytest.fixture(scope="module")
def srgan_run(tmp_path_factory: pytest.TempPathFactory, srresnet_run: Path) -> Path:
    folder = tmp_path_factory.mktemp("srgan")
    return train(folder, *SRGAN, "--data", folder_of(folder / "data"), "--start-from", srresnet_run)


@pytest.mark.parametrize("run", ["srresnet_run", "srgan_run"])
def test_a_run_directory_is_complete(run, request):
    folder = request.getfixturevalue(run)
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {"learning_curves", "filmstrip", "enlarged"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["test"]) == set(metrics["baseline"]) == {"psnr", "ssim"}
    assert metrics["baseline_name"] == "bicubic interpolation"
    assert (metrics["best_epoch"] is None) == (run == "srgan_run")
    report = json.loads((folder / "report.json").read_text())
    assert "for pixels from 0 to 255, without 2 pixels at each edge" in report["tables"][0]["note"]


@pytest.mark.parametrize("run", ["srresnet_run", "srgan_run"])
def test_pictures_of_any_size_become_larger(run, tmp_path, request):
    save_image(tmp_path / "in" / "new.png", waves(3, (9, 13)))
    answer = command("predict", request.getfixturevalue(run), tmp_path / "in", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    picture = Image.open(tmp_path / "out" / "new_x2.png")
    assert (picture.size, picture.mode) == ((26, 18), "RGB")


def test_evaluate_and_export(srgan_run, tmp_path):
    assert command("evaluate", srgan_run).status == 0
    answer = command("evaluate", srgan_run, "--data", folder_of(tmp_path / "other", 4))
    assert answer.status == 0, answer.err
    answer = command("export", srgan_run, "--format", "onnx", "--out", tmp_path / "m.onnx")
    assert answer.status == 0, answer.err
    assert command("report", srgan_run).status == 0


def test_an_srgan_starts_from_an_srresnet(srresnet_run):
    app = SuperResolution(
        model="srgan_small", crop_size=16, model_options={"filters": 4, "num_blocks": 1, "discriminator_filters": 2}
    )
    data = load_photographs("photographs")
    model, trained = app.build(data), kerazoo.load_model(srresnet_run / "model.keras")
    begin_with(model.generator, str(srresnet_run))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype("float32")
    expected = trained.predict(pixels, verbose=0)
    np.testing.assert_allclose(app.packaged(model, data).predict(pixels, verbose=0), expected, atol=1e-3)
    with pytest.raises(UserError, match="start_from: the weights of"):
        begin_with(kerazoo.srresnet((8, 8, 3), 3, filters=3, num_blocks=1, scale=2), str(srresnet_run))


def test_the_photographs_of_scikit_image():
    data = load_photographs("photographs")
    parts = {name: {data.ids[index] for index in indices} for name, indices in data.split.items()}
    assert parts == {name: set(words) for name, words in BUNDLED.items()}
    assert sum(map(len, parts.values())) == len(data) == len(set.union(*parts.values()))
    assert (data.channels, data.value_range) == (3, (0.0, 255.0))
    assert load_photographs("photographs", channels=1).channels == 1
    assert all(np.ptp(image) > 50 for image in data.images)


@pytest.mark.parametrize("scale", [2, 4])
def test_what_the_network_sees_and_is_to_give(scale, tmp_path):
    data = load_photographs(str(folder_of(tmp_path)))
    app = SuperResolution(scale=scale, crop_size=16, data=str(tmp_path))
    for batches in (
        training_batches(app.samples(data, "train", training=True), 4, seed=0),
        evaluation_batches(app.samples(data, "val", training=False), 2)[0],
    ):
        small, large = (part.numpy() for part in next(iter(batches)))
        assert small.shape[1:3] == (16 // scale, 16 // scale)
        assert large.shape[1:3] == (16, 16)
        assert 0 <= small.min() < 0.4 < 0.6 < small.max() <= 1
        assert -1 <= large.min() < -0.2 < 0.2 < large.max() <= 1
        means = (large.mean(axis=(1, 2)) + 1) / 2
        np.testing.assert_allclose(small.mean(axis=(1, 2)), means, atol=0.05)


def test_scores_by_hand():
    truth = np.full((12, 12, 3), 100, np.uint8)
    found = truth.copy()
    found[:2], found[:, -2:] = 0, 255  # the edge does not count
    assert scores(truth, found, 2, (0.0, 255.0))["ssim"] == pytest.approx(1.0)
    found[2:-2, 2:-2] = 110
    assert scores(truth, found, 2, (0.0, 255.0))["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    # A pure blue of 100 weighs 11.4 in the luminance.
    found[2:-2, 2:-2] = (100, 100, 200)
    assert scores(truth, found, 2, (0.0, 255.0))["psnr"] == pytest.approx(20 * np.log10(255 / 11.4), abs=1e-3)


def test_bicubic_there_and_back_keeps_what_is_smooth(tmp_path):
    y, x = np.mgrid[:40, :40]
    smooth = (127 + 100 * np.sin(x / 9) * np.cos(y / 7))[..., None].astype(np.float32)
    again = bicubic(shrunk(smooth, 2), 2, (0.0, 255.0))
    assert again.shape == smooth.shape
    assert np.abs(again - smooth)[4:-4, 4:-4].max() < 1.0
    data = load_photographs(str(folder_of(tmp_path, 6)))
    for _, truth, small in pairs_of(data, 4):
        assert truth.shape == (24, 32, 3), "cut to a multiple of the scale"
        assert (small.shape, small.dtype) == ((6, 8, 3), np.uint8)


def _small(folder: Path) -> Path:
    save_image(folder_of(folder) / "tiny.png", waves(0, (10, 40)))
    return folder


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        (_small, QUICK, "'tiny.png' has 10 x 40 pixels.*crops of 16 x 16.*--crop-size"),
        (_empty, QUICK, "holds no image"),
        (folder_of, (*QUICK, "--crop-size", "17"), "crop_size: expected a multiple of scale=2, received 17"),
        (folder_of, (*QUICK, "--loss", "dice"), "loss: srresnet_small learns with auto, mean_squared_error"),
        (folder_of, (*SRGAN, "--loss", "mean_squared_error"), "loss: srgan_small learns with auto;"),
        (folder_of, (*QUICK, "--perceptual", "vgg19"), "perceptual: only srgan has a use for it"),
        (folder_of, (*QUICK, "--start-from", "run"), "start_from: only srgan has a use for it"),
        (folder_of, (*SRGAN, "--start-from", "nowhere.keras"), "start_from: the weights of 'nowhere.keras'"),
        (folder_of, (*SRGAN, "--perceptual", "vgg20"), "perceptual_network must be None, 'vgg19'"),
        (folder_of, (*SRGAN, "--schedule", "plateau"), "schedule: a plateau needs a validation loss"),
        (folder_of, (*QUICK, "--model", "pix2pix"), "needs one of: .*srresnet"),
        (folder_of, (*QUICK, "--data-options.images", "3"), "data_options"),
    ],
)
def test_bad_input(make, words, message, tmp_path):
    make(tmp_path / "data")
    answer = command("train", "super-resolution", *words, "--data", tmp_path / "data", "--out", tmp_path / "runs")
    assert answer.status == 2
    assert re.search(message, answer.err.replace("\n", " ")), answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists(), "nothing is written"
