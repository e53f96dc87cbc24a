"""Atom finding: the place and kind of every atomic column in a micrograph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from applications.core.config import option
from applications.core.errors import UserError
from applications.semantic_segmentation import SemanticSegmentation

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.application import Serving
    from applications.core.report import Result
    from applications.datasets.points import PointImages
    from kerazoo.metrics.points import PointMatching

# Of the baseline: standard deviation in pixels, and the lowest height of a peak as a share of the highest one.
FILTERS = tuple((sigma, share) for sigma in (1.0, 1.5, 2.0, 2.5, 3.0) for share in (0.1, 0.2, 0.3, 0.4, 0.5))
FILTERED_IMAGES = 12  # of the training split, on which one of these filters is chosen
SHOWN = 6
SPACING_FILE = "spacing.json"


class Points(NamedTuple):
    """Points found in one image: y and x in pixels, class numbers from 1 on, scores."""

    places: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


class Prediction(NamedTuple):
    """What the model says about one file."""

    file: Path
    image: np.ndarray
    found: Points
    class_names: tuple[str, ...]
    pixel_size: float | None


@dataclass(frozen=True, kw_only=True)
class AtomFinding(SemanticSegmentation):
    """Finds atomic columns, or other points: where they are to a fraction of a pixel, and of which class.

    A network that labels pixels learns discs around the points; a point is where a disc fits best into its answer.
    Data: `lattices` or `nanoparticles` (simulated, embedded), or a folder with `images/` and `points/`, a CSV file of
    y, x and class per image.

    Example:
        >>> from applications.core.training import start
        >>> from applications.atom_finding import AtomFinding
        >>> run = start(AtomFinding(data="lattices", epochs=2))
    """

    task: ClassVar[str] = "atom-finding"
    summary: ClassVar[str] = "the place and class of atomic columns"

    data: str = option(
        "lattices", "`lattices`, `nanoparticles`, or a folder with images/ and points/ (CSV files of y, x, class)."
    )
    model: str = option("unet_small", "Dense-prediction model of the catalogue, e.g. `reshednet`.")
    epochs: int = option(20, "Passes over the training data.", minimum=1)
    disc_radius: float = option(3.0, "Radius of the discs that are learnt, in pixels.", minimum=1)
    min_distance: float | None = option(
        None,
        "Smallest distance of two points in pixels; none: half the nearest distance in the training data.",
        minimum=1,
    )
    threshold: float = option(0.3, "Lowest mean probability over a disc of a point.", minimum=0, maximum=1)
    refine: bool = option(False, "Fit a Gaussian to the image around every point found.")
    tolerance: float | None = option(
        None,
        "Largest distance in pixels of a point found from a true one; none: 3, or half the distance of neighbours "
        "where that is less.",
        minimum=0,
    )
    pixel_size: float | None = option(None, "Picometres per pixel of your own images.", minimum=0)

    def datasets(self, progress: Callable | None = None) -> PointImages:
        from applications.datasets.points import load_points, with_discs

        known = load_points(self.data, pixel_size=self.pixel_size, **self.loading(progress))
        return with_discs(known, self.disc_radius)

    def check(self) -> None:
        super().check()
        if self.pixel_size == 0:
            raise UserError("pixel_size: expected a number of picometres above 0, received 0.")

    def as_trained(self, datasets: PointImages, known: dict[str, Any]) -> PointImages:  # type: ignore[override]
        """Returns other data with the classes numbered as in the run; fewer classes will do."""
        import numpy as np

        from applications.core.evaluation import images_as_trained

        names = tuple(known["class_names"])
        strangers = [name for name in datasets.class_names if name not in names]
        if strangers:
            raise UserError(
                f"The points have the class {strangers[0]!r}, the run was trained on {', '.join(names[1:])}."
            )
        table = np.array([names.index(name) for name in datasets.class_names])
        classes = tuple(table[kinds] for kinds in datasets.point_classes)
        renamed = dataclasses.replace(datasets, class_names=names, point_classes=classes, masks=None)
        from applications.datasets.points import with_discs

        images: Any = images_as_trained(renamed, known)
        return with_discs(images, self.disc_radius)

    def prepared(self, datasets: PointImages) -> PointImages:  # type: ignore[override]
        """Returns the data with the distance of neighbours, which says what lies too close together."""
        return dataclasses.replace(datasets, spacing=spacing(datasets))

    def files(self, datasets: PointImages) -> dict[str, str]:  # type: ignore[override]
        import json

        return {SPACING_FILE: json.dumps({"nearest_neighbour": datasets.spacing}) + "\n"}

    def recalled(self, datasets: PointImages, known: dict[str, Any]) -> PointImages:  # type: ignore[override]
        return dataclasses.replace(datasets, spacing=known_spacing(known))

    def report(self, model: keras.Model, datasets: PointImages) -> Result:  # type: ignore[override]
        from applications.core.report import Figure, Result, Table
        from applications.imaging import atom_report as parts

        test = datasets.split["test"]
        founds = self.found(model, datasets, "test")
        matchings = self.matchings(datasets, founds)
        rows = parts.class_rows(datasets, test, founds, matchings)
        unit, notes = datasets.pixel_size, []
        if unit is None:
            notes.append(
                "Distances are in pixels alone: the pixel size is not known, --pixel-size gives it (picometres)."
            )
        worst = sorted(range(len(test)), key=lambda place: matchings[place].f1)[:SHOWN]
        pictures = parts.panels(
            datasets, [test[i] for i in worst], [founds[i] for i in worst], [matchings[i] for i in worst]
        )
        return Result(
            metrics=parts.metrics(datasets, test, founds, matchings),
            headline="f1",
            tables=[Table("Columns per class", ("class", "columns", "found", "of the right class", "recall"), rows)],
            figures=[
                Figure("failures", "Test images with most failures", pictures, "Found, missed, and false points."),
                Figure("offsets", "Where points were found, from where they are", parts.offsets(matchings, unit)),
            ],
            notes=notes,
        )

    def found(self, model: keras.Model, datasets: PointImages, split: str) -> list[Points]:
        """Returns the points found in the images of a split."""
        find = self.finder(model, datasets.spacing)
        return [find(datasets.images[index]) for index in datasets.split[split]]

    def finder(self, model: keras.Model, nearest: float | None) -> Callable[[np.ndarray], Points]:
        """Returns a function from an image of any size to the points in it; `nearest`: distance of neighbours."""
        import numpy as np

        from applications.core.image_predictor import ImagePredictor
        from kerazoo.detection.points import find_points, refine_gaussian

        call = ImagePredictor(model)
        distance = self.min_distance or max(self.disc_radius, 0.5 * (nearest or 0.0))

        def find(image: np.ndarray) -> Points:
            found = Points(*find_points(call(image), self.disc_radius, threshold=self.threshold, min_distance=distance))
            if not self.refine:
                return found
            grey = np.asarray(image, np.float64).mean(axis=2)
            places = refine_gaussian(grey, found.places, max(2.0, distance / 2), self.disc_radius / 1.5)
            return found._replace(places=places)

        return find

    def matchings(self, datasets: PointImages, founds: list[Points], split: str = "test") -> list[PointMatching]:
        """Compares points with the true ones; at the edge, where half of a column is to be seen, none need be found."""
        from kerazoo.metrics.points import match_points

        reach = self.tolerance_in_pixels(datasets)
        matched = []
        for index, found in zip(datasets.split[split], founds, strict=True):
            height, width = (int(n) for n in datasets.images.shapes[index][:2])

            def inside(points: np.ndarray, last: tuple = (height - 1 - reach, width - 1 - reach)) -> np.ndarray:
                return ((points >= reach) & (points <= last)).all(axis=1)

            matched.append(match_points(datasets.points[index], found.places, reach, counted=inside))
        return matched

    def tolerance_in_pixels(self, datasets: PointImages) -> float:
        """Returns the largest distance of a point found from a true one."""
        return self.tolerance or (3.0 if datasets.spacing is None else min(3.0, datasets.spacing / 2))

    def baseline(self, datasets: PointImages) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """Peaks behind a Gaussian filter, the best one for training images, all of the commonest class."""
        import dataclasses

        import numpy as np

        from applications.imaging.atom_report import metrics

        train, test = datasets.split["train"], datasets.split["test"]
        classes = np.concatenate([datasets.point_classes[index] for index in train])
        commonest = int(np.bincount(classes, minlength=2)[1:].argmax()) + 1
        few = dataclasses.replace(datasets, split={"train": train[:FILTERED_IMAGES]})

        def found(data: PointImages, split: str, sigma: float, share: float) -> list[Points]:
            return [filtered_peaks(data.images[index], commonest, sigma, share) for index in data.split[split]]

        def score(filter_: tuple[float, float]) -> float:
            founds = found(few, "train", *filter_)
            return metrics(few, few.split["train"], founds, self.matchings(few, founds, "train"))["f1"]

        sigma, share = max(FILTERS, key=score)
        founds = found(datasets, "test", sigma, share)
        name = f"Gaussian filter of {sigma:g} px and peaks from {share:g} of the highest, commonest class"
        return name, metrics(datasets, test, founds, self.matchings(datasets, founds))

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Any]:
        from applications.core.inference import read_like_training

        find = self.finder(model, known_spacing(about))
        return [
            Prediction(path, image, find(image), tuple(about["class_names"]), about.get("pixel_size"))
            for path, image in read_like_training(inputs, about, self.on_bad_file)
        ]

    def write(self, predictions: list[Any], folder: Path) -> list[Path]:
        """Writes for each file a table of its points (`NAME.csv`) and a picture of them (`NAME_overlay.png`)."""
        import io

        from PIL import Image

        from applications.core.inference import unique_stems
        from applications.core.run_directory import write_atomically
        from applications.imaging.atom_report import point_overlay

        written: list[Path] = []
        stems = unique_stems(prediction.file for prediction in predictions)
        for stem, prediction in zip(stems, predictions, strict=True):
            write_atomically(folder / f"{stem}.csv", csv_text(prediction))
            buffer = io.BytesIO()
            Image.fromarray(point_overlay(prediction.image, prediction.found)).save(buffer, format="PNG")
            write_atomically(folder / f"{stem}_overlay.png", buffer.getvalue())
            written += [folder / f"{stem}.csv", folder / f"{stem}_overlay.png"]
        return written

    def scores(self, model: keras.Model, datasets: PointImages) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        from applications.imaging.atom_report import metrics

        founds = self.found(model, datasets, "test")
        return "f1", metrics(datasets, datasets.split["test"], founds, self.matchings(datasets, founds))

    def serving(self, datasets: PointImages) -> Serving:  # type: ignore[override]
        import inspect

        from kerazoo.detection import points

        return dataclasses.replace(super().serving(datasets), files={"points.py": inspect.getsource(points)})

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Real

        return {**super().search_space(), "disc_radius": Real(2.0, 5.0)}


def spacing(datasets: PointImages) -> float | None:
    """Returns the median over the training images of the mean distance of nearest neighbours, in pixels."""
    import numpy as np

    from kerazoo.metrics.points import nearest_neighbour_distance

    distances = [nearest_neighbour_distance(datasets.points[index]) for index in datasets.split["train"]]
    known = [distance for distance in distances if np.isfinite(distance)]
    return float(np.median(known)) if known else None


def known_spacing(known: dict[str, Any]) -> float | None:
    """Returns the distance of neighbours that a run has kept."""
    import json

    return json.loads((Path(known["folder"]) / SPACING_FILE).read_text(encoding="utf-8"))["nearest_neighbour"]


def filtered_peaks(image: np.ndarray, number: int, sigma: float, share: float, min_distance: float = 4.0) -> Points:
    """Returns the peaks of an image behind a Gaussian filter that reach a share of the highest one."""
    import numpy as np
    from scipy import ndimage

    from kerazoo.detection.points import find_peaks

    smooth = ndimage.gaussian_filter(np.asarray(image, np.float64).mean(axis=2), sigma)
    smooth -= smooth.min()
    found = find_peaks(smooth, min_distance, share * smooth.max())
    heights = smooth[tuple(np.rint(found).astype(int).T)] / (smooth.max() or 1.0)
    return Points(found, np.full(len(found), number), heights)


def csv_text(prediction: Prediction) -> str:
    """Returns the points of a file as a table that can be read back as data: y, x, class, score, and picometres."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    unit = prediction.pixel_size
    writer.writerow(("y", "x", "class", "score", *(("y_pm", "x_pm") if unit else ())))
    for (y, x), kind, score in zip(*prediction.found, strict=True):
        metric = (f"{y * unit:.1f}", f"{x * unit:.1f}") if unit else ()
        writer.writerow((f"{y:.3f}", f"{x:.3f}", prediction.class_names[kind], f"{score:.3f}", *metric))
    return text.getvalue()
