"""Image classification: one class for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    from applications.core.report import Figure, Result, Table
    from applications.datasets.data import Datasets
    from kerazoo.exporters import ImageBytes


class Prediction(NamedTuple):
    """What the model says about one file."""

    file: Path
    label: str
    probabilities: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ImageClassification(Application):
    """Says which class an image belongs to.

    Data: `digits` (1797 real handwritten digits, embedded), `tfds:NAME`, or a folder with one folder per class
    (optionally inside `train/`, `val/` and `test/`).

    Example:
        >>> from applications.core.training import start
        >>> from applications.image_classification import ImageClassification
        >>> run = start(ImageClassification(data="digits", epochs=2))
    """

    task: ClassVar[str] = "image-classification"
    summary: ClassVar[str] = "one class for each image"
    kinds: ClassVar[tuple[str, ...]] = ("image_classifier", "vector")

    data: str = option("digits", "`digits`, `tfds:NAME`, or a folder with one folder per class.")
    model: str = option("resnet20", "Image classifier of the catalogue, or `mlp` or `perceptron`.")
    epochs: int = option(40, "Passes over the training data.", minimum=1)
    learning_rate: float = option(3e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    image_size: tuple[int, ...] | None = option(
        None,
        "Size all images are resized to, `64` or `HEIGHT,WIDTH`; none: their common size, or about their median.",
        minimum=1,
    )
    weights: str | None = option(
        None, "Weights to begin with: `imagenet`, a weights file, or the `model.keras` of another run."
    )
    freeze_until: str | None = option(None, "Last layer that keeps its weights, e.g. `stage3_out`; none: no layer.")
    unfreeze_epoch: int | None = option(
        None, "Epochs after which the frozen layers learn too, ten times slower; none: never.", minimum=1
    )
    augment: ImageAugmentation = group(ImageAugmentation, "Random changes of the training images.")

    def datasets(self, progress: Callable | None = None) -> Datasets:
        from applications.datasets.data import load_classification

        size = None if self.image_size is None else (self.image_size[0], self.image_size[-1])
        return load_classification(self.data, image_size=size, **self.loading(progress))

    def check(self) -> None:
        super().check()
        if self.model == "rbf":
            raise UserError("--model rbf: its centres come from the rows of a table; use `kerazoo train tabular`.")
        if self.image_size is not None and len(self.image_size) not in (1, 2):
            raise UserError(f"image_size: expected one or two numbers, received {len(self.image_size)}.")
        if self.unfreeze_epoch is not None and self.freeze_until is None:
            raise UserError("unfreeze_epoch: nothing is frozen; give --freeze-until a layer, e.g. stage3_out.")
        if self.unfreeze_epoch is not None and self.unfreeze_epoch >= self.epochs:
            raise UserError(f"unfreeze_epoch: expected less than epochs={self.epochs}, received {self.unfreeze_epoch}.")

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return super().for_other_data(data, known).replace(image_size=tuple(known["image_shape"][:2]))

    def samples(self, datasets: Datasets, split: str, *, training: bool) -> Samples:
        import numpy as np
        import tensorflow as tf

        from applications.core.augmentation import NUM_DRAWS, augment_geometry, augment_intensity
        from applications.core.optimization import wants_class_numbers
        from applications.core.pipeline import ImageReader, Samples, balanced_weights

        assert datasets.labels is not None
        chosen = datasets.split[split]
        read, num_classes = ImageReader(datasets.images), datasets.num_classes
        weights = None
        if training and self.class_weights == "balanced":
            weights = tf.constant(balanced_weights(np.bincount(datasets.labels[chosen], minlength=num_classes)))
        indices, labels = tf.constant(chosen, tf.int64), tf.constant(datasets.labels[chosen], tf.int64)
        sparse = wants_class_numbers(self._loss_name)

        def load(index: tf.Tensor, _: tf.Tensor) -> tuple:
            image = tf.cast(read(tf.gather(indices, index)), tf.float32)
            label = tf.gather(labels, index)
            target = label if sparse else tf.one_hot(label, num_classes)
            return (image, target) if weights is None else (image, target, tf.gather(weights, label))

        def augment(images: tf.Tensor, *rest: tf.Tensor) -> tuple:
            draws = rest[-1]
            images = augment_geometry(images, draws, self.augment)
            images = augment_intensity(images, draws, self.augment, datasets.value_range)
            return (images, *rest[:-1])

        if not training:
            return Samples(len(chosen), load, at_once=read.at_once)
        return Samples(len(chosen), load, augment, NUM_DRAWS, read.at_once)

    def build(self, datasets: Datasets, dtype: str | None = None) -> keras.Model:
        import kerazoo
        from applications.core.fine_tuning import freeze, pretrained

        shape, scale = tuple(int(n) for n in datasets.images.max_shape), standardisation(datasets)
        if self.weights is None:
            options: dict[str, Any] = {"include_preprocessing": scale, "dtype": dtype}
            if kerazoo.model_card(self.model).kind == "vector":  # whose outputs are not probabilities by default
                options["output_activation"] = "softmax"
            model = self.create(shape, datasets.num_classes, **options)
        else:
            model = pretrained(self, self.weights, datasets, scale, dtype)
        return freeze(model, self.freeze_until, for_good=self.unfreeze_epoch is None)

    def adapt(self, optimizer: keras.Optimizer, model: keras.Model, steps_per_epoch: int) -> keras.Optimizer:
        from applications.core.fine_tuning import slow_and_late

        if self.freeze_until is None or self.unfreeze_epoch is None:
            return optimizer
        return slow_and_late(optimizer, model, self.freeze_until, self.unfreeze_epoch * steps_per_epoch)

    @property
    def _loss_name(self) -> str:
        return "sparse_categorical_crossentropy" if self.loss == "auto" else self.loss

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        from applications.core.optimization import make_loss

        model.compile(optimizer=optimizer, loss=make_loss(self._loss_name), metrics=["accuracy"], **execution)

    def report(self, model: keras.Model, datasets: Datasets) -> Result:
        from applications.core.inference import predict_array
        from applications.core.report import Result

        assert datasets.labels is not None
        test = datasets.split["test"]
        images, labels = datasets.images.as_array(test), datasets.labels[test]
        probabilities = predict_array(model, images)
        metrics, table = classification_metrics(labels, probabilities, datasets.class_names)
        figures = _figures(images, labels, probabilities, datasets)
        return Result(
            metrics=metrics,
            baseline={},
            baseline_name="",
            headline="accuracy",
            tables=[table],
            figures=figures,
        )

    def baseline(self, datasets: Datasets) -> tuple[str, dict[str, float]]:
        """A support vector machine on 8 x 8 grey thumbnails with pixels scaled to 0...16."""
        import numpy as np
        from sklearn.svm import SVC

        assert datasets.labels is not None
        features, labels = thumbnails(datasets), datasets.labels
        train, test = datasets.split["train"], datasets.split["test"]
        if len(np.unique(labels[train])) < 2:
            return "", {}
        predicted = SVC(gamma=0.001).fit(features[train], labels[train]).predict(features[test])
        return "support vector machine (gamma 0.001) on 8 x 8 pixels", _hard_metrics(labels[test], predicted)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.core.inference import Predictor, read_like_training
        from applications.datasets.pixels import resize

        size, names, paths = model.input_shape[1:3], about["class_names"], []

        def images() -> Iterator[np.ndarray]:
            for path, image in read_like_training(inputs, about, self.on_bad_file):
                paths.append(path)
                yield resize(image, size)

        outputs = list(Predictor(model).each(images()))
        return [Prediction(path, names[int(p.argmax())], p) for path, p in zip(paths, outputs, strict=True)]

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes `predictions.csv`: file, its likeliest class, and the probability of that."""
        import csv
        import io

        from applications.core.run_directory import write_atomically

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "class", "probability"])
        writer.writerows([p.file, p.label, f"{p.probabilities.max():.6f}"] for p in predictions)
        write_atomically(folder / "predictions.csv", text.getvalue())
        return [folder / "predictions.csv"]

    def scores(self, model: keras.Model, datasets: Datasets) -> tuple[str, dict[str, float]]:
        from applications.core.inference import predict_array

        assert datasets.labels is not None
        test = datasets.split["test"]
        probabilities = predict_array(model, datasets.images.as_array(test))
        return "accuracy", classification_metrics(datasets.labels[test], probabilities, datasets.class_names)[0]

    def image_bytes(self, model: keras.Model, datasets: Datasets) -> ImageBytes | None:
        from applications.datasets.pixels import image_bytes

        return image_bytes(datasets, "class")

    def serving(self, datasets: Datasets) -> Serving:
        import numpy as np

        samples = datasets.images.as_array(datasets.split["train"][:64]).astype(np.float32)
        low, high = datasets.value_range
        return Serving(
            samples=samples,
            labels=datasets.class_names,
            signature={
                "input": f"images, float32, (batch, {', '.join(map(str, samples.shape[1:]))}), "
                f"pixels from {low:g} to {high:g}",
                "output": f"probabilities, float32, (batch, {datasets.num_classes}), in the order of labels.txt",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real

        return {
            **super().search_space(),
            "model": Choice(
                "resnet20",
                "cnn",
                "mlp",
                children={
                    "cnn": {
                        "model_options.filters": Choice([16, 32], [16, 32, 64], [32, 64, 128]),
                        "model_options.dropout_rate": Real(0.0, 0.5),
                    },
                    "mlp": {
                        "model_options.hidden_units": Choice([128], [256, 128], [512, 256, 128]),
                        "model_options.dropout_rate": Real(0.0, 0.5),
                    },
                },
            ),
            "augment.rotation": Real(0.0, 30.0),
            "augment.shift": Real(0.0, 0.2),
        }


def standardisation(datasets: Datasets) -> tuple[float, float]:
    """Returns (scale, offset) that give the training pixels mean 0 and standard deviation 1."""
    import numpy as np

    total, total_square, count = 0.0, 0.0, 0
    for index in datasets.split["train"]:
        image = np.asarray(datasets.images[index], np.float64)
        total, total_square, count = (
            total + image.sum(),
            total_square + np.square(image).sum(),
            count + image.size,
        )
    mean = total / count
    deviation = max(total_square / count - mean**2, 0.0) ** 0.5
    scale = 1.0 / (deviation or 1.0)
    return float(scale), float(-mean * scale)


def thumbnails(datasets: Datasets) -> np.ndarray:
    """Returns all images as 64 grey values from 0 to 16."""
    import numpy as np

    from applications.datasets.pixels import resize

    low, high = datasets.value_range
    rows = []
    for image in datasets.images:
        grey = np.asarray(image, np.float32).mean(axis=2, keepdims=True)
        small = grey if grey.shape[:2] == (8, 8) else resize(grey, (8, 8))
        rows.append(((small - low) * (16.0 / (high - low))).ravel())
    return np.stack(rows)


def _hard_metrics(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
    }


def classification_metrics(
    labels: np.ndarray, probabilities: np.ndarray, class_names: tuple[str, ...], unit: str = "images"
) -> tuple[dict[str, float], Table]:
    """Returns the metrics of a classifier and the table of precision, recall and F1 per class.

    Args:
        labels: True classes, shape (samples,).
        probabilities: Shape (samples, classes).
        class_names: Names in the order of the classes.
        unit: What the samples are.
    """
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support

    from applications.core.report import Table

    predicted = probabilities.argmax(axis=1)
    metrics = _hard_metrics(labels, predicted)
    chosen = np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, 1.0)
    metrics["log_loss"] = float(-np.log(chosen).mean())
    every = np.arange(len(class_names))
    scores = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    rows = [
        (name, float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(class_names, *scores, strict=True)
    ]
    return metrics, Table("Precision, recall and F1 per class", ("class", "precision", "recall", "F1", unit), rows)


def _figures(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, datasets: Datasets) -> list[Figure]:
    import numpy as np
    from sklearn.metrics import confusion_matrix

    from applications.core import figures
    from applications.core.report import Figure

    names = datasets.class_names
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    right = np.flatnonzero(predicted == labels)
    # The errors first, the surest of them leading: they teach most.
    wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1))]
    shown = np.concatenate([wrong[:12], right[: 24 - min(12, len(wrong))]])
    titles = [
        f"{names[predicted[i]]} ({probabilities[i].max():.0%})"
        + (f", is {names[labels[i]]}" if predicted[i] != labels[i] else "")
        for i in shown
    ]
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(names)))
    return [
        Figure("confusion_matrix", "Confusion matrix of the test split", figures.confusion_matrix(matrix, names)),
        Figure(
            "predictions",
            "Sample predictions, errors first",
            figures.image_grid([images[i] for i in shown], titles, list(predicted[shown] == labels[shown])),
        ),
    ]
