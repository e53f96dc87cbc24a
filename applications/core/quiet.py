"""Importing TensorFlow without its start-up messages, and printing to a pipe that nobody reads any more."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Imports TensorFlow; what it writes to standard error while doing so is shown only where the import fails.

    `TF_CPP_MIN_LOG_LEVEL` does not reach the lines written before TensorFlow has set up its logging.
    """
    if "tensorflow" in sys.modules:
        return
    with quiet_stderr():
        import tensorflow  # noqa: F401


def discard_output() -> None:
    """Sends what is still to be printed nowhere: the reader of the pipe (`| head`) has seen enough."""
    handle = os.open(os.devnull, os.O_WRONLY)
    os.dup2(handle, sys.stdout.fileno())
    os.close(handle)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Holds back what C++ code writes to standard error; shows it after all where the block raises."""
    try:
        original = os.dup(2)
    except OSError:  # no standard error to be quiet on
        yield
        return
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            if failed:
                held.seek(0)
                with contextlib.suppress(OSError):
                    os.write(2, held.read())
