"""Fine-tuning against training from scratch, with 10 images per class.

usage: python -m benchmarks.finetune [--seeds 5]

For every seed: `resnet20` learns the digits 0 to 4 of scikit-learn's handwritten digits; then the digits 5 to 9 are
learned from 10 images of each, once from those weights and twice from random ones, with as many steps, at either of
the two learning rates. The accuracy is that on all other images of 5 to 9. The figures go to
`benchmarks/results/finetune.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "finetune.json"
FIRST_SEED = 2  # seeds 0 and 1 chose the recipe below
PER_CLASS, BATCH, BASE_EPOCHS, EPOCHS = 10, 16, 15, 40
RATE, FAST, HEAD_EPOCHS, SLOW, DECAY = 1e-3, 5e-3, 5, 0.4, 0.8


def digits(seed: int, per_class: int = PER_CLASS) -> dict[str, tuple[Any, Any]]:
    """Returns images and labels: `base` (0 to 4), `few` and `rest` of 5 to 9, whose labels are 0 to 4 again."""
    import numpy as np
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32")
    order = np.random.default_rng(seed).permutation(len(labels))
    images, labels = images[order], labels[order]
    few = np.concatenate([np.flatnonzero(labels == digit)[:per_class] for digit in range(5, 10)])
    rest = np.setdiff1d(np.flatnonzero(labels >= 5), few)
    base = labels < 5
    return {
        "base": (images[base], labels[base]),
        "few": (images[few], labels[few] - 5),
        "rest": (images[rest], labels[rest] - 5),
    }


def _learn(model: Any, optimizer: Any, data: tuple[Any, Any], epochs: int) -> None:
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.fit(*data, batch_size=BATCH, epochs=epochs, verbose=0)


def _accuracy(model: Any, data: tuple[Any, Any]) -> float:
    return float(model.evaluate(*data, batch_size=256, verbose=0, return_dict=True)["accuracy"])


def compare(
    seed: int, *, base_epochs: int = BASE_EPOCHS, epochs: int = EPOCHS, per_class: int = PER_CLASS
) -> dict[str, float]:
    """Trains in all ways and returns their accuracies.

    Args:
        seed: Of the chosen images, the weights and the order of the data.
        base_epochs: Passes over the digits 0 to 4.
        epochs: Passes over the few images of 5 to 9, the same for all.
        per_class: Number of those per class.
    """
    import keras

    import kerazoo
    from kerazoo import finetuning

    data = digits(seed, per_class)
    options = {"include_preprocessing": (1 / 6.0, -0.8)}  # about mean 0 and spread 1 for pixels from 0 to 16
    keras.utils.set_random_seed(seed)
    base = kerazoo.resnet20((8, 8, 1), 5, **options)
    _learn(base, keras.optimizers.Adam(RATE), data["base"], base_epochs)

    tuned = kerazoo.replace_head(base, 5)
    for layer in tuned.layers:  # batch normalisations keep their statistics, the others learn after the head
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    rates = {name: SLOW * rate for name, rate in finetuning.layer_decay(tuned, DECAY).items()}
    steps = HEAD_EPOCHS * epochs // EPOCHS * -(-len(data["few"][0]) // BATCH)
    optimizer = finetuning.layerwise(keras.optimizers.Adam(FAST), rates, held=list(rates), held_steps=steps)
    _learn(tuned, optimizer, data["few"], epochs)

    found = {"fine_tuned": _accuracy(tuned, data["rest"])}
    for rate in (RATE, FAST):
        keras.utils.set_random_seed(seed)
        scratch = kerazoo.resnet20((8, 8, 1), 5, **options)
        _learn(scratch, keras.optimizers.Adam(rate), data["few"], epochs)
        found[f"from_scratch_{rate:g}"] = _accuracy(scratch, data["rest"])
    return found


def main() -> None:
    """Measures all seeds and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from applications.core.run_directory import environment, write_atomically

    rows = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        rows.append({"seed": seed, **compare(seed)})
        print(rows[-1], flush=True)
    ways = [key for key in rows[0] if key != "seed"]
    means = {key: statistics.mean(row[key] for row in rows) for key in ways}
    content = {
        "command": f"python -m benchmarks.finetune --seeds {seeds}",
        "model": "resnet20",
        "images_per_class": PER_CLASS,
        "mean_accuracy": means,
        "better_seeds": sum(row["fine_tuned"] == max(row[key] for key in ways) for row in rows),
        "seeds": rows,
        "environment": environment(),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(RESULT, json.dumps(content, indent=1) + "\n")
    print(means)


if __name__ == "__main__":
    main()
