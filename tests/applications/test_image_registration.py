"""The application `image-registration`: simulated pairs, the user's folders, figures of a run, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from applications.core.errors import UserError
from applications.datasets.registration_pairs import load_registration_pairs
from applications.datasets.simulators.ellipses import EllipseParameters, simulate_ellipses
from applications.image_registration import ImageRegistration
from applications.imaging.registration_report import checkerboard, metrics, shifted, unregistered
from kerazoo.metrics.registration import endpoint_error, jacobian_determinant, mean_label_dice, warp_image, warp_labels
from tests.applications.conftest import command, save_image

SMALL = (
    *("--no-tensorboard", "--epochs", "2", "--batch-size", "4", "--model-options.encoder_filters", "[4, 4, 4, 4]"),
    *("--model-options.decoder_filters", "[4, 4, 4, 4]", "--model-options.final_filters", "[4]"),
)


def folder_of_pairs(root: Path, count: int = 8, size: int = 40, labels: bool = True) -> Path:
    """Pairs whose sides are no multiples of 16."""
    for number in range(count):
        pair = simulate_ellipses(EllipseParameters(size=size, displacement=(1.0, 1.5)), number)
        for side in ("moving", "fixed"):
            pixels = np.clip(200 * getattr(pair, side), 0, 255).astype(np.uint8)
            save_image(root / side / f"{number}.png", pixels)
            if labels:
                save_image(root / f"{side}_labels" / f"{number}.png", getattr(pair, f"{side}_labels"))
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registration")
    data = folder_of_pairs(folder / "data")
    words = (*SMALL, "--learning-rate", "1e-6")  # so small that nothing moves, whatever numbers are drawn
    answer = command("train", "image-registration", "--out", folder, "--name", "run", "--data", data, *words)
    assert answer.status == 0, answer.err
    return folder / "image-registration" / "run"


def test_simulated_pairs_and_their_field() -> None:
    pair = simulate_ellipses(seed=4)
    assert np.array_equal(pair.moving, simulate_ellipses(seed=4).moving)
    assert jacobian_determinant(pair.field).min() > 0.2
    assert 2.5 < np.sqrt((pair.field**2).sum(axis=-1).mean()) < 4.5
    before, after = (
        mean_label_dice(pair.fixed_labels, warp_labels(pair.moving_labels, f)) for f in (0 * pair.field, pair.field)
    )
    assert before < 0.8
    assert after == 1
    moved = warp_image(pair.moving, pair.field)
    assert np.corrcoef(moved.ravel(), pair.fixed.ravel())[0, 1] > 0.98
    dice = [
        mean_label_dice(p.fixed_labels, p.moving_labels) for p in (simulate_ellipses(seed=(0, i)) for i in range(20))
    ]
    assert np.mean(dice) == pytest.approx(0.65, abs=0.05)


def test_scores_of_the_known_field_are_perfect() -> None:
    data = load_registration_pairs("ellipses", options={"pairs": 8, "size": 48})
    assert data.images.shapes[0].tolist() == [48, 48, 1]
    still, known = (
        unregistered(data),
        [
            found._replace(field=data.fields[pair])
            for found, pair in zip(unregistered(data), data.split["test"], strict=True)
        ],
    )
    before, after = metrics(data, still), metrics(data, known)
    assert after["dice"] == 1
    assert after["error"] == 0
    assert before["error"] > 2
    assert before["dice"] < 0.8
    assert before["folded"] == after["folded"] == 0


def test_phase_correlation_finds_a_shift() -> None:
    data = load_registration_pairs("ellipses", options={"pairs": 4, "displacement": 0.0, "noise": 0.0, "shading": 0.0})
    for pair in data.split["test"]:
        moving, fixed = data.pairs[pair]
        data.images[fixed][...] = np.roll(data.images[moving], (3, -5), axis=(0, 1))
    for found in shifted(data):
        assert np.array_equal(found.field[5, 5], [-3, 5])
        assert endpoint_error(found.field, np.broadcast_to([-3.0, 5.0], found.field.shape)) == 0


def test_a_run_on_own_pairs(run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())
    assert set(found["test"]) == {"dice", "correlation", "folded", "sd_log_jacobian"}
    assert found["test"]["dice"] == pytest.approx(found["baseline"]["dice"], abs=0.1)
    assert found["test"]["folded"] == 0
    page = (run / "report.html").read_text()
    for words in ("phase correlation", "Dice of each label", "Checkerboards", "Nothing moved"):
        assert words in page
    assert {"pairs.png", "grids.png"} <= {path.name for path in (run / "figures").iterdir()}


def test_prediction_writes_image_and_field(run: Path, tmp_path: Path) -> None:
    data = folder_of_pairs(tmp_path / "new", 2, labels=False)
    answer = command("predict", run, data, "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("0_field.tif", "0_moved.png", "1_field.tif", "1_moved.png"),
    ]
    field = tifffile.imread(tmp_path / "out" / "0_field.tif")
    assert field.shape == (2, 40, 40)
    assert field.dtype == np.float32
    answer = command("predict", run, data / "moving" / "0.png", data / "fixed" / "0.png", "-o", tmp_path / "two")
    assert answer.status == 0, answer.err
    assert np.array_equal(tifffile.imread(tmp_path / "two" / "0_field.tif"), field)


def test_prediction_refuses_what_is_no_pair(run: Path, tmp_path: Path) -> None:
    for name, size in (("a", 40), ("b", 44)):
        save_image(tmp_path / f"{name}.png", np.zeros((size, 40), np.uint8))
    answer = command("predict", run, tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out")
    assert answer.status == 2
    assert "have 40 x 40 and 44 x 40 pixels; bring both to one size first" in answer.err
    answer = command("predict", run, tmp_path / "a.png", "-o", tmp_path / "out")
    assert "received 1 images" in answer.err
    pairs = [tmp_path / f"{name}.png" for name in "abaa"]
    answer = command("predict", run, *pairs, "-o", tmp_path / "out", "--on-bad-file", "skip")
    assert answer.status == 0, answer.err
    assert "skipped: " in answer.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_field.tif", "a_moved.png"]


def test_images_of_one_folder_never_lie_in_two_parts(tmp_path: Path) -> None:
    root = folder_of_pairs(tmp_path / "pairs", 12, labels=False)
    data = load_registration_pairs(str(root / "moving"))
    parts = [set(data.pairs[data.split[part]].ravel().tolist()) for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 12
    assert all(a != b for a, b in data.pairs)
    assert data.size == (40, 40)
    assert data.images.max_shape[:2] == (48, 48)
    atlas = load_registration_pairs(str(root / "moving"), atlas="3.png")
    assert {data.ids[index] for index in atlas.pairs[:, 1]} == {"3.png"}
    assert len(atlas.pairs) == 11


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("size", r"moving/1.png' and 'fixed/1.png' are to be laid on each other, but have 52 x 40 and 40 x 40 pixels"),
        ("sizes", "have different sizes, such as 40 x 40 and 52 x 40"),
        ("partner", "has no .* of the same name"),
        ("labels", "has no label image of its name"),
        ("few", "at least 3 are needed"),
    ],
)
def test_bad_pairs_are_one_sentence(change: str, sentence: str, tmp_path: Path) -> None:
    root = folder_of_pairs(tmp_path / "data", 2 if change == "few" else 5, labels=change == "labels")
    large = np.zeros((52, 40), np.uint8)
    if change in ("size", "sizes"):
        for side in ("moving", "fixed")[: 1 if change == "size" else 2]:
            save_image(root / side / "1.png", large)
    elif change == "partner":
        (root / "fixed" / "2.png").unlink()
    elif change == "labels":
        (root / "fixed_labels" / "2.png").unlink()
    with pytest.raises(UserError, match=sentence):
        load_registration_pairs(str(root))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"loss": "mean_absolute_error"}, "learns with auto, local_ncc, mean_squared_error"),
        ({"k_folds": 3}, "no folds"),
        ({"class_weights": "balanced"}, "no classes"),
        ({"model": "unet"}, "needs one of: voxelmorph"),
    ],
)
def test_options_that_cannot_work(options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ImageRegistration(**options).check()
    with pytest.raises(UserError, match="are given"):
        load_registration_pairs("ellipses", atlas="1")


def test_checkerboards_have_both_images() -> None:
    board = checkerboard(np.zeros((32, 32, 1)), np.ones((32, 32, 1)))
    assert board.mean() == 0.5
    assert board[0, 0] == 0
    assert board[0, 4] == board[4, 0] == 1
