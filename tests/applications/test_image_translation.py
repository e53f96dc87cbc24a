"""The application `image-translation`: pairs, images without a partner, masks, exact resume, bad input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kerazoo
from applications import translation_report
from applications.core import training
from applications.core.errors import UserError
from applications.core.pipeline import training_batches
from applications.datasets.domains import Domain, DomainData, limits, load_domains
from applications.datasets.store import ImageStore
from applications.image_translation import ImageTranslation, scaled
from tests.applications.conftest import command, save_image

PIX2PIX = (
    *("--no-tensorboard", "--epochs", "2", "--crop-size", "16", "--batch-size", "4", "--model-options.depth", "3"),
    *("--model-options.filters", "4", "--model-options.discriminator_layers", "1"),
)
CYCLEGAN = (
    *("--model", "cyclegan_small", "--no-tensorboard", "--epochs", "2", "--crop-size", "16", "--batch-size", "4"),
    *("--model-options.filters", "4", "--model-options.num_blocks", "1", "--model-options.discriminator_layers", "1"),
    *("--model-options.pool_size", "8"),
)


def disc(seed: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """A random bright disc on black."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    centre = random.uniform(6, size[0] - 6, 2)
    return np.where(np.hypot(y - centre[0], x - centre[1]) < random.uniform(4, 9), 200, 0).astype(np.uint8)


def pairs(folder: Path, count: int = 10) -> Path:
    """Masks of discs, and grey pictures of them in another light."""
    for number in range(count):
        mask = disc(number)
        save_image(folder / "a" / f"{number}.png", mask)
        save_image(folder / "b" / f"{number}.png", 230 - mask)
    return folder


def unpaired(folder: Path) -> Path:
    """CycleGAN's layout: grey discs, and others in colour."""
    for number in range(9):
        save_image(folder / "trainA" / f"{number}.png", disc(number))
    for number in range(6):
        save_image(folder / "trainB" / f"x{number}.png", np.stack([disc(50 + number)] * 2 + [disc(number)], -1))
    save_image(folder / "testA" / "t.png", disc(99))
    save_image(folder / "testB" / "u.png", np.stack([disc(98)] * 3, -1) + np.arange(3, dtype=np.uint8))
    return folder


def train(out: Path, *words: object) -> Path:
    answer = command("train", "image-translation", "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "image-translation" / "run"


@pytest.fixture(scope="module")
def pix2pix_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pix2pix")
    return train(folder, *PIX2PIX, "--data", pairs(folder / "data"), "--direction", "b-to-a")


@pytest.fixture(scope="module")
def cyclegan_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cyclegan")
    return train(folder, *CYCLEGAN, "--data", unpaired(folder / "data"))


def test_a_run_on_pairs_is_complete(pix2pix_run):
    figures = {path.stem for path in (pix2pix_run / "figures").glob("*.png")}
    assert figures == {"learning_curves", "filmstrip", "translated_b_to_a"}
    metrics = json.loads((pix2pix_run / "metrics.json").read_text())
    assert set(metrics["test"]) == set(metrics["baseline"]) == {"psnr", "ssim", "mae"}
    assert metrics["best_epoch"] is None, "the last epoch counts"
    assert metrics["baseline_name"] == "images as they are"
    header = (pix2pix_run / "history.csv").read_text().splitlines()[0].split(",")
    assert {"generator_loss", "l1", "val_l1", "generator_learning_rate", "discriminator_learning_rate"} <= set(header)
    assert len(list((pix2pix_run / "samples").glob("*.png"))) == 2


def test_a_run_without_pairs_is_complete(cyclegan_run):
    figures = {path.stem for path in (cyclegan_run / "figures").glob("*.png")}
    assert figures == {"learning_curves", "filmstrip", "translated_a_to_b", "translated_b_to_a"}
    metrics = json.loads((cyclegan_run / "metrics.json").read_text())
    assert set(metrics["test"]) == {"cycle_error", "untrained_cycle_error"}
    assert 0 < metrics["test"]["cycle_error"] < 1
    report = json.loads((cyclegan_run / "report.json").read_text())
    assert [table["title"] for table in report["tables"]] == ["There and back"]
    data = json.loads((cyclegan_run / "data.json").read_text())
    assert [data["domains"][key]["channels"] for key in "ab"] == [1, 3]


def test_the_saved_model_takes_and_gives_pixels_of_any_size(pix2pix_run):
    model = kerazoo.load_model(pix2pix_run / "model.keras")
    domains = json.loads((pix2pix_run / "data.json").read_text())["domains"]
    low, high = domains["a"]["limits"]
    found = model.predict(np.full((1, 24, 40, 1), 100.0), verbose=0)
    assert found.shape == (1, 24, 40, 1)
    assert low <= found.min() <= found.max() <= high
    assert found.max() > 2, "pixels, not the networks' units"
    bright = model.predict(np.full((1, 16, 16, 1), 1e4), verbose=0)
    brightest = model.predict(np.full((1, 16, 16, 1), domains["b"]["limits"][1]), verbose=0)
    np.testing.assert_allclose(bright, brightest, atol=1e-3, err_msg="what lies beyond the limits is cut off")


@pytest.mark.parametrize(("run", "mode"), [("pix2pix_run", "L"), ("cyclegan_run", "RGB")])
def test_predictions_are_pictures_of_the_size_of_the_input(run, mode, tmp_path, request):
    save_image(tmp_path / "in" / "new.png", disc(7, (21, 35)))
    answer = command("predict", request.getfixturevalue(run), tmp_path / "in", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    picture = Image.open(tmp_path / "out" / "new.png")
    assert (picture.size, picture.mode) == ((35, 21), mode)
    assert np.ptp(np.asarray(picture)) > 0


@pytest.mark.parametrize("run", ["pix2pix_run", "cyclegan_run"])
def test_other_data_are_evaluated_in_the_units_of_the_run(run, tmp_path, request):
    data = (pairs if run == "pix2pix_run" else unpaired)(tmp_path / "other")
    answer = command("evaluate", request.getfixturevalue(run), "--data", data)
    assert answer.status == 0, answer.err
    answer = command("evaluate", request.getfixturevalue(run))
    assert answer.status == 0, answer.err
    known = json.loads((request.getfixturevalue(run) / "metrics.json").read_text())["test"]
    again = json.loads((request.getfixturevalue(run) / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(known, rel=1e-4)


@pytest.mark.parametrize("run", ["pix2pix_run", "cyclegan_run"])
def test_the_way_asked_for_is_exported(run, tmp_path, request):
    target = tmp_path / "model.onnx"
    answer = command("export", request.getfixturevalue(run), "--format", "onnx", "--out", target)
    assert answer.status == 0, answer.err
    assert target.is_file()


def test_nan_leads_back_to_the_last_good_checkpoint(tmp_path, monkeypatch):
    original = training.Fit._callbacks

    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                weight = self.model.discriminator.trainable_weights[0]
                weight.assign(np.full(weight.shape, np.nan))

    monkeypatch.setattr(training.Fit, "_callbacks", lambda self, run: {"poison": Poison(), **original(self, run)})
    words = (*PIX2PIX, "--epochs", "3", "--data", pairs(tmp_path / "data"), "--out", tmp_path, "--name", "run")
    answer = command("train", "image-translation", *words)
    assert answer.status == 0, answer.err
    assert "The discriminator became NaN in epoch 2; the last checkpoint before it is kept." in answer.out
    run = tmp_path / "image-translation" / "run"
    model = kerazoo.load_model(run / "model.keras")
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["stopped_by"], metrics["epochs"]) == ("nan", 1)


def test_a_rate_that_is_too_large_is_told(tmp_path):
    words = (*PIX2PIX, "--learning-rate", "1e30", "--data", pairs(tmp_path / "data"), "--out", tmp_path)
    answer = command("train", "image-translation", *words)
    assert answer.status == 2
    assert "became infinite or NaN in epoch 1" in answer.err
    assert "lower --learning-rate" in answer.err


# The data -----------------------------------------------------------------------------------------------------------


def test_the_embedded_data_have_pairs():
    app = ImageTranslation(data_options={"images": 10, "size": 64, "num_nuclei": 5})
    data = app.datasets()
    assert (data.paired, data.a.is_mask, data.b.is_mask) == (True, True, False)
    assert data.a.limits == (0.0, 1.0)
    low, high = data.b.limits
    assert 50 < low < high < 65535
    noisy = load_domains("noisy_nuclei", pairs=True, options={"images": 5, "size": 64, "num_nuclei": 4, "photons": 5})
    difference = noisy.a.images[0].astype(float) - noisy.b.images[0]
    assert abs(difference.mean()) < 0.2 * difference.std(), "noise, and nothing else"


def test_without_pairs_no_scene_is_seen_from_both_sides():
    app = ImageTranslation(model="cyclegan_small", data_options={"images": 10, "size": 64, "num_nuclei": 5})
    data = app.datasets()
    a, b = data.training_parts(pairs=False)
    assert not set(a) & set(b)
    assert set(a) | set(b) == set(data.split["train"])
    assert len(data.training_parts(pairs=True)[0]) == len(data.split["train"])


@pytest.mark.parametrize(("model", "direction"), [("pix2pix_small", "a-to-b"), ("pix2pix_small", "b-to-a")])
def test_crops_of_pairs_belong_together_and_those_of_others_do_not(model, direction, tmp_path):
    data = load_domains(str(pairs(tmp_path)), pairs=True)
    app = ImageTranslation(model=model, crop_size=16, direction=direction, data=str(tmp_path))
    x, y = next(iter(training_batches(app.samples(data, "train", training=True), 8, seed=0)))
    x, y = x.numpy(), y.numpy()
    # 230 - mask: what is bright on one side is dark on the other.
    assert np.corrcoef(x.ravel(), y.ravel())[0, 1] < -0.99
    lone = ImageTranslation(model="cyclegan_small", crop_size=16, data=str(tmp_path))
    a, b = next(iter(training_batches(lone.samples(data, "train", training=True), 8, seed=0)))
    assert abs(np.corrcoef(a.numpy().ravel(), b.numpy().ravel())[0, 1]) < 0.9
    again = next(iter(training_batches(lone.samples(data, "train", training=True), 8, seed=0)))
    assert np.array_equal(a, again[0])
    assert np.array_equal(b, again[1])


def test_label_images(tmp_path):
    random = np.random.default_rng(0)
    for number in range(6):
        objects = (np.arange(400).reshape(20, 20) // 27 * (random.uniform(size=(20, 20)) < 0.5)).astype(np.uint16)
        save_image(tmp_path / "labels" / f"{number}_mask.tif", objects)
        save_image(tmp_path / "images" / f"{number}.png", (objects > 0).astype(np.uint8) * 90 + 10)
    data = load_domains(str(tmp_path), pairs=True)
    assert (data.a.name, data.b.name) == ("images", "labels")
    assert data.b.is_mask
    assert set(np.unique(data.b.images.flat)) == {0, 1}
    assert "became foreground" in data.warnings[0]
    assert data.a.limits == (10.0, 100.0)


def test_limits_leave_a_hot_pixel_out():
    image = np.random.default_rng(0).uniform(10, 20, (100, 100, 1)).astype("float32")
    image[0, 0] = 1e6
    low, high = limits(ImageStore.from_arrays([image]), np.array([0]))
    assert 9.9 < low < high < 20.1
    assert scaled(image, (low, high)).max() == 1.0
    flat = ImageStore.from_arrays([np.full((4, 4), 7, "uint8")])
    assert limits(flat, np.array([0])) == (7.0, 8.0)


def _known(shift: int) -> DomainData:
    """One test image: a mask of 8 x 8 pixels, and a picture of it that is moved by some pixels."""
    mask = np.zeros((16, 24, 1), np.uint8)
    mask[4:12, 4:12] = 1
    picture = 100 + 100 * np.roll(mask, shift, axis=1)
    one, split = ("0",), {"train": np.array([0]), "val": np.array([0]), "test": np.array([0])}
    a = Domain("masks", ImageStore.from_arrays([mask]), one, (0.0, 1.0), is_mask=True)
    b = Domain("pictures", ImageStore.from_arrays([picture]), one, (100.0, 200.0))
    return DomainData("known", "", a, b, paired=True, split=split, split_b=split)


@pytest.mark.parametrize(("shift", "overlap"), [(0, 1.0), (2, 48 / 80), (4, 32 / 96)])
def test_overlap_by_hand(shift, overlap, monkeypatch):
    monkeypatch.setattr(DomainData, "find_mask", lambda self, image: image[..., 0] > 150)
    data = _known(shift)
    mask, picture = data.a.images[0], data.b.images[0]
    assert translation_report.real_overlap(data) == pytest.approx(overlap)
    there = translation_report.judged(data, "a-to-b", [mask], [picture.astype(float)], [picture])
    assert there["mask_iou"] == pytest.approx(overlap)
    assert "psnr" not in there, "two equal images"
    back = translation_report.judged(data, "b-to-a", [picture], [np.roll(mask, shift, axis=1)], [mask])
    assert back["mask_iou"] == pytest.approx(overlap)
    assert back["mae"] == pytest.approx(2 * 8 * shift / (16 * 24))


def test_masks_are_found_where_brightness_tells_nothing():
    random = np.random.default_rng(0)
    mask = np.zeros((64, 96, 1), np.uint8)
    mask[8:56, 8:40] = mask[20:60, 60:90] = 1
    picture = 100 + random.normal(0, 1, mask.shape) * np.where(mask, 30, 5)
    one, split = ("0",), {"train": np.array([0]), "val": np.array([], int), "test": np.array([0])}
    a = Domain("masks", ImageStore.from_arrays([mask]), one, (0.0, 1.0), is_mask=True)
    b = Domain("pictures", ImageStore.from_arrays([picture.astype("float32")]), one, (0.0, 200.0))
    data = DomainData("known", "", a, b, paired=True, split=split, split_b=split)
    other = 100 + random.normal(0, 1, mask.shape) * np.where(mask[:, ::-1], 30, 5)
    found, true = data.find_mask(other), mask[:, ::-1, 0] > 0
    assert (found & true).sum() / (found | true).sum() > 0.8
    assert translation_report.real_overlap(data) > 0.9
    with pytest.raises(ValueError, match="masks are found where"):
        dataclasses.replace(data, b=data.a).find_mask(mask)


def test_images_as_they_are():
    app = ImageTranslation(model="cyclegan_small", direction="b-to-a")
    name, found = translation_report.identity(app, _known(0))
    assert name == "images as they are"
    assert found["mask_iou"] == 1.0, "a picture that is bright where its mask is"
    assert "back_mask_iou" not in found
    assert found["mae"] == found["back_mae"] == 0.0


# Bad input ----------------------------------------------------------------------------------------------------------


def _lonely(folder: Path) -> Path:
    save_image(pairs(folder) / "a" / "more.png", disc(1))
    return folder


def _other_size(folder: Path) -> Path:
    save_image(pairs(folder) / "b" / "3.png", disc(1, (24, 30)))
    return folder


def _empty(folder: Path) -> Path:
    pairs(folder)
    for path in (folder / "b").iterdir():
        path.unlink()
    return folder


def _one_side(folder: Path) -> Path:
    save_image(folder / "trainA" / "0.png", disc(1))
    return folder


def _emptied(folder: Path) -> Path:
    unpaired(folder)
    for path in (folder / "trainB").iterdir():
        path.unlink()
    return folder


def _small(folder: Path) -> Path:
    save_image(pairs(folder) / "a" / "9.png", disc(1, (12, 32)))
    save_image(folder / "b" / "9.png", disc(1, (12, 32)))
    return folder


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        (_lonely, PIX2PIX, "'a/more.png' has no partner of the same name.*--model cyclegan_small"),
        (_other_size, PIX2PIX, "'a/3.png' has 24 x 32 pixels, but its partner 'b/3.png' has 24 x 30"),
        (_empty, PIX2PIX, "needs two folders of images.*it has 1; 'b' hold no image"),
        (_empty, CYCLEGAN, "needs two folders of images.*it has 1; 'b' hold no image"),
        (_one_side, CYCLEGAN, "no folder 'trainB'"),
        (_emptied, CYCLEGAN, "Folder 'trainB' holds no image; both kinds need some"),
        (_small, PIX2PIX, "'a/9.png' has 12 x 32 pixels.*crops of 16 x 16.*--crop-size"),
        (pairs, (*PIX2PIX, "--crop-size", "20"), "multiples of 8, the next one is 24"),
        (pairs, (*PIX2PIX, "--schedule", "plateau"), "schedule: a plateau needs a validation loss"),
        (pairs, (*PIX2PIX, "--k-folds", "3"), "k_folds"),
        (pairs, (*PIX2PIX, "--loss", "mean_squared_error"), "loss: pix2pix_small has its own"),
        (pairs, (*PIX2PIX, "--model", "srgan"), "needs one of: .*cyclegan"),
        (pairs, (*PIX2PIX, "--data-options.images", "3"), "data_options belong to nuclei"),
    ],
)
def test_bad_input(make, words, message, tmp_path):
    import re

    make(tmp_path / "data")
    answer = command("train", "image-translation", *words, "--data", tmp_path / "data", "--out", tmp_path / "runs")
    assert answer.status == 2
    assert re.search(message, answer.err.replace("\n", " ")), answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists(), "nothing is written"


def test_pictures_of_other_channels_are_refused_by_a_run(cyclegan_run, tmp_path):
    answer = command("evaluate", cyclegan_run, "--data", pairs(tmp_path / "data"))
    assert answer.status == 2
    assert "have 1 channels, the run was trained on 3" in answer.err.replace("\n", " ")


def test_unknown_data():
    with pytest.raises(UserError, match=r"neither an embedded data set .*Did you mean 'nuclei'"):
        load_domains("nuclai", pairs=True)
