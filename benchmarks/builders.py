"""Forward passes and training steps of builders on whatever backend and device is there.

usage: KERAS_BACKEND=jax python -m benchmarks.builders [--models NAME ...] [--batch-size N] [--precision P] [--rounds N]

Every model is built small enough for a laptop: by its card's test configuration, or with `--default` as the defaults of
its arguments have it, where all have one. Steps wait for the device. Milliseconds, samples per second and, where the
operations of the model can be counted, the rate it reaches are printed and written to
`benchmarks/results/builders_BACKEND_DEVICE.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
# Networks of every family that take one batch of numbers and learn classes.
DEFAULT_MODELS = ("mlp", "lenet5", "resnet20", "mobilenet", "densenet_cifar", "lstm", "gru", "vit_tiny", "unet_small")


def device() -> str:
    """Returns the first device's name."""
    import keras

    names = keras.distribution.list_devices()
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    return str(names[0]) if names else "cpu"


def batch_of(model: Any, size: int) -> tuple[Any, Any]:
    """Returns inputs in [0, 1], and class numbers for every place of the output."""
    import numpy as np

    random = np.random.default_rng(0)
    shape = (size, *(length or 32 for length in model.input_shape[1:]))
    inputs = random.random(shape, np.float32)
    outputs = model.compute_output_shape(shape)
    return inputs, random.integers(0, outputs[-1], outputs[:-1]).astype("int32")


def times(call: Callable[[], Any], rounds: int) -> float:
    """Returns the median seconds of a call; the first three trace and compile."""
    found = []
    for turn in range(rounds + 3):
        began = time.perf_counter()
        call()
        if turn >= 3:
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def measure(name: str, size: int, rounds: int, default: bool) -> dict[str, Any]:
    """Returns milliseconds of both kinds of steps and the rate of the training."""
    import keras

    import kerazoo

    options = {} if default else dict(kerazoo.model_card(name).test_config)
    keras.utils.set_random_seed(0)
    model = kerazoo.create_model(name, **options)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    inputs, targets = batch_of(model, size)
    forward = times(lambda: model.predict_on_batch(inputs), rounds)
    step = times(lambda: model.train_on_batch(inputs, targets), rounds)
    found = {
        "params": int(model.count_params()),
        "forward_milliseconds": round(1e3 * forward, 3),
        "step_milliseconds": round(1e3 * step, 3),
        "samples_per_second": round(size / step, 1),
    }
    operations = kerazoo.count_flops(model) if keras.backend.backend() == "tensorflow" else None
    if operations:
        found["gflops_per_second"] = round(3 * operations * size / step / 1e9, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(DEFAULT_MODELS))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--default", action="store_true", help="sizes of the papers, not those of the tests")
    options = parser.parse_args()
    import keras

    keras.config.set_dtype_policy(options.precision)
    rows = {}
    for name in options.models:
        rows[name] = row = measure(name, options.batch_size, options.rounds, options.default)
        print(
            f"{name}: forward {row['forward_milliseconds']} ms, training step {row['step_milliseconds']} ms, "
            f"{row['samples_per_second']} samples per second",
            flush=True,
        )
    backend, where = keras.backend.backend(), device()
    content = {
        "backend": backend,
        "device": where,
        "keras": keras.__version__,
        "batch_size": options.batch_size,
        "precision": options.precision,
        "default_sizes": options.default,
        "models": rows,
    }
    file = RESULTS / f"builders_{backend}_{re.sub(r'[^A-Za-z0-9]+', '-', where).strip('-').lower()}.json"
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
