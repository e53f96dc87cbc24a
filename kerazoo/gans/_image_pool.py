"""Generated images of the last steps, which keep a discriminator from chasing the newest ones.

A. Shrivastava, T. Pfister, O. Tuzel, J. Susskind, W. Wang, R. Webb, "Learning from simulated and unsupervised images
through adversarial training", arXiv:1612.07828, section 2.3; as CycleGAN uses it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class ImagePool(keras.layers.Layer):
    """Keeps `size` images. While it fills, images go in and come out again; then half of them are exchanged.

    What it holds are weights that are not trained, so that every file and checkpoint has them.

    Args:
        size: Number of images.
        image_shape: Shape of one.
        **options: Those of every `keras.layers.Layer`.
    """

    def __init__(self, size: int, image_shape: Any, **options: Any) -> None:
        super().__init__(trainable=False, **options)
        self.size = size
        kept: dict[str, Any] = {"initializer": "zeros", "trainable": False, "autocast": False}
        self.images = self.add_weight(name="images", shape=(size, *image_shape), **kept)
        self.filled = self.add_weight(name="filled", shape=(), dtype="int32", **kept)
        self.built = True

    def exchange(self, images: Any, dice: Any) -> tuple[Any, Any]:
        """Returns what comes out for a batch of at most `size` images, and all images the pool then holds.

        Args:
            images: Those that go in (batch, ...).
            dice: Uniform numbers in [0, 1), (batch, 2). The first row's first number says where in the pool the batch
                finds its partners, side by side, so that no two of them meet.
        """
        count = ops.shape(images)[0]
        number = self.filled + ops.arange(count, dtype="int32")
        first = ops.cast(ops.floor(dice[0, 0] * self.size), "int32")
        is_full = self.filled >= self.size
        place = ops.where(is_full, first + ops.arange(count, dtype="int32"), number) % self.size
        is_swapped = ops.logical_and(is_full, dice[:, 1] < 0.5)
        is_kept = ops.logical_or(is_swapped, number < self.size)
        old = ops.take(self.images, place, axis=0)
        out = ops.where(_per_image(is_swapped, images), old, images)
        stored = ops.where(_per_image(is_kept, images), images, old)
        return out, ops.scatter_update(self.images, place[:, None], stored)

    def keep(self, images: Any, count: Any) -> None:
        """Takes what `exchange` returned after a batch of `count` images."""
        self.images.assign(images)
        self.filled.assign(ops.minimum(self.filled + count, self.size))


def _per_image(condition: Any, images: Any) -> Any:
    return ops.reshape(condition, (-1, *[1] * (len(images.shape) - 1)))
