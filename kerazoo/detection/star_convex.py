"""Star-convex objects: their distances along rays, and back from predicted distances to objects. NumPy and SciPy only.

A star-convex object is described from any pixel inside by the distances to its outline along rays in n directions

    phi_k = 2 pi k / n      row + r_k sin(phi_k)      column + r_k cos(phi_k)

and by how likely that pixel is one to describe it from: its distance to the background, relative to the largest in the
object. All lengths are pixels of the full image; with a grid of 2 or 4 only every second or fourth pixel is described.

U. Schmidt, M. Weigert, C. Broaddus, G. Myers, "Cell Detection with Star-convex Polygons", MICCAI 2018,
arXiv:1806.03535.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SMALLEST_RADIUS = 1e-3
NMS_THRESHOLDS = (0.3, 0.4, 0.5)
PROBABILITY_THRESHOLDS = tuple(np.round(np.arange(0.1, 0.95, 0.05), 2).tolist())
"""What `optimize_thresholds` tries."""


class Candidates(NamedTuple):
    """Descriptions of objects, most of them of the same ones.

    Attributes:
        points: (n, 2) row and column in pixels.
        distances: (n, rays) in pixels.
        scores: (n,) object probabilities.
        classes: (n, classes) class probabilities, or `None`.
    """

    points: np.ndarray
    distances: np.ndarray
    scores: np.ndarray
    classes: np.ndarray | None = None

    def select(self, chosen: np.ndarray) -> Candidates:
        """Returns some of them."""
        return Candidates(*(None if part is None else part[chosen] for part in self))


class Thresholds(NamedTuple):
    """Attributes: probability: of a candidate; nms: shared part of the smaller area at which the lower score goes."""

    probability: float = 0.5
    nms: float = 0.4


DEFAULT_THRESHOLDS = Thresholds()


def star_distances(labels: np.ndarray, num_rays: int = 32, *, grid: int = 1) -> np.ndarray:
    """Measures from every pixel of every object the way to its outline.

    A ray goes on in steps of one pixel until the nearest pixel belongs to something else, or lies outside the image,
    and then back to the edge between the two.

    Args:
        labels: Object numbers (height, width); 0 and negative numbers are no objects.
        num_rays: Number of directions.
        grid: Every how many pixels.

    Returns:
        Array (height / grid, width / grid, num_rays), float32, upwards rounded; 0 outside the objects.

    Example:
        >>> star_distances(np.ones((3, 5), int), 4)[1, 1]
        array([3.5, 1.5, 1.5, 1.5], dtype=float32)

    References:
        Schmidt et al. (2018), https://arxiv.org/abs/1806.03535
    """
    labels = np.asarray(labels)
    # An edge of one pixel is enough: no step is longer than that.
    padded = np.pad(np.maximum(labels, 0), 1)
    flat, width = padded.ravel(), padded.shape[1]
    rows, columns = np.nonzero(labels[::grid, ::grid] > 0)
    start = (rows * grid + 1) * width + columns * grid + 1
    ids = flat[start]
    found = np.zeros((len(start), num_rays), np.float32)
    for ray, angle in enumerate(ray_angles(num_rays)):
        sine, cosine = np.sin(angle), np.cos(angle)
        too_far = 1 - 0.5 / max(abs(sine), abs(cosine))
        going, step = np.arange(len(start)), 0
        while going.size:
            step += 1
            # The small number keeps steps that end between two pixels independent of rounding.
            offset = int(np.floor(step * sine + 0.5 + 1e-9)) * width + int(np.floor(step * cosine + 0.5 + 1e-9))
            same = flat[start[going] + offset] == ids[going]
            found[going[~same], ray] = step - too_far
            going = going[same]
    distances = np.zeros((*labels[::grid, ::grid].shape, num_rays), np.float32)
    distances[rows, columns] = found
    return distances


def ray_angles(num_rays: int) -> np.ndarray:
    """Returns the directions of the rays in radians."""
    return 2 * np.pi * np.arange(num_rays) / num_rays


def object_probabilities(labels: np.ndarray, *, grid: int = 1) -> np.ndarray:
    """Measures how deep pixels lie in their objects: the distance to anything else, 1 at the deepest pixel.

    The edge of the image is nothing else: an object that is cut off there is deepest at the edge.

    Args:
        labels: Object numbers (height, width); negative numbers are pixels that do not count.
        grid: Every how many pixels.

    Returns:
        Array (height / grid, width / grid), float32; 0 outside the objects, -1 where nothing counts.
    """
    from scipy import ndimage

    labels = np.asarray(labels)
    depths = np.minimum(labels, 0).astype(np.float32)
    for number, box in enumerate(ndimage.find_objects(np.maximum(labels, 0)), start=1):
        if box is None:
            continue
        box = tuple(
            slice(max(part.start - 1, 0), min(part.stop + 1, size))
            for part, size in zip(box, labels.shape, strict=True)
        )
        mask = labels[box] == number
        depth = ndimage.distance_transform_edt(mask) if not mask.all() else np.ones(mask.shape)
        depths[box][mask] = (depth / depth.max())[mask]
    return np.maximum(depths, -1)[::grid, ::grid]


def star_targets(
    labels: np.ndarray, num_rays: int = 32, *, grid: int = 1, classes: np.ndarray | None = None
) -> np.ndarray:
    """Makes what a StarDist network is to predict.

    Args:
        labels: Object numbers (height, width); 0 background, negative numbers do not count.
        num_rays: Number of directions.
        grid: Every how many pixels.
        classes: Class numbers (height, width) from 1, 0 for the background, for a network that tells them apart.

    Returns:
        Array (height / grid, width / grid, 1 + num_rays), float32: object probability (-1: does not count) and
        distances; with classes one more channel, the class number.
    """
    parts = [object_probabilities(labels, grid=grid)[..., None], star_distances(labels, num_rays, grid=grid)]
    if classes is not None:
        parts.append(np.asarray(classes, np.float32)[::grid, ::grid, None])
    return np.concatenate(parts, axis=-1)


def find_candidates(
    predicted: np.ndarray,
    num_rays: int = 32,
    *,
    threshold: float = 0.5,
    grid: int = 1,
    border: int = 2,
    origin: tuple[int, int] = (0, 0),
    size: tuple[int, int] | None = None,
) -> Candidates:
    """Takes the likely descriptions out of a prediction.

    Args:
        predicted: (height / grid, width / grid, 1 + num_rays + classes), as a StarDist network gives it.
        num_rays: Number of directions.
        threshold: Smallest object probability.
        grid: Every how many pixels there is a description.
        border: Descriptions so near the edge of the image, in steps of the grid, are left out.
        origin: Place of the prediction in the whole one, where it is a part of it, in steps of the grid.
        size: Height and width of the whole prediction.

    Returns:
        The candidates.
    """
    height, width = size or predicted.shape[:2]
    rows, columns = np.nonzero(predicted[..., 0] > threshold)
    down, right = rows + origin[0], columns + origin[1]
    # Of an image that is nothing but border the middle remains.
    edges = [min(border, (length - 1) // 2) for length in (height, width)]
    inside = (down >= edges[0]) & (down < height - edges[0]) & (right >= edges[1]) & (right < width - edges[1])
    values = predicted[rows[inside], columns[inside]]
    return Candidates(
        np.stack([down[inside], right[inside]], axis=1) * grid,
        np.maximum(values[:, 1 : 1 + num_rays], SMALLEST_RADIUS),
        values[:, 0],
        values[:, 1 + num_rays :] if values.shape[1] > 1 + num_rays else None,
    )


def concatenate(parts: Sequence[Candidates]) -> Candidates:
    """Puts together the candidates of several parts of an image."""
    points, distances, scores, classes = zip(*parts, strict=True)
    return Candidates(
        np.concatenate(points),
        np.concatenate(distances),
        np.concatenate(scores),
        None if classes[0] is None else np.concatenate(classes),
    )


def polygon_areas(distances: np.ndarray) -> np.ndarray:
    """Returns the areas (n,) in square pixels of star-convex polygons with distances (n, rays)."""
    turn = np.sin(2 * np.pi / distances.shape[-1])
    return 0.5 * turn * (distances * np.roll(distances, -1, axis=-1)).sum(axis=-1)


def inside_polygon(down: np.ndarray, right: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Says whether points lie in star-convex polygons.

    Args:
        down: Rows relative to the centres, (n, points) or (points,).
        right: Columns relative to the centres.
        distances: (n, rays), or (rays,) of one polygon.

    Returns:
        Boolean array of the shape of `down`.
    """
    rays = distances.shape[-1]
    step = 2 * np.pi / rays
    angle = np.arctan2(down, right) % (2 * np.pi)
    first = np.minimum((angle / step).astype(np.int64), rays - 1)
    beyond = angle - first * step
    if distances.ndim == 1:
        near, far = distances[first], distances[(first + 1) % rays]
    else:
        near, far = (np.take_along_axis(distances, ray, axis=1) for ray in (first, (first + 1) % rays))
    # The edge between two corners, as a distance from the centre in the direction of the point.
    edge = near * far * np.sin(step) / (near * np.sin(beyond) + far * np.sin(step - beyond))
    return np.hypot(down, right) <= edge


def suppress(candidates: Candidates, threshold: float = 0.4) -> np.ndarray:
    """Keeps one description of each object, greedily by score.

    A candidate goes if one of higher score that stays shares more than a part of the smaller of the two areas with it:
    not intersection over union, so that a small piece of an object is seen to be one.

    Args:
        candidates: The candidates.
        threshold: That part.

    Returns:
        Positions of those that stay, the highest score first.

    References:
        Schmidt et al. (2018), https://arxiv.org/abs/1806.03535
    """
    from scipy.spatial import KDTree

    if not len(candidates.scores):
        return np.empty(0, np.int64)
    order = np.argsort(-candidates.scores, kind="stable")
    points, distances = candidates.points[order].astype(np.float64), candidates.distances[order]
    reach, areas = distances.max(axis=1), polygon_areas(distances)
    tree = KDTree(points)
    alive = np.ones(len(order), bool)
    kept = []
    # What has a long reach is looked for among all; most objects are far smaller than the largest.
    for index, point in enumerate(points):
        if not alive[index]:
            continue
        kept.append(index)
        near = np.array(tree.query_ball_point(point, reach[index] + reach[alive].max()))
        near = near[(near > index) & alive[near]]
        gap = np.hypot(*(points[near] - point).T)
        near = near[gap < reach[index] + reach[near]]
        if near.size:
            down, right = _pixels_of(distances[index])
            shift = point - points[near]
            shared = inside_polygon(down + shift[:, :1], right + shift[:, 1:], distances[near]).sum(axis=1)
            alive[near[shared > threshold * np.minimum(areas[near], areas[index])]] = False
    return order[kept]


def _pixels_of(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows and columns relative to the centre of the pixels of one polygon."""
    reach = int(np.ceil(distances.max()))
    down, right = (axis.ravel() for axis in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    inside = inside_polygon(down, right, distances)
    return down[inside], right[inside]


def draw_polygons(
    points: np.ndarray, distances: np.ndarray, shape: tuple[int, int], *, hidden: float = 0.5
) -> np.ndarray:
    """Draws objects into a label image, the first on top.

    What lies between several objects shares little with each of them, and would show as a sliver: an object of which
    others hide too much is left out.

    Args:
        points: (n, 2) whole rows and columns.
        distances: (n, rays).
        shape: Height and width.
        hidden: Largest part of an object that others may hide; 1 draws all of them.

    Returns:
        Array (height, width), int32: 1 for the first object, 2 for the second ...
    """
    labels = np.zeros(shape, np.int32)
    for number, (point, reach) in enumerate(zip(points, distances, strict=True), start=1):
        down, right = _pixels_of(reach)
        down, right = down + int(point[0]), right + int(point[1])
        inside = (down >= 0) & (down < shape[0]) & (right >= 0) & (right < shape[1])
        down, right = down[inside], right[inside]
        free = labels[down, right] == 0
        if free.size and 1 - free.mean() <= hidden:
            labels[down[free], right[free]] = number
    return labels


def star_objects(
    predicted: np.ndarray,
    shape: tuple[int, int],
    num_rays: int = 32,
    *,
    grid: int = 1,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> tuple[np.ndarray, Candidates]:
    """Turns the prediction of a StarDist network into objects.

    Args:
        predicted: (height / grid, width / grid, 1 + num_rays + classes).
        shape: Height and width of the image.
        num_rays: Number of directions.
        grid: Every how many pixels there is a description.
        thresholds: Of candidates and of their suppression.

    Returns:
        A label image (height, width), int32, and the description of each object, in the order of their numbers.

    Example:
        >>> labels, objects = star_objects(model.predict(image[None])[0], image.shape[:2])
    """
    found = find_candidates(predicted, num_rays, threshold=thresholds.probability, grid=grid)
    return draw_objects(found, shape, thresholds.nms)


def draw_objects(candidates: Candidates, shape: tuple[int, int], nms: float) -> tuple[np.ndarray, Candidates]:
    """Suppresses candidates and draws the others; an object hidden by others has no number.

    Returns:
        A label image and the description of each object.
    """
    objects = candidates.select(suppress(candidates, nms))
    labels = draw_polygons(objects.points, objects.distances, shape)
    seen = np.unique(labels[labels > 0])
    numbers = np.zeros(len(objects.scores) + 1, np.int32)
    numbers[seen] = np.arange(1, len(seen) + 1)
    return numbers[labels], objects.select(seen - 1)


def optimize_thresholds(
    predictions: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    num_rays: int = 32,
    *,
    grid: int = 1,
    ious: Sequence[float] = (0.3, 0.5, 0.7),
) -> tuple[Thresholds, float]:
    """Finds the thresholds with the highest mean average precision.

    Suppression starts from the highest score, so what it keeps above a probability does not depend on the candidates
    below: each image is suppressed once for all probabilities.

    Args:
        predictions: What a StarDist network says about some images.
        truths: Their label images.
        num_rays: Number of directions.
        grid: Every how many pixels there is a description.
        ious: Intersections over unions that count, see `kerazoo.metrics.instances`.

    Returns:
        The thresholds and the mean average precision with them.
    """
    from kerazoo.metrics.instances import match_all

    best, best_score = Thresholds(), -1.0
    lowest = PROBABILITY_THRESHOLDS[0]
    found = [find_candidates(predicted, num_rays, threshold=lowest, grid=grid) for predicted in predictions]
    for nms in NMS_THRESHOLDS:
        objects = [candidates.select(suppress(candidates, nms)) for candidates in found]
        for probability in PROBABILITY_THRESHOLDS:
            chosen = [part.select(part.scores > probability) for part in objects]
            drawn = [
                draw_polygons(part.points, part.distances, truth.shape)
                for part, truth in zip(chosen, truths, strict=True)
            ]
            score = float(np.mean([matching.average_precision for matching in match_all(truths, drawn, ious)]))
            if score > best_score:
                best, best_score = Thresholds(probability, nms), score
    return best, best_score
