"""Several processes that train one model together: which of them this one is, and what they have to agree on.

Every one of them runs the same command. Each takes its rows of every batch, and TensorFlow adds up their gradients, so
all of them hold the same weights and come to the same decisions at the same step. The first one, the chief, is the only
one that writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

REASONS = ("max-time", "SIGINT", "SIGTERM", "nan")  # reasons for an end, the strongest last
KUBERNETES_PORT = 8470


class Cluster:
    """The workers of a training; where there is but one, it agrees with itself.

    Args:
        index: Number of this worker; 0 is the chief.
        size: Number of all workers.
    """

    def __init__(self, index: int = 0, size: int = 1):
        self.index = index
        self.size = size
        self.strategy: tf.distribute.Strategy | None = None
        self._gather: Any = None

    @classmethod
    def around(cls, strategy: str, environ: Mapping[str, str] | None = None) -> Cluster:
        """Returns the cluster that the environment describes, without a look at any device.

        Args:
            strategy: Name of the strategy; any other than "multi-worker" works in one process.
            environ: The environment variables; None takes those of this process.

        Raises:
            UserError: There is no cluster, or its description is wrong.
        """
        return cls(*_place(os.environ if environ is None else environ)) if strategy == "multi-worker" else cls()

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes."""
        return self.index == 0

    def everyones(self, value: int) -> list[int]:
        """Returns the value of every worker; all of them have to ask at the same place."""
        if self.strategy is None or self.size == 1:
            return [value]
        import tensorflow as tf

        if self._gather is None:
            strategy = self.strategy

            def gather(value: tf.Tensor) -> tf.Tensor:
                return strategy.gather(strategy.run(lambda own: own, args=(value,)), axis=0)

            self._gather = tf.function(gather, autograph=False)
        return [int(found) for found in self._gather(tf.constant([value], tf.int64))]

    def agree(self, reason: str | None) -> str | None:
        """Returns the strongest of the reasons all workers have for an end; None where none has any."""
        strongest = max(self.everyones(0 if reason is None else 1 + REASONS.index(reason)))
        return REASONS[strongest - 1] if strongest else None

    def wait(self) -> None:
        """Goes on when all workers have come as far as this."""
        self.everyones(0)

    def require_same(self, value: int, what: str) -> None:
        """Raises UserError where the workers have different values; `what` is the sentence that says so."""
        found = self.everyones(value)
        if len(set(found)) > 1:
            raise UserError(f"{what} (worker by worker: {', '.join(map(str, found))}).")


def _place(environ: Mapping[str, str]) -> tuple[int, int]:
    """Returns the number of this worker and that of all workers."""
    if environ.get("TF_CONFIG"):
        return _place_of(_tf_config(environ["TF_CONFIG"]))
    if "SLURM_PROCID" in environ:
        return int(environ["SLURM_PROCID"]), int(environ.get("SLURM_STEP_NUM_TASKS", environ.get("SLURM_NTASKS", 1)))
    if "JOB_COMPLETION_INDEX" in environ:
        return _place_of(kubernetes_config(environ))
    raise UserError(
        "--strategy multi-worker: neither TF_CONFIG nor Slurm nor an indexed job of Kubernetes says which machines "
        "there are; start it with `kerazoo launch --workers 2 train ...` or `srun`, or set TF_CONFIG on each of them."
    )


def _tf_config(text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
        config["cluster"], config["task"]["index"], config["task"]["type"]
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"TF_CONFIG: expected JSON with `cluster` and `task` (type, index), received {text[:60]!r}."
        ) from None
    return config


def _place_of(config: dict[str, Any]) -> tuple[int, int]:
    """Returns index and size from the content of TF_CONFIG; a job `chief` comes before the workers."""
    jobs = {name: len(hosts) for name, hosts in config["cluster"].items() if name in ("chief", "worker")}
    kind, index = config["task"]["type"], int(config["task"]["index"])
    if index >= jobs.get(kind, 0):
        raise UserError(f"TF_CONFIG: there is no task {index} in the job {kind!r}; its cluster has {jobs}.")
    return index + (jobs.get("chief", 0) if kind == "worker" else 0), sum(jobs.values())


def tf_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns what TF_CONFIG has to hold for this worker."""
    if environ.get("TF_CONFIG"):
        return _tf_config(environ["TF_CONFIG"])
    return slurm_config(environ) if "SLURM_PROCID" in environ else kubernetes_config(environ)


def slurm_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns the cluster of a Slurm step (`srun`), with the GPUs of a node shared out among its tasks."""
    import shutil

    import tensorflow as tf

    # Two jobs may share a node, so each has ports of its own.
    options: dict[str, Any] = {"port_base": 20_000 + int(environ.get("SLURM_JOB_ID", 0)) % 10_000}
    if shutil.which("nvidia-smi") is None:
        # TensorFlow's resolver divides the tasks of a node by their GPUs: without any it needs an imagined one each.
        most = max(int(word.partition("(")[0]) for word in environ["SLURM_STEP_TASKS_PER_NODE"].split(","))
        options |= {"gpus_per_node": most, "gpus_per_task": 1, "auto_set_gpu": False}
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(**options)
        cluster = resolver.cluster_spec().as_dict()
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"--strategy multi-worker: the Slurm step cannot be used: {error}") from None
    kind, index = resolver.get_task_info()
    return {"cluster": cluster, "task": {"type": kind, "index": index}}


def kubernetes_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns the cluster of an indexed job behind a headless service, whose pods are `JOB-INDEX.SERVICE`.

    TensorFlow's own resolver asks the API server, for which a pod needs rights, and takes the addresses of the nodes.
    """
    missing = [name for name in ("KERAZOO_WORKERS", "KERAZOO_SERVICE", "HOSTNAME") if not environ.get(name)]
    if missing:
        raise UserError(
            f"--strategy multi-worker: {', '.join(missing)} is not set; an indexed job needs KERAZOO_WORKERS (its "
            "completions) and KERAZOO_SERVICE (its headless service)."
        )
    index, job = int(environ["JOB_COMPLETION_INDEX"]), environ["HOSTNAME"].rpartition("-")[0]
    hosts = [
        f"{job}-{number}.{environ['KERAZOO_SERVICE']}:{KUBERNETES_PORT}"
        for number in range(int(environ["KERAZOO_WORKERS"]))
    ]
    return {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
