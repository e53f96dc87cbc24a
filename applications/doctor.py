"""`kerazoo doctor`: what this machine offers, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

EXTRAS = {
    "tune": ("keras-tuner",),
    "export": ("tf2onnx", "onnx", "onnxruntime", "ai-edge-litert"),
    "imaging": ("scikit-image",),
    "text": ("tokenizers", "safetensors"),
    "forecast": ("statsmodels",),
    "graphs": ("networkx",),
}


def examine() -> int:
    """Prints versions, devices, memory, disk and optional packages.

    Returns:
        0 where training can work, 1 where something it needs is broken.
    """
    import psutil

    print(f"kerazoo      {_version('kerazoo') or 'not installed (run from a checkout)'}")
    print(f"python       {platform.python_version()} on {platform.platform()}")
    print(f"cores        {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}")
    memory = psutil.virtual_memory()
    print(f"memory       {memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f} GiB")
    for package in ("keras", "tensorflow", "tensorflow-cpu", "tensorflow-datasets", "numpy", "scikit-learn"):
        version = _version(package)
        if version or package not in ("tensorflow", "tensorflow-cpu"):
            print(f"{package:<20} {version or 'MISSING'}")
    healthy = _examine_tensorflow()
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if _version(package) is None]
        state = "complete" if not missing else f"missing {', '.join(missing)}: pip install 'kerazoo[{extra}]'"
        print(f"extra {extra:<14} {state}")
    data = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    print(f"prepared data        {data} ({'there' if data.is_dir() else 'made on first use'})")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    print(f"disk                 {free:.1f} GiB free here")
    if free < 1:
        print("warning: less than 1 GiB of disk is free; a training keeps two checkpoints of its model.")
    return 0 if healthy else 1


def _examine_tensorflow() -> bool:
    from applications.core.quiet import import_tensorflow

    try:
        import_tensorflow()
        import keras
        import tensorflow as tf
    except ImportError as error:
        print(f"tensorflow           BROKEN: {error}; pip install tensorflow (or tensorflow-cpu)")
        return False
    print(f"keras backend        {keras.backend.backend()}")
    devices = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]
    print(f"devices              {', '.join(devices)}")
    if keras.backend.backend() != "tensorflow":
        print("note: applications train on the TensorFlow backend only; builders work on every backend.")
        return False
    return True


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
