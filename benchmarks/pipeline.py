"""Does the training wait for its data? JPEGs in folders, from the disk to the network.

usage: python -m benchmarks.pipeline [--images 10000] [--rounds N]

Photograph-like JPEGs of 256 x 256 pixels are made in two folders. Read and decoded once by kerazoo (images per second,
cores used) and, image by image in every epoch, by Keras' `image_dataset_from_directory`: what bounds a training by
decoding. Then resnet20 learns from them at 32 x 32 for an epoch: the share of its steps spent waiting, as every run
measures it. And batches from memory with augmentation, against those of Keras: `benchmarks/results/pipeline.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
GOAL = 0.05
SIZE, BATCH = 256, 32


def make_images(folder: Path, count: int) -> None:
    """Writes smooth coloured pictures with a little noise, about 12 kB each, as cameras' thumbnails are."""
    import numpy as np
    from PIL import Image
    from scipy.ndimage import zoom

    random = np.random.default_rng(0)
    large = zoom(random.random((3, 12, 12)), (1, SIZE / 6, SIZE / 6), order=1)
    for number in range(count):
        top, left = random.integers(0, large.shape[1] - SIZE, 2)
        pixels = large[:, top : top + SIZE, left : left + SIZE] * 200 + random.normal(0, 6, (3, SIZE, SIZE)) + 20
        file = folder / ("a", "b")[number % 2] / f"{number:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype("uint8").transpose(1, 2, 0)).save(file, quality=85)


def spent(call: Any) -> tuple[float, float]:
    """Returns seconds of a call by the clock, and the cores it kept busy on average."""
    began, processor = time.perf_counter(), time.process_time()
    call()
    seconds = time.perf_counter() - began
    return seconds, (time.process_time() - processor) / seconds


def reading(folder: Path, count: int) -> dict[str, Any]:
    """Returns images per second and cores of reading all files, kerazoo's way and Keras'."""
    import keras

    from applications.image_classification import ImageClassification

    def with_keras() -> None:
        files = keras.utils.image_dataset_from_directory(folder, image_size=(32, 32), batch_size=BATCH, verbose=False)
        for _ in files:
            pass

    found = {}
    ways = {
        "kerazoo": lambda: ImageClassification(data=str(folder), image_size=(32,)).datasets(),
        "keras, every epoch": with_keras,
    }
    for name, call in ways.items():
        seconds, cores = spent(call)
        found[name] = {"images_per_second": round(count / seconds, 1), "cores": round(cores, 2)}
    return found


def training(folder: Path) -> dict[str, Any]:
    """Returns what a run says about itself."""
    from applications.core.training import start
    from applications.image_classification import ImageClassification

    with tempfile.TemporaryDirectory() as out:
        app = ImageClassification(
            data=str(folder), model="resnet20", image_size=(32,), epochs=2, batch_size=BATCH, out=out, tensorboard=False
        )
        metrics = start(app).read_json("metrics.json")
    return {"data_wait": metrics["data_wait"], "training_seconds": metrics["training_seconds"]}


def batches(rounds: int) -> dict[str, Any]:
    """Returns milliseconds of a batch of 32 augmented images of 32 x 32 from memory."""
    import itertools

    import keras
    import numpy as np
    import tensorflow as tf

    from applications.core.augmentation import NUM_DRAWS, ImageAugmentation, augment_geometry
    from applications.core.pipeline import ImageReader, Samples, training_batches
    from applications.datasets.store import ImageStore

    images = np.random.default_rng(0).integers(0, 255, (4096, 32, 32, 3)).astype("uint8")
    read = ImageReader(ImageStore.from_arrays(images))
    changes = ImageAugmentation(rotation=10, shift=0.1, zoom=0.1, horizontal_flip=True)

    def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
        return (tf.cast(read(index), tf.float32),)

    def augment(x: tf.Tensor, draws: tf.Tensor) -> tuple:
        return (augment_geometry(x, draws, changes),)

    ours = training_batches(Samples(len(images), load, augment, NUM_DRAWS, True), BATCH, seed=0, endless=True)
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(10 / 360),
            keras.layers.RandomTranslation(0.1, 0.1),
            keras.layers.RandomZoom(0.1),
        ]
    )
    theirs = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images)).batch(BATCH).repeat()
    theirs = theirs.map(lambda x: layers(tf.cast(x, tf.float32), training=True), tf.data.AUTOTUNE).prefetch(2)
    iterators = {"kerazoo": iter(ours), "keras": iter(theirs)}
    times: dict[str, list[float]] = {name: [] for name in iterators}
    for turn in range(rounds + 1):
        for name, iterator in iterators.items():
            began = time.perf_counter()
            for _ in itertools.islice(iterator, 64):
                pass
            if turn:
                times[name].append(1e3 * (time.perf_counter() - began) / 64)
    return {
        "milliseconds": {name: round(statistics.median(values), 3) for name, values in times.items()},
        "keras_over_kerazoo": round(
            statistics.median(b / a for a, b in zip(times["kerazoo"], times["keras"], strict=True)), 3
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    from applications.core.run_directory import environment, write_atomically

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        make_images(folder, options.images)
        content = {
            "images": options.images,
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "packages": environment()["packages"],
            "reading": reading(folder, options.images),
            "resnet20": training(folder),
            "batches_from_memory": batches(options.rounds),
        }
    for key in ("reading", "resnet20", "batches_from_memory"):
        print(f"{key}: {json.dumps(content[key])}")
    wait = content["resnet20"]["data_wait"]
    print(f"waiting for data: {wait:.1%} of the training (wanted below {GOAL:.0%})")
    if options.images == 10_000:
        write_atomically(RESULTS / "pipeline.json", json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
