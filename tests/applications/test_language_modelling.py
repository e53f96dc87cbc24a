"""The application `language-modelling` and `kerazoo generate`: training, report, measuring, writing, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from applications.language_modelling import LanguageModelling, tokenizer_of
from applications.text.tokenizer import train_tokenizer
from applications.text.windows import bits_of_tokens, cover
from tests.applications.conftest import command

SENTENCES = ["the cat sat on the mat. ", "a dog ate the bone. ", "the cat ate the rat. ", "a dog sat on a log.\n\n"]
SMALL = ("--no-tensorboard", "--context", "16", "--batch-size", "8", "--windows", "64")
TINY = {
    "lstm": ("--model-options", "{units: 16, embedding_dim: 8, dropout_rate: 0}"),
    "gpt2_tiny": ("--model-options", "{num_layers: 1, num_heads: 2, hidden_dim: 8, mlp_dim: 8}"),
    "bert_tiny": ("--model-options", "{num_layers: 1, num_heads: 2, hidden_dim: 8, mlp_dim: 8}"),
}


@pytest.fixture(scope="module", autouse=True)
def short_samples():
    """Keeps the samples of the reports short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("applications.text.stream_report.WRITTEN", 20)
        yield


def book(path: Path, sentences: int = 300, seed: int = 0) -> Path:
    """A text of four sentences in random order."""
    random = np.random.default_rng(seed)
    path.write_text("".join(random.choice(SENTENCES, sentences)), encoding="utf-8")
    return path


def train(out: Path, *words: object) -> Path:
    data = () if "--data" in words else ("--data", book(out / "book.txt"))
    answer = command("train", "language-modelling", *SMALL, *data, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "language-modelling" / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an LSTM on characters, long enough to know the sentences."""
    folder = tmp_path_factory.mktemp("characters")
    return train(folder, *TINY["lstm"], "--epochs", "15", "--windows", "128", "--learning-rate", "0.03")


@pytest.fixture(scope="module")
def gpt_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a GPT on byte pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    words = ("--tokenizer", "bpe", "--vocab-size", "270", "--epochs", "2", "--learning-rate", "0.01")
    return train(folder, "--model", "gpt2_tiny", *TINY["gpt2_tiny"], *words)


@pytest.fixture(scope="module")
def bert_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a BERT on characters."""
    return train(tmp_path_factory.mktemp("gaps"), "--model", "bert_tiny", *TINY["bert_tiny"], "--epochs", "2")


CAUSAL = {"bits_per_character", "perplexity"}
METRICS = {
    "run": CAUSAL | {"bits_per_character_of_new_paragraphs"},
    "gpt_run": CAUSAL | {"bits_per_character_of_new_paragraphs"},
    "bert_run": {"bits_per_masked_token", "perplexity", "masked_accuracy"},
}


@pytest.mark.parametrize("fixture", METRICS)
def test_a_run_directory_is_complete(fixture, request):
    run = request.getfixturevalue(fixture)
    metrics, about = (json.loads((run / name).read_text()) for name in ("metrics.json", "data.json"))
    assert set(metrics["test"]) == METRICS[fixture]
    assert next(iter(metrics["test"])) in metrics["baseline"]
    page = (run / "report.html").read_text()
    assert about["sha256"][:16] in page
    assert "Characters:" in page
    name = "bits_per_masked_token" if fixture == "bert_run" else "bits_per_character"
    assert f"val_{name}" in (run / "history.csv").read_text()
    assert ("What the model writes" in page) == ("Compressors" in page) == (fixture != "bert_run")
    assert ("Filled in" in page) == (fixture == "bert_run")


def test_an_lstm_learns_the_sentences(run):
    """A sentence of four costs 2 bits, so about 0.1 bits per character; the counts know them, too."""
    found = json.loads((run / "metrics.json").read_text())
    assert found["test"]["bits_per_character"] < 0.5
    assert found["baseline"]["bits_per_character"] < 0.5
    history = np.genfromtxt(run / "history.csv", delimiter=",", names=True)
    assert history["val_bits_per_character"][-1] < 0.5 * history["val_bits_per_character"][0]


def test_the_learning_curve_is_in_bits_of_characters(gpt_run):
    history = np.genfromtxt(gpt_run / "history.csv", delimiter=",", names=True)
    tokenizer = (gpt_run / "tokenizer.json").read_text(encoding="utf-8")
    app = LanguageModelling(data=str(gpt_run.parents[1] / "book.txt"), tokenizer="bpe", vocab_size=270)
    datasets = app.prepared(app.datasets())
    assert tokenizer_of(datasets).json == tokenizer
    ratio = len(tokenizer_of(datasets).encode(datasets.part("train"))) / len(datasets.part("train"))
    assert ratio < 0.9
    assert history["val_bits_per_character"] == pytest.approx(history["val_loss"] / np.log(2) * ratio, rel=1e-4)


def test_every_token_is_measured_once_whatever_the_window():
    """A model that says the same everywhere costs the same everywhere; one that copies shows where it looks."""
    import keras

    for length, total in ((8, 37), (8, 9), (5, 64), (2, 11)):
        inputs = keras.Input((length,), dtype="int32")
        model = keras.Model(inputs, keras.layers.Embedding(7, 7, name="table")(inputs))
        # The logits of the next token depend on the one before alone: token t is followed by t + 1.
        model.get_layer("table").embeddings.assign(10 * np.roll(np.eye(7), 1, axis=1))
        ids = np.arange(total, dtype=np.int32) % 7
        ids[total // 2 :] = (ids[total // 2 :] + 3) % 7
        for start in (1, total // 3 + 1):
            bits = bits_of_tokens(model, ids, start)
            assert len(bits) == total - start
            wrong = np.flatnonzero(bits > 5) + start
            assert wrong.tolist() == ([total // 2] if total // 2 >= start else [])


def test_covering_follows_the_authors():
    tokenizer = train_tokenizer("char", ["abcdefgh"], 100)
    window, draws = np.arange(3, 11).repeat(5000).astype(np.int32), np.random.default_rng(0).random(40_000)
    covered, truth, weights = (np.asarray(part) for part in cover(window, draws.astype(np.float32), 0.15, tokenizer))
    chosen = weights == 1
    assert (truth == window).all()
    assert (covered[~chosen] == window[~chosen]).all()
    assert chosen.mean() == pytest.approx(0.15, abs=0.01)
    assert (covered[chosen] == tokenizer.mask).mean() == pytest.approx(0.8, abs=0.02)
    others = covered[chosen & (covered != tokenizer.mask) & (covered != window)]
    assert len(others) / chosen.sum() == pytest.approx(0.1 * 7 / 8, abs=0.02)
    assert set(others) == set(range(3, 11)), "never a special token, and all others"


def test_windows_are_at_random_places_in_training_and_side_by_side_in_validation(tmp_path):
    app = LanguageModelling(data=str(book(tmp_path / "b.txt")), context=16, windows=50)
    datasets = app.prepared(app.datasets())
    ids = np.array(tokenizer_of(datasets).encode(datasets.part("train")))
    samples = app.samples(datasets, "train", training=True)
    assert (samples.size, samples.num_draws) == (50, 1)
    for draw, start in ((0.0, 0), (np.float32(1) - np.float32(2**-24), len(ids) - 17)):
        x, y = (part.numpy() for part in samples.load(np.array([0]), np.array([[draw]], np.float32)))
        assert (x[0] == ids[start : start + 16]).all()
        assert (y[0] == ids[start + 1 : start + 17]).all()
    val = np.array(tokenizer_of(datasets).encode(datasets.part("val")))
    samples = app.samples(datasets, "val", training=False)
    assert samples.size == len(val) // 16
    assert (samples.load(np.array([1]), np.zeros((1, 0), np.float32))[0].numpy()[0] == val[16:32]).all()


@pytest.mark.parametrize("fixture", METRICS)
def test_evaluate_finds_the_same_figures_again_and_on_another_text(fixture, request, tmp_path):
    run = request.getfixturevalue(fixture)
    answer = command("evaluate", run)
    assert answer.status == 0, answer.err
    saved = json.loads((run / "metrics.json").read_text())["test"]
    again = json.loads((run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, rel=1e-5)
    answer = command("evaluate", run, "--data", book(tmp_path / "other.txt", seed=3))
    assert answer.status == 0, answer.err
    other = json.loads((run / "evaluations" / "other.txt" / "metrics.json").read_text())["test"]
    name = next(iter(saved))
    assert other[name] == pytest.approx(saved[name], rel=0.3)


def test_predict_says_how_well_files_are_foreseen(run, tmp_path):
    book(tmp_path / "known.txt", 20, seed=2)
    (tmp_path / "strange.txt").write_text("zebras quickly jinx; vexed wolves fly. " * 5, encoding="utf-8")
    answer = command("predict", run, tmp_path, "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8") as file:
        rows = {Path(row["file"]).stem: float(row["bits_per_character"]) for row in csv.DictReader(file)}
    assert rows["known"] < 1 < 5 < rows["strange"]
    (tmp_path / "short.txt").write_text("the cat", encoding="utf-8")
    answer = command("predict", run, tmp_path / "short.txt", "-o", tmp_path / "out")
    assert answer.status == 2
    assert "has 7 tokens; at least 17 are needed" in answer.err


@pytest.mark.parametrize(("fixture", "form"), [("run", "onnx"), ("gpt_run", "saved_model"), ("bert_run", "litert")])
def test_the_core_is_exported_with_its_tokeniser(fixture, form, request, tmp_path):
    run = request.getfixturevalue(fixture)
    name = "exported" + {"onnx": ".onnx", "litert": ".tflite"}.get(form, "")
    answer = command("export", run, "--format", form, "-o", tmp_path / name)
    assert answer.status == 0, answer.err
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"]["max_length"] == 16
    assert json.loads((run / "tokenizer.json").read_text())["truncation"] is None
    assert not (tmp_path / "labels.txt").exists()


# kerazoo generate --------------------------------------------------------------------------------------------------


def write(run: Path, prompt: str = "the cat", *words: object):
    return command("generate", run, "--prompt", prompt, "--max-new-tokens", "24", *words)


def test_an_lstm_writes_what_it_has_read(run):
    answer = write(run, "the cat", "--temperature", "0")
    assert answer.status == 0, answer.err
    assert answer.out.startswith("the cat ")
    assert len(answer.out.removesuffix("\n")) == len("the cat") + 24
    words = set("".join(SENTENCES).split())
    assert sum(word in words for word in answer.out.split()[:-1]) >= 0.8 * len(answer.out.split()[:-1])


@pytest.mark.parametrize("fixture", ["run", "gpt_run"])
def test_the_seed_fixes_the_text_also_behind_the_end_of_the_context(fixture, request):
    run = request.getfixturevalue(fixture)
    first, again, other = (write(run, "the cat", "--seed", seed, "--temperature", "1.5") for seed in (1, 1, 2))
    assert first.status == 0, first.err
    assert first.out == again.out != other.out
    answer = write(run, "the cat", "--top-k", "1", "--seed", "3")
    assert answer.out == write(run, "the cat", "--temperature", "0").out
    assert write(run, "the cat sat on the mat and on the log", "--top-p", "0.5").status == 0


def test_what_cannot_be_written_is_one_sentence(run, gpt_run, bert_run, tmp_path):
    for where, prompt, words, sentence in (
        (run, "the çat ☃", (), "prompt: the run's tokeniser does not know 'ç', '☃'"),
        (run, "", (), "prompt: expected some text"),
        (run, "the", ("--temperature", "-1"), "temperature must"),
        (run, "the", ("--top-p", "1.5"), "top_p must be at most 1"),
        (run, "the", ("--top-k", "0"), "top_k must be"),
        (run, "the", ("--max-new-tokens", "0"), "max_new_tokens: expected a value of at least 1"),
        (bert_run, "the", (), "which fills in gaps; a GPT or an LSTM writes text"),
        (run, "the", ("--count", "3"), "Unknown option '--count'"),
        (run, "the", ("--temperatur", "1"), "Did you mean '--temperature'"),
        (tmp_path, "the", (), "is not a run directory"),
    ):
        answer = write(where, prompt, *words)
        assert answer.status == 2, sentence
        assert sentence in answer.err
        assert "Traceback" not in answer.err
    assert write(gpt_run, "the çat ☃").status == 0, "bytes know every character"


def test_runs_of_other_tasks_write_no_text(tmp_path):
    (tmp_path / "config.yaml").write_text("task: tabular\n")
    (tmp_path / "model.keras").touch()
    answer = write(tmp_path)
    assert answer.status == 2
    assert "is a run of tabular, which makes nothing new; runs of " in answer.err
    assert "language-modelling" in answer.err


# Bad input ---------------------------------------------------------------------------------------------------------

BAD = [
    (("--data", "pydocs"), "Did you mean 'pydoc'"),
    (("--model", "tcn"), "language-modelling needs one of"),
    (("--model", "resnet20"), "language-modelling needs one of"),
    (("--context", "5000"), "too few for windows of --context 5000"),
    (("--k-folds", "3"), "k_folds: language-modelling has none"),
    (("--class-weights", "balanced"), "class_weights: language-modelling has none"),
    (("--loss", "huber"), "loss: language-modelling has none"),
    (("--tokenizer", "bpe", "--vocab-size", "100"), "a tokeniser of kind bpe needs at least 259"),
    (("--model-options.bidirectional", "true"), "bidirectional follows from the data"),
    (("--model", "gpt2_tiny", "--model-options.num-heads", "3"), "num_heads"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(words, sentence, tmp_path):
    data = () if "--data" in words else ("--data", book(tmp_path / "book.txt"))
    answer = command("train", "language-modelling", *SMALL[:1], *data, "--out", tmp_path / "out", *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_fast_dev_run_goes_through_everything(tmp_path):
    run = train(tmp_path, "--data", "pydoc", *TINY["lstm"], "--fast-dev-run")
    assert (run / "report.html").exists()
