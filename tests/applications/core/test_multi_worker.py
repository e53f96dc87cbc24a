"""Several workers on loopback: what they learn, that they agree, and what happens when one of them dies."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from applications.core import keras_multi_worker, launcher
from applications.core.cluster import Cluster, kubernetes_config, slurm_config
from applications.core.errors import UserError
from tests import processes

SCRIPT = str(Path(__file__).with_name("worker_training.py"))
# 398 rows for training are 12 steps of 32; 85 for validation leave an odd rest.
TRAINING = (
    *("tabular", "--data", "breast_cancer", "--epochs", "5", "--no-tensorboard", "--name", "r"),
    *("--early-stopping.patience", "0", "--seed", "1"),
)


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def weights(notes: Path, worker: int) -> dict[str, np.ndarray]:
    with np.load(notes / f"weights-{worker}.npz") as arrays:
        return dict(arrays)


def together(
    folder: Path, *words: str, training: tuple[str, ...] = TRAINING, workers: int = 2, restarts: int = 0
) -> tuple[int, list[str], Path]:
    """Trains with several workers; returns the status, what the launcher said, and the run."""
    said: list[str] = []
    (folder / "notes").mkdir(exist_ok=True)
    words = ("train", *training, "--out", str(folder), *words, "--strategy", "multi-worker")
    run = folder / training[0] / "r"
    program = (sys.executable, SCRIPT, str(folder / "notes"))
    return launcher.launch(words, run, workers, restarts, said.append, program), said, run


def in_one_process(folder: Path, training: tuple[str, ...]) -> Path:
    """Trains in one process; returns the folder."""
    (folder / "notes").mkdir(parents=True)
    process = processes.run(SCRIPT, folder / "notes", "train", *training, "--out", folder)
    assert process.returncode == 0, process.stderr
    return folder


def losses(folder: Path, worker: int = 0) -> list[float]:
    """What a worker noted of the steps."""
    return json.loads((folder / "notes" / f"losses-{worker}.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training in one process."""
    return in_one_process(tmp_path_factory.mktemp("alone") / "it", TRAINING)


def assert_as_alone(run: Path, folder: Path, alone: Path) -> None:
    """History and final weights are those of one process."""
    for one, two in zip(rows(alone / "tabular" / "r"), rows(run), strict=True):
        for name, value in one.items():
            assert two[name] == pytest.approx(value, rel=1e-4), name
    expected = weights(alone / "notes", 0)
    for name, array in weights(folder / "notes", 0).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(array, weights(folder / "notes", 1)[name])


def test_two_workers_learn_as_one_process_does(tmp_path, alone, capfd):
    status, said, run = together(tmp_path)
    out, err = capfd.readouterr()
    assert (status, said) == (0, []), err
    assert len(losses(alone)) == 60
    np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-4)
    np.testing.assert_array_equal(losses(tmp_path, 1), losses(tmp_path))
    assert_as_alone(run, tmp_path, alone)
    assert "[0] report:" in out
    assert "[1]" not in out, "only the chief has something to say"
    assert not list((run / "checkpoints").glob(".*"))
    import keras

    model = keras.models.load_model(run / "model.keras")
    assert type(model).__module__.startswith("keras.")


def test_networks_against_each_other_learn_as_in_one_process(tmp_path, capfd):
    training = (
        *("image-generation", "--model", "wgan_gp", "--epochs", "2", "--judged", "20", "--seed", "1"),
        *("--model-options.filters", "4", "--model-options.critic_steps", "2", "--no-tensorboard", "--name", "r"),
    )
    alone = in_one_process(tmp_path / "alone", training)
    status, said, run = together(tmp_path, training=training)
    assert (status, said) == (0, []), capfd.readouterr().err
    assert len(losses(alone)) > 30
    np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-4)
    for name, array in weights(tmp_path / "notes", 0).items():
        np.testing.assert_array_equal(array, weights(tmp_path / "notes", 1)[name])
    assert (run / "figures" / "filmstrip.png").is_file()


def test_the_group_goes_on_from_the_last_checkpoint_when_a_worker_is_killed(tmp_path, alone, capfd):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "kill-1").write_text("1 20")  # in the second epoch
    (tmp_path / "notes" / "kill-2").write_text("0 16")  # in the third: the second try begins with the second
    status, said, run = together(tmp_path, "--checkpoint-every", "5", restarts=2)
    out, err = capfd.readouterr()
    assert status == 0, err
    assert [line.split(":")[0] for line in said] == ["A worker was killed by signal 9"] * 2
    assert "resuming at epoch 2, step 6" in out
    assert "resuming at epoch 3, step 6" in out, out
    assert_as_alone(run, tmp_path, alone)


def test_the_launcher_gives_up_and_says_how_to_go_on(tmp_path):
    program = (sys.executable, "-c", "import sys; sys.exit(3)")
    said: list[str] = []
    assert launcher.launch((), tmp_path / "run", 2, 1, said.append, program) == 3
    assert "all 2 start again from the last checkpoint (1 of 1)" in said[0]
    assert "the group was started 2 times: go on with `kerazoo resume" in said[1]


def test_the_launcher_does_not_repeat_what_the_user_has_to_change(tmp_path, capfd):
    program = (sys.executable, "-c", "import sys; print('kerazoo: no', file=sys.stderr); sys.exit(2)")
    assert launcher.launch((), tmp_path / "run", 2, 3, lambda line: None, program) == 2
    assert sorted(capfd.readouterr().err.split()) == sorted(["[0]", "kerazoo:", "no", "[1]", "kerazoo:", "no"])


def test_an_interruption_reaches_all_workers_and_is_no_death(tmp_path):
    code = (
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()\n"
        "time.sleep(120)"
    )

    def interrupt_when_both_run():
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    said: list[str] = []
    threading.Thread(target=interrupt_when_both_run, daemon=True).start()
    assert launcher.launch((), tmp_path / "run", 2, 3, said.append, (sys.executable, "-c", code)) == 143
    assert said == []


TWO = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
CHIEF = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}


@pytest.mark.parametrize(
    ("environ", "index", "size"),
    [
        ({"TF_CONFIG": json.dumps(TWO)}, 1, 2),
        ({"TF_CONFIG": json.dumps(CHIEF)}, 2, 3),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}, 3, 4),
        (
            {"JOB_COMPLETION_INDEX": "0", "KERAZOO_WORKERS": "2", "KERAZOO_SERVICE": "s", "HOSTNAME": "job-0"},
            0,
            2,
        ),
    ],
)
def test_a_worker_finds_its_place(environ, index, size):
    cluster = Cluster.around("multi-worker", environ)
    assert (cluster.index, cluster.size, cluster.is_chief) == (index, size, index == 0)
    assert Cluster.around("mirrored", environ).size == 1


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "kerazoo launch"),
        ({"TF_CONFIG": "{}"}, "expected JSON with `cluster` and `task`"),
        ({"TF_CONFIG": json.dumps({**TWO, "task": {"type": "worker", "index": 2}})}, "no task 2"),
        ({"JOB_COMPLETION_INDEX": "0", "HOSTNAME": "job-0"}, "KERAZOO_WORKERS, KERAZOO_SERVICE is not set"),
    ],
)
def test_no_cluster_is_said_in_one_sentence(environ, message):
    with pytest.raises(UserError, match=message):
        Cluster.around("multi-worker", environ)


def test_pods_of_an_indexed_job_know_each_other():
    environ = {
        "JOB_COMPLETION_INDEX": "1",
        "KERAZOO_WORKERS": "2",
        "KERAZOO_SERVICE": "peers",
        "HOSTNAME": "my-job-1",
    }
    assert kubernetes_config(environ) == {
        "cluster": {"worker": ["my-job-0.peers:8470", "my-job-1.peers:8470"]},
        "task": {"type": "worker", "index": 1},
    }


def test_tasks_of_a_slurm_step_know_each_other(monkeypatch):
    environ = {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "n[1-2]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURM_JOB_ID": "70001",
    }
    monkeypatch.setattr("shutil.which", lambda name: None)  # nodes without a GPU
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert slurm_config(os.environ) == {
        "cluster": {"worker": ["n1:20001", "n1:20002", "n2:20001", "n2:20002"]},
        "task": {"type": "worker", "index": 2},
    }


def test_the_overrides_are_for_the_versions_they_were_tried_with():
    import keras

    assert keras_multi_worker.applies(keras.__version__)
    assert not keras_multi_worker.applies("3.14.1")
    assert not keras_multi_worker.applies("4.0")


@pytest.mark.parametrize("words", [(), ("train",), ("train", "tabular", "--workers")])
def test_launch_needs_a_command(kerazoo, words):
    answer = kerazoo("launch", *words)
    assert answer.status == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--k-folds", "3"), "cross-validation works on one machine"),
        (("--batch-size", "max"), "max is found on one machine"),
        (("--steps-per-execution", "4"), "one step at a time"),
        ((), "the same folder"),
    ],
)
def test_what_several_workers_cannot_do_is_one_sentence(words, sentence, kerazoo, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(TWO))
    answer = kerazoo("train", "tabular", "--strategy", "multi-worker", *words)
    assert (answer.status, sentence in answer.err) == (2, True)
