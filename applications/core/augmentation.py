"""Augmentation of image batches: geometry for images and masks together, brightness and contrast for images.

Everything is a plain function of the draws (uniform numbers in [0, 1), one row per sample), so it repeats exactly, and
it stays in the input pipeline: nothing of it is in the exported graph.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.core.config import option

if TYPE_CHECKING:
    import tensorflow as tf

NUM_DRAWS = 9


@dataclass(frozen=True)
class IntensityAugmentation:
    """Random changes of brightness made to training images."""

    brightness: float = option(0.0, "Largest added brightness as a fraction of the pixel range.", minimum=0, maximum=1)
    contrast: float = option(0.0, "Largest relative change of contrast.", minimum=0, maximum=1)


@dataclass(frozen=True)
class ImageAugmentation(IntensityAugmentation):
    """Random changes made to training images; every one of them can be switched off with 0 or false."""

    rotation: float = option(15.0, "Largest rotation in degrees, either way.", minimum=0, maximum=180)
    shift: float = option(0.12, "Largest shift as a fraction of the image's size.", minimum=0, maximum=1)
    zoom: float = option(0.2, "Largest relative change of size.", minimum=0, maximum=0.9)
    horizontal_flip: bool = option(False, "Mirror left and right in half of the cases.")
    vertical_flip: bool = option(False, "Mirror top and bottom in half of the cases.")
    quarter_turns: bool = option(False, "Turn by 0, 90, 180 or 270 degrees (square images).")

    @property
    def moves(self) -> bool:
        """Whether any geometric change is on."""
        return bool(
            self.rotation or self.shift or self.zoom or self.horizontal_flip or self.vertical_flip or self.quarter_turns
        )


def augment_geometry(
    images: "tf.Tensor", draws: "tf.Tensor", options: ImageAugmentation, *, interpolation: str = "bilinear"
) -> "tf.Tensor":
    """Rotates, shifts, zooms and mirrors each image about its centre; edges are continued by reflection.

    Args:
        images: Batch of shape (batch, height, width, channels).
        draws: Uniform numbers of shape (batch, `NUM_DRAWS`); the same draws move a mask as they move its image.
        options: How much.
        interpolation: "bilinear" for images, "nearest" for masks.

    Returns:
        Tensor of the shape and dtype of `images`.
    """
    import tensorflow as tf

    if not options.moves:
        return images
    height = tf.cast(tf.shape(images)[1], tf.float32)
    width = tf.cast(tf.shape(images)[2], tf.float32)
    signed = 2.0 * draws - 1.0
    angle = signed[:, 0] * options.rotation * 3.141592653589793 / 180.0
    if options.quarter_turns:
        angle += tf.floor(4.0 * draws[:, 6]) * 1.5707963267948966
    scale = 1.0 / (1.0 + signed[:, 1] * options.zoom)
    one = tf.ones_like(scale)
    mirror_x = tf.where(draws[:, 4] < 0.5, -one, one) if options.horizontal_flip else one
    mirror_y = tf.where(draws[:, 5] < 0.5, -one, one) if options.vertical_flip else one
    # The transform maps a point of the output to the point of the input it is taken from.
    a, b = scale * tf.cos(angle) * mirror_x, -scale * tf.sin(angle) * mirror_y
    d, e = scale * tf.sin(angle) * mirror_x, scale * tf.cos(angle) * mirror_y
    centre_x, centre_y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    shift_x, shift_y = signed[:, 2] * options.shift * width, signed[:, 3] * options.shift * height
    c = centre_x - a * centre_x - b * centre_y + shift_x
    f = centre_y - d * centre_x - e * centre_y + shift_y
    zero = tf.zeros_like(a)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation=interpolation.upper(),
        fill_mode="REFLECT",
    )
    moved.set_shape(images.shape)
    return tf.cast(moved, images.dtype)


def augment_intensity(
    images: "tf.Tensor", draws: "tf.Tensor", options: IntensityAugmentation, value_range: tuple[float, float]
) -> "tf.Tensor":
    """Changes brightness and contrast of each image of a batch; see `IntensityAugmentation`."""
    import tensorflow as tf

    low, high = value_range
    if options.contrast:
        mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
        gain = 1.0 + (2.0 * draws[:, 7] - 1.0) * options.contrast
        images = mean + (images - mean) * gain[:, None, None, None]
    if options.brightness:
        offset = (2.0 * draws[:, 8] - 1.0) * options.brightness * (high - low)
        images = images + offset[:, None, None, None]
    if options.contrast or options.brightness:
        images = tf.clip_by_value(images, low, high)
    return images
