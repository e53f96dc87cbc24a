"""Object detection: a box and a class for each object of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from applications.core.application import Application, ScheduleName, Serving
from applications.core.config import group, option
from applications.core.errors import UserError
from applications.imaging.box_targets import BoxAugmentation

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.boxes import BoxedImages
    from applications.datasets.store import ImageStore
    from kerazoo.detection.boxes import Detections
    from kerazoo.metrics.detection import Objects

LOWEST_SCORE = 0.01  # an average precision looks at uncertain detections, too
SHOWN = 8


class Prediction(NamedTuple):
    """What the model says about one file."""

    file: Path
    image: np.ndarray
    found: Detections
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ObjectDetection(Application):
    """Finds the objects of an image: a box around each, its class, and how certain that is.

    Training looks at random windows, prediction at whole images of any size. Data: `scenes` (simulated, embedded), a
    COCO JSON file, or a folder with one; or a folder with `images/` and `labels/` in YOLO's text format.

    Example:
        >>> from applications.core.training import start
        >>> from applications.object_detection import ObjectDetection
        >>> run = start(ObjectDetection(data="scenes", epochs=2))
    """

    task: ClassVar[str] = "object-detection"
    summary: ClassVar[str] = "a box and a class for each object"
    kinds: ClassVar[tuple[str, ...]] = ("detector",)

    data: str = option("scenes", "`scenes`, a COCO JSON file, or a folder with images/ and labels/.")
    model: str = option("centernet", "Detector of the catalogue.")
    epochs: int = option(48, "Passes over the training data.", minimum=1)
    batch_size: int = option(8, "Windows per step, over all devices together.", minimum=1)
    learning_rate: float = option(2e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    window_size: int = option(128, "Height and width of the training windows in pixels.", minimum=32)
    windows_per_image: int | None = option(
        None, "Windows taken from each image per epoch; none: as many as cover its area.", minimum=1
    )
    score_threshold: float = option(
        0.3, "Lowest score of a detection that is written, and of those the report counts.", minimum=0, maximum=1
    )
    max_objects: int = option(100, "Most detections in an image.", minimum=1)
    augment: BoxAugmentation = group(BoxAugmentation, "Random changes of the training windows.")

    def datasets(self, progress: Callable | None = None) -> BoxedImages:
        from applications.datasets.boxes import load_boxes

        return load_boxes(self.data, **self.loading(progress))

    def check(self) -> None:
        super().check()
        if self.loss != "auto":
            raise UserError(f"loss: detectors have a loss of their own, received {self.loss!r}; leave it at auto.")

    @property
    def stride(self) -> int:
        """Pixels of the image per pixel of the model's answer."""
        from kerazoo.catalog import builder_parameters

        return int(self.model_options.get("stride", builder_parameters(self.model)["stride"]))

    def samples(self, datasets: BoxedImages, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        from applications.imaging.box_targets import window_samples
        from applications.imaging.crops import crop_places

        count = self.windows_per_image if training else None
        places = crop_places(datasets.images, datasets.split[split], self.window_size, count)
        return window_samples(datasets, places, self.window_size, self.stride, self.augment if training else None)

    def build(self, datasets: BoxedImages, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        from applications.image_classification import standardisation

        return self.create(
            (None, None, datasets.channels),
            datasets.num_classes,
            include_preprocessing=standardisation(datasets),
            dtype=dtype,
        )

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        from kerazoo.losses.centernet import CenterNet

        model.compile(optimizer=optimizer, loss=CenterNet(), **execution)

    def report(self, model: keras.Model, datasets: BoxedImages) -> Result:  # type: ignore[override]
        from applications.core import figures
        from applications.core.report import Figure, Result, Table
        from applications.imaging import detection_report as parts

        names, threshold = datasets.class_names, self.score_threshold
        truths, founds = objects(datasets, "test"), self.found(model, datasets, "test")
        rows = parts.class_rows(truths, founds, names, threshold)
        columns = ("class", "AP", "objects", "found", "missed", "taken for another class", "found where nothing is")
        tables = [Table("Objects per class", columns, rows, f"Counted are detections with a score of {threshold:g}.")]
        if len(datasets.split.get("val", ())):
            figures_of = parts.metrics(objects(datasets, "val"), self.found(model, datasets, "val"), len(names))
            tables.append(Table("Validation split", tuple(figures_of), [tuple(figures_of.values())]))
        sure = [parts.confident(found, threshold) for found in founds]
        failures = [parts.outcome(truth, found).failures for truth, found in zip(truths, sure, strict=True)]
        test = datasets.split["test"]
        worst = sorted(range(len(test)), key=lambda place: -failures[place])[:SHOWN]

        def panels(places: Iterable[int]) -> Any:
            chosen = list(places)
            pictures = [datasets.images[test[i]] for i in chosen]
            return parts.failure_panels(pictures, [truths[i] for i in chosen], [sure[i] for i in chosen], names)

        counts = parts.confusion_counts(truths, founds, len(names), threshold)
        return Result(
            metrics=parts.metrics(truths, founds, len(names)),
            headline="ap50",
            tables=tables,
            figures=[
                Figure("detections", "Test images and what was found", panels(range(min(SHOWN, len(test))))),
                Figure("failures", "Test images with most failures", panels(worst), "Missed, wrong, or confused."),
                Figure("confusion_matrix", "Which class was found where", figures.confusion_matrix(
                    counts, (*names, "nothing"))),
            ],
        )  # fmt: skip

    def found(self, model: keras.Model, datasets: BoxedImages, split: str) -> list[Detections]:
        """Returns what the model finds in the images of a split, also what it is uncertain of."""
        chosen = datasets.images.select(datasets.split[split])
        return box_detector(model, self.stride, self.max_objects, LOWEST_SCORE)(chosen)

    def baseline(self, datasets: BoxedImages) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """Regions that differ from the ground, named by a random forest on their shapes."""
        from applications.imaging.detection_report import metrics
        from applications.imaging.region_baseline import region_detector

        detect = region_detector(datasets)
        founds = [detect(datasets.images[index]) for index in datasets.split["test"]]
        name = "threshold, connected regions, and a random forest on their shapes"
        return name, metrics(objects(datasets, "test"), founds, datasets.num_classes)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.core.inference import read_like_training

        detect = box_detector(model, self.stride, self.max_objects, self.score_threshold)
        names = tuple(about["class_names"])
        return [
            Prediction(path, image, detect([image])[0], names)
            for path, image in read_like_training(inputs, about, self.on_bad_file)
        ]

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes `detections.json` (COCO), `detections.csv`, and a picture of each file (`NAME_overlay.png`)."""
        import io
        import json

        from PIL import Image

        from applications.core.inference import unique_stems
        from applications.core.run_directory import write_atomically
        from applications.imaging.detection_report import box_overlay

        coco = json.dumps(coco_content(predictions), indent=1, ensure_ascii=False)
        write_atomically(folder / "detections.json", coco + "\n")
        write_atomically(folder / "detections.csv", csv_text(predictions))
        written = [folder / "detections.json", folder / "detections.csv"]
        stems = unique_stems(prediction.file for prediction in predictions)
        for stem, prediction in zip(stems, predictions, strict=True):
            buffer = io.BytesIO()
            picture = box_overlay(prediction.image, prediction.found, prediction.class_names)
            Image.fromarray(picture).save(buffer, format="PNG")
            write_atomically(folder / f"{stem}_overlay.png", buffer.getvalue())
            written.append(folder / f"{stem}_overlay.png")
        return written

    def scores(self, model: keras.Model, datasets: BoxedImages) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        from applications.imaging.detection_report import metrics

        return "ap50", metrics(objects(datasets, "test"), self.found(model, datasets, "test"), datasets.num_classes)

    def serving(self, datasets: BoxedImages) -> Serving:  # type: ignore[override]
        import inspect

        import numpy as np

        from applications.imaging.crops import crop_places
        from kerazoo.detection import boxes

        places = crop_places(datasets.images, datasets.split["train"][:64], self.window_size, 1)
        windows = [window(datasets.images[index], top, left, self.window_size) for index, top, left in places]
        low, high = datasets.value_range
        return Serving(
            samples=np.stack([windows[i % len(windows)] for i in range(64)]),
            labels=datasets.class_names,
            signature={
                "input": f"images, float32, (batch, height, width, {datasets.channels}), height and width multiples of "
                f"32, pixels from {low:g} to {high:g}",
                "output": f"maps, float32, (batch, height / {self.stride}, width / {self.stride}, "
                f"{datasets.num_classes + boxes.NUM_REGRESSED}); decode_boxes(maps[0], stride={self.stride}) of "
                "boxes.py reads the boxes off them",
            },
            files={"boxes.py": inspect.getsource(boxes)},
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real

        return {
            **super().search_space(),
            "learning_rate": Real(3e-4, 1e-2, log=True),
            "batch_size": Choice(8, 16, 32),
            "model_options.filters": Choice(8, 16, 24),
            "model_options.stride": Choice(2, 4),
            "augment.zoom": Real(0.0, 0.5),
        }


def objects(datasets: BoxedImages, split: str) -> list[Objects]:
    """Returns the objects of the images of a split."""
    from kerazoo.metrics.detection import Objects

    chosen = datasets.split[split]
    return [Objects(datasets.boxes[i], datasets.box_classes[i], datasets.crowds[i]) for i in chosen]


def box_detector(
    model: keras.Model, stride: int, max_objects: int, threshold: float
) -> Callable[[ImageStore | list[np.ndarray]], list[Detections]]:
    """Returns a function from images of any size to what is found in each."""
    from applications.core.image_predictor import ImagePredictor
    from kerazoo.detection.boxes import decode_boxes

    def frame(image: np.ndarray, multiple: int) -> np.ndarray:
        height, width = (-(-length // multiple) * multiple for length in image.shape[:2])
        return window(image, 0, 0, (height, width))

    predictor = ImagePredictor(model, batch_size=16, frame=frame)

    def detect(images: ImageStore | list[np.ndarray]) -> list[Detections]:
        answers = predictor.each(images)
        return [
            decode_boxes(maps, stride=stride, max_objects=max_objects, threshold=threshold, image_size=image.shape[:2])
            for image, maps in zip(images, answers, strict=True)
        ]

    return detect


def window(image: np.ndarray, top: int, left: int, size: int | tuple[int, int]) -> np.ndarray:
    """Returns a window of an image as float32; what lies beside the image gets its mean, as in training."""
    import numpy as np

    height, width = (size, size) if isinstance(size, int) else size
    part = np.asarray(image[top : top + height, left : left + width], np.float32)
    if part.shape[:2] == (height, width):
        return part
    whole = np.empty((height, width, image.shape[2]), np.float32)
    whole[...] = np.asarray(image, np.float32).mean(axis=(0, 1))
    whole[: part.shape[0], : part.shape[1]] = part
    return whole


def coco_content(predictions: list[Prediction]) -> dict[str, Any]:
    """Returns predictions as a COCO data set whose annotations have scores."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, prediction in enumerate(predictions, start=1):
        height, width = prediction.image.shape[:2]
        images.append({"id": number, "file_name": prediction.file.name, "width": width, "height": height})
        for box, kind, score in zip(*prediction.found, strict=True):
            left, top, right, bottom = (round(float(value), 2) for value in box)
            extent = (round(right - left, 2), round(bottom - top, 2))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(kind) + 1,
                    "bbox": [left, top, *extent],
                    "area": round(extent[0] * extent[1], 2),
                    "iscrowd": 0,
                    "score": round(float(score), 4),
                }
            )
    names = predictions[0].class_names if predictions else ()
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def csv_text(predictions: list[Prediction]) -> str:
    """Returns predictions as a table: file, class, score, left, top, right, bottom."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "class", "score", "left", "top", "right", "bottom"))
    for prediction in predictions:
        for box, kind, score in zip(*prediction.found, strict=True):
            corners = [f"{float(value):.2f}" for value in box]
            writer.writerow((prediction.file.name, prediction.class_names[kind], f"{score:.4f}", *corners))
    return text.getvalue()
