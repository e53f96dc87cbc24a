"""The package stardist on the same nuclei, the same split and for as long as `kerazoo train instance-segmentation`.

usage: python -m benchmarks.stardist_package [--minutes 8] [--seed 0] [--filters 32] [--head-filters 128]

Needs the packages stardist 0.9.2 and csbdeep 0.8.2 beside kerazoo's own, best in an environment of its own. Both train
with Adam on crops of 128 pixels with grid 2 and 32 rays; the package halves its learning rate where it does not
improve, and its thresholds are its own choice on the validation images. The figure goes to
`benchmarks/results/stardist_package.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).parent / "results" / "stardist_package.json"


def parts(seed: int) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """Returns normalised images and label images of each part, as the task divides them."""
    from applications.datasets.instances import load_instances
    from applications.imaging.objects import normalised

    data = load_instances("nuclei", seed=seed)
    assert data.instances is not None
    return {
        name: (
            [normalised(data.images[index])[..., 0] for index in chosen],
            [data.instances[index][..., 0] for index in chosen],
        )
        for name, chosen in data.split.items()
    }


def augmented(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The moves and changes of brightness of the package's own example."""
    turns, flip = np.random.randint(4), np.random.rand() < 0.5
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if flip:
        image, labels = image[::-1], labels[::-1]
    image = image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)
    return image + 0.02 * np.random.rand() * np.random.normal(size=image.shape), labels


def measure(minutes: float, seed: int, filters: int, head_filters: int) -> dict[str, Any]:
    """Trains the package and returns its figures on the test split."""
    import keras
    from stardist.models import Config2D, StarDist2D

    from applications.imaging.instance_report import instance_metrics

    keras.utils.set_random_seed(seed)
    data = parts(seed)

    class Clock(keras.callbacks.Callback):
        """Ends the training when the time is over."""

        def on_train_begin(self, logs: Any = None) -> None:
            self.end = time.monotonic() + 60 * minutes

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.epochs = epoch + 1
            self.model.stop_training = time.monotonic() > self.end

    config = Config2D(
        grid=(2, 2),
        n_rays=32,
        n_channel_in=1,
        unet_n_filter_base=filters,
        net_conv_after_unet=head_filters,
        train_patch_size=(128, 128),
        train_batch_size=4,
        train_epochs=10_000,
        train_steps_per_epoch=42,
        train_learning_rate=3e-4,
        train_tensorboard=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        model, clock = StarDist2D(config, name="peer", basedir=folder), Clock()
        model.prepare_for_training()
        model.callbacks.append(clock)
        began = time.monotonic()
        images, labels = (list(part) for part in data["train"])
        model.train(images, labels, validation_data=data["val"], augmenter=augmented, seed=seed)
        seconds = time.monotonic() - began
        thresholds = model.optimize_thresholds(*data["val"])
        found = [model.predict_instances(image)[0] for image in data["test"][0]]
    return {
        "seed": seed,
        "filters": filters,
        "head_filters": head_filters,
        "test": instance_metrics(data["test"][1], found),
        "thresholds": dict(thresholds._asdict()) if hasattr(thresholds, "_asdict") else str(thresholds),
        "epochs": clock.epochs,
        "training_seconds": round(seconds, 1),
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--head-filters", type=int, default=128)
    options = parser.parse_args()
    found = measure(options.minutes, options.seed, options.filters, options.head_filters)
    rows = json.loads(RESULT.read_text())["seeds"] if RESULT.exists() else []
    rows = [row for row in rows if row["seed"] != options.seed] + [found]
    RESULT.write_text(json.dumps({"package": "stardist 0.9.2", "seeds": rows}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
