"""Training crops of volumes, and the files that are written of the objects found in one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from applications.imaging.crops import crop_places
from applications.imaging.instance_targets import NUM_DRAWS, InstanceAugmentation, changed_pixels, moved

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from applications.core.pipeline import Samples
    from applications.datasets.store import ImageStore
    from applications.datasets.volumes import Volume
    from applications.imaging.objects import Finder, Objects

INSIDES = (0.5, 0.6, 0.7, 0.8)  # probabilities of the inside that are tried on validation volumes
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

    places = tf.constant(crop_places(images, range(len(images)), size, crops if training else None))
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


def best_inside(finder: Finder, cubes: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Returns from which probability of the inside on a voxel should belong to the core of an object.

    Args:
        finder: What predicts.
        cubes: Normalised volumes and their labels; those too large to be predicted whole are left out.
    """
    from applications.imaging.objects import APART
    from kerazoo.detection.boundaries import boundary_objects
    from kerazoo.metrics.instances import average_precision

    known = [(finder.maps(image), labels) for image, labels in cubes if max(labels.shape) <= finder.largest]

    def precision(inside: float) -> float:
        founds = [boundary_objects(maps, threshold=inside, apart=APART) for maps, _ in known]
        return float(average_precision([labels for _, labels in known], founds, (0.5, 0.75)).mean())

    return max(INSIDES, key=precision) if known else finder.settings["inside"]


class VolumePrediction(NamedTuple):
    """The objects found in one volume."""

    file: Path
    volume: Volume
    found: Objects


def write_volume(stem: str, prediction: VolumePrediction, folder: Path) -> list[Path]:
    """Writes a stack of labels, a table, and a picture of the plane in the middle with the outlines.

    Returns:
        `STEM_labels.tif` (`.zarr` for zarr), `STEM_objects.csv` (number, voxels, centre in pixels and planes, score),
        `STEM_overlay.png`.
    """
    from applications.imaging.objects import label_suffix, measured, outlined, write_found

    volume, labels = prediction.volume, prediction.found.labels
    text, middle = io.StringIO(), len(labels) // 2
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("id", "voxels", "centroid_depth", "centroid_row", "centroid_column", "score"))
    for number, size, centre, score in measured(prediction.found):
        table.writerow((number, size, *(f"{place:.2f}" for place in centre), f"{score:.4f}"))
    overlay = outlined(volume.pixels[middle], labels[middle])
    target = folder / f"{stem}_labels{label_suffix(prediction.file)}"
    return write_found(target, (labels, "ZYX", volume.spacing), text.getvalue(), overlay)
