"""Runs `kerazoo` with the words of the command line as one worker, and writes down what it sees.

usage: python worker_training.py NOTES [kerazoo arguments...]; NOTES is a folder. Every step's loss goes to
`NOTES/losses-WORKER.json`, the weights at the end of the training to `NOTES/weights-WORKER.npz`. A file `NOTES/kill-K`
that holds "WORKER STEP" makes that worker kill itself (SIGKILL) after so many steps of a try; K gives their order.
"""

import json
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from applications.cli import main
from applications.core import training

NOTES = Path(sys.argv[1])
WORKER = int(json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"])


def order() -> tuple[Path, int] | None:
    """Returns the next order to kill a worker, where it is this one's: its file and the step."""
    orders = sorted(NOTES.glob("kill-*"))
    if not orders:
        return None
    worker, step = map(int, orders[0].read_text().split())
    return (orders[0], step) if worker == WORKER else None


class Watch(keras.callbacks.Callback):
    """Notes every loss, and obeys the order."""

    def __init__(self):
        super().__init__()
        self.losses: list[float] = []
        self.order = order()

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"] if "loss" in logs else logs["generator_loss"]))
        if self.order and len(self.losses) == self.order[1]:
            self.order[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)


original = training.Fit.train


def watched(self, run):
    watch = Watch()
    self.extra_callbacks["watch"] = watch
    result = original(self, run)
    (NOTES / f"losses-{WORKER}.json").write_text(json.dumps(watch.losses))
    arrays = {f"{number:03d}": variable.numpy() for number, variable in enumerate(self.model.weights)}
    np.savez(NOTES / f"weights-{WORKER}.npz", **arrays)
    return result


training.Fit.train = watched
sys.exit(main(sys.argv[2:]))
