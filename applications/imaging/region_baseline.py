"""The simple method beside a detector: regions unlike the ground, named by a random forest on their shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerazoo.detection.boxes import Detections, box_iou

if TYPE_CHECKING:
    from applications.datasets.boxes import BoxedImages

SMALLEST = 20  # pixels
MOST_IMAGES = 300  # the forest learns from so many


class Region(NamedTuple):
    """A connected region: its box and its pixels within it."""

    box: tuple[int, int, int, int]
    mask: np.ndarray


def regions(image: np.ndarray) -> list[Region]:
    """Returns connected regions that are brighter than the median, and those that are darker, by Otsu's threshold."""
    from scipy import ndimage

    from applications.imaging.thresholds import otsu_threshold

    smooth = ndimage.gaussian_filter(np.asarray(image, np.float64).mean(axis=2), 1.0)
    contrast = smooth - np.median(smooth)
    threshold = max(otsu_threshold(abs(contrast)), 1e-6)  # an image of one brightness has no region
    found = []
    for signed in (contrast, -contrast):
        labels, _ = ndimage.label(signed > threshold)
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            mask = labels[rows, columns] == number
            if mask.sum() >= SMALLEST:
                found.append(Region((columns.start, rows.start, columns.stop, rows.stop), mask))
    return found


def shape_features(mask: np.ndarray) -> list[float]:
    """Returns numbers that say what a region looks like, most of them whatever its size and orientation."""
    from scipy import ndimage

    filled = ndimage.binary_fill_holes(mask)
    area, (y, x) = filled.sum(), np.nonzero(mask)
    axes = np.sqrt(np.clip(np.linalg.eigvalsh(np.cov(np.stack([y, x]))), 1e-6, None))
    outline = (mask & ~ndimage.binary_erosion(mask)).sum()
    distance = np.hypot(y - y.mean(), x - x.mean())
    return [
        float(mask.sum()),
        mask.sum() / mask.size,
        area / mask.sum(),
        max(mask.shape) / min(mask.shape),
        axes[0] / axes[1],
        outline**2 / area,
        distance.max() / np.sqrt(area),
        distance.std() / distance.mean(),
        distance.min() / distance.max(),
    ]


def region_detector(datasets: BoxedImages) -> Callable[[np.ndarray], Detections]:
    """Trains the forest on the regions of the training images; returns a function from an image to what is found."""
    from sklearn.ensemble import RandomForestClassifier

    ground = datasets.num_classes
    samples: list[list[float]] = []
    targets: list[int] = []
    for index in datasets.split["train"][:MOST_IMAGES]:
        found = regions(datasets.images[index])
        overlaps = box_iou([region.box for region in found], datasets.boxes[index], datasets.crowds[index])
        for region, overlap in zip(found, overlaps, strict=True):
            samples.append(shape_features(region.mask))
            near = len(overlap) and overlap.max() >= 0.5
            targets.append(int(datasets.box_classes[index][overlap.argmax()]) if near else ground)
    forest: Any = RandomForestClassifier(100, min_samples_leaf=2, random_state=0)
    forest = forest.fit(samples, targets) if samples else None

    def detect(image: np.ndarray) -> Detections:
        found = regions(image)
        likely = np.zeros((len(found), ground + 1))
        if found and forest is not None:
            likely[:, forest.classes_] = forest.predict_proba([shape_features(region.mask) for region in found])
        classes = likely[:, :ground].argmax(axis=1)
        boxes = np.array([region.box for region in found], np.float64).reshape(-1, 4)
        return Detections(boxes, classes, likely[np.arange(len(found)), classes])

    return detect
