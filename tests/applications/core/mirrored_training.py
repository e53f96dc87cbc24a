"""Trains with batch statistics on two devices, once in one go and once interrupted; says how the two differ.

usage: python mirrored_training.py OUT [kerazoo train arguments...]
"""

import signal
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from applications.cli import main
from applications.core import training


class Sender(keras.callbacks.Callback):
    """Sends SIGTERM to its own process in the second batch of the second epoch."""

    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            signal.raise_signal(signal.SIGTERM)


def train(out: str, words: list[str]) -> list[Path]:
    """Returns the last checkpoints of both trainings."""
    assert main(["train", "image-classification", *words, "--out", out, "--name", "whole"]) == 0
    original = training.Fit._callbacks
    training.Fit._callbacks = lambda self, run: {"sender": Sender(), **original(self, run)}
    assert main(["train", "image-classification", *words, "--out", out, "--name", "parts"]) == 143
    training.Fit._callbacks = original
    folder = Path(out) / "image-classification"
    saved = sorted((folder / "parts" / "checkpoints").glob("[0-9]*"))[-1]
    with np.load(saved / "variables.npz") as arrays:
        assert any("moving_mean@1" in name for name in arrays.files), "copies must differ, or this proves nothing"
    assert main(["resume", str(folder / "parts")]) == 0
    return [sorted((folder / name / "checkpoints").glob("[0-9]*"))[-1] for name in ("whole", "parts")]


def compare(whole: Path, parts: Path) -> None:
    """Ends with an error where weights or statistics of the two checkpoints differ in a bit."""
    for file in ("variables.npz", "best.npz"):
        with np.load(whole / file) as first, np.load(parts / file) as second:
            assert sorted(first.files) == sorted(second.files)
            for name in first.files:
                np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    with np.load(whole / "variables.npz") as arrays:
        model = [name for name in arrays.files if name.startswith("model/")]
        assert not [name for name in model if "@" in name], "validated statistics must be those of all devices"


if __name__ == "__main__":
    devices = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
    out, *words = sys.argv[1:]
    assert main(["train", "image-classification", *words, "--batch-size", "63", "--out", out]) == 2
    assert not (Path(out) / "image-classification").exists()
    compare(*train(out, words))
