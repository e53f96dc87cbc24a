"""A training that is killed and resumed ends exactly where an uninterrupted one ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from applications.core.checkpoint import CheckpointFolder
from tests import processes
from tests.applications.conftest import SMALL_DIGITS

KILLED = Path(__file__).with_name("killed_training.py")
# Dropout, batch norm, a plateau with warm-up, early stopping and augmentation: everything that has a memory.
WORDS = (
    "train",
    "image-classification",
    "--model",
    "cnn",
    "--model-options.filters",
    "[8, 8]",
    "--model-options.dropout-rate",
    "0.3",
    "--learning-rate",
    "0.01",
    "--epochs",
    "4",
    "--deterministic",
    "--seed",
    "3",
    "--checkpoint-every",
    "7",
    "--schedule",
    "plateau",
    "--schedule-options.patience",
    "1",
    "--schedule-options.warmup-epochs",
    "1.5",
    "--early-stopping.patience",
    "3",
    "--no-tensorboard",
)
STEPS_PER_EPOCH = 39


def training(step: int, *words: object) -> subprocess.CompletedProcess:
    """Runs the command line in a process of its own that kills itself before step `step` is saved."""
    return processes.run(KILLED, step, *words)


def state_of(run: Path) -> dict:
    newest = sorted((run / "checkpoints").glob("[0-9]*"))[-1]
    return json.loads((newest / "state.json").read_text())


@pytest.fixture(scope="module")
def both_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An uninterrupted run, and one killed at five random steps."""
    out = tmp_path_factory.mktemp("resume")
    whole = training(-1, *WORDS, "--out", out, "--name", "whole")
    assert whole.returncode == 0, whole.stderr
    killed = out / "image-classification" / "killed"
    # Five random places in the four epochs; one before the first checkpoint, so that it begins afresh.
    places = sorted([random.Random(5).randrange(2, 7), *random.Random(6).sample(range(10, 150), 4)])
    began = 0
    for number, place in enumerate(places):
        words = (*WORDS, "--out", out, "--name", "killed") if number == 0 else ("resume", killed)
        process = training(max(1, place - began), *words)
        assert process.returncode == -signal.SIGKILL, process.stderr
        saved = sorted((killed / "checkpoints").glob("[0-9]*"))
        began = int(saved[-1].name) if saved else 0
        assert began <= place
    last = training(-1, "resume", killed)
    assert last.returncode == 0, last.stderr
    return out / "image-classification" / "whole", killed


def test_history_is_equal_bit_for_bit(both_runs):
    whole, killed = both_runs
    assert (whole / "history.csv").read_bytes() == (killed / "history.csv").read_bytes()
    assert len((whole / "history.csv").read_text().splitlines()) == 5


def test_weights_optimizer_and_random_state_are_equal_bit_for_bit(both_runs):
    newest = [sorted((run / "checkpoints").glob("[0-9]*"))[-1] for run in both_runs]
    assert newest[0].name == newest[1].name == f"{4 * STEPS_PER_EPOCH:010d}"
    for file in ("variables.npz", "best.npz"):
        with np.load(newest[0] / file) as whole, np.load(newest[1] / file) as killed:
            assert sorted(whole.files) == sorted(killed.files)
            assert any("seed_generator" in name for name in whole.files)
            for name in whole.files:
                np.testing.assert_array_equal(whole[name], killed[name], err_msg=name)


def test_callbacks_remember(both_runs):
    whole, killed = (state_of(run)["callbacks"] for run in both_runs)
    for state in (whole, killed):
        state["clock"].pop("seconds")
    assert whole == killed
    assert whole["plateau"]["best"] == whole["best"]["best"]
    assert whole["plateau"]["peak"] == pytest.approx(0.01)


def test_the_resumed_run_is_complete(both_runs):
    whole, killed = both_runs
    names = {path.name for path in whole.iterdir()}
    assert names == {path.name for path in killed.iterdir()}
    assert {
        "config.yaml",
        "environment.json",
        "data.json",
        "model.keras",
        "history.csv",
        "metrics.json",
        "report.html",
        "report.json",
        "figures",
        "checkpoints",
        "status.json",
    } <= names
    assert json.loads((killed / "status.json").read_text())["status"] == "finished"
    first, second = (json.loads((run / "metrics.json").read_text()) for run in both_runs)
    assert first["test"] == second["test"]
    assert not list(killed.rglob(".new-*"))
    assert not list(killed.rglob(".draft-*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves(tmp_path, number, status):
    words = (*WORDS, "--out", tmp_path, "--name", "run", "--epochs", "400", "--early-stopping.patience", "0")
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "applications.cli", *map(str, words)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    run = tmp_path / "image-classification" / "run"
    try:
        deadline = time.monotonic() + 120
        while not (run / "history.csv").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(60) == status, (tmp_path / "log").read_text()
    finally:
        process.kill()
    said = (tmp_path / "log").read_text()
    assert f"kerazoo resume {run}" in said
    assert "Traceback" not in said
    assert json.loads((run / "status.json").read_text())["status"] == "interrupted"
    state = state_of(run)
    assert state["epoch"] >= 1
    assert state["step_in_epoch"] < STEPS_PER_EPOCH


def with_signal(monkeypatch, step: int) -> None:
    """Makes trainings of this process send themselves SIGTERM in a step, counted from the beginning of a training."""
    import keras

    from applications.core import training

    original = training.Fit._callbacks

    class Sender(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch >= step - 1:
                signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training.Fit, "_callbacks", lambda self, run: {"sender": Sender(), **original(self, run)})


@pytest.mark.parametrize("together", [1, 3])
def test_a_signal_in_the_last_batch_of_an_epoch_waits_for_its_validation(kerazoo, tmp_path, together):
    words = (*SMALL_DIGITS, "--steps-per-execution", together)  # 19 steps: three at once end behind the epoch
    with pytest.MonkeyPatch.context() as patched:
        with_signal(patched, 19)
        answer = kerazoo("train", "image-classification", *words, "--out", tmp_path, "--name", "r")
    assert answer.status == 143, answer.err
    run = tmp_path / "image-classification" / "r"
    assert (state_of(run)["epoch"], state_of(run)["step_in_epoch"]) == (1, 0)
    answer = kerazoo("resume", run)
    assert answer.status == 0, answer.err
    assert len((run / "history.csv").read_text().splitlines()) == 3


def test_a_signal_during_the_evaluation_leaves_and_resume_only_evaluates(kerazoo, tmp_path, monkeypatch):
    from applications.image_classification import ImageClassification

    def interrupted(self, datasets):
        signal.raise_signal(signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImageClassification, "baseline", interrupted)
        words = (*SMALL_DIGITS, "--epochs", "1", "--out", tmp_path, "--name", "r")
        answer = kerazoo("train", "image-classification", *words)
    run = tmp_path / "image-classification" / "r"
    assert answer.status == 143, answer.err
    assert f"kerazoo resume {run}" in answer.err
    assert json.loads((run / "status.json").read_text())["status"] == "interrupted"
    saved = state_of(run)
    assert kerazoo("resume", run).status == 0
    assert state_of(run) == saved
    assert json.loads((run / "metrics.json").read_text())["epochs"] == 1


def test_a_checkpoint_moved_aside_by_a_killed_process_is_found_again(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    folder.save(7, {"a": np.zeros(2)}, None, {"number": 1})
    real = os.rename

    def killed(source, target):
        if Path(target).name == "0000000007":  # the old one is aside, the new one not yet in its place
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.save(7, {"a": np.ones(2)}, None, {"number": 2})
    monkeypatch.undo()
    assert folder.saved() == []
    arrays, _, state, number = folder.load()
    assert (arrays["a"].tolist(), state, number) == ([0, 0], {"number": 1}, 7)
    folder.save(7, {"a": np.ones(2)}, None, {"number": 2})
    assert folder.load()[2] == {"number": 2}
    assert [path.name for path in folder.path.iterdir()] == ["0000000007"]


@pytest.mark.parametrize("name", ["variables.npz", "state.json"])
def test_half_a_checkpoint_is_none(tmp_path, name):
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2):
        folder.save(step, {"a": np.full(2, step)}, None, {"step": step})
    (tmp_path / "0000000002" / name).unlink()
    assert folder.load()[3] == 1


def test_what_a_resume_may_change(kerazoo, tmp_path):
    with pytest.MonkeyPatch.context() as patched:
        with_signal(patched, 5)
        words = (*SMALL_DIGITS, "--early-stopping.patience", "0", "--out", tmp_path, "--name", "r")
        assert kerazoo("train", "image-classification", *words).status == 143
    run = tmp_path / "image-classification" / "r"
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("batch_size: 64", "batch_size: 32"))
    answer = kerazoo("resume", run)
    assert answer.status == 2
    assert "batches of 64, received 32" in answer.err
    # A callback that was not there before begins without a memory.
    (run / "config.yaml").write_text(config.replace("patience: 0", "patience: 3"))
    answer = kerazoo("resume", run)
    assert answer.status == 0, answer.err
    # At the end of an epoch other batches are allowed, and their checkpoints still follow the ones before.
    config = config.replace("batch_size: 64", "batch_size: 256").replace("epochs: 2", "epochs: 3")
    (run / "config.yaml").write_text(config)
    (run / "status.json").write_text('{"status": "interrupted"}')
    assert kerazoo("resume", run).status == 0
    assert state_of(run)["epoch"] == 3
