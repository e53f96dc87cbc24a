"""Models that write and draw, trained on two devices at once, one after the other in one process."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np

from applications.core.pictures import sheets
from tests import processes
from tests.applications.conftest import command
from tests.applications.test_killed_generative import pictures

EACH = ("--no-tensorboard", "--epochs", 1, "--strategy", "mirrored", "--precision", "mixed_bfloat16")
SMALL_DIFFUSION = (
    "--model-options.filters",
    8,
    "--model-options.timesteps",
    10,
    "--model-options.attention-sizes",
    "[]",
)
SMALL_TRANSFORMER = (
    *("--model-options.num-layers", 1, "--model-options.hidden-dim", 16, "--model-options.num-heads", 2),
    *("--model-options.mlp-dim", 16),
)
TRAININGS = (
    ("image-generation", "--model", "ddpm_small", *SMALL_DIFFUSION, "--judged", 20, "--batch-size", 8),
    ("sequence-to-sequence", "--model", "transformer_small", *SMALL_TRANSFORMER, "--batch-size", 32),
    ("sequence-to-sequence", "--model", "bahdanau_seq2seq", "--model-options.units", 8, "--batch-size", 32),
)


def test_trainings_follow_each_other_on_two_devices(tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    words = ("Amber", "birch", "cedar", "delta", "ember")
    lines = [f"{a} {b} {c}\t{c} {b} {a}" for a, b, c in itertools.product(words, repeat=3)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    process = processes.run(__file__, tmp_path)
    assert process.returncode == 0, process.stderr
    for number, (task, *_) in enumerate(TRAININGS):
        run = tmp_path / task / str(number)
        metrics = json.loads((run / "metrics.json").read_text())
        assert np.isfinite(metrics["test"][metrics["headline"]])
        assert list(sheets(run)) == ([1] if task == "image-generation" else [])


if __name__ == "__main__":
    import tensorflow as tf

    devices = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
    folder = Path(sys.argv[1])
    for number, (task, *more) in enumerate(TRAININGS):
        data = folder / ("images" if task == "image-generation" else "pairs.tsv")
        answer = command("train", task, "--data", data, *more, *EACH, "--out", folder, "--name", number)
        if answer.status:
            sys.exit(f"{task} {more}: {answer.err}")
