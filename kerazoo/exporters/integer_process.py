"""What the process does that turns a SavedModel into an 8-bit LiteRT file: `python -m` this module and a folder.

The folder holds `plan.json` and `samples.npz`; `errors.json` is written into it, and a failure is one line on stderr.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np


def _work(folder: Path) -> None:
    """What the child process does."""
    import tensorflow as tf

    plan = json.loads((folder / "plan.json").read_text())
    with np.load(folder / "samples.npz") as file:
        samples = dict(file)

    def representative() -> Any:
        for index in range(len(next(iter(samples.values())))):
            yield {name: array[index : index + 1] for name, array in samples.items()}

    def converter() -> Any:
        made = tf.lite.TFLiteConverter.from_saved_model(plan["model"])
        made.optimizations = [tf.lite.Optimize.DEFAULT]
        made.representative_dataset = representative
        return made

    errors, spared = [], []
    if plan["keep_float"] or plan["list_errors"]:
        errors = _errors(converter(), samples, plan["ends"])
        spared = [row["name"] for row in errors if set(row["layers"]) & set(plan["keep_float"])]
        missing = [layer for layer in plan["keep_float"] if not any(layer in row["layers"] for row in errors)]
        if missing:
            raise ValueError(f"keep_float: {missing[0]!r} is no layer with a quantised operation.")
    if spared:
        settings = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=spared)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter(), debug_dataset=lambda: [], debug_options=settings
        )
        content = debugger.get_nondebug_quantized_model()
    else:
        last = converter()
        if plan["quantize"] == "int8":
            last.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            if any(array.dtype.kind == "f" for array in samples.values()):
                last.inference_input_type = tf.int8
            last.inference_output_type = tf.int8
        content = last.convert()
    Path(plan["target"]).write_bytes(content)
    (folder / "errors.json").write_text(json.dumps(errors))


def _errors(converter: Any, samples: dict[str, np.ndarray], ends: list[str], count: int = 16) -> list[dict[str, Any]]:
    """Returns how far each operation is from the one in float, on the first samples."""
    import tensorflow as tf

    order = list(samples)

    def some() -> Any:
        for index in range(min(count, len(samples[order[0]]))):
            yield [samples[name][index : index + 1] for name in order]

    debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_dataset=some)
    if len(order) > 1:  # the debugger takes lists in the order of the file
        from ai_edge_litert.interpreter import Interpreter

        details = Interpreter(model_content=debugger.get_nondebug_quantized_model()).get_input_details()
        order = [re.sub(r"^serving_default_|:0$", "", detail["name"]) for detail in details]
    debugger.run()
    text = io.StringIO()
    debugger.layer_statistics_dump(text)
    rows = [
        {
            "name": row["tensor_name"],
            "layers": sorted(layers_of(row["tensor_name"], ends)),
            "operation": row["op_name"],
            "error": math.sqrt(float(row["mean_squared_error"])) / max(float(row["scale"]), 1e-12),
        }
        for row in csv.DictReader(io.StringIO(text.getvalue()))
    ]
    return sorted(rows, key=lambda row: -row["error"])


def layers_of(tensor: str, ends: list[str]) -> set[str]:
    """Returns the names of layers in the name of a tensor, with and without the number a repeated call adds.

    Args:
        tensor: Such as `net_1/stem_relu_1/Relu;net_1/stem_conv_1/convolution`; an output has lost its name.
        ends: The layers that give the outputs.
    """
    if tensor.startswith("StatefulPartitionedCall"):
        return set(ends)
    parts = {part for path in tensor.split(";") for part in path.split("/")[:-1]}
    return parts | {re.sub(r"_\d+$", "", part) for part in parts}


if __name__ == "__main__":
    from kerazoo.exporters.messages import first_reason

    try:
        _work(Path(sys.argv[1]))
    except Exception as error:
        reason = first_reason(error)
        if reason == f"{type(error).__name__}.":
            reason = f"LiteRT's converter to 8 bits stopped with {type(error).__name__} and gave no reason."
        print(reason, file=sys.stderr)
        sys.exit(1)
