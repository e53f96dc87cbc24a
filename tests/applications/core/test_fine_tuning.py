"""Fine-tuning by the options of image-classification: what is frozen stays, and a killed training goes on exactly."""

from __future__ import annotations

import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from applications.core.errors import UserError
from applications.core.training import start
from applications.image_classification import ImageClassification

from .test_resume import training

_SMALL = {"model": "cnn", "model_options": {"filters": [8, 8]}, "epochs": 1, "tensorboard": False, "batch_size": 64}
_FREEZE = ("--freeze-until", "stage1_out", "--unfreeze-epoch", "1")


def _weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = start(ImageClassification(**_SMALL, out=str(tmp_path_factory.mktemp("base"))), show=lambda _: None)
    return run / "model.keras"


def test_frozen_layers_stay(base: Path, tmp_path: Path) -> None:
    app = ImageClassification(**_SMALL, weights=str(base), freeze_until="stage1_out", out=str(tmp_path))
    before = _weights(keras.models.load_model(base))
    after = _weights(keras.models.load_model(start(app, show=lambda _: None) / "model.keras"))
    for path, value in before.items():
        assert np.array_equal(value, after[path]) == path.startswith("stage1"), path


def test_killed_training_with_two_stages_ends_as_the_whole_one(base: Path, tmp_path: Path) -> None:
    words = ["train", "image-classification", "--model", "cnn", "--model-options.filters", "[8, 8]", "--epochs", "2"]
    words += ["--weights", base, *_FREEZE, "--deterministic", "--batch-size", "64", "--no-tensorboard"]
    words += ["--checkpoint-every", "5", "--out", tmp_path]
    assert training(-1, *words, "--name", "whole").returncode == 0
    assert training(26, *words, "--name", "killed").returncode == -signal.SIGKILL  # six steps into the second stage
    done = training(-1, "resume", tmp_path / "image-classification" / "killed")
    assert done.returncode == 0, done.stderr
    whole, killed = (
        _weights(keras.models.load_model(tmp_path / "image-classification" / name / "model.keras"))
        for name in ("whole", "killed")
    )
    assert all(np.array_equal(whole[path], killed[path]) for path in whole)
    start_values = _weights(keras.models.load_model(base))
    moved = {path for path in whole if np.any(whole[path] != start_values[path])}
    assert "stage1_conv1/kernel" in moved
    assert not any(path.startswith("stage1_norm1") for path in moved)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unfreeze_epoch": 1}, "nothing is frozen"),
        ({"freeze_until": "stage1_out", "unfreeze_epoch": 1}, "less than epochs=1"),
        ({"freeze_until": "stage9_out"}, r"freeze_until: .*no layer 'stage9_out'"),
        ({"weights": "missing.keras"}, r"there is no file 'missing\.keras'"),
        ({"weights": "imagenet"}, "no ImageNet weights of 'cnn'"),
    ],
)
def test_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        start(ImageClassification(**{**_SMALL, **options}, out=str(tmp_path / "runs")), show=lambda _: None)
    assert not (tmp_path / "runs").exists()


def test_weights_of_another_model(base: Path, tmp_path: Path) -> None:
    app = ImageClassification(**{**_SMALL, "model": "resnet20", "model_options": {}}, weights=str(base))
    with pytest.raises(UserError, match="holds the model 'cnn'; give --model cnn"):
        start(app.replace(out=str(tmp_path)), show=lambda _: None)
