"""The application `denoising`: from pairs and from noisy images alone, stacks in and out, simple methods, bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from applications.core.errors import UserError
from applications.core.fidelity import range_invariant_psnr
from applications.core.pipeline import evaluation_batches, training_batches
from applications.datasets.noisy import Noise, load_noisy
from applications.denoising import Denoising
from applications.imaging.denoising_report import denoiser, simple_methods
from tests.applications.conftest import command, save_image

QUICK = (
    *("--no-tensorboard", "--epochs", "2", "--crop-size", "16", "--crops-per-epoch", "16", "--batch-size", "8"),
    *("--model-options.filters", "2", "--model-options.depth", "1"),
)


def scene(seed: int, size: tuple[int, int] = (40, 44)) -> np.ndarray:
    """A 16-bit picture of discs on a slope."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    image = 8000.0 + 100 * x
    for row, column, radius in random.uniform(4, 36, (4, 3)):
        image += 9000 * (np.hypot(y - row, x - column) < radius / 3)
    return image.astype(np.uint16)


def noisy(image: np.ndarray, seed: int, sigma: float = 2000.0) -> np.ndarray:
    found = image + np.random.default_rng(seed + 100).normal(0, sigma, image.shape)
    return np.clip(np.rint(found), 0, 65535).astype(np.uint16)


def pairs_in(folder: Path, count: int = 6) -> Path:
    for kind in ("noisy", "clean"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        clean = scene(number)
        tifffile.imwrite(folder / "clean" / f"{number}.tif", clean)
        tifffile.imwrite(folder / "noisy" / f"{number}.tif", noisy(clean, number))
    return folder


def stack_in(path: Path, count: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.stack([noisy(scene(number), number) for number in range(count)])
    tifffile.imwrite(path, frames, imagej=True, resolution=(4, 4), metadata={"axes": "TYX", "unit": "um"})
    return path


def train(out: Path, *words: object) -> Path:
    answer = command("train", "denoising", "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "denoising" / "run"


@pytest.fixture(scope="module")
def care_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("care")
    return train(folder, *QUICK, "--model", "care", "--data", pairs_in(folder / "data"))


@pytest.fixture(scope="module")
def blind_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blind")
    return train(folder, *QUICK, "--data", stack_in(folder / "stack.tif"))


def test_a_run_from_pairs_is_complete(care_run):
    metrics = json.loads((care_run / "metrics.json").read_text())
    assert set(metrics["test"]) == set(metrics["baseline"]) == {"psnr", "ssim", "range_invariant_psnr"}
    assert metrics["baseline_name"] == "non-local means, the noise being known"
    report = json.loads((care_run / "report.json").read_text())
    assert {row[1] for row in report["tables"][0]["rows"]} == {
        *("noisy", "Gaussian filter", "total variation", "non-local means", "care")
    }
    assert "for pixels from 0 to 65535" in report["tables"][0]["note"]
    assert (care_run / "figures" / "denoised.png").is_file()


def test_a_run_from_noisy_images_alone_is_complete(blind_run):
    metrics = json.loads((blind_run / "metrics.json").read_text())
    assert metrics["test"]["hidden_rmse"] > 1900, "the noise itself is in it"
    assert metrics["baseline"] == {}
    notes = " ".join(json.loads((blind_run / "report.json").read_text())["notes"])
    assert "There are no clean images to compare with" in notes


@pytest.mark.parametrize("kind", ["original", "float32"])
def test_stacks_keep_their_axes_depth_and_distances(blind_run, kind, tmp_path):
    if kind == "float32":
        config = blind_run / "config.yaml"
        text = config.read_text()
        config.write_text(text.replace("write_as: original", "write_as: float32"))
    answer = command("predict", blind_run, stack_in(tmp_path / "in" / "s.tif"), "-o", tmp_path / "out")
    if kind == "float32":
        config.write_text(text)
    assert answer.status == 0, answer.err
    with tifffile.TiffFile(tmp_path / "out" / "s_denoised.tif") as tif:
        assert tif.is_imagej
        assert tif.series[0].axes == "TYX"
        assert tif.series[0].shape == (3, 40, 44)
        assert tif.series[0].dtype == {"original": "uint16", "float32": "float32"}[kind]
        assert tif.imagej_metadata["unit"] == "um"


def test_eight_bit_pictures_are_read_on_the_scale_of_the_training(care_run, tmp_path):
    deep = noisy(scene(3), 3)
    save_image(tmp_path / "in" / "p.png", (deep // 257).astype(np.uint8))
    tifffile.imwrite(tmp_path / "in" / "q.tif", deep)
    answer = command("predict", care_run, tmp_path / "in", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    shallow = np.asarray(Image.open(tmp_path / "out" / "p_denoised.png")).astype(float)
    np.testing.assert_allclose(shallow * 257, tifffile.imread(tmp_path / "out" / "q_denoised.tif"), atol=700)


def test_evaluate_and_export(care_run, blind_run, tmp_path):
    assert command("evaluate", care_run).status == 0
    answer = command("evaluate", care_run, "--data", pairs_in(tmp_path / "other", 2))
    assert answer.status == 0, answer.err
    answer = command("export", blind_run, "--format", "onnx", "--out", tmp_path / "m.onnx")
    assert answer.status == 0, answer.err


def test_hidden_pixels_are_those_the_loss_asks_for(tmp_path):
    app = Denoising(data=str(stack_in(tmp_path / "s.tif")), crop_size=16, crops_per_epoch=12)
    data = app.datasets()
    assert all(data.split[part].tolist() == [0, 1, 2] for part in ("train", "val", "test"))
    for batches in (
        training_batches(app.samples(data, "train", training=True), 4, seed=0),
        evaluation_batches(app.samples(data, "val", training=False), 4)[0],
    ):
        hidden, targets = (part.numpy() for part in next(iter(batches)))
        values, mask = targets[..., :1], targets[..., 1:] > 0
        np.testing.assert_array_equal(hidden[~mask], values[~mask])
        assert (hidden[mask] != values[mask]).all()
        assert mask.sum(axis=(1, 2, 3)).tolist() == [4] * 4  # one in each 8 x 8
        assert abs(values.mean()) < 0.5
    first, second = (next(iter(training_batches(app.samples(data, "train", training=True), 4, seed=0))) for _ in "ab")
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_simulated_noise_is_drawn_anew_in_training_and_stays_in_validation(kind, tmp_path):
    import dataclasses

    for number in range(6):
        save_image(tmp_path / f"{number}.png", (scene(number) // 257).astype(np.uint8))
    app = Denoising(data=str(tmp_path), model="care", crop_size=32, crops_per_epoch=32)
    app = app.replace(noise=dataclasses.replace(app.noise, kind=kind, sigma=20.0, photons=50.0))
    data = app.datasets()
    offset, scale = app.standard(data)
    seen = []
    for epoch in (0, 1):
        batches = training_batches(app.samples(data, "train", training=True), 32, seed=0, epoch=epoch)
        x, y = (part.numpy() for part in next(iter(batches)))
        seen.append(x.std())
        level = np.sqrt((y * scale + offset) * 255 / 50) if kind == "poisson" else 20.0
        assert ((x - y) * scale / level).std() == pytest.approx(1, rel=0.05)
    assert seen[0] != seen[1]
    assert np.std(data.images[0] - data.clean[0].astype(float)) == pytest.approx(np.mean(level), rel=0.3)


def test_the_eight_orientations_are_turned_back():
    """A network that adds a ramp to the right adds, averaged over orientations, nothing but a constant."""
    import keras

    inputs = keras.Input((None, None, 1))
    shifted = keras.layers.Cropping2D(((0, 0), (0, 1)))(keras.layers.ZeroPadding2D(((0, 0), (1, 0)))(inputs))
    model = keras.Model(inputs, shifted)
    image = np.random.default_rng(0).normal(0, 1, (20, 24, 1)).astype("float32")
    app = Denoising()
    wanted = sum(np.roll(image, shift, axis) for shift in (1, -1) for axis in (0, 1)) / 4
    np.testing.assert_allclose(denoiser(app, model)(image)[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=1e-6)
    single = denoiser(app.replace(orientations=1), model)(image)
    np.testing.assert_allclose(single[:, 1:], image[:, :-1], atol=1e-6)


def test_the_simple_methods_are_as_good_as_they_are_known_to_be():
    """Figures for N(0, 25) on `camera`: Gaussian 27.29, total variation 28.33, non-local means 29.17 dB."""
    data = load_noisy("noisy_camera", blind=True, noise=Noise())
    image, truth = data.images[0], data.clean[0].astype(np.float64)
    found = {name: method(image) for name, method in simple_methods(25.0, (0.0, 255.0)).items()}
    decibels = {name: 10 * np.log10(255**2 / np.mean((f - truth) ** 2)) for name, f in found.items()}
    assert decibels == pytest.approx(
        {"Gaussian filter": 27.29, "total variation": 28.33, "non-local means": 29.17}, abs=0.035
    )


def test_the_range_invariant_psnr_is_that_of_a_fit_by_hand():
    random = np.random.default_rng(0)
    truth = random.uniform(0, 3, (2, 9, 8, 1))
    found = 5 - 2 * (truth + random.normal(0, 0.1, truth.shape))
    for number, value in enumerate(range_invariant_psnr(truth, found)):
        a, b = truth[number].ravel(), found[number].ravel()
        fitted = np.polyval(np.polyfit(b, a, 1), b)
        assert value == pytest.approx(10 * np.log10(np.ptp(a) ** 2 / np.mean((a - fitted) ** 2)), rel=1e-6)


def test_structured_noise_and_small_images_are_warned_of(tmp_path):
    lines = scene(0, (64, 64)) + np.random.default_rng(0).normal(0, 3000, (64, 1)) * np.ones(64)
    tifffile.imwrite(tmp_path / "lines.tif", lines.astype(np.uint16))
    tifffile.imwrite(tmp_path / "tiny.tif", noisy(scene(1, (12, 50)), 1))
    warnings = " ".join(Denoising(data=str(tmp_path)).datasets().warnings)
    assert "'lines.tif': Where the image is at rest" in warnings
    assert "structured" in warnings
    assert "1 image(s) are smaller than a crop of 64 x 64 pixels, such as 'tiny.tif'" in warnings
    hidden, _ = next(iter(training_batches(_small(tmp_path), 4, seed=0)))
    assert hidden.shape == (4, 64, 64, 1)


def _small(folder: Path):
    app = Denoising(data=str(folder))
    return app.samples(app.datasets(), "train", training=True)


def _sizes(folder: Path) -> None:
    tifffile.imwrite(pairs_in(folder) / "noisy" / "3.tif", scene(3, (40, 43)))


def _no_partner(folder: Path) -> None:
    (pairs_in(folder) / "clean" / "3.tif").unlink()


def _half(folder: Path) -> None:
    (folder / "noisy").mkdir(parents=True)
    tifffile.imwrite(folder / "noisy" / "1.tif", scene(1))


def _nan(folder: Path) -> None:
    image = scene(0).astype(np.float32)
    image[3, 4] = np.nan
    folder.mkdir()
    tifffile.imwrite(folder / "nan.tif", image)


def _single(folder: Path) -> None:
    folder.mkdir()
    tifffile.imwrite(folder / "1.tif", scene(1))


CARE = (*QUICK, "--model", "care")


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        (_sizes, CARE, r"pair 'noisy/3.tif' differ in size \(40 x 43 x 1 and 40 x 44 x 1\)"),
        (_no_partner, CARE, "'3' in noisy/ has no partner of the same name in clean/"),
        (_half, CARE, r"has noisy/ \(noisy images\) but not the other half of pairs: clean, gt"),
        (_nan, QUICK, "nan.tif' cannot be used: it holds NaN or infinite pixels"),
        (_single, CARE, "holds images without clean partners"),
        (_single, (*CARE, "--noise.kind", "gaussian"), "needs at least 3 images"),
        (lambda folder: folder.mkdir(), QUICK, "holds no image"),
        (lambda folder: None, QUICK, "neither an embedded data set"),
        (_single, (*QUICK, "--loss", "mean_squared_error"), "loss: noise2void learns with auto, squared, absolute"),
        (_single, (*QUICK, "--blind-spots.manipulator", "mode"), "manipulator"),
        (_single, (*QUICK, "--k-folds", "3"), "k_folds: noisy images alone"),
        (_single, (*QUICK, "--model", "srresnet"), "needs one of: .*noise2void"),
        (_single, (*QUICK, "--noise.sigma", "0"), "sigma"),
    ],
)
def test_bad_input(make, words, message, tmp_path):
    make(tmp_path / "data")
    answer = command("train", "denoising", *words, "--data", tmp_path / "data", "--out", tmp_path / "runs")
    assert answer.status == 2
    assert re.search(message, answer.err.replace("\n", " ")), answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists(), "nothing is written"


def test_a_single_photograph_has_no_pairs():
    with pytest.raises(UserError, match="noisy_camera is a single image"):
        Denoising(model="care").datasets()
    data = Denoising(model="care", data="noisy_photographs").datasets()
    assert [data.ids[index] for index in data.split["test"]] == ["camera"]
    assert not set(data.split["test"]) & {*data.split["train"], *data.split["val"]}
