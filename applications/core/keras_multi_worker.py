"""Two defects of Keras under `tf.distribute.MultiWorkerMirroredStrategy`, mended from outside.

`fit` and `evaluate` fail there (https://github.com/keras-team/keras/issues/20585, open with Keras 3.15):

1. Before the first step Keras averages a batch over all devices to learn its shapes. Between workers that fails, and
   nothing but the shapes is needed: the batch of the first device here will do.
2. After a step it averages the results along their first axis, which numbers do not have. They are averaged inside the
   step here, in one message for all of them, so that the value of any device is that of all.

This is the only module that touches private names of Keras, and it does so for one process that trains with several
workers: the class of the model, and with it what is saved, stays what it is. `applies` says for which versions it was
tried; a test trains with it, and fails when Keras needs it no longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

FIRST, LAST = (3, 15), (3, 15)  # versions of Keras this was tried with, both included


def applies(version: str) -> bool:
    """Returns whether the overrides were tried with a version of Keras."""
    return FIRST <= tuple(int(part) for part in version.split(".")[:2]) <= LAST


def mend(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Makes `fit` and `evaluate` of a compiled model work with several workers.

    Args:
        model: The model, compiled in the scope of `strategy`.
        strategy: A `tf.distribute.MultiWorkerMirroredStrategy`.

    Raises:
        UserError: Another version of Keras.
    """
    import keras

    if not applies(keras.__version__):
        raise UserError(
            f"--strategy multi-worker needs Keras {FIRST[0]}.{FIRST[1]} to {LAST[0]}.{LAST[1]}, found "
            f"{keras.__version__}: training with several workers is mended for these versions only."
        )
    _build_from_local_batch(model, strategy)
    _take_local_results(strategy)
    model.train_step = averaged(model.train_step)
    model.test_step = averaged(model.test_step)


def _build_from_local_batch(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Defect 1: gives the model's symbolic build a batch of this worker."""
    import tensorflow as tf

    original = model._maybe_symbolic_build

    def build(iterator: Any = None, data_batch: Any = None) -> None:
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            data_batch = tf.nest.map_structure(lambda part: strategy.experimental_local_results(part)[0], next(batches))
        original(data_batch=data_batch)

    model._maybe_symbolic_build = build


def _take_local_results(strategy: tf.distribute.Strategy) -> None:
    """Defect 2, outer half: takes the results of a step as `averaged` has left them."""
    import tensorflow as tf
    from keras.src.backend.tensorflow import trainer  # noqa: TID251

    original = trainer.reduce_per_replica

    def reduce(values: Any, used: tf.distribute.Strategy, reduction: str) -> Any:
        if used is not strategy or reduction == "concat":
            return original(values, used, reduction)
        return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], values)

    trainer.reduce_per_replica = reduce


def averaged(step: Any) -> Any:
    """Defect 2, inner half: returns a step whose results are means over all devices of all workers."""
    import functools

    import tensorflow as tf

    @functools.wraps(step)
    def averaging(data: Any) -> Any:
        results = step(data)
        context = tf.distribute.get_replica_context()
        numbers = [tf.cast(value, tf.float32) for value in tf.nest.flatten(results)]
        return tf.nest.pack_sequence_as(results, context.all_reduce(tf.distribute.ReduceOp.MEAN, numbers))

    return averaging
