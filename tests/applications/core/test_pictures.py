"""Samples during training: sheets that give back their pictures, filmstrips, GIFs, and their place in the report."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from applications.core.pictures import (
    as_bytes,
    back_and_forth,
    filmstrip,
    gif,
    read_sheet,
    save_sheet,
    sheet,
    sheet_path,
    sheets,
)
from applications.core.report import Animation, Result, save_result, write_html
from tests.applications.conftest import SMALL_DIGITS, command


def pictures(count: int = 11, height: int = 5, width: int = 7, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)


@pytest.mark.parametrize("shape", [(11, 5, 7, 1), (3, 64, 50, 3), (8, 8, 8, 3), (1, 1, 1, 1)])
def test_a_sheet_gives_back_its_pictures(tmp_path, shape):
    drawn = pictures(*shape)
    save_sheet(tmp_path / "samples" / "a.png", drawn, columns=4)
    np.testing.assert_array_equal(read_sheet(tmp_path / "samples" / "a.png"), drawn)
    with Image.open(tmp_path / "samples" / "a.png") as image:
        assert min(image.size) >= 48  # also tiny pictures can be seen


def test_a_sheet_fills_rows_from_the_left():
    canvas = sheet(np.stack([np.full((2, 3, 1), value, np.uint8) for value in (10, 20, 30)]), columns=2)
    assert canvas.shape == (2 + 2 + 2, 3 + 2 + 3, 3)
    assert [canvas[0, 0, 0], canvas[0, 5, 0], canvas[4, 0, 0]] == [10, 20, 30]
    assert (canvas[2:4] == 255).all()
    assert (canvas[4:, 3:] == 255).all()  # nothing where the fourth would be


@pytest.mark.parametrize("wrong", [pictures().astype(float), pictures()[0], pictures(channels=2), pictures()[:0]])
def test_other_pictures_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="uint8 of shape"):
        save_sheet(tmp_path / "a.png", wrong)
    assert not list(tmp_path.iterdir())


def test_pixels_are_cut_off_not_wrapped_round():
    assert as_bytes([-2.0, -1.0, 0.0, 1.0, 2.0], -1, 1).tolist() == [0, 0, 128, 255, 255]


def test_a_gif_has_all_frames_and_goes_on_for_ever():
    frames = [np.full((6, 6, 1), value, np.uint8) for value in (0, 100, 200)]
    with Image.open(io.BytesIO(gif(frames, 70))) as image:
        assert (image.n_frames, image.info["loop"], image.info["duration"]) == (3, 0, 70)
        image.seek(2)
        assert np.asarray(image.convert("L")).max() == 200
    assert [frame[0, 0, 0] for frame in back_and_forth(frames)] == [0, 100, 200, 100]


def test_a_filmstrip_shows_first_and_last_epoch_and_pictures_that_grow(tmp_path):
    assert filmstrip(tmp_path) is None
    for epoch in range(1, 21):
        save_sheet(sheet_path(tmp_path, epoch), pictures(12, 4 if epoch < 10 else 8, 4 if epoch < 10 else 8))
    assert list(sheets(tmp_path)) == list(range(1, 21))
    figure = filmstrip(tmp_path, most_epochs=5)
    names = [axes.get_ylabel() for axes in figure.axes]
    assert len(names) == 5
    assert (names[0], names[-1]) == ("epoch 1", "epoch 20")
    heights = {axes.images[0].get_array().shape[0] for axes in figure.axes}
    assert len(heights) == 1  # small ones are enlarged


def test_a_report_shows_filmstrip_and_animation(tmp_path):
    save_sheet(sheet_path(tmp_path, 1), pictures())
    moving = Animation("walk", "From one code to another", [pictures(1, seed=seed)[0] for seed in range(3)])
    save_result(tmp_path, Result(metrics={"a": 1.0}, headline="a", animations=[moving]))
    page = write_html(tmp_path).read_text(encoding="utf-8")
    assert "Samples during training" in page
    assert len(re.findall("data:image/png;base64", page)) == 1
    assert re.search(r'data:image/gif;base64,[^"]+" width="7" alt="From one code to another"', page)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"filmstrip.png", "walk.gif"}


def test_a_training_draws_after_each_epoch(tmp_path, monkeypatch):
    from applications.image_classification import ImageClassification

    def drawn(self, model, datasets):
        first = datasets.images.as_array(datasets.split["test"][:4])
        classes = np.argmax(model(first), axis=-1)
        return np.broadcast_to(classes[:, None, None, None], (4, 2, 2, 1)).astype(np.uint8)

    monkeypatch.setattr(ImageClassification, "drawn", drawn)
    words = ("train", "image-classification", *SMALL_DIGITS, "--out", tmp_path, "--name", "run")
    answer = command(*words, "--k-folds", "2")
    assert answer.status == 0, answer.err
    run = tmp_path / "image-classification" / "run"
    assert list(sheets(run)) == list(sheets(run / "folds" / "fold-1")) == [1, 2]
    assert read_sheet(sheets(run)[2]).max() < 10
    assert "Samples during training" in (run / "report.html").read_text(encoding="utf-8")
    assert json.loads((run / "status.json").read_text())["status"] == "finished"
