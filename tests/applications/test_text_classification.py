"""The application `text-classification` from the command line: training, report, prediction, export, bad input."""

from __future__ import annotations

import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from applications.core.config import from_dict
from applications.text_classification import TextClassification, tokenizer_of
from tests.applications.conftest import command

SMALL = (
    "--no-tensorboard",
    "--epochs",
    "6",
    "--batch-size",
    "16",
    "--learning-rate",
    "0.02",
    "--model-options.filters",
    "8",
    "--model-options.kernel-sizes",
    "[1, 2]",
    "--model-options.embedding-dim",
    "8",
    "--model-options.dropout-rate",
    "0",
)
ANIMALS = {
    "cat": ["the cat sleeps on the warm sofa", "a kitten drinks milk", "cats purr and chase mice", "the cat climbs"],
    "dog": ["the dog barks at the postman", "a puppy chews bones", "dogs fetch the stick", "the dog guards the house"],
}


def table(path: Path, names: tuple[str, str] = ("text", "label"), per_class: int = 40, seed: int = 0) -> Path:
    """Made-up sentences about cats and dogs, some of them long."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(per_class):
        for animal, sentences in ANIMALS.items():
            words = " ".join(random.choice(sentences, 4 if number % 10 == 0 else 1))
            rows.append((f"{words} and says {number}, {random.choice(['today', 'again', 'now'])}!", animal))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def train(out: Path, *words: object) -> Path:
    answer = command("train", "text-classification", *SMALL, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "text-classification" / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on texts of one's own."""
    folder = tmp_path_factory.mktemp("texts")
    return train(folder, "--data", table(folder / "mine.csv"), "--class-weights", "balanced")


def test_a_run_directory_is_complete(run):
    assert {path.stem for path in (run / "figures").glob("*.png")} == {"confusion_matrix", "lengths", "learning_curves"}
    metrics, about = (json.loads((run / name).read_text()) for name in ("metrics.json", "data.json"))
    assert set(metrics["baseline"]) == set(metrics["test"]) == {"accuracy", "balanced_accuracy", "macro_f1", "log_loss"}
    assert metrics["test"]["accuracy"] > 0.8
    page = (run / "report.html").read_text()
    assert "TF-IDF" in page
    assert about["sha256"][:16] in page
    assert "Surest mistakes" in page
    assert "test texts are longer and were cut" in page
    assert json.loads((run / "tokenizer.json").read_text())["truncation"]["max_length"] >= 8


def test_the_tokeniser_knows_the_training_texts_alone(run):
    app = from_dict(TextClassification, {"data": str(run.parents[1] / "mine.csv")})
    datasets = app.prepared(app.datasets())
    assert tokenizer_of(datasets).json == (run / "tokenizer.json").read_text(encoding="utf-8")
    words = " ".join(datasets.part("train")).lower()
    assert all(token in words for token in list(tokenizer_of(datasets).vocabulary) if not token.startswith("["))


def test_word_dropout_hides_words_in_training_only():
    app = TextClassification(word_dropout=0.5)
    datasets = app.prepared(app.datasets())
    tokenizer = tokenizer_of(datasets)
    inputs, _ = tokenizer.batch(datasets.part("train"))
    draws = np.linspace(0, 1, inputs.shape[1], dtype=np.float32)
    tokens = app.samples(datasets, "train", training=True).load([3], draws[None])[0].numpy()[0]
    hidden = (tokens != inputs[3]) & (inputs[3] != tokenizer.unknown)
    assert hidden[: inputs.shape[1] // 2].sum() == (inputs[3][: inputs.shape[1] // 2] > tokenizer.unknown).sum() > 0
    assert not hidden[inputs.shape[1] // 2 + 1 :].any()
    same = app.samples(datasets, "train", training=False).load([3], np.zeros((1, 0)))[0].numpy()[0]
    assert (same == inputs[3]).all()


def test_evaluate_finds_the_same_figures_again_and_on_other_texts(run, tmp_path):
    assert command("evaluate", run).status == 0
    saved = json.loads((run / "metrics.json").read_text())["test"]
    again = json.loads((run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, abs=1e-6)
    answer = command("evaluate", run, "--data", table(tmp_path / "other.csv", seed=5))
    assert answer.status == 0, answer.err
    found = json.loads((run / "evaluations" / "other.csv" / "metrics.json").read_text())["test"]
    assert found["accuracy"] > 0.8
    one_class = tmp_path / "dogs.csv"
    one_class.write_text("text,label\nthe dog barks,dog\n", encoding="utf-8")
    assert command("evaluate", run, "--data", one_class).status == 0
    one_class.write_text("text,label\nthe bird sings,bird\n", encoding="utf-8")
    answer = command("evaluate", run, "--data", one_class)
    assert answer.status == 2
    assert "The data have the class 'bird'; the run was trained on cat, dog." in answer.err


def test_predict_tables_and_files(run, tmp_path):
    new = tmp_path / "new.csv"
    new.write_text('id,text\n7,"the kitten, a cat, drinks milk"\n8,the dog barks at the dog\n', encoding="utf-8")
    (tmp_path / "one.txt").write_text("A puppy chews bones and the dog barks. " * 20, encoding="utf-8")
    answer = command("predict", run, new, tmp_path / "one.txt", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    assert "1 of 1 texts are longer" in answer.err
    with (tmp_path / "out" / "new_predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["predicted label"]) for row in rows] == [("7", "cat"), ("8", "dog")]
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["predicted label"] == "dog"


NOT_READABLE = {
    "id,text\n1,the dog\n2,\n": "line 3: the text is empty",
    "id,text\n1,the dog\n2,xylophone qwertz\n": "line 3: none of the tokens of 'xylophone qwertz' is known",
    "id,sentence\n1,the dog\n": "has no column 'text'; it has id, sentence",
}


@pytest.mark.parametrize(("content", "sentence"), NOT_READABLE.items(), ids=["empty", "unknown", "no column"])
def test_texts_that_cannot_be_read_are_named_or_skipped(content, sentence, run, tmp_path):
    (tmp_path / "new.csv").write_text(content, encoding="utf-8")
    answer = command("predict", run, tmp_path / "new.csv", "-o", tmp_path / "out")
    assert answer.status == 2
    assert sentence in answer.err
    assert not (tmp_path / "out").exists()
    answer = command("predict", run, tmp_path / "new.csv", "-o", tmp_path / "out", "--on-bad-file", "skip")
    if "column" in sentence:
        assert answer.status == 2  # nothing is left
        return
    assert answer.status == 0, answer.err
    with (tmp_path / "out" / "new_predictions.csv").open(encoding="utf-8") as file:
        answers = [row["predicted label"] for row in csv.DictReader(file)]
    assert answers[0] in ("cat", "dog")
    assert answers[1] == ""


def test_other_encodings_and_missing_files_are_refused(run, tmp_path):
    (tmp_path / "latin.txt").write_bytes("der Hund bellt über den Zaun".encode("latin-1"))
    (tmp_path / "empty").mkdir()
    for name, sentence in {
        "latin.txt": "no UTF-8 text (byte 0xfc in line 1)",
        "nowhere.txt": "does not exist",
        "empty": "holds neither a .txt nor a CSV file",
    }.items():
        answer = command("predict", run, tmp_path / name, "-o", tmp_path / "out")
        assert answer.status == 2
        assert sentence in answer.err


def test_the_exported_core_with_the_example_gives_the_predictions(run, tmp_path):
    import onnxruntime

    answer = command("export", run, "--format", "onnx", "-o", tmp_path / "m.onnx")
    assert answer.status == 0, answer.err
    assert (tmp_path / "labels.txt").read_text().split() == ["cat", "dog"]
    texts = ["the kitten drinks milk", "the dog barks at the dog"]
    (tmp_path / "lines.txt").write_text("\n".join(texts), encoding="utf-8")
    example = tmp_path / "text_example.py"
    subprocess.run([sys.executable, example, tmp_path / "lines.txt", tmp_path / "x.npy"], check=True)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    outputs = session.run(None, {session.get_inputs()[0].name: np.load(tmp_path / "x.npy")})[0]
    assert runpy.run_path(str(example))["answers"](outputs) == ["cat", "dog"]


MODELS = {
    "transformer_encoder": ("--model-options", "{num_layers: 1, num_heads: 2, hidden_dim: 8, mlp_dim: 8}"),
    "lstm": ("--model-options", "{units: 4, embedding_dim: 4}"),
    "tcn": ("--model-options", "{filters: 4, num_levels: 2, kernel_size: 2, embedding_dim: 4}"),
    "bert_tiny": ("--model-options", "{num_layers: 1, hidden_dim: 8, mlp_dim: 8}", "--vocab-size", "120"),
}


@pytest.mark.parametrize("model", MODELS)
def test_every_kind_of_model_goes_through_everything(model, tmp_path):
    answer = command(
        "train", "text-classification", "--data", table(tmp_path / "t.csv"), "--model", model, *MODELS[model],
        "--no-tensorboard", "--fast-dev-run", "--out", tmp_path, "--name", "run",
    )  # fmt: skip
    assert answer.status == 0, answer.err
    run = tmp_path / "text-classification" / "run"
    (tmp_path / "new.txt").write_text("the dog barks", encoding="utf-8")
    answer = command("predict", run, tmp_path / "new.txt", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    assert command("export", run, "--format", "saved_model").status == 0


BAD = [
    (("--data", "pydocs"), "Did you mean 'pydoc'"),
    (("--model", "gpt2_tiny"), "text-classification needs one of"),
    (("--model", "resnet20"), "text-classification needs one of"),
    (("--model-options.vocab-size", "9"), "vocab_size follows from the data"),
    (("--loss", "huber"), "loss: expected auto, categorical_crossentropy"),
    (("--max-length", "2"), "max_length"),
    (("--vocab-size", "20", "--tokenizer", "bpe"), "a tokeniser of kind bpe needs at least 259"),
    (("--text-column", "sentence"), "no column 'sentence'; it has text, label"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(words, sentence, tmp_path):
    data = () if "--data" in words else ("--data", table(tmp_path / "t.csv"))
    answer = command("train", "text-classification", "--no-tensorboard", *data, "--out", tmp_path / "out", *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_folds_learn_tokenisers_of_their_own(tmp_path):
    run = train(tmp_path, "--data", table(tmp_path / "t.csv"), "--k-folds", "2", "--epochs", "1")
    files = [run / "folds" / f"fold-{number}" / "tokenizer.json" for number in (1, 2)]
    assert files[0].read_text() != files[1].read_text()
    best = json.loads((run / "metrics.json").read_text())["best_fold"]
    assert (run / "tokenizer.json").read_text() == files[best - 1].read_text()
