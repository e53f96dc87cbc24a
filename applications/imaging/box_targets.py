"""From images with boxes to what a detector trains on: windows of one size, with their boxes moved along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from applications.core.augmentation import NUM_DRAWS as INTENSITY_DRAWS
from applications.core.augmentation import IntensityAugmentation
from applications.core.config import option

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from applications.core.pipeline import Samples
    from applications.datasets.boxes import BoxedImages

NUM_DRAWS = INTENSITY_DRAWS + 1
MOSTLY_OUTSIDE = 0.4
"""A box of which less lies in the window is neither an object nor ground: nothing is learnt there."""


@dataclass(frozen=True)
class BoxAugmentation(IntensityAugmentation):
    """Random changes of training images. Boxes move along, so there are no turns but quarter turns."""

    quarter_turns: bool = option(False, "Change height and width in half of the cases.")
    zoom: float = option(0.3, "Largest relative change of size.", minimum=0, maximum=0.9)
    shift: float = option(0.1, "Largest shift as a fraction of the window.", minimum=0, maximum=1)
    horizontal_flip: bool = option(True, "Mirror left and right in half of the cases.")
    vertical_flip: bool = option(False, "Mirror top and bottom in half of the cases.")
    brightness: float = option(0.1, "Largest added brightness as a fraction of the pixel range.", minimum=0, maximum=1)
    contrast: float = option(0.2, "Largest relative change of contrast.", minimum=0, maximum=1)


def window_samples(
    datasets: BoxedImages, places: np.ndarray, size: int, stride: int, augmentation: BoxAugmentation | None
) -> Samples:
    """Returns windows of images with the maps drawn of their boxes.

    Args:
        datasets: Images and boxes.
        places: Rows of (image, top, left); random where there is augmentation.
        size: Height and width of a window in pixels.
        stride: Pixels of the image per pixel of the maps.
        augmentation: How windows are changed, or None.
    """
    import numpy as np
    import tensorflow as tf

    from applications.core.augmentation import augment_intensity
    from applications.core.pipeline import ImageReader, Samples
    from kerazoo.detection.boxes import NUM_REGRESSED

    read, rows = ImageReader(datasets.images), tf.constant(places)
    num_classes, edge = datasets.num_classes, -(-size // stride)

    def drawn(index: np.ndarray, window: np.ndarray) -> np.ndarray:
        return targets(datasets, int(index), window, size, stride)

    def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
        number, top, left = tf.unstack(rows[index])
        image = tf.cast(read(number), tf.float32)
        corner = tf.cast(tf.stack([left, top]), tf.float32)
        window = tf.concat([corner, [1.0, 1.0, 0.0]], axis=0)
        if augmentation is not None:
            window = random_window(tf.shape(image), draws, size, augmentation)
        maps = tf.numpy_function(drawn, [number, window], tf.float32)
        maps.set_shape((edge, edge, num_classes + NUM_REGRESSED))
        return cut(image, window, size), maps

    if augmentation is None:
        return Samples(len(places), load)

    def augment(images: tf.Tensor, maps: tf.Tensor, draws: tf.Tensor) -> tuple:
        return augment_intensity(images, draws, augmentation, datasets.value_range), maps

    return Samples(len(np.asarray(places)), load, augment, NUM_DRAWS)


def random_window(shape: tf.Tensor, draws: tf.Tensor, size: int, options: BoxAugmentation) -> tf.Tensor:
    """Draws a window: x and y of its origin in the image, steps in the image per pixel along x and y, a quarter turn.

    A negative step mirrors; the origin is then the far edge. With a quarter turn x and y of the window change places.
    """
    import tensorflow as tf

    steps = (1.0 + options.zoom) ** (1.0 - 2.0 * draws[0])
    sides = tf.cast(tf.stack([shape[1], shape[0]]), tf.float32)
    extent = size * steps
    origin = draws[1:3] * (sides - extent) + (2.0 * draws[3:5] - 1.0) * options.shift * size
    mirrored = tf.stack(
        [(draws[5] < 0.5) & options.horizontal_flip, (draws[6] < 0.5) & options.vertical_flip],
    )
    origin += tf.where(mirrored, extent, 0.0)
    turned = (draws[INTENSITY_DRAWS] < 0.5) & options.quarter_turns
    return tf.concat([origin, tf.where(mirrored, -steps, steps), [tf.cast(turned, tf.float32)]], axis=0)


def cut(image: tf.Tensor, window: tf.Tensor, size: int) -> tf.Tensor:
    """Cuts a window (size, size, channels) out of an image; what lies beside it gets the image's mean."""
    import tensorflow as tf

    mean = tf.reduce_mean(image, axis=[0, 1])
    x, y, step_x, step_y, turned = tf.unstack(window)
    zero = tf.zeros_like(x)
    # Pixels are counted from their middle here, boxes from the corner of the image.
    from_x, from_y = x + 0.5 * step_x - 0.5, y + 0.5 * step_y - 0.5
    straight = tf.stack([step_x, zero, from_x, zero, step_y, from_y, zero, zero])
    quarter = tf.stack([zero, step_x, from_x, step_y, zero, from_y, zero, zero])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=(image - mean)[None],
        transforms=tf.where(turned > 0.5, quarter, straight)[None],
        output_shape=tf.constant([size, size]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
    moved.set_shape((size, size, image.shape[-1]))
    return moved + mean


def targets(datasets: BoxedImages, index: int, window: Any, size: int, stride: int) -> np.ndarray:
    """Draws the maps of one window, see `kerazoo.detection.boxes.encode_boxes`."""
    import numpy as np

    from kerazoo.detection.boxes import box_areas, encode_boxes

    boxes = moved_boxes(datasets.boxes[index], window)
    inside = np.clip(boxes, 0, size)
    share = box_areas(inside) / np.maximum(box_areas(boxes), 1e-9)
    seen = share > 0
    crowds = datasets.crowds[index] | (share < MOSTLY_OUTSIDE)
    return encode_boxes(
        inside[seen], datasets.box_classes[index][seen], (size, size), datasets.num_classes,
        stride=stride, crowd=crowds[seen],
    )  # fmt: skip


def moved_boxes(boxes: np.ndarray, window: Any) -> np.ndarray:
    """Returns boxes of an image in the coordinates of a window of it, cut nowhere."""
    import numpy as np

    x, y, step_x, step_y, turned = (float(value) for value in window)
    across, down = (boxes[:, 0::2] - x) / step_x, (boxes[:, 1::2] - y) / step_y
    if turned > 0.5:
        across, down = down, across
    return np.stack([across.min(axis=1), down.min(axis=1), across.max(axis=1), down.max(axis=1)], axis=1)
