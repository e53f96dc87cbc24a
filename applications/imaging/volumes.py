"""Training crops of volumes, and the files that are written of the objects found in one."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from applications.imaging.instance_targets import NUM_DRAWS, InstanceAugmentation, changed_pixels, moved

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from applications.core.pipeline import Samples
    from applications.datasets.store import ImageStore
    from applications.datasets.volumes import Volume
    from applications.imaging.objects import Objects

LARGEST = 128  # voxels; larger volumes are predicted in tiles


def volume_samples(
    images: ImageStore,
    targets: ImageStore,
    size: int,
    crops: int | None,
    options: InstanceAugmentation,
    *,
    training: bool,
) -> Samples:
    """Returns cubes of volumes as functions for the pipeline: anywhere in training, else side by side.

    Args:
        images: Volumes (depth, height, width, channels), no size below that of a cube.
        targets: What the network is to say about each voxel.
        size: Voxels of a cube along each axis.
        crops: Cubes of each volume per epoch; None: as many as cover it.
        options: Which random changes.
        training: Whether there are any.
    """
    import tensorflow as tf

    from applications.core.pipeline import ImageReader, Samples

    places = tf.constant(_places(images, size, crops if training else None))
    readers = ImageReader(images), ImageReader(targets)

    def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
        number, corner = places[index][0], tf.cast(places[index][1:], tf.int32)
        volumes = [read(number) for read in readers]
        if training:
            free = tf.cast(tf.shape(volumes[0])[:3] - size + 1, tf.float32)
            corner = tf.cast(draws[NUM_DRAWS + 1 :] * free, tf.int32)
        begin = tf.concat([corner, [0]], axis=0)
        image, target = (tf.slice(volume, begin, [size, size, size, volume.shape[-1]]) for volume in volumes)
        return image, target

    def augment(images: tf.Tensor, targets: tf.Tensor, draws: tf.Tensor) -> tuple:
        channels, classes = images.shape[-1], targets.shape[-1]
        # Within the planes volumes move as images whose channels are the planes.
        images, targets = moved(_as_images(images), _as_images(targets), draws, options, "boundaries", 0)
        images = changed_pixels(images, draws, options)
        images, targets = _as_volumes(images, channels), _as_volumes(targets, classes)
        if options.flips:
            turned = (draws[:, NUM_DRAWS] < 0.5)[:, None, None, None, None]
            images, targets = (tf.where(turned, part[:, ::-1], part) for part in (images, targets))
        return images, targets

    return Samples(len(places), load, augment, NUM_DRAWS + 4) if training else Samples(len(places), load)


def _as_images(volumes: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    _, depth, height, width, channels = volumes.shape
    return tf.reshape(tf.transpose(volumes, (0, 2, 3, 1, 4)), (-1, height, width, depth * channels))


def _as_volumes(images: tf.Tensor, channels: int) -> tf.Tensor:
    import tensorflow as tf

    _, height, width, planes = images.shape
    return tf.transpose(tf.reshape(images, (-1, height, width, planes // channels, channels)), (0, 3, 1, 2, 4))


def _places(images: ImageStore, size: int, crops: int | None) -> np.ndarray:
    """Returns rows of (volume, first plane, top, left): cubes that cover each volume, or a number of them."""
    import numpy as np

    rows = []
    for index, shape in enumerate(images.shapes[:, :3].tolist()):
        counts = [-(-length // size) for length in shape]
        starts = [
            [round(i * (length - size) / max(1, count - 1)) for i in range(count)]
            for length, count in zip(shape, counts, strict=True)
        ]
        grid = list(itertools.product(*starts))
        rows += [(index, *grid[i % len(grid)]) for i in range(crops or len(grid))]
    return np.asarray(rows, np.int64)


class VolumePrediction(NamedTuple):
    """The objects found in one volume."""

    file: Path
    volume: Volume
    found: Objects


def write_volume(stem: str, prediction: VolumePrediction, folder: Path) -> list[Path]:
    """Writes a stack of labels, a table, and a picture of the plane in the middle with the outlines.

    Returns:
        `STEM_labels.tif`, `STEM_objects.csv` (number, voxels, centre in pixels and planes, score), `STEM_overlay.png`.
    """
    import numpy as np
    from PIL import Image
    from scipy import ndimage

    from applications.core.run_directory import write_atomically
    from applications.datasets.stacks import write_labels
    from applications.imaging.objects import outlined

    labels, scores, _ = prediction.found
    numbers = np.arange(1, len(scores) + 1)
    sizes = np.bincount(labels.ravel(), minlength=len(numbers) + 1)[1:]
    centres = ndimage.center_of_mass(labels > 0, labels, numbers) if len(numbers) else []
    text, picture, middle = io.StringIO(), io.BytesIO(), len(labels) // 2
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("id", "voxels", "centroid_depth", "centroid_row", "centroid_column", "score"))
    for number, size, centre, score in zip(numbers, sizes, centres, scores, strict=True):
        table.writerow((int(number), int(size), *(f"{place:.2f}" for place in centre), f"{score:.4f}"))
    Image.fromarray(outlined(prediction.volume.pixels[middle], labels[middle])).save(picture, format="PNG")
    write_labels(folder / f"{stem}_labels.tif", labels, "ZYX", prediction.volume.spacing)
    for name, content in (("objects.csv", text.getvalue().encode()), ("overlay.png", picture.getvalue())):
        write_atomically(folder / f"{stem}_{name}", content)
    return [folder / f"{stem}_{name}" for name in ("labels.tif", "objects.csv", "overlay.png")]
