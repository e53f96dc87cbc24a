"""Objects as sinks of a flow: from label images to flows, and from predicted flows to objects. NumPy and SciPy only.

Every pixel of an object gets the direction in which heat comes from the object's centre, a vector of length 1.
Following the vectors from everywhere leads to the centres, whatever the shape of the objects; pixels that end in one
place belong to one object. Flows are (height, width, 2): down and right, in pixels per step.

C. Stringer, T. Wang, M. Michaelos, M. Pachitariu, "Cellpose: a generalist algorithm for cellular segmentation", Nature
Methods 18 (2021), https://doi.org/10.1038/s41592-020-01018-x.
"""

from __future__ import annotations

import math

import numpy as np

FLOW_SCALE = 5.0
"""A Cellpose network predicts the flow times this."""
USUAL_DIAMETER = 30.0
"""Pixels; images are rescaled to objects of this size."""
_SEED_COUNT = 10
_GROWTH_COUNT = 2
_MARGIN = 20


def mean_diameter(labels: np.ndarray) -> float:
    """Returns the diameter in pixels of the disc that is as large as the objects of an image, 0 without any.

    Args:
        labels: Object numbers (height, width).

    Returns:
        2 / sqrt(pi) times the median of the roots of the areas.
    """
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    return 2 / math.sqrt(math.pi) * float(np.median(np.sqrt(areas))) if len(areas) else 0.0


def labels_to_flows(labels: np.ndarray) -> np.ndarray:
    """Lets heat spread from the centre of each object and returns the direction it comes from.

    A unit of heat goes in at the centre, the pixel of the object nearest to the median row and column, before each
    step; a step is the mean over 3 x 3 pixels, of which those of other objects are cold. The number of steps is twice
    height plus width of the object. Objects of a thousand pixels across take minutes: rescale such images first.

    Args:
        labels: Object numbers (height, width); 0 and negative numbers are no objects.

    Returns:
        Array (height, width, 2), float32; vectors of length 1 in the objects, 0 outside.

    Example:
        >>> flows = labels_to_flows(labels)

    References:
        Stringer et al. (2021), https://doi.org/10.1038/s41592-020-01018-x
    """
    from scipy.sparse import csr_array

    labels = np.asarray(labels)
    padded = np.pad(np.maximum(labels, 0), 1)
    flows = np.zeros((*padded.shape, 2), np.float32)
    rows, columns, objects, centres, steps = _objects(padded)
    if not len(rows):
        return flows[1:-1, 1:-1]
    # The objects with the most steps come first, so that those still warming are always the first pixels of the list.
    order = np.argsort(-steps[objects], kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    rows, columns, steps, centres = rows[order], columns[order], steps[objects[order]], place[centres]
    neighbours = _neighbours(padded, rows, columns)
    there = neighbours >= 0
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    data, indices = np.full(int(starts[-1]), 1 / 9), neighbours[there]
    heat = np.zeros(len(rows))
    done = 0
    for last in np.unique(steps):
        count = int(np.searchsorted(-steps, -last, side="right"))
        ends = int(starts[count])
        spread = csr_array((data[:ends], indices[:ends], starts[: count + 1]), shape=(count, count))
        warm, inner = heat[:count], centres[centres < count]
        for _ in range(done, last):
            warm[inner] += 1
            warm = spread @ warm
        heat[:count], done = warm, int(last)
    flows[rows, columns] = _gradient(np.log1p(heat), neighbours)
    return flows[1:-1, 1:-1]


def _objects(padded: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns rows, columns and objects (from 0) of all pixels of objects, the place of each object's centre in that
    list, and its number of steps."""
    rows, columns = np.nonzero(padded)
    objects = np.unique(padded[rows, columns], return_inverse=True)[1]
    order = np.argsort(objects, kind="stable")
    rows, columns, objects = rows[order], columns[order], objects[order]
    starts = np.flatnonzero(np.diff(objects, prepend=-1))
    centres, steps = np.empty(len(starts), np.int64), np.empty(len(starts), np.int64)
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(rows)], strict=True)):
        y, x = rows[start:end], columns[start:end]
        centres[number] = start + np.argmin((y - np.median(y)) ** 2 + (x - np.median(x)) ** 2)
        steps[number] = 2 * (np.ptp(y) + np.ptp(x))
    return rows, columns, objects, centres, steps


def _neighbours(padded: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns for each pixel the places in the list of the 3 x 3 around it (9 columns), -1 for something else."""
    places = np.full(padded.shape, -1)
    places[rows, columns] = np.arange(len(rows))
    own = padded[rows, columns]
    found = []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            same = padded[rows + down, columns + right] == own
            found.append(np.where(same, places[rows + down, columns + right], -1))
    return np.stack(found, axis=1)


def _gradient(values: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Returns central differences (pixels, 2) of length 1; values of other objects are 0."""
    extended = np.append(values, 0.0)  # which place -1 is
    up, left, right, down = (extended[neighbours[:, column]] for column in (1, 3, 5, 7))
    gradient = np.stack([down - up, right - left], axis=1)
    return gradient / np.maximum(np.hypot(*gradient.T), 1e-60)[:, None]


def flow_targets(labels: np.ndarray) -> np.ndarray:
    """Makes what a Cellpose network is to predict.

    Args:
        labels: Object numbers (height, width); 0 background, negative numbers do not count.

    Returns:
        Array (height, width, 3), float32: flow down, flow right, and 1 in objects, 0 outside, -1 where nothing counts.
    """
    inside = np.clip(labels, -1, 1).astype(np.float32)
    return np.concatenate([labels_to_flows(labels), inside[..., None]], axis=-1)


def follow_flows(flows: np.ndarray, mask: np.ndarray, *, steps: int = 200) -> np.ndarray:
    """Goes with the flow from every pixel of a mask, in steps of the flow's length.

    Args:
        flows: (height, width, 2).
        mask: (height, width); outside of it there is no flow.
        steps: Number of steps.

    Returns:
        Array (pixels of the mask, 2): the rows and columns where they end, not rounded.
    """
    height, width = mask.shape
    flat = np.where(mask[..., None], flows, 0).reshape(-1, 2).astype(np.float32)
    points = np.stack(np.nonzero(mask), axis=1).astype(np.float32)
    limits = np.array([height - 1, width - 1], np.float32)
    # Behind the last row and column lies another one, with weight 0.
    down = width if height > 1 else 0
    right = 1 if width > 1 else 0
    for _ in range(steps):
        corner = np.minimum(points.astype(np.int32), np.maximum(limits.astype(np.int32) - 1, 0))
        fraction = points - corner
        place = corner[:, 0] * width + corner[:, 1]
        low, high = 1 - fraction, fraction
        move = flat[place] * (low[:, :1] * low[:, 1:])
        move += flat[place + right] * (low[:, :1] * high[:, 1:])
        move += flat[place + down] * (high[:, :1] * low[:, 1:])
        move += flat[place + down + right] * (high[:, :1] * high[:, 1:])
        points = np.clip(points + move, 0, limits)
    return points


def sinks_to_labels(ends: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Gives pixels that end in one place one number.

    Places where more than ten pixels end, and more than anywhere within two pixels, are objects. They grow five times
    by one pixel to where more than two pixels end.

    Args:
        ends: (pixels of the mask, 2), see `follow_flows`.
        mask: (height, width).

    Returns:
        Array (height, width), int32; 0 where pixels end nowhere in particular.
    """
    from scipy import ndimage

    places = np.rint(ends).astype(np.int64) + _MARGIN
    counts = np.zeros([size + 2 * _MARGIN for size in mask.shape], np.int64)
    np.add.at(counts, tuple(places.T), 1)
    peaks = np.nonzero((counts == ndimage.maximum_filter(counts, 5)) & (counts > _SEED_COUNT))
    # Where two grow into each other, the weaker one wins, which the stronger one can spare.
    strongest_first = np.argsort(-counts[peaks], kind="stable")
    seeds = np.zeros(counts.shape, np.int32)
    seeds[tuple(axis[strongest_first] for axis in peaks)] = np.arange(1, len(peaks[0]) + 1)
    for _ in range(5):
        seeds = np.where(counts > _GROWTH_COUNT, ndimage.maximum_filter(seeds, 3), seeds)
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = seeds[tuple(places.T)]
    return labels


def flow_errors(labels: np.ndarray, flows: np.ndarray) -> np.ndarray:
    """Compares predicted flows with those of the objects found: where they disagree, the object is an invention.

    Args:
        labels: Object numbers (height, width), 1 to n.
        flows: Predicted flow (height, width, 2), vectors of about length 1.

    Returns:
        The mean squared difference in each object, (n,).
    """
    from scipy import ndimage

    squared = ((labels_to_flows(labels) - flows) ** 2).sum(axis=-1)
    numbers = np.arange(1, int(labels.max(initial=0)) + 1)
    return ndimage.sum_labels(squared, labels, numbers) / np.maximum(ndimage.sum_labels(labels > 0, labels, numbers), 1)


def fill_and_drop(labels: np.ndarray, smallest: int = 15) -> np.ndarray:
    """Fills the holes of objects and leaves out those with too few pixels; numbers the others 1 to n.

    Args:
        labels: Object numbers (height, width).
        smallest: Pixels of the smallest object.
    """
    from scipy import ndimage

    filled = np.zeros(labels.shape, np.int32)
    number = 0
    for old, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = labels[box] == old
        if mask.sum() < smallest:
            continue
        number += 1
        holes = ndimage.binary_fill_holes(mask) & (labels[box] == 0)
        filled[box][mask | holes] = number
    return filled


def flow_objects(
    flows: np.ndarray,
    mask: np.ndarray,
    *,
    steps: int = 200,
    largest_error: float | None = 0.4,
    largest_part: float = 0.4,
    smallest: int = 15,
) -> np.ndarray:
    """Turns the prediction of a Cellpose network into objects.

    Args:
        flows: (height, width, 2), vectors of about length 1: the network's first two channels over `FLOW_SCALE`.
        mask: (height, width) boolean, where there are objects: the network's last channel above 0.
        steps: Steps of following.
        largest_error: Objects whose own flows differ more from those predicted go, see `flow_errors`; `None` keeps all.
        largest_part: Objects larger than this part of the image go.
        smallest: Objects of fewer pixels go.

    Returns:
        A label image (height, width), int32.

    Example:
        >>> predicted = model.predict(image[None])[0]
        >>> labels = flow_objects(predicted[..., :2] / FLOW_SCALE, predicted[..., 2] > 0)
    """
    mask = np.asarray(mask, bool)
    labels = sinks_to_labels(follow_flows(flows, mask, steps=steps), mask)
    if largest_part < 1:
        too_large = np.bincount(labels.ravel()) > largest_part * labels.size
        too_large[:1] = False
        labels[too_large[labels]] = 0
    if largest_error is not None and labels.any():
        labels[np.append(False, flow_errors(labels, flows) > largest_error)[labels]] = 0
    return fill_and_drop(labels, smallest)
