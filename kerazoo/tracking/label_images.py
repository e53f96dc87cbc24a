"""Linking of label images: by the distance of centroids, which counts less the more two objects overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array

from kerazoo.tracking.linking import Discount, check_options, linked
from kerazoo.tracking.tracks import Tracks


def link_labels(
    label_images: Sequence[Any],
    max_distance: float,
    *,
    max_gap: int = 0,
    splitting: bool = False,
    motion: str = "none",
) -> Tracks:
    """Links the objects of a sequence of label images.

    As `link` of their centroids, but the squared distance from one frame to the next is multiplied by 1 - overlap,
    where the overlap is the share of the smaller object that both have in common.

    Args:
        label_images: One array (height, width) of whole numbers per frame, 0 for the background; what number an object
            has does not matter.
        max_distance: Longest way in pixels of a centroid from one frame to the next.
        max_gap: Frames in a row in which an object may be missed.
        splitting: Whether objects may divide.
        motion: `"none"` or `"velocity"`, see `link`.

    Returns:
        The tracks. `point` is the object's place among its frame's numbers in increasing order.

    Raises:
        ValueError: An image holds no whole numbers, or not all have one size.

    Example:
        >>> first, second = np.zeros((2, 8, 8), int)
        >>> first[1:3, 1:3], second[2:4, 1:3] = 7, 4
        >>> link_labels([first, second], 3).track.tolist()
        [1, 1]
    """
    check_options(max_distance, max_gap, splitting, motion)
    images = _checked(label_images)
    points = [centroids(image)[1] for image in images]
    return linked(points, float(max_distance), max_gap, splitting, motion == "velocity", _overlaps(images))


def centroids(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of the objects of a label image in increasing order, and their centroids.

    Args:
        labels: (height, width) whole numbers, 0 for the background.

    Returns:
        (n,) numbers and (n, 2) row and column.

    Example:
        >>> centroids(np.array([[3, 3], [0, 9]]))[1].tolist()
        [[0.0, 0.5], [1.0, 1.0]]
    """
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    if not len(numbers):
        return numbers, np.zeros((0, 2))
    return numbers, np.array(ndimage.center_of_mass(labels > 0, labels, numbers)).reshape(-1, 2)


def track_labels(tracks: Tracks, label_images: Sequence[Any]) -> list[np.ndarray]:
    """Returns the label images with the number of its track in each object.

    Args:
        tracks: What `link_labels` found.
        label_images: The same images.

    Returns:
        One (height, width) int32 per frame.
    """
    numbered = []
    for frame, image in enumerate(_checked(label_images)):
        rows = np.flatnonzero(tracks.frame == frame)
        numbers = np.unique(image)
        numbers = numbers[numbers > 0]
        new = np.zeros(len(numbers) + 1, np.int32)
        new[1 + tracks.point[rows]] = tracks.track[rows]
        numbered.append(new[np.where(image > 0, 1 + np.searchsorted(numbers, image), 0)])
    return numbered


def _checked(label_images: Sequence[Any]) -> list[np.ndarray]:
    images = [np.asarray(image) for image in label_images]
    for frame, image in enumerate(images):
        if image.ndim != 2 or image.dtype.kind not in "iub" or (image.size and image.min() < 0):
            raise ValueError(
                "label_images must hold one array (height, width) of whole numbers from 0 per frame. Received: shape "
                f"{image.shape}, {image.dtype} in frame {frame}."
            )
        if image.shape != images[0].shape:
            raise ValueError(
                f"label_images must all have one size. Received: {images[0].shape} in frame 0, {image.shape} in frame "
                f"{frame}."
            )
    return images


def _overlaps(images: list[np.ndarray]) -> Discount:
    """Returns a function from a frame and pairs of its objects and the next one's to 1 - overlap."""

    def discount(frame: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        before, after = images[frame], images[frame + 1]
        both = (before > 0) & (after > 0)
        numbers, others = (np.unique(image[image > 0], return_counts=True) for image in (before, after))
        place = np.searchsorted(numbers[0], before[both]), np.searchsorted(others[0], after[both])
        shared = coo_array((np.ones(both.sum()), place), shape=(len(numbers[0]), len(others[0]))).tocsr()
        common = np.asarray(shared[rows, columns]).ravel()
        return 1 - common / np.minimum(numbers[1][rows], others[1][columns])

    return discount
