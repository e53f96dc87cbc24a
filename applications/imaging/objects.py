"""From images and volumes to objects with a trained network: scaling, tiles, thresholds, files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerazoo.detection import boundaries, flows, star_convex
from kerazoo.normalisation import percentile_normalise

if TYPE_CHECKING:
    import keras
    import numpy as np

PERCENTILES = (1.0, 99.8)
LARGEST = 1024  # pixels; larger images are predicted in tiles
APART = 3  # voxels between the middles of two objects of a volume, at least
USUAL_DIAMETERS = (15.0, 40.0)  # a Cellpose network takes objects of such sizes as they are


class Objects(NamedTuple):
    """What was found in one image.

    Attributes:
        labels: (height, width) or (depth, height, width) int32, 1 to n.
        scores: (n,) between 0 and 1: StarDist's object probability, Cellpose's agreement with the flows, the mean
            probability of an object between boundaries.
        classes: (n,) the likeliest class of each, from 1, or None where there are no classes.
    """

    labels: np.ndarray
    scores: np.ndarray
    classes: np.ndarray | None = None


def normalised(image: np.ndarray) -> np.ndarray:
    """Returns an image or volume, channels last, with the 1st percentile of each channel at 0, the 99.8th at 1."""
    return percentile_normalise(image, *PERCENTILES, axis=tuple(range(image.ndim - 1)))


class _Collector:
    """Stands for an output that would be too large: it keeps the likely descriptions of what is written to it."""

    def __init__(self, shape: tuple[int, ...], num_rays: int, threshold: float, grid: int) -> None:
        import numpy as np

        self.shape, self.dtype = shape, np.dtype("float32")
        height, width, _ = shape
        self.size = (height, width)
        self.num_rays, self.threshold, self.grid = num_rays, threshold, grid
        self.found: list[star_convex.Candidates] = []

    def __setitem__(self, place: tuple[slice, ...], values: np.ndarray) -> None:
        self.found.append(
            star_convex.find_candidates(
                values,
                self.num_rays,
                threshold=self.threshold,
                grid=self.grid,
                origin=(place[0].start, place[1].start),
                size=self.size,
            )
        )


class Finder:
    """A trained network as a function from an image of any size to the objects in it.

    Args:
        model: The network, or an exported file in its place.
        method: `"stardist"`, `"cellpose"` or `"boundaries"`.
        settings: `scale` of images, and the thresholds: `probability` and `nms`, `inside` and `flow_error`,
            or `inside` alone.
        multiple: What sizes must be multiples of.
        num_rays: StarDist's.
        grid: StarDist's.
        largest: Images with a longer side are predicted in tiles.
    """

    def __init__(
        self,
        model: keras.Model,
        method: str,
        settings: Mapping[str, float],
        *,
        multiple: int,
        num_rays: int = 32,
        grid: int = 1,
        largest: int = LARGEST,
    ) -> None:
        from applications.core.inference import Predictor

        self.model, self.method, self.largest, self.multiple = model, method, largest, multiple
        self.num_rays, self.grid = num_rays, grid
        self.settings = {**default_settings(method), **settings}
        self._call = Predictor(model)

    def __call__(self, image: np.ndarray, stretch: Sequence[float] = (1.0, 1.0)) -> Objects:
        """Finds the objects; `stretch` is what makes cubes of the image's voxels, axis by axis."""
        import numpy as np

        from applications.datasets.instances import rescaled

        factors = [self.settings["scale"] * by for by in stretch]
        pixels = normalised(rescaled(np.asarray(image, np.float32), factors))
        ways = {"stardist": self._polygons, "cellpose": self._flows, "boundaries": self._regions}
        found = ways[self.method](pixels)
        return found if pixels.shape == image.shape else _at_size(found, image.shape[:-1])

    def maps(self, pixels: np.ndarray) -> np.ndarray:
        """Returns what the network says about a normalised image that is small enough."""
        from applications.core.inference import padded

        output = self._call(padded(pixels, self.multiple)[None])[0]
        return output[tuple(slice(-(-length // self.grid)) for length in pixels.shape[:-1])]

    def _polygons(self, pixels: np.ndarray) -> Objects:
        import kerazoo

        shape, probability = pixels.shape[:2], self.settings["probability"]
        if max(shape) <= self.largest:
            found = star_convex.find_candidates(self.maps(pixels), self.num_rays, threshold=probability, grid=self.grid)
        else:
            size = tuple(-(-length // self.grid) for length in shape)
            maps = self.model.output_shape[-1]
            collector = _Collector((*size, maps), self.num_rays, probability, self.grid)
            kerazoo.predict_tiled(self.model, pixels, tile_size=self.largest, output=collector)
            found = star_convex.concatenate(collector.found)
        labels, objects = star_convex.draw_objects(found, shape, self.settings["nms"])
        # The background is no class that an object could have.
        classes = None if objects.classes is None else 1 + objects.classes[:, 1:].argmax(axis=1)
        return Objects(labels, objects.scores, classes)

    def _flows(self, pixels: np.ndarray) -> Objects:
        import numpy as np

        import kerazoo

        if max(pixels.shape[:2]) <= self.largest:
            maps = self.maps(pixels)
        else:  # the style sees the whole image, so that there is no exact way
            maps = kerazoo.predict_tiled(self.model, pixels, tile_size=self.largest, mode="blend")
        flow, inside = maps[..., :2] / flows.FLOW_SCALE, maps[..., 2] > self.settings["inside"]
        labels = flows.flow_objects(flow, inside, largest_error=self.settings["flow_error"])
        errors = flows.flow_errors(labels, flow) if labels.any() else np.empty(0)
        return Objects(labels, np.clip(1 - errors, 0, 1))

    def _regions(self, pixels: np.ndarray) -> Objects:
        import kerazoo

        if max(pixels.shape[:-1]) <= self.largest:
            maps = self.maps(pixels)
        else:
            maps = kerazoo.predict_tiled(self.model, pixels, tile_size=self.largest)
        apart = APART if pixels.ndim == 4 else None
        labels = boundaries.boundary_objects(maps, threshold=self.settings["inside"], apart=apart)
        return Objects(labels, _mean_scores(labels, 1 - maps[..., boundaries.BACKGROUND]))


def _mean_scores(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    import numpy as np
    from scipy import ndimage

    numbers = range(1, int(labels.max(initial=0)) + 1)
    return np.clip(ndimage.mean(values, labels, numbers), 0, 1) if len(numbers) else np.empty(0)


def _at_size(found: Objects, size: tuple[int, ...]) -> Objects:
    """Returns objects at the size of the image as it was; those that vanish leave no gap in the numbers."""
    import numpy as np

    labels = labels_at_size(found.labels, size)
    seen, places = np.unique(np.append(0, labels), return_inverse=True)
    kept = seen[1:] - 1
    classes = None if found.classes is None else found.classes[kept]
    return Objects(places[1:].reshape(labels.shape).astype(np.int32), found.scores[kept], classes)


def labels_at_size(labels: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Returns a label image or volume at another size, each pixel with the label it lies in."""
    import numpy as np

    places = [
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(size, labels.shape, strict=True)
    ]
    return labels[np.ix_(*places)]


def default_settings(method: str) -> dict[str, float]:
    """Returns the thresholds of the papers, and the scale that changes nothing."""
    thresholds: dict[str, dict[str, float]] = {
        "stardist": {"probability": 0.5, "nms": 0.4},
        "cellpose": {"inside": 0.0, "flow_error": 0.4},
        "boundaries": {"inside": 0.5},
    }
    return {"scale": 1.0, **thresholds[method]}


def best_scale(labels: Sequence[np.ndarray]) -> float:
    """Returns the factor that makes objects of unusual size 30 pixels across, for Cellpose."""
    import numpy as np

    diameters = [flows.mean_diameter(each) for each in labels if (each > 0).any()]
    diameter = float(np.median(diameters)) if diameters else flows.USUAL_DIAMETER
    if USUAL_DIAMETERS[0] <= diameter <= USUAL_DIAMETERS[1]:
        return 1.0
    return round(flows.USUAL_DIAMETER / diameter, 3)


# Files


class Prediction(NamedTuple):
    """The objects found in one file.

    Attributes:
        file: The file.
        planes: Its images (height, width, channels), all points in time of the first depth, of the second ...
        found: The objects of each, numbered by themselves.
        times: Number of points in time; the rest of the planes are depths.
        spacing: Distances along depth, height and width in micrometres, 0 where they are not known.
        class_names: Names of the classes of objects, the background first.
    """

    file: Path
    planes: list[np.ndarray]
    found: list[Objects]
    times: int = 1
    spacing: tuple[float, float, float] = (0.0, 0.0, 0.0)
    class_names: tuple[str, ...] = ()


def read_planes(path: Path) -> tuple[list[np.ndarray], int, tuple[float, float, float]]:
    """Returns the images of a file, by depth and time, the number of times, and the distances of pixels."""
    from applications.datasets.readers import read_image
    from applications.datasets.stacks import is_stack, read_stack

    spacing = (0.0, 0.0, 0.0)
    if is_stack(path):
        pixels, _, spacing = read_stack(path)
        if pixels.shape[:2] != (1, 1) or path.is_dir():
            planes = [pixels[time, depth] for depth in range(pixels.shape[1]) for time in range(pixels.shape[0])]
            return planes, pixels.shape[0], spacing
    return [read_image(path)], 1, spacing


def write_objects(stem: str, prediction: Prediction, folder: Path) -> list[Path]:
    """Writes a label image (16 bits, or 32 for more objects), a table, and a picture with the outlines.

    Returns:
        `STEM_labels.tif` (`.zarr` for zarr) with all planes, `STEM_objects.csv`, and `STEM_overlay.png` of the plane in
        the middle.
    """
    import numpy as np

    labels = np.stack([found.labels for found in prediction.found])
    labels = np.swapaxes(labels.reshape(-1, prediction.times, *labels.shape[1:]), 0, 1)
    middle = len(prediction.found) // 2
    overlay = outlined(prediction.planes[middle], prediction.found[middle].labels)
    target = folder / f"{stem}_labels{label_suffix(prediction.file)}"
    return write_found(target, (labels, "TZYX", prediction.spacing), object_table(prediction), overlay)


def label_suffix(file: Path) -> str:
    """Returns how the label image of a file ends: as zarr for zarr, as TIFF for all others."""
    return ".zarr" if file.suffix.lower() == ".zarr" else ".tif"


def write_found(
    target: Path, labels: tuple[np.ndarray, str, Sequence[float]], table: str, overlay: np.ndarray
) -> list[Path]:
    """Writes a label image (an array, its axes, the distances of its pixels), and beside it a table and a picture."""
    from PIL import Image

    from applications.core.run_directory import write_atomically
    from applications.datasets.stacks import write_labels

    picture = io.BytesIO()
    Image.fromarray(overlay).save(picture, format="PNG")
    written, stem = [write_labels(target, *labels)], target.stem.removesuffix("_labels")
    for name, content in (("objects.csv", table.encode()), ("overlay.png", picture.getvalue())):
        written.append(target.with_name(f"{stem}_{name}"))
        write_atomically(written[-1], content)
    return written


def measured(found: Objects) -> Iterator[tuple[int, int, tuple[float, ...], float]]:
    """Yields number, pixels, centre and score of each object."""
    import numpy as np
    from scipy import ndimage

    numbers = np.arange(1, len(found.scores) + 1)
    sizes = np.bincount(found.labels.ravel(), minlength=len(numbers) + 1)[1:]
    centres = ndimage.center_of_mass(found.labels > 0, found.labels, numbers) if len(numbers) else []
    yield from zip(numbers.tolist(), sizes.tolist(), centres, found.scores.tolist(), strict=True)


def object_table(prediction: Prediction) -> str:
    """Returns the objects of a file as CSV: plane where there are several, number, area and centre in pixels, score,
    and the class where there are some.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    several, told = len(prediction.found) > 1, prediction.found[0].classes is not None
    heads = ("id", "area", "centroid_row", "centroid_column", "score", *("class",) * told)
    table.writerow((*("time", "depth") * several, *heads))
    for plane, found in enumerate(prediction.found):
        place = (plane % prediction.times, plane // prediction.times) * several
        names = [] if found.classes is None else [prediction.class_names[each] for each in found.classes]
        for number, area, centre, score in measured(found):
            columns = (*(f"{length:.2f}" for length in centre), f"{score:.4f}", *names[number - 1 : number])
            table.writerow((*place, number, area, *columns))
    return text.getvalue()


def outlines(labels: np.ndarray) -> np.ndarray:
    """Returns the pixels of objects with a neighbour to the right or below, left or above, of something else."""
    import numpy as np

    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        first, second = (np.moveaxis(edge, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        differs = np.diff(np.moveaxis(labels, axis, 0), axis=0) != 0
        first |= differs
        second |= differs
    return edge & (labels > 0)


def outlined(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the image with each object's outline in one of several colours, as uint8 RGB."""
    from applications.core.figures import class_colours, display_image

    picture = display_image(image).copy()
    edge = outlines(labels)
    picture[edge] = class_colours(8)[1 + labels[edge] % 7]
    return picture
