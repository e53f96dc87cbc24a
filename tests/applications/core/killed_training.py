"""Runs `kerazoo` with the words of the command line, and kills itself (SIGKILL) before a given training step.

usage: python killed_training.py STEP [kerazoo arguments...]; STEP counts from the beginning of the process, -1 never.
"""

import os
import signal
import sys

from applications.cli import main
from applications.core import training


def kill_at(step: int) -> None:
    """Makes the training kill its process after `step` steps, before anything of that step is saved."""
    original = training.Fit._callbacks

    def with_killer(self, run):
        import keras

        class Killer(keras.callbacks.Callback):
            steps = 0

            def on_train_batch_end(self, batch, logs=None):
                self.steps += 1
                if self.steps == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        found = original(self, run)
        return {"killer": Killer(), **found}

    training.Fit._callbacks = with_killer


if __name__ == "__main__":
    kill_at(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
