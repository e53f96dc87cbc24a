"""Semantic segmentation: one class for each pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from applications.core.application import Application, ScheduleName, Serving
from applications.core.augmentation import ImageAugmentation
from applications.core.config import group, option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Figure, Result
    from applications.datasets.data import Datasets
    from kerazoo.exporters import ImageBytes


class Prediction(NamedTuple):
    """What the model says about one file: a class number for each pixel."""

    file: Path
    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class SegmentationAugmentation(ImageAugmentation):
    """Random changes made to training images and, geometry only, to their masks."""

    # Turns by any angle interpolate, which smooths the photon noise that test images have: exact moves only.
    rotation: float = option(0.0, "Largest rotation in degrees, either way.", minimum=0, maximum=180)
    zoom: float = option(0.0, "Largest relative change of size.", minimum=0, maximum=0.9)
    quarter_turns: bool = option(True, "Turn by 0, 90, 180 or 270 degrees.")
    shift: float = option(
        0.0, "Largest shift as a fraction of the crop; crops already lie at random.", minimum=0, maximum=1
    )
    horizontal_flip: bool = option(True, "Mirror left and right in half of the cases.")
    vertical_flip: bool = option(True, "Mirror top and bottom in half of the cases.")


@dataclass(frozen=True, kw_only=True)
class SemanticSegmentation(Application):
    """Says for each pixel of an image which class it belongs to.

    Training looks at random crops, prediction at whole images of any size. Data: `nuclei` (simulated fluorescence
    images, embedded), `walls` (simulated domain walls, embedded), `tfds:NAME`, or a folder with `images/` and `masks/`
    whose files have matching names.

    Example:
        >>> from applications.core.training import start
        >>> from applications.semantic_segmentation import SemanticSegmentation
        >>> run = start(SemanticSegmentation(data="nuclei", epochs=2))
    """

    task: ClassVar[str] = "semantic-segmentation"
    summary: ClassVar[str] = "one class for each pixel"
    kinds: ClassVar[tuple[str, ...]] = ("dense_prediction",)

    data: str = option("nuclei", "`nuclei`, `walls`, `tfds:NAME`, or a folder with images/ and masks/.")
    model: str = option("unet_small", "Dense-prediction model of the catalogue; `unet` is the paper's size.")
    epochs: int = option(16, "Passes over the training data.", minimum=1)
    batch_size: int = option(8, "Crops per step, over all devices together.", minimum=1)
    learning_rate: float = option(3e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    crop_size: int = option(128, "Height and width of the training crops in pixels.", minimum=8)
    crops_per_image: int | None = option(
        None, "Crops taken from each image per epoch; none: as many as cover its area.", minimum=1
    )
    augment: SegmentationAugmentation = group(SegmentationAugmentation, "Random changes of the training crops.")

    def datasets(self, progress: Callable | None = None) -> Datasets:
        from applications.datasets.data import load_segmentation

        return load_segmentation(self.data, **self.loading(progress))

    def check(self) -> None:
        super().check()
        if self.model_options.get("padding", "same") != "same":
            raise UserError(
                f"model_options.padding: expected same, received {self.model_options['padding']!r}; outputs smaller "
                "than the input cannot be compared with whole masks."
            )

    @property
    def _loss_name(self) -> str:
        return "sparse_categorical_crossentropy" if self.loss == "auto" else self.loss

    def samples(self, datasets: Datasets, split: str, *, training: bool) -> Samples:
        import tensorflow as tf

        from applications.core.augmentation import NUM_DRAWS, augment_geometry, augment_intensity
        from applications.core.optimization import wants_class_numbers
        from applications.core.pipeline import ImageReader, Samples, balanced_weights
        from applications.imaging.crops import at_least, crop_places

        assert datasets.masks is not None
        size, num_classes = self.crop_size, datasets.num_classes
        places = tf.constant(crop_places(datasets.images, datasets.split[split], size, self._crops(training)))
        read_image, read_mask = ImageReader(datasets.images), ImageReader(datasets.masks)
        weights = None
        if training and self.class_weights == "balanced":
            weights = tf.constant(balanced_weights(pixel_counts(datasets, datasets.split[split])))
        sparse = wants_class_numbers(self._loss_name)

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            index, top, left = tf.unstack(places[index])
            image, mask = at_least(read_image(index), size), at_least(read_mask(index), size)
            if training:
                free = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
                place = tf.cast(draws[NUM_DRAWS:] * free, tf.int32)
                top, left = place[0], place[1]
            top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
            image = tf.image.crop_to_bounding_box(image, top, left, size, size)
            mask = tf.image.crop_to_bounding_box(mask, top, left, size, size)
            return tf.cast(image, tf.float32), tf.cast(mask, tf.int32)

        def finished(images: tf.Tensor, masks: tf.Tensor) -> tuple:
            masks = masks[..., 0]
            target = masks if sparse else tf.one_hot(masks, num_classes)
            return (images, target) if weights is None else (images, target, tf.gather(weights, masks))

        def augment(images: tf.Tensor, masks: tf.Tensor, draws: tf.Tensor) -> tuple:
            images = augment_geometry(images, draws, self.augment)
            masks = augment_geometry(masks, draws, self.augment, interpolation="nearest")
            return finished(augment_intensity(images, draws, self.augment, datasets.value_range), masks)

        if training:
            return Samples(len(places), load, augment, NUM_DRAWS + 2)
        return Samples(len(places), lambda index, draws: finished(*load(index, draws)))

    def _crops(self, training: bool) -> int | None:
        return self.crops_per_image if training else None

    def build(self, datasets: Datasets, dtype: str | None = None) -> keras.Model:
        from applications.image_classification import standardisation

        return self.create(
            (None, None, datasets.channels),
            datasets.num_classes,
            include_preprocessing=standardisation(datasets),
            dtype=dtype,
        )

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        import keras

        from applications.core.optimization import make_loss, wants_class_numbers

        num_classes = model.output_shape[-1]
        mean_iou = keras.metrics.MeanIoU(
            num_classes,
            sparse_y_true=wants_class_numbers(self._loss_name),
            sparse_y_pred=False,
            name="mean_iou",
        )
        model.compile(optimizer=optimizer, loss=make_loss(self._loss_name), metrics=["accuracy", mean_iou], **execution)

    def report(self, model: keras.Model, datasets: Datasets) -> Result:
        from applications.core.report import Result, Table

        assert datasets.masks is not None
        test = datasets.split["test"]
        predict = mask_predictor(model)
        predictions = [predict(datasets.images[i]) for i in test]
        truths = [datasets.masks[i][..., 0] for i in test]
        counts = confusion(truths, predictions, datasets.num_classes)
        iou, dice, precision, recall = overlap_scores(counts)
        rows = list(
            zip(
                datasets.class_names,
                *([float(v) for v in s] for s in (iou, dice, precision, recall)),
                (int(n) for n in counts.sum(axis=1)),
                strict=True,
            )
        )
        table = Table("Overlap per class", ("class", "IoU", "Dice", "precision", "recall", "pixels"), rows)
        figures = _figures(datasets, test, truths, predictions, counts)
        return Result(
            metrics=mask_metrics(truths, predictions, datasets.num_classes),
            baseline={},
            baseline_name="",
            headline="foreground_iou",
            tables=[table],
            figures=figures,
        )

    def baseline(self, datasets: Datasets) -> tuple[str, dict[str, float]]:
        """Otsu's threshold for two classes, naive Bayes on single pixels for more."""
        from applications.imaging.thresholds import foreground_is_bright, otsu_mask

        assert datasets.masks is not None
        test = datasets.split["test"]
        truths = [datasets.masks[i][..., 0] for i in test]
        if datasets.num_classes == 2:
            bright = foreground_is_bright(datasets.images, datasets.masks, datasets.split["train"])
            predictions = [otsu_mask(datasets.images[i], bright) for i in test]
            name = "Otsu's threshold"
        else:
            classify = pixel_classifier(datasets)
            predictions = [classify(datasets.images[i]) for i in test]
            name = "naive Bayes on single pixels"
        return name, mask_metrics(truths, predictions, datasets.num_classes)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.core.inference import read_like_training

        predict = mask_predictor(model)
        return [
            Prediction(path, image, predict(image))
            for path, image in read_like_training(inputs, about, self.on_bad_file)
        ]

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes for each file a PNG of class numbers (`NAME_mask.png`) and a picture of it (`NAME_overlay.png`)."""
        import io

        from PIL import Image

        from applications.core.figures import overlay
        from applications.core.inference import unique_stems
        from applications.core.run_directory import write_atomically

        written: list[Path] = []
        stems = unique_stems(prediction.file for prediction in predictions)
        for stem, prediction in zip(stems, predictions, strict=True):
            for suffix, picture in (
                ("mask", prediction.mask),
                ("overlay", overlay(prediction.image, prediction.mask)),
            ):
                buffer = io.BytesIO()
                Image.fromarray(picture).save(buffer, format="PNG")
                write_atomically(folder / f"{stem}_{suffix}.png", buffer.getvalue())
                written.append(folder / f"{stem}_{suffix}.png")
        return written

    def scores(self, model: keras.Model, datasets: Datasets) -> tuple[str, dict[str, float]]:
        assert datasets.masks is not None
        test, predict = datasets.split["test"], mask_predictor(model)
        truths, predictions = [datasets.masks[i][..., 0] for i in test], [predict(datasets.images[i]) for i in test]
        return "foreground_iou", mask_metrics(truths, predictions, datasets.num_classes)

    def image_bytes(self, model: keras.Model, datasets: Datasets) -> ImageBytes | None:
        from applications.core.image_predictor import size_multiple
        from applications.datasets.pixels import image_bytes

        return image_bytes(datasets, "mask", size_multiple(model))

    def serving(self, datasets: Datasets) -> Serving:
        import numpy as np

        size, train, random = self.crop_size, datasets.split["train"], np.random.default_rng(0)
        samples = []
        for index in train[
            np.arange(64) % len(train)
        ]:  # as many as 8-bit arithmetic needs, of few images several crops
            image = datasets.images[index]
            missing = [(0, max(0, size - n)) for n in image.shape[:2]]
            image = np.pad(image, [*missing, (0, 0)], mode="symmetric")
            top, left = (random.integers(n - size, endpoint=True) for n in image.shape[:2])
            samples.append(image[top : top + size, left : left + size])
        low, high = datasets.value_range
        return Serving(
            samples=np.stack(samples).astype(np.float32),
            labels=datasets.class_names,
            signature={
                "input": f"images, float32, (batch, height, width, {datasets.channels}), pixels from {low:g} to "
                f"{high:g}",
                "output": f"probabilities, float32, (batch, height, width, {datasets.num_classes}), in the order of "
                "labels.txt",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Integer, Real

        return {
            **super().search_space(),
            "batch_size": Choice(4, 8, 16),
            "model_options.filters": Choice(8, 16, 32),
            "model_options.depth": Integer(2, 4),
            "model_options.dropout_rate": Real(0.0, 0.5),
            "augment.brightness": Real(0.0, 0.2),
        }


def mask_predictor(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from an image of any size to its mask of class numbers (uint8, height x width)."""
    from applications.core.image_predictor import ImagePredictor

    call = ImagePredictor(model, finish=lambda found: found.argmax(axis=-1, keepdims=True).astype("uint8"))
    return lambda image: call(image)[..., 0]


def confusion(truths: Iterable[np.ndarray], predictions: Iterable[np.ndarray], num_classes: int) -> np.ndarray:
    """Returns the pixel counts (true class, predicted class), summed over images."""
    import numpy as np

    counts = np.zeros((num_classes, num_classes), np.int64)
    for truth, predicted in zip(truths, predictions, strict=True):
        pairs = truth.astype(np.int64) * num_classes + predicted
        counts += np.bincount(pairs.ravel(), minlength=num_classes**2).reshape(num_classes, num_classes)
    return counts


def overlap_scores(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns IoU, Dice, precision and recall per class; NaN for a class that is neither there nor predicted."""
    import numpy as np

    hit = np.diag(counts).astype(np.float64)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return hit / (true + predicted - hit), 2 * hit / (true + predicted), hit / predicted, hit / true


def segmentation_metrics(counts: np.ndarray) -> dict[str, float]:
    """Returns the metrics of a confusion matrix; class 0 is the background."""
    import numpy as np

    iou, dice, _, _ = overlap_scores(counts)
    return {
        "foreground_iou": float(np.nanmean(iou[1:])),
        "mean_iou": float(np.nanmean(iou)),
        "foreground_dice": float(np.nanmean(dice[1:])),
        "pixel_accuracy": float(np.diag(counts).sum() / counts.sum()),
    }


def boundary_metric(truths: list[np.ndarray], predictions: list[np.ndarray], num_classes: int) -> dict[str, float]:
    """Returns how well outlines are met, within 2 pixels; nothing where there is none."""
    import keras
    import numpy as np

    from kerazoo.metrics.boundary import BoundaryF1

    metric = BoundaryF1(num_classes, tolerance=2)
    for truth, predicted in zip(truths, predictions, strict=True):
        metric.update_state(truth[None], np.eye(num_classes, dtype=np.float32)[predicted][None])
    return {"boundary_f1": float(metric.result())} if float(keras.ops.convert_to_numpy(metric.count)) else {}


def mask_metrics(truths: list[np.ndarray], predictions: list[np.ndarray], num_classes: int) -> dict[str, float]:
    """Returns all metrics of predicted masks."""
    counts = confusion(truths, predictions, num_classes)
    return segmentation_metrics(counts) | boundary_metric(truths, predictions, num_classes)


def pixel_counts(datasets: Datasets, chosen: np.ndarray) -> np.ndarray:
    """Returns how many pixels of each class the chosen masks have."""
    import numpy as np

    assert datasets.masks is not None
    counts = np.zeros(datasets.num_classes, np.int64)
    for index in chosen:
        counts += np.bincount(datasets.masks[index].ravel(), minlength=datasets.num_classes)
    return counts


def pixel_classifier(datasets: Datasets, pixels: int = 20_000) -> Callable[[np.ndarray], np.ndarray]:
    """Fits Gaussian naive Bayes to single pixels of the training images."""
    import numpy as np
    from sklearn.naive_bayes import GaussianNB

    assert datasets.masks is not None
    random = np.random.default_rng(0)
    values, classes = [], []
    for index in datasets.split["train"]:
        image, mask = datasets.images[index], datasets.masks[index].ravel()
        chosen = random.integers(0, mask.size, max(1, pixels // len(datasets.split["train"])))
        values.append(np.asarray(image, np.float32).reshape(mask.size, -1)[chosen])
        classes.append(mask[chosen])
    model = GaussianNB().fit(np.concatenate(values), np.concatenate(classes))

    def classify(image: np.ndarray) -> np.ndarray:
        flat = np.asarray(image, np.float32).reshape(-1, image.shape[2])
        return model.predict(flat).reshape(image.shape[:2]).astype(np.uint8)

    return classify


def _figures(datasets: Datasets, test: np.ndarray, truths: list, predictions: list, counts: np.ndarray) -> list[Figure]:
    from applications.core import figures
    from applications.core.report import Figure

    shown = range(min(4, len(test)))
    panels = figures.segmentation_panels(
        [datasets.images[test[i]] for i in shown],
        [truths[i] for i in shown],
        [predictions[i] for i in shown],
        datasets.class_names,
    )
    return [
        Figure("predictions", "Test images, truth, prediction and errors", panels),
        Figure(
            "confusion_matrix",
            "Confusion matrix of the test pixels",
            figures.confusion_matrix(counts, datasets.class_names),
        ),
    ]
