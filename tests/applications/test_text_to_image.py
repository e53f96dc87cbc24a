"""The application `text-to-image` from the command line: a run, its pictures, prompts that cannot be drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.applications.conftest import command

SMALL = {
    **{"image_layers": 1, "image_dim": 8, "num_layers": 1, "hidden_dim": 8, "embedding_dim": 8, "prior_layers": 1},
    **{"prior_dim": 8, "filters": 8, "multipliers": "[1, 2]", "groups": 4, "attention_sizes": "[8]"},
}
QUICK = (
    *("--no-tensorboard", "--batch-size", 16, "--steps", 2, "--scored", 6, "--epochs", 2, "--split.seed", 1),
    *(word for name, value in SMALL.items() for word in (f"--model-options.{name.replace('_', '-')}", value)),
)
DATA = ("--data-options.images", 60, "--data-options.size", 16)


def train(out: Path, *words: object) -> Path:
    answer = command("train", "text-to-image", *QUICK, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "text-to-image" / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("shapes"), *DATA)


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    lines, random = ["file,caption"], np.random.default_rng(0)
    for number in range(30):
        Image.fromarray(random.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{('one', 'two', 'many')[number % 3]} cells of kind {number // 3}")
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    return train(folder, "--data", folder)


def test_a_run_directory_is_complete(run):
    assert {"drawn", "learning_curves", "filmstrip"} <= {path.stem for path in (run / "figures").glob("*.png")}
    metrics, page = json.loads((run / "metrics.json").read_text()), (run / "report.html").read_text()
    assert {"attribute_accuracy", "colour", "shape", "relation", "caption_match"} == set(metrics["test"])
    assert metrics["headline"] == "attribute_accuracy"
    assert 0.2 < metrics["baseline"]["attribute_accuracy"] < 1
    assert {"val_clip_loss", "val_prior_loss", "val_decoder_loss"} <= set(metrics["best"])
    for words in ("What the pictures show", "by chance", "no independent score"):
        assert words in page
    assert json.loads((run / "vocabulary.json").read_text())["words"][0] == "a"
    assert len(list((run / "samples").glob("*.png"))) == 2


def test_own_pictures_and_captions(own_run):
    metrics = json.loads((own_run / "metrics.json").read_text())
    assert set(metrics["test"]) == {"caption_match"}
    assert "cells" in json.loads((own_run / "vocabulary.json").read_text())["words"]


def test_generate(run, tmp_path):
    words = ("--prompt", "A red circle left of a blue square", "--steps", 2, "--count", 2, "--seed", 3)
    answer = command("generate", run, *words, "-o", tmp_path / "a")
    assert answer.status == 0, answer.err
    assert answer.out.strip() == f"2 pictures written to {tmp_path / 'a'}"
    paths = [tmp_path / "a" / f"picture_000{number}.png" for number in (1, 2)]
    assert (tmp_path / "a" / "sheet.png").is_file()
    first, second = (np.asarray(Image.open(path)) for path in paths)
    assert first.shape == (16, 16, 3)
    assert np.any(first != second)
    command("generate", run, *words, "-o", tmp_path / "b")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b" / paths[0].name)), first)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--prompt", "a pink dog left of a blue square"), "no training caption has 'pink', 'dog'"),
        ((), "prompt: expected some words"),
        (("--prompt", "a red circle left of a blue square above a red cross"), "expected at most 8 words, received 12"),
        (("--prompt", "a red circle left of a blue square", "--steps", 5000), "steps must be at most timesteps=1000"),
    ],
)
def test_prompts_that_cannot_be_drawn(run, words, sentence):
    answer = command("generate", run, *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert answer.err.count("\n") == 1


def test_evaluate_finds_the_same_figures_again(run):
    answer = command("evaluate", run)
    assert answer.status == 0, answer.err
    saved = json.loads((run / "metrics.json").read_text())["test"]
    again = json.loads((run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, abs=1e-6)


def test_export_of_the_decoder(run, tmp_path):
    answer = command("export", run, "--format", "onnx", "-o", tmp_path / "decoder.onnx")
    assert answer.status == 0, answer.err
    assert (tmp_path / "decoder.onnx").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--k-folds", 3), "k_folds: text-to-image has none"),
        (("--model", "ddpm"), "text-to-image needs one of: unclip"),
        (("--model-options.vocab-size", 3), "model_options.vocab_size follows from the data"),
        (("--data-options.size", 18), "multiple"),
    ],
)
def test_configurations_that_cannot_work(words, sentence, tmp_path):
    answer = command("train", "text-to-image", "--out", tmp_path, *words)
    assert answer.status == 2
    assert sentence in answer.err
