"""Image regression: one or more numbers for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from applications.core.application import Application, ScheduleName, Serving
from applications.core.augmentation import ImageAugmentation
from applications.core.config import group, option
from applications.core.errors import UserError
from applications.core.regression import LOSSES

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.regression import TargetScale
    from applications.core.report import Result
    from applications.datasets.data import Datasets
    from kerazoo.exporters import ImageBytes


class Prediction(NamedTuple):
    """What the model says about one file."""

    file: Path
    values: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class RegressionAugmentation(ImageAugmentation):
    """Random changes made to training images; none by default, since any of them can change the value."""

    rotation: float = option(0.0, "Largest rotation in degrees, either way.", minimum=0, maximum=180)
    shift: float = option(0.0, "Largest shift as a fraction of the image's size.", minimum=0, maximum=1)
    zoom: float = option(0.0, "Largest relative change of size.", minimum=0, maximum=0.9)


@dataclass(frozen=True, kw_only=True)
class ImageRegression(Application):
    """Says one or more numbers for each image, such as a size, a defocus or a dose.

    Data: `beads` (simulated images of fluorescent beads, embedded: how blurred are they?), or a CSV file of
    `file,value,...` beside the images. The network learns standardised values; `model.keras` predicts in the units
    of the file.

    Example:
        >>> from applications.core.training import start
        >>> from applications.image_regression import ImageRegression
        >>> run = start(ImageRegression(data="beads", epochs=2))
    """

    task: ClassVar[str] = "image-regression"
    summary: ClassVar[str] = "one or more numbers for each image"
    kinds: ClassVar[tuple[str, ...]] = ("image_classifier",)
    own_data: ClassVar[str] = "values.csv"
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        "pooling",
        "classifier_activation",
    )

    data: str = option("beads", "`beads`, a CSV file of file,value,..., or a folder with one.")
    model: str = option("cnn", "Image classifier of the catalogue, whose head becomes linear.")
    epochs: int = option(40, "Passes over the training data.", minimum=1)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    learning_rate: float = option(3e-3, "Largest learning rate.", minimum=0)
    loss: str = option("auto", f"{', '.join(LOSSES)}; auto: the first.")
    targets: tuple[str, ...] | None = option(
        None, "Columns to predict, comma-separated; none: all numbers of the CSV file, of `beads` the blur."
    )
    image_size: tuple[int, ...] | None = option(
        None,
        "Size all images are resized to, `64` or `HEIGHT,WIDTH`; none: their common size, or about their median.",
        minimum=1,
    )
    augment: RegressionAugmentation = group(RegressionAugmentation, "Random changes of the training images.")

    def datasets(self, progress: Callable | None = None) -> Datasets:
        from applications.datasets.valued_images import load_image_regression

        size = None if self.image_size is None else (self.image_size[0], self.image_size[-1])
        return load_image_regression(self.data, targets=self.targets, image_size=size, **self.loading(progress))

    def check(self) -> None:
        from applications.core.regression import check_loss

        super().check()
        check_loss(self.loss, LOSSES, self.task)
        if self.image_size is not None and len(self.image_size) not in (1, 2):
            raise UserError(f"image_size: expected one or two numbers, received {len(self.image_size)}.")
        if self.class_weights != "none":
            raise UserError(f"class_weights: there are no classes in {self.task}; leave it at none.")

    def check_loss(self) -> None:
        """Does nothing: the names of this task's losses are known without Keras, and `check` has compared them."""

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        other = super().for_other_data(data, known)
        return other.replace(image_size=tuple(known["image_shape"][:2]), targets=tuple(known["target_names"]))

    def samples(self, datasets: Datasets, split: str, *, training: bool) -> Samples:
        import tensorflow as tf

        from applications.core.augmentation import NUM_DRAWS, augment_geometry, augment_intensity
        from applications.core.pipeline import ImageReader, Samples

        assert datasets.targets is not None
        chosen, read = datasets.split[split], ImageReader(datasets.images)
        indices = tf.constant(chosen, tf.int64)
        targets = tf.constant(target_scale(datasets).standardised(datasets.targets[chosen]))

        def load(index: tf.Tensor, _: tf.Tensor) -> tuple:
            return tf.cast(read(tf.gather(indices, index)), tf.float32), tf.gather(targets, index)

        def augment(images: tf.Tensor, values: tf.Tensor, draws: tf.Tensor) -> tuple:
            images = augment_geometry(images, draws, self.augment)
            return augment_intensity(images, draws, self.augment, datasets.value_range), values

        if not training:
            return Samples(len(chosen), load, at_once=read.at_once)
        return Samples(len(chosen), load, augment, NUM_DRAWS, read.at_once)

    def build(self, datasets: Datasets, dtype: str | None = None) -> keras.Model:
        import keras
        from keras import layers

        from applications.image_classification import standardisation

        backbone = self.create(
            tuple(int(n) for n in datasets.images.max_shape),
            include_top=False,
            pooling="avg",
            include_preprocessing=standardisation(datasets),
            dtype=dtype,
        )
        head = layers.Dense(len(datasets.target_names), dtype="float32", name="predictions")
        return keras.Model(backbone.input, head(backbone.output), name=backbone.name)

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        from applications.core.regression import make_regression_loss

        model.compile(optimizer=optimizer, loss=make_regression_loss(self.loss), **execution)

    def packaged(self, model: keras.Model, datasets: Datasets) -> keras.Model:
        """Adds the units of the targets, so that the file predicts what stands in the CSV file."""
        import keras

        return keras.Model(model.input, target_scale(datasets).in_units(model.output), name=model.name)

    def report(self, model: keras.Model, datasets: Datasets) -> Result:
        import numpy as np

        from applications.core import figures, regression
        from applications.core.inference import predict_array
        from applications.core.report import Figure, Result

        assert datasets.targets is not None
        test, names = datasets.split["test"], datasets.target_names
        images, true = datasets.images.as_array(test), datasets.targets[test]
        found = predict_array(model, images)
        # From the smallest to the largest value, evenly.
        shown = np.argsort(true[:, 0])[np.unique(np.linspace(0, len(test) - 1, min(18, len(test))).astype(int))]
        titles = [f"{names[0]} {true[i, 0]:.3g}\npredicted {found[i, 0]:.3g}" for i in shown]
        grid = figures.image_grid([images[i] for i in shown], titles)
        return Result(
            metrics=regression.regression_metrics(true, found, names),
            headline=regression.headline(names),
            tables=[regression.worst_table(true, found, [datasets.ids[i] for i in test], names)],
            figures=[
                *regression.regression_figures(true, found, names),
                Figure("predictions", f"Sample predictions, by {names[0]}", grid),
            ],
            notes=["The learning curves are in standard deviations of the targets, all else in the targets' units."],
        )

    def baseline(self, datasets: Datasets) -> tuple[str, dict[str, float]]:
        """Ridge regression on simple statistics of the pixels."""
        import numpy as np
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from applications.core.regression import regression_metrics

        assert datasets.targets is not None
        train, test = datasets.split["train"], datasets.split["test"]
        scale = target_scale(datasets)
        features = np.stack([pixel_statistics(image) for image in datasets.images])
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))
        ridge.fit(features[train], scale.standardised(datasets.targets[train]))
        found = ridge.predict(features[test]).reshape(len(test), -1) * scale.spread + scale.mean
        return "ridge regression on pixel statistics", regression_metrics(
            datasets.targets[test], found, datasets.target_names
        )

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.core.inference import Predictor, read_like_training
        from applications.datasets.pixels import resize

        size, names, paths = model.input_shape[1:3], tuple(about["target_names"]), []

        def images() -> Iterator[np.ndarray]:
            for path, image in read_like_training(inputs, about, self.on_bad_file):
                paths.append(path)
                yield resize(image, size)

        outputs = list(Predictor(model).each(images()))
        return [Prediction(path, values, names) for path, values in zip(paths, outputs, strict=True)]

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes `predictions.csv`: file and predicted values."""
        import csv
        import io

        from applications.core.run_directory import write_atomically

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", *predictions[0].names])
        writer.writerows([p.file, *(f"{value:.7g}" for value in p.values)] for p in predictions)
        write_atomically(folder / "predictions.csv", text.getvalue())
        return [folder / "predictions.csv"]

    def image_bytes(self, model: keras.Model, datasets: Datasets) -> ImageBytes | None:
        from applications.datasets.pixels import image_bytes

        return image_bytes(datasets, "values")

    def serving(self, datasets: Datasets) -> Serving:
        import numpy as np

        samples = datasets.images.as_array(datasets.split["train"][:64]).astype(np.float32)
        low, high = datasets.value_range
        return Serving(
            samples=samples,
            labels=(),
            signature={
                "input": f"images, float32, (batch, {', '.join(map(str, samples.shape[1:]))}), "
                f"pixels from {low:g} to {high:g}",
                "output": f"{', '.join(datasets.target_names)}, float32, (batch, {len(datasets.target_names)}), in the "
                "units of the training",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real, Space

        cnn: dict[str, Space] = {
            "model_options.filters": Choice([16, 32], [16, 32, 64], [32, 64, 128]),
            "model_options.dropout_rate": Real(0.0, 0.5),
        }
        return {**super().search_space(), "model": Choice("cnn", "resnet20", children={"cnn": cnn})}


def target_scale(datasets: Datasets) -> TargetScale:
    """Returns mean and spread of the targets in the training images."""
    from applications.core.regression import TargetScale

    assert datasets.targets is not None
    return TargetScale.fit(datasets.targets[datasets.split["train"]])


def pixel_statistics(image: np.ndarray) -> np.ndarray:
    """Returns mean, spread, quantiles and mean steep- and roughness of an image, and their logarithms."""
    import numpy as np

    grey = np.asarray(image, np.float64).mean(axis=2)
    steps = [np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1) if grey.shape[axis] > 1]
    bends = [np.abs(np.diff(grey, 2, axis=axis)).mean() for axis in (0, 1) if grey.shape[axis] > 2]
    numbers = np.array([grey.mean(), grey.std(), *np.quantile(grey, [0.05, 0.25, 0.5, 0.75, 0.95, 1.0])])
    rough = np.array([np.sum(steps), np.sum(bends)])
    return np.concatenate([numbers, rough, np.log1p(np.maximum([*numbers, *rough], 0))])
