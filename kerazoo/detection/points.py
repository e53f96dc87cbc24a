"""Points as maps and back, in NumPy and SciPy: atoms, particles, the centres of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage, optimize


def draw_discs(points: Any, classes: Any, shape: Sequence[int], radius: float) -> np.ndarray:
    """Returns an image of class numbers, 0 the ground: a disc around each point, the nearest one where two overlap.

    Args:
        points: (N, 2) rows of y and x, in pixels counted from the middle of the first one.
        classes: (N,) numbers from 1 on.
        shape: Height and width of the image.
        radius: Radius of the discs in pixels.

    Returns:
        (height, width) uint8.
    """
    height, width = shape
    drawn = np.zeros((height, width), np.uint8)
    nearest = np.full((height, width), np.inf)
    for (y, x), number in zip(np.asarray(points, np.float64).reshape(-1, 2), np.asarray(classes), strict=True):
        top, left = max(0, int(np.floor(y - radius))), max(0, int(np.floor(x - radius)))
        rows, columns = slice(top, int(np.ceil(y + radius)) + 1), slice(left, int(np.ceil(x + radius)) + 1)
        window = nearest[rows, columns]
        row, column = np.ogrid[: window.shape[0], : window.shape[1]]
        distance = np.hypot(row + top - y, column + left - x)
        closer = (distance <= radius) & (distance < window)
        window[closer] = distance[closer]
        drawn[rows, columns][closer] = number
    return drawn


def find_peaks(image: np.ndarray, min_distance: float, threshold: float) -> np.ndarray:
    """Returns the highest pixels within `min_distance` of them that reach a threshold, as rows of y and x.

    Of several equal neighbours the middle counts.
    """
    reach = max(1, int(np.ceil(min_distance)))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    near = np.hypot(y, x) <= max(min_distance, 1)
    highest = (image == ndimage.maximum_filter(image, footprint=near, mode="nearest")) & (image >= threshold)
    labels, count = ndimage.label(highest, structure=np.ones((3, 3)))
    return np.array(ndimage.center_of_mass(highest, labels, range(1, count + 1)), np.float64).reshape(-1, 2)


def find_points(
    probabilities: np.ndarray, radius: float, *, threshold: float = 0.5, min_distance: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads points off a map of discs: where a disc of the given radius fits best, then its centre of mass.

    Taking the mean over a disc before looking for peaks, rather than connected regions above a threshold, also finds
    discs that touch, and those whose place is uncertain, which are pale and wide.

    Args:
        probabilities: (height, width, classes), the ground first, as a network gives them.
        radius: Radius of the discs in pixels.
        threshold: Lowest mean probability over a disc.
        min_distance: Smallest distance of two points; `None`: the radius.

    Returns:
        Points (N, 2) as rows of y and x, their classes (N,) from 1 on, and their scores (N,).
    """
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    disc = (np.hypot(y, x) <= radius).astype(np.float64)
    disc /= disc.sum()
    classes = np.asarray(probabilities, np.float64)[..., 1:]
    there = np.stack([ndimage.correlate(part, disc, mode="constant") for part in np.moveaxis(classes, -1, 0)], axis=-1)
    score = there.sum(axis=-1)
    found = find_peaks(score, radius if min_distance is None else min_distance, threshold)
    rows, columns = np.rint(found).astype(int).T
    refined = centroids(classes.sum(axis=-1), found, radius)
    return refined, there[rows, columns].argmax(axis=-1) + 1, score[rows, columns]


def centroids(image: np.ndarray, points: Any, radius: float, rounds: int = 3) -> np.ndarray:
    """Moves each point to the centre of mass of the disc around it, a few times; what lies outside counts as zero."""
    reach = int(np.ceil(radius)) + 1
    framed = np.pad(np.asarray(image, np.float64), reach + 1)
    moved = np.asarray(points, np.float64).reshape(-1, 2).copy()
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    height, width = image.shape
    for index, point in enumerate(moved):
        for _ in range(rounds):
            row, column = np.clip(np.rint(point).astype(int), 0, (height - 1, width - 1))
            window = framed[row + 1 : row + 2 * reach + 2, column + 1 : column + 2 * reach + 2]
            weights = window * (np.hypot(y + row - point[0], x + column - point[1]) <= radius + 0.5)
            if weights.sum() <= 0:
                break
            point = np.array([(weights * y).sum(), (weights * x).sum()]) / weights.sum() + (row, column)
        moved[index] = point
    return moved


def refine_gaussian(image: np.ndarray, points: Any, window: float, sigma: float) -> np.ndarray:
    """Fits a Gaussian on a constant ground to the image around each point, by least squares.

    Args:
        image: (height, width).
        points: (N, 2) rows of y and x.
        window: Pixels looked at on each side of a point, for example a quarter of the distance of two neighbours.
        sigma: Standard deviation the fit starts from.

    Returns:
        (N, 2); a point whose fit leaves the window, or fails, stays where it was.
    """
    image = np.asarray(image, np.float64)
    refined = np.asarray(points, np.float64).reshape(-1, 2).copy()
    for index, (y0, x0) in enumerate(refined):
        top, left = max(0, round(y0 - window)), max(0, round(x0 - window))
        part = image[top : round(y0 + window) + 1, left : round(x0 + window) + 1]
        if part.size < 9:
            continue
        row, column = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]

        def wrong(p: np.ndarray, row: Any = row, column: Any = column, part: Any = part) -> np.ndarray:
            bump = np.exp(-((row - p[0]) ** 2 + (column - p[1]) ** 2) / (2 * p[2] ** 2))
            return (p[3] + p[4] * bump - part).ravel()

        start = np.array([y0, x0, sigma, part.min(), max(float(np.ptp(part)), 1e-12)])
        fit = optimize.least_squares(wrong, start, method="lm", max_nfev=200)
        inside = abs(fit.x[:2] - (y0, x0)).max() <= window and 0.3 * sigma < abs(fit.x[2]) < 3 * sigma
        if fit.success and inside and fit.x[4] > 0:
            refined[index] = fit.x[:2]
    return refined
