"""Where a model computes: distribution strategy, precision and determinism."""

import os
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

STRATEGIES = ("auto", "single", "mirrored", "multi-worker", "tpu")
_POLICIES = {"float32": None, "mixed_float16": "mixed_float16", "mixed_bfloat16": "mixed_bfloat16"}


def make_strategy(name: str) -> "tf.distribute.Strategy":
    """Returns the tf.distribute strategy of a name.

    Args:
        name: "auto" (TPU where one is announced, mirrored over several GPUs, else one device), "single", "mirrored"
            (all GPUs, or all logical CPUs where there is no GPU), "multi-worker" (machines in `TF_CONFIG`) or "tpu".

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        UserError: The hardware the strategy needs is not there.
    """
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "tpu" if os.environ.get("TPU_NAME") else "mirrored" if len(gpus) > 1 else "single"
    if name == "single":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi-worker":
        if not os.environ.get("TF_CONFIG"):
            raise UserError(
                "--strategy multi-worker: the environment variable TF_CONFIG is not set, so the machines are unknown; "
                "set it on each machine or use --strategy mirrored."
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"--strategy tpu: no TPU was found ({reason}); set TPU_NAME to the address of one, or use --strategy auto."
        ) from None
    return tf.distribute.TPUStrategy(resolver)


def dtype_policy(precision: str) -> str | None:
    """Returns the Keras dtype policy for a precision, `None` for plain float32."""
    return _POLICIES[precision]


def prepare(seed: int, deterministic: bool) -> None:
    """Seeds Keras, NumPy and TensorFlow; with `deterministic`, makes every operation repeat bit for bit."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"Training needs the TensorFlow backend of Keras, found {keras.backend.backend()!r}: set "
            "KERAS_BACKEND=tensorflow."
        )
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def execution_arguments(execution: str, deterministic: bool) -> dict[str, Any]:
    """Returns the arguments of `compile` that say how steps are executed.

    XLA is off on the CPU unless asked for: Keras' own "auto" turns it on there, where plain convolutional networks
    become about twice slower.
    """
    import tensorflow as tf

    if execution == "auto" and not deterministic:
        return {"jit_compile": bool(tf.config.list_physical_devices("GPU"))}
    return {"jit_compile": execution == "xla"}
