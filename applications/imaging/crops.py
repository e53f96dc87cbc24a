"""Where crops of images and volumes lie."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from applications.datasets.store import ImageStore


def crop_places(images: ImageStore, chosen: np.ndarray, size: int, crops: int | None) -> np.ndarray:
    """Returns rows of (image, top, left), of volumes (volume, plane, top, left): a grid of crops that covers each.

    Args:
        images: All images.
        chosen: Numbers of the images to cover.
        size: Length of a crop along each axis.
        crops: Rows per image whatever its size, or None for the whole grid.
    """
    import numpy as np

    rows = []
    for index in chosen:
        lengths = [max(int(n), size) for n in images.shapes[index][:-1]]
        grid = list(itertools.product(*(_starts(length, size) for length in lengths)))
        rows += [(index, *grid[i % len(grid)]) for i in range(crops or len(grid))]
    return np.asarray(rows, np.int64)


def _starts(length: int, size: int) -> list[int]:
    """Returns evenly spread starts of the fewest pieces of `size` that cover `length`."""
    count = -(-length // size)
    return [round(i * (length - size) / max(1, count - 1)) for i in range(count)]


def at_least(image: Any, size: int) -> Any:
    """Continues a tensor (height, width, channels) by reflection until both sides have at least `size` pixels."""
    import tensorflow as tf

    def grown(image: tf.Tensor) -> tf.Tensor:
        # A mirror image can at most double a side, so a tiny image needs several rounds.
        def missing(image: tf.Tensor) -> tf.Tensor:
            return tf.minimum(tf.maximum(size - tf.shape(image)[:2], 0), tf.shape(image)[:2])

        def grow(image: tf.Tensor) -> tuple[tf.Tensor]:
            added = missing(image)
            return (tf.pad(image, [[0, added[0]], [0, added[1]], [0, 0]], mode="SYMMETRIC"),)

        channels = image.shape[-1]
        (image,) = tf.while_loop(
            lambda image: tf.reduce_any(tf.shape(image)[:2] < size),
            grow,
            (image,),
            shape_invariants=(tf.TensorShape([None, None, channels]),),
        )
        return image

    height, width = image.shape[:2]
    if height is not None and width is not None and min(height, width) >= size:
        return image
    return grown(image)
