"""`kerazoo tune` from the command line, on real trainings of a few epochs."""

from __future__ import annotations

import csv
import json

import pytest
import yaml

from applications.core.errors import UserError
from applications.image_classification import ImageClassification
from tests import processes
from tests.applications.conftest import command

TINY = ("image-classification", "--model", "mlp", "--model-options.hidden-units", "[16]", "--batch-size", "64")


def tune(out, *words):
    return command("tune", *TINY, "--out", out, *words)


def trials(folder) -> list[dict]:
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_retrained(folder, best: dict) -> None:
    """The winner had all data but the test split, as long as its trial took, and was tested on that split."""
    run = folder / "retrained"
    searched = ImageClassification(seed=0).datasets().split
    sizes = {name: len(indices) for name, indices in searched.items()}
    about = json.loads((run / "data.json").read_text())
    assert about["splits"]["train"] == sizes["train"] + sizes["val"]
    assert about["splits"]["test"] == sizes["test"]
    result = json.loads((folder / f"trial_{best['number']}" / "result.json").read_text())
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == result["best_epoch"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["headline"] == "accuracy"
    assert {"accuracy", "balanced_accuracy", "macro_f1", "log_loss"} <= set(metrics["test"])
    assert 0.0 < metrics["test"]["accuracy"] <= 1.0
    # The last weights are kept: they give these figures again.
    answer = command("evaluate", run)
    assert answer.status == 0, answer.err
    assert f"accuracy             {metrics['test']['accuracy']:.4f}" in answer.out


def test_a_grid_is_done_completely_and_its_winner_retrained(tmp_path) -> None:
    words = (
        "--search",
        "grid",
        "--set",
        "learning_rate=log(1e-3,1e-1)",
        "--set",
        "optimizer=adam,sgd",
        "--epochs",
        "2",
    )
    words = (*words, "--set", "augment.rotation=0", "--name", "s", "--retrain")
    answer = tune(tmp_path, *words, "--space", tmp_path / "none.yaml")
    assert answer.status == 2
    (tmp_path / "empty.yaml").write_text("{}")
    answer = tune(tmp_path, *words, "--space", tmp_path / "empty.yaml")
    assert answer.status == 0, answer.err
    assert "grid: 6 points" in answer.out
    folder = tmp_path / "tuning" / "s"
    rows = trials(folder)
    assert [row["status"] for row in rows] == ["COMPLETED"] * 6
    assert len({(row["learning_rate"], row["optimizer"]) for row in rows}) == 6
    best = min(rows, key=lambda row: float(row["score"]))
    written = yaml.safe_load((folder / "best.yaml").read_text())
    assert written["optimizer"] == best["optimizer"]
    assert written["learning_rate"] == pytest.approx(float(best["learning_rate"]))
    assert (folder / "report.html").stat().st_size > 50_000
    check_retrained(folder, best)
    assert not list(folder.glob("trial_*/model.keras"))
    before = {path: path.stat().st_mtime for path in folder.glob("trial_*/result.json")}
    again = tune(tmp_path, *words, "--space", tmp_path / "empty.yaml")
    assert "6 of 6 trials have ended" in again.out
    assert before == {path: path.stat().st_mtime for path in folder.glob("trial_*/result.json")}
    other = tune(tmp_path, *words, "--space", tmp_path / "empty.yaml", "--set", "optimizer=adam,nesterov")
    assert other.status == 2
    assert "space.optimizer was ['adam', 'sgd'], now ['adam', 'nesterov']" in other.err
    checked = command("train", "image-classification", "--config", folder / "best.yaml", "--print-config")
    assert checked.status == 0


def test_hyperband_continues_what_it_promotes(tmp_path) -> None:
    answer = tune(
        tmp_path, "--search", "hyperband", "--epochs", "3", "--set", "learning_rate=log(1e-4,1e-1)", "--name", "h"
    )
    assert answer.status == 0, answer.err
    rows = trials(tmp_path / "tuning" / "h")
    assert len(rows) == 3 + 1 + 2
    assert [int(row["epochs"]) for row in rows].count(3) == 3  # the promoted one has the epochs of its predecessor too
    assert {row["status"] for row in rows} == {"COMPLETED"}


BAD = [
    (("--search", "bayes"), "Did you mean 'bayesian'"),
    (("--set", "learnin_rate=log(1e-4,1e-1)"), "Did you mean 'learning_rate'"),
    (("--set", "learning_rate=log(0,1)"), "must begin above zero"),
    (("--set", "learning_rate=real(1,0)"), "inverted"),
    (("--set", "learning_rate"), "expected option=range"),
    (("--search", "grid", "--trials", "5"), "more than --trials 5"),
    (("--objective", "val_acuracy:max", "--trials", "1", "--epochs", "1"), "Did you mean 'val_accuracy'?"),
    (("--objective", "val_accuracy:up"), "expected NAME:min or NAME:max"),
    (("--objective", "speed"), "add :min or :max"),
    (("--trials", "0"), "at least 1"),
    (("--chief", "127.0.0.1:1", "--worker-id", "w1", "--wait", "0.5"), "No chief answers"),
    (("--chief", "127.0.0.1:1"), "belong together"),
    (("--budget", "soon"), "expected a time"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, words, sentence) -> None:
    for name in ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that monkeypatch takes away what the command sets
        monkeypatch.delenv(name)
    answer = tune(tmp_path, *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.glob("tuning/*"))


def test_what_the_words_fix_is_not_searched_and_what_the_file_says_is(tmp_path) -> None:
    file = tmp_path / "base.yaml"
    file.write_text("task: image-classification\nepochs: 7\nlearning_rate: 0.5\n")
    words = ("--search", "hyperband", "--config", file, "--optimizer", "sgd", "--print-space")
    answer = tune(tmp_path, *words)
    assert answer.status == 0, answer.err
    assert "x 7 epochs" in answer.out
    assert "  learning_rate: " in answer.out
    assert "  optimizer: " not in answer.out
    file.write_text("task: tabular\n")
    answer = tune(tmp_path, *words)
    assert answer.status == 2
    assert "is a configuration of tabular, not of image-classification" in answer.err


def test_a_search_from_python_where_tensorflow_runs(tmp_path) -> None:
    """As in a notebook that has trained a model before."""
    import tensorflow as tf

    import tuning
    from applications.image_classification import ImageClassification
    from tuning.tuner import tensorflow_runs

    assert int(tf.constant(1)) == 1
    assert tensorflow_runs()
    application = ImageClassification(
        model="mlp", model_options={"hidden_units": [16]}, batch_size=64, epochs=1, out=str(tmp_path)
    )
    lines: list[str] = []
    with processes.new_interpreters():
        found = tuning.search(
            application, {"learning_rate": tuning.Choice(1e-12, 1e-2)}, algorithm="grid", name="p", show=lines.append
        )
    assert found.best["values"] == {"learning_rate": "0.01"}
    assert found.application.learning_rate == 1e-2
    assert [row["status"] for row in found.rows] == ["COMPLETED"] * 2
    assert "grid: 2 points" in lines
    with pytest.raises(UserError, match="has 2 points, more than --trials 1"):
        tuning.search(application, {"learning_rate": tuning.Choice(1e-12, 1e-2)}, algorithm="grid", trials=1)


def test_help_is_quick_and_says_the_ranges() -> None:
    answer = command("tune", "--help")
    assert answer.status == 0
    assert "log(1e-4,1e-1)" in answer.out
