"""The application `image-regression`: simulated beads, the user's images beside a CSV file, bad input."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import kerazoo
from applications.core.errors import UserError
from applications.datasets.simulators.beads import BeadParameters, simulate_beads
from applications.datasets.store import ImageStore
from applications.datasets.valued_images import load_image_regression
from applications.image_regression import ImageRegression, target_scale
from tests.applications.conftest import command, save_image

QUICK = ("--no-tensorboard", "--model-options.filters", "[8, 16]", "--learning-rate", "0.02")


def disc(radius: float, size: int = 24, level: int = 200) -> np.ndarray:
    """A grey disc whose radius is to be found."""
    y, x = np.mgrid[:size, :size] - size / 2
    return (20 + level * np.clip(radius - np.hypot(x, y), 0, 1)).astype(np.uint8)


def discs(folder: Path, count: int = 40, sep: str = ",", decimal: str = ".") -> Path:
    """Images and a CSV file with two numbers per image."""
    random = np.random.default_rng(0)
    lines = [sep.join(["file", "radius in mm", "level"])]
    for number in range(count):
        radius, level = random.uniform(2, 10), int(random.integers(60, 220))
        save_image(folder / "ä images" / f"{number}.png", disc(radius, level=level))
        lines.append(sep.join([f"ä images/{number}.png", f"{radius:.3f}".replace(".", decimal), str(level)]))
    (folder / "values.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def train(out: Path, *words: object) -> Path:
    answer = command("train", "image-regression", *QUICK, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "image-regression" / "run"


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one's own images, two numbers each."""
    folder = tmp_path_factory.mktemp("discs")
    return train(folder, "--data", discs(folder / "data", sep=";", decimal=","), "--epochs", "25", "--batch-size", "8")


def test_the_blur_of_a_simulated_bead_is_what_it_says():
    """The second moment of one bright bead without background is the square of its blur."""
    lone = BeadParameters(size=64, beads=(1, 1), blur=(2.5, 2.5), photons=(1e7, 1e7), background=0.0, gain=0.001)
    scene = next(s for s in (simulate_beads(lone, seed) for seed in range(50)) if 20 < np.argmax(s.image.sum(1)) < 44)
    light = scene.image.astype(float) - lone.offset
    light[light < 0.5] = 0
    rows = np.arange(64)
    mass = light.sum(axis=1) / light.sum()
    variance = (mass * rows**2).sum() - (mass * rows).sum() ** 2
    assert scene.blur == 2.5
    assert variance == pytest.approx(2.5**2 + 1 / 12, rel=0.03)
    assert light.sum() == pytest.approx(0.001 * 1e7, rel=0.03)


def test_beads_are_the_same_every_time_and_have_three_truths():
    first, again = (load_image_regression("beads", options={"images": 20}, seed=seed) for seed in (1, 2))
    assert first.fingerprint == again.fingerprint
    assert first.target_names == ("blur",)
    assert 0.8 < first.targets.min() < first.targets.max() < 3.0
    other = load_image_regression("beads", options={"images": 20}, targets=("photons", "beads"))
    assert other.targets.shape == (20, 2)
    assert other.fingerprint != first.fingerprint


def test_a_run_directory_is_complete(own_run):
    assert {path.stem for path in (own_run / "figures").glob("*.png")} == {
        "learning_curves",
        "predicted_against_true",
        "residuals",
        "predictions",
    }
    metrics = json.loads((own_run / "metrics.json").read_text())
    assert set(metrics["test"]) == {
        "r2",
        *(f"{m}_{name}" for m in ("rmse", "mae", "r2") for name in ("radius in mm", "level")),
    }
    assert set(metrics["baseline"]) == set(metrics["test"])
    assert "ridge regression on pixel statistics" in (own_run / "report.html").read_text()
    assert metrics["test"]["r2"] > 0.3


def test_the_model_predicts_in_the_units_of_the_file(own_run, tmp_path):
    import keras

    model = keras.models.load_model(own_run / "model.keras")  # nothing of ours is needed
    source = own_run.parents[1] / "data"
    with (source / "values.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    level = np.array([float(row["level"]) for row in rows])
    images = np.stack([disc(float(r["radius in mm"].replace(",", ".")), level=int(r["level"])) for r in rows])
    found = model.predict(images[..., None], verbose=0)
    assert np.corrcoef(found[:, 1], level)[0, 1] > 0.7
    assert abs(found[:, 1].mean() - level.mean()) < 40
    assert command("predict", own_run, source / "ä images", "-o", tmp_path).status == 0
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [Path(row["file"]).name for row in written] == [f"{number}.png" for number in range(40)]
    assert [float(row["radius in mm"]) for row in written] == pytest.approx(found[:, 0].tolist(), rel=1e-3)


def test_evaluate_again_and_on_other_images(own_run, tmp_path):
    assert command("evaluate", own_run).status == 0
    saved = json.loads((own_run / "metrics.json").read_text())["test"]
    again = json.loads((own_run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, abs=1e-4)
    answer = command("evaluate", own_run, "--data", discs(tmp_path / "others", 8))
    assert answer.status == 0, answer.err
    header = (tmp_path / "others" / "values.csv").read_text("utf-8").replace("radius in mm", "radius")
    (tmp_path / "others" / "values.csv").write_text(header, "utf-8")
    answer = command("evaluate", own_run, "--data", tmp_path / "others")
    assert answer.status == 2
    assert "has no column 'radius in mm' of numbers" in answer.err


@pytest.mark.parametrize(("form", "file"), [("saved_model", "sm"), ("litert", "m.tflite"), ("onnx", "m.onnx")])
def test_every_export_predicts_in_units(own_run, form, file, tmp_path):
    answer = command("export", own_run, "--format", form, "-o", tmp_path / file)
    assert answer.status == 0, answer.err
    about = json.loads((tmp_path / f"{file}.json").read_text())
    assert about["signature"]["output"].startswith("radius in mm, level")
    assert not (tmp_path / "labels.txt").exists()


def test_an_own_loss_and_an_old_network_go_through_everything(tmp_path):
    answer = command(
        *("train", "image-regression", "--no-tensorboard", "--fast-dev-run", "--model", "lenet5", "--out", tmp_path),
        *("--data-options.images", "12", "--batch-size", "4", "--loss", "root_mean_squared_error"),
    )
    assert answer.status == 0, answer.err
    assert "test rmse" in answer.out


CARDS = [kerazoo.model_card(name) for name in kerazoo.list_models(kind="image_classifier")]


@pytest.mark.parametrize("name", {card.family: card.name for card in reversed(CARDS)}.values())
def test_every_family_of_the_catalogue_gets_a_linear_head(name):
    card = kerazoo.model_card(name)
    options = {k: v for k, v in card.test_config.items() if k not in ImageRegression.reserved_options}
    shape = card.test_config.get("input_shape", card.input_shape)
    datasets = dataclasses.replace(
        load_image_regression("beads", options={"images": 4}, targets=("blur", "photons")),
        images=ImageStore.from_arrays([np.full(shape, level, np.uint8) for level in range(4)]),
    )
    application = ImageRegression(model=name, model_options=options)
    application.check()
    model = application.build(datasets)
    assert model.output_shape == (None, 2)
    assert model.get_layer("predictions").activation.__name__ == "linear"
    scale = target_scale(datasets)
    model.get_layer("predictions").set_weights([w * 0 for w in model.get_layer("predictions").get_weights()])
    found = application.packaged(model, datasets)(np.zeros((1, *shape), "float32"))
    np.testing.assert_allclose(found, [scale.mean], rtol=1e-5)


def _edit(folder: Path, old: str, new: str) -> Path:
    path = folder / "values.csv"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    return path


def _lines(folder: Path) -> list[str]:
    return (folder / "values.csv").read_text("utf-8").splitlines()


BAD = {
    "missing image": (lambda f: (f / "ä images" / "3.png").unlink(), r"3\.png.*repair or remove it"),
    "damaged image": (lambda f: (f / "ä images" / "3.png").write_bytes(b"\x89PNG"), r"3\.png.*cannot be used"),
    "text": (
        lambda f: _edit(f, _lines(f)[3].split(",")[1], "wide"),
        "line 4: 'wide' in column 'radius in mm' is no number",
    ),
    "no header": (
        lambda f: _edit(f, "file,radius in mm,level\n", ""),
        "is an image'?; put a line of names|put a line of",
    ),
    "twice": (lambda f: _edit(f, "ä images/5.png", "ä images/4.png"), "names 'ä images/4.png' twice, in lines 6 and 7"),
    "no image": (
        lambda f: _edit(f, "ä images/5.png", "ä images/5.doc"),
        "'ä images/5.doc' in column 'file' is no image",
    ),
    "no name": (lambda f: _edit(f, "ä images/5.png", ""), "line 7: the column 'file' names no image"),
    "no numbers": (lambda f: _edit(f, _lines(f)[0], "file,a,b") and _numberless(f), "has no column of numbers"),
    "two tables": (lambda f: (f / "more.csv").write_text("a,b\n1,2\n"), "holds 2 CSV files"),
    "no table": (lambda f: (f / "values.csv").unlink(), "holds 0 CSV files; one is needed with a line per image"),
    "constant": (lambda f: _constant(f), "is 1 for every image"),
}


def _numberless(folder: Path) -> None:
    (folder / "values.csv").write_text("file\n" + "\n".join(line.split(",")[0] for line in _lines(folder)[1:]) + "\n")


def _constant(folder: Path) -> None:
    names = [line.split(",")[0] for line in _lines(folder)[1:]]
    (folder / "values.csv").write_text("file,v\n" + "\n".join(f"{name},1" for name in names) + "\n", "utf-8")


@pytest.mark.parametrize("case", BAD)
def test_bad_data_are_refused_in_one_sentence(case, tmp_path):
    spoil, sentence = BAD[case]
    folder = discs(tmp_path / "data", 8)
    spoil(folder)
    with pytest.raises(UserError, match=sentence) as caught:
        load_image_regression(str(folder))
    assert "\n" not in str(caught.value)


def test_unreadable_images_can_be_skipped_and_missing_values_are_said(tmp_path):
    folder = discs(tmp_path, 10)
    (folder / "ä images" / "3.png").unlink()
    _edit(folder, _lines(folder)[6].split(",", 1)[1], ",50")
    save_image(folder / "ä images" / "extra.png", disc(3))
    found = load_image_regression(str(folder), on_bad_file="skip")
    assert len(found) == 8
    assert [name for name, _ in found.skipped] == ["ä images/3.png"]
    said = " ".join(found.warnings)
    assert "1 images without a value were left out." in said
    assert "1 images in" in said
    only = load_image_regression(str(folder / "values.csv"), targets=("level",), on_bad_file="skip")
    assert only.targets.shape == (9, 1)
    groups = "\n".join(f"ä images/{number}.png,{number // 3}" for number in range(10))
    (folder / "groups.csv").write_text(groups, "utf-8")
    grouped = load_image_regression(str(folder), on_bad_file="skip")
    for group in set(grouped.groups):
        assert sum(group in grouped.groups[indices] for indices in grouped.split.values()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "mlp"), "'mlp' is a vector model, image-regression needs one of"),
        (("--loss", "hinge"), "loss: expected auto, mean_squared_error"),
        (("--targets", "blurr"), "'beads' has blur, photons, beads, received 'blurr'. Did you mean 'blur'"),
        (("--data", "bead"), "Unknown data 'bead'"),
        (("--data-options.imges", "3"), "Unknown option 'imges' of data set 'beads'. Did you mean 'images'"),
        (("--data-options.size", "2"), "size must be at least 8"),
        (("--class-weights", "balanced"), "there are no classes in image-regression"),
        (("--model-options.pooling", "max"), "pooling follows from the data"),
    ],
)
def test_bad_options_are_one_sentence(words, sentence, tmp_path):
    answer = command("train", "image-regression", *words, "--out", tmp_path / "out")
    assert answer.status == 2
    assert sentence in answer.err
    assert not (tmp_path / "out").exists()
