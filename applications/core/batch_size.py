"""`--batch-size max`: the largest batch that the memory has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from applications.core.errors import UserError

if TYPE_CHECKING:
    from applications.core.fitting import Fit

ROOM = 0.8  # of the free memory, since validation, callbacks and others need some, too


def largest(fit: Fit) -> int:
    """Returns the largest power of two (times the number of devices) that can be trained with.

    Batches are doubled, with two steps each, until a GPU refuses, the next one would not fit into the memory by what
    the last ones have taken, or a batch is the whole training data. On a CPU the operating system would not refuse but
    kill the process.

    Args:
        fit: A model and its data, which are of no use afterwards.

    Raises:
        UserError: Not even one sample per device can be trained with.
    """
    import tensorflow as tf

    from applications.core.meters import peak_memory
    from applications.datasets.store import available_memory

    gpu = bool(tf.config.list_logical_devices("GPU"))
    size, found = fit.session.replicas, 0
    before = limit = 0
    while size <= fit.samples.size:
        try:
            _two_steps(fit, size)
        except tf.errors.ResourceExhaustedError:
            break
        found = size
        now = peak_memory()["process"]
        if not found > fit.session.replicas:
            limit = now + int(ROOM * available_memory())
        elif not gpu and now + 2 * (now - before) > limit:
            break
        before, size = now, 2 * size
    if not found:
        raise UserError("batch_size: not even one sample per device fits into the memory; choose a smaller model.")
    return found


def _two_steps(fit: Fit, size: int) -> None:
    fit.batch_size = size
    fit.model.fit(fit.batches(0, 0, endless=True), steps_per_epoch=2, verbose=0, shuffle=False)
