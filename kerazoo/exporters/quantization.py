"""Smaller and quicker LiteRT files: half precision, 8-bit weights, or 8-bit arithmetic throughout.

The converter for 8-bit arithmetic can bring its process down, so it runs in one of its own, `integer_process`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.exporters.plan import Plan

QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "int8-float-io")
FEWEST_SAMPLES = 64  # with fewer, single samples decide on the ranges
TIMEOUT = 900  # seconds


@dataclass(frozen=True)
class Criterion:
    """When a file is close enough to its model.

    Attributes:
        relative: Largest difference relative to the largest output.
        sqnr: The same as a smallest ratio of signal to quantisation noise, in dB; the one that is not `None` counts.
    """

    relative: float | None = None
    sqnr: float | None = None

    def passes(self, relative: float, sqnr: float) -> bool:
        """Whether both figures are within the limits."""
        return (self.relative is None or relative <= self.relative) and (self.sqnr is None or sqnr >= self.sqnr)


CRITERIA = {
    "none": Criterion(relative=1e-4),
    "float16": Criterion(relative=1e-2),
    "dynamic": Criterion(sqnr=20.0),
    "int8": Criterion(sqnr=20.0),
    "int8-float-io": Criterion(sqnr=20.0),
}


def is_integer(quantize: str) -> bool:
    """Whether all arithmetic is in 8 bits, for which the ranges of all values must be known."""
    return quantize.startswith("int8")


def check(quantize: Any, format: str, calibration: Any, keep_float: Any, list_errors: bool) -> None:
    """Refuses what makes no sense together.

    Raises:
        ValueError: One sentence.
    """
    if quantize not in QUANTIZATIONS:
        raise ValueError(f"quantize must be one of {', '.join(QUANTIZATIONS)}, received {quantize!r}.")
    if quantize != "none" and format != "litert":
        raise ValueError(
            f"quantize={quantize!r} is for LiteRT files, received format={format!r}; use format='litert' or "
            "quantize='none'."
        )
    if is_integer(quantize) and calibration is None:
        raise ValueError(
            f"quantize={quantize!r} needs calibration=, at least {FEWEST_SAMPLES} real samples: the ranges of all "
            "values are measured on them, and random numbers would give wrong ones."
        )
    for name, value in (("calibration", calibration), ("keep_float", keep_float), ("list_errors", list_errors)):
        given = value is not None if name == "calibration" else bool(value)
        if given and not is_integer(quantize):
            raise ValueError(f"{name} is for quantize='int8' and 'int8-float-io' only, received quantize={quantize!r}.")
    if isinstance(keep_float, str):
        raise ValueError(f"keep_float must be a list of names of layers, received {keep_float!r}.")


def check_calibration(arrays: list[np.ndarray]) -> None:
    """Refuses too few samples."""
    if len(arrays[0]) < FEWEST_SAMPLES:
        raise ValueError(f"calibration needs at least {FEWEST_SAMPLES} samples, received {len(arrays[0])}.")


def options(quantize: str) -> dict[str, Any]:
    """Returns the arguments of Keras' exporter for all that needs no samples."""
    import tensorflow as tf

    target: dict[str, Any] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if quantize == "none":
        return {"target_spec": target}
    if quantize == "float16":
        target["supported_types"] = [tf.float16]
    return {"target_spec": target, "optimizations": [tf.lite.Optimize.DEFAULT]}


def convert_to_integers(
    saved_model: Path, target: Path, samples: dict[str, np.ndarray], plan: Plan, ends: list[str]
) -> list[dict[str, Any]]:
    """Writes the LiteRT file of a SavedModel in a process of its own.

    Args:
        saved_model: Folder of the SavedModel.
        target: The file to write.
        samples: Arrays by the names of the inputs.
        plan: What is wanted.
        ends: Names of the layers that give the outputs.

    Returns:
        With `list_errors` the error of each operation, the largest first: `name` of its tensor, `layers`, `operation`,
        and `error`, the root mean square in 8-bit steps (rounding alone gives 0.29).

    Raises:
        ValueError: If the converter fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "samples.npz", **samples)
        wanted = {"quantize": plan.quantize, "keep_float": list(plan.keep_float), "list_errors": plan.list_errors}
        content = {"model": str(saved_model), "target": str(target), "ends": ends, **wanted}
        (Path(folder) / "plan.json").write_text(json.dumps(content))
        command = [sys.executable, "-m", "kerazoo.exporters.integer_process", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"LiteRT's converter to 8 bits did not end within {TIMEOUT} s.") from error
        if done.returncode < 0:
            raise ValueError(f"LiteRT's converter to 8 bits crashed (signal {-done.returncode}).")
        if done.returncode:
            raise ValueError((done.stderr.strip().splitlines() or ["LiteRT's converter to 8 bits failed."])[-1])
        return json.loads((Path(folder) / "errors.json").read_text())
