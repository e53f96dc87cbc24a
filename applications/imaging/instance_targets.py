"""Random changes of training crops and of what a network is to say about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from applications.core.config import option

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

NUM_DRAWS = 7


@dataclass(frozen=True)
class InstanceAugmentation:
    """Random changes of training crops that keep the shapes of objects, and so what was computed from them.

    Crops are turned and mirrored exactly, distances and flows with them. Brightness a, offset b and noise act on pixels
    between 0 and 1. Any other angle needs new distances and flows, so it has copies of whole images, made once.
    """

    quarter_turns: bool = option(True, "Turn by 0, 90, 180 or 270 degrees.")
    flips: bool = option(True, "Mirror in half of the cases.")
    rotated_copies: int = option(
        0, "Further copies of each training image, turned by any angle; interpolation smooths their noise.", minimum=0
    )
    brightness: float = option(
        0.4, "Pixels are multiplied by a number that is up to this larger or smaller than 1.", minimum=0, maximum=0.9
    )
    offset: float = option(0.1, "Largest number that is added to all pixels, either way.", minimum=0, maximum=1)
    noise: float = option(0.02, "Largest standard deviation of Gaussian noise.", minimum=0, maximum=1)


def rotated(image: np.ndarray, labels: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Turns an image and its labels, or each plane of a volume, around the middle.

    Args:
        image: (height, width, channels) or (depth, height, width, channels), float32; continued by reflection.
        labels: (height, width) or (depth, height, width); the nearest pixel's, since numbers must not be mixed, and -1,
            which does not count, for what lay outside.
        degrees: The angle.

    Returns:
        Both, of the same sizes.
    """
    from scipy import ndimage

    # Cubic, since linear interpolation takes more than half of the noise away, which test images have in full.
    plane = (labels.ndim - 2, labels.ndim - 1)
    image = ndimage.rotate(image, degrees, plane, reshape=False, order=3, mode="reflect")
    labels = ndimage.rotate(labels, degrees, plane, reshape=False, order=0, mode="constant", cval=-1)
    return image, labels


def moved(
    images: tf.Tensor,
    targets: tf.Tensor,
    draws: tf.Tensor,
    options: InstanceAugmentation,
    method: str,
    num_rays: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turns and mirrors square crops exactly, and the directions in their targets with them.

    Args:
        images: (batch, size + grid - 1, size + grid - 1, channels): with a grid, from the pixel behind the last
            described one before the crop on, so that described pixels lie symmetrically.
        targets: (batch, size / grid, size / grid, channels), see `star_targets` and `flow_targets`.
        draws: Uniform numbers (batch, at least 3).
        options: Which moves.
        method: `"stardist"`, `"cellpose"` or `"boundaries"`, whose targets have no direction.
        num_rays: StarDist's; others have none, whatever it says.
    """
    import tensorflow as tf

    known: dict[str, Any] = {"stardist": partial(stardist_directions, num_rays=num_rays), "cellpose": flow_directions}
    turned = known.get(method, lambda targets, **move: targets)
    if options.flips:
        # Top and bottom change places: together with quarter turns this gives all eight positions.
        chosen = draws[:, 0] < 0.5
        images = tf.where(chosen[:, None, None, None], images[:, ::-1], images)
        targets = tf.where(chosen[:, None, None, None], turned(targets[:, ::-1], mirrored=True), targets)
    if options.quarter_turns:
        number = tf.cast(4 * draws[:, 1], tf.int32)[:, None, None, None]
        for turns in (1, 2, 3):
            images = tf.where(number == turns, tf.image.rot90(images, turns), images)
        found = targets
        for turns in (1, 2, 3):
            targets = tf.where(number == turns, turned(tf.image.rot90(found, turns), turns=turns), targets)
    return images, targets


def stardist_directions(targets: tf.Tensor, *, num_rays: int, mirrored: bool = False, turns: int = 0) -> tf.Tensor:
    """Puts distances in the order that their rays have after a mirroring of rows, or quarter turns to the left.

    What is in front of the distances and behind them, probability and class, has no direction. A ray at angle phi, from
    the columns towards higher rows, lies at -phi in the mirror; a turn to the left, which is against the rows, takes a
    quarter off its angle.
    """
    import tensorflow as tf

    rays = [(-k) % num_rays if mirrored else (k + turns * num_rays // 4) % num_rays for k in range(num_rays)]
    return tf.gather(targets, [0, *(1 + ray for ray in rays), *range(1 + num_rays, targets.shape[-1])], axis=-1)


def flow_directions(targets: tf.Tensor, *, mirrored: bool = False, turns: int = 0) -> tf.Tensor:
    """Turns the vectors of flows after a mirroring of rows, or quarter turns to the left."""
    import tensorflow as tf

    down, right, inside = tf.unstack(targets, axis=-1)
    if mirrored:
        down = -down
    for _ in range(turns):
        down, right = -right, down
    return tf.stack([down, right, inside], axis=-1)


def changed_pixels(images: tf.Tensor, draws: tf.Tensor, options: InstanceAugmentation) -> tf.Tensor:
    """Changes brightness and offset of each image, and adds noise."""
    import tensorflow as tf

    signed = (2 * draws - 1)[:, :, None, None, None]
    images = images * (1 + options.brightness * signed[:, 2]) + options.offset * signed[:, 3]
    if options.noise:
        seeds = tf.cast(draws[0, 4:6] * 2.0**31, tf.int32)
        level = options.noise * draws[:, 6][:, None, None, None]
        images += level * tf.random.stateless_normal(tf.shape(images), seeds)
    return images
