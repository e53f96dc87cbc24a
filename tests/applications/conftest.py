"""Small data, small trainings and the command line, shared by the tests of applications."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Answer:
    """What a call of the command line gave."""

    status: int
    out: str
    err: str


def command(*words: object) -> Answer:
    """Calls the `kerazoo` command within this process."""
    from applications.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return Answer(status, out.getvalue(), err.getvalue())


@pytest.fixture
def kerazoo() -> Callable[..., Answer]:
    """The `kerazoo` command as a function of its words."""
    return command


SMALL_DIGITS = (
    "--model",
    "cnn",
    "--model-options.filters",
    "[8, 16]",
    "--batch-size",
    "64",
    "--learning-rate",
    "0.01",
    "--no-tensorboard",
    "--epochs",
    "2",
)
SMALL_NUCLEI = (
    "--data-options.images",
    "6",
    "--data-options.size",
    "64",
    "--data-options.num_nuclei",
    "6",
    "--crop-size",
    "32",
    "--model-options.filters",
    "4",
    "--model-options.depth",
    "2",
    "--epochs",
    "1",
    "--no-tensorboard",
)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished classification run of two epochs on the digits."""
    out = tmp_path_factory.mktemp("digits")
    answer = command("train", "image-classification", *SMALL_DIGITS, "--out", out, "--name", "run")
    assert answer.status == 0, answer.err
    return out / "image-classification" / "run"


@pytest.fixture(scope="session")
def nuclei_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished segmentation run of one epoch on six small simulated images."""
    out = tmp_path_factory.mktemp("nuclei")
    answer = command("train", "semantic-segmentation", *SMALL_NUCLEI, "--out", out, "--name", "run")
    assert answer.status == 0, answer.err
    return out / "semantic-segmentation" / "run"


def save_image(path: Path, array: object) -> Path:
    """Writes an array as PNG, JPEG or (also 16-bit) TIFF, by the suffix of the path."""
    import numpy as np
    import tifffile
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, np.asarray(array))
    else:
        Image.fromarray(np.asarray(array)).save(path)
    return path
