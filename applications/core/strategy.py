"""Where a model computes: distribution strategy, precision and determinism."""

import functools
import os
from typing import TYPE_CHECKING, Any

from applications.core.cluster import Cluster, tf_config
from applications.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

STRATEGIES = ("auto", "single", "mirrored", "multi-worker", "tpu")
_POLICIES = {"float32": None, "mixed_float16": "mixed_float16", "mixed_bfloat16": "mixed_bfloat16"}


def make_strategy(name: str, cluster: Cluster | None = None) -> "tf.distribute.Strategy":
    """Returns the tf.distribute strategy of a name.

    Args:
        name: "auto" (TPU where one is announced, mirrored over several GPUs, else one device), "single", "mirrored"
            (all GPUs, or all logical CPUs where there is no GPU), "multi-worker" (see `applications.core.cluster`) or
            "tpu".
        cluster: The workers, of "multi-worker"; it learns the strategy.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        UserError: The hardware the strategy needs is not there.
    """
    import tensorflow as tf

    if name == "multi-worker":
        return _multi_worker(Cluster.around(name) if cluster is None else cluster)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "tpu" if os.environ.get("TPU_NAME") else "mirrored" if len(gpus) > 1 else "single"
    if name == "single":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        return _mirrored(tuple(device.name for device in devices))
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


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> "tf.distribute.Strategy":
    """One per process: what two of them add up over the devices would have the same numbers, and be mixed up."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def _multi_worker(cluster: Cluster) -> "tf.distribute.Strategy":
    """Connects this worker with the others; it must come before anything else asks TensorFlow for its devices."""
    import json

    import tensorflow as tf

    os.environ["TF_CONFIG"] = json.dumps(tf_config(os.environ))
    try:
        cluster.strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise UserError(
            "--strategy multi-worker: TensorFlow has been at work in this process; start a new one for each worker."
        ) from None
    return cluster.strategy


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


def execution_arguments(execution: str, deterministic: bool, devices: int = 1) -> dict[str, Any]:
    """Returns the arguments of `compile` that say how steps are executed.

    XLA is off on the CPU unless asked for: Keras' own "auto" turns it on there, where plain convolutional networks
    become about twice slower. It is off for several devices, too, where Keras' own "auto" turns it off.
    """
    import tensorflow as tf

    if execution == "auto" and not deterministic and devices == 1:
        return {"jit_compile": bool(tf.config.list_physical_devices("GPU"))}
    return {"jit_compile": execution == "xla"}
