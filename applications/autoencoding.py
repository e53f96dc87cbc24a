"""Autoencoding: a short description of each picture, from which the picture comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from applications.core.application import Application, ScheduleName, Serving
from applications.core.config import option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.data import Datasets

# What suits a thousand small pictures; `--model-options` goes before it.
DEFAULTS: dict[str, dict[str, Any]] = {
    "autoencoder": {"latent_dim": 30, "hidden_units": [1024], "activation": "gelu"},
    "autoencoder_conv": {"latent_dim": 30},
    "sparse_autoencoder": {"latent_dim": 100, "sparsity": 0.1},
    "vae": {"latent_dim": 16, "hidden_units": [256, 256], "activation": "relu", "kernel_initializer": "glorot_uniform"},
    "beta_vae": {"latent_dim": 10},
}
LOSSES = {"denoising_autoencoder": "binary_crossentropy", "sparse_autoencoder": "half_squared_error"}
CORRUPTION_SEED = 7  # of the noise on validation and test pictures


class Prediction(NamedTuple):
    """How well the model gives back one file."""

    file: Path
    mse: float
    psnr: float
    unusual: bool | None
    picture: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Autoencoding(Application):
    """Learns codes from which pictures can be given back, cleaned of noise, or drawn anew.

    Data: `digits` (1797 real handwritten digits, embedded), `tfds:NAME`, or a folder of images, with or without a
    folder per class; classes are shown in the report and not learnt. What the model gives back badly is unusual:
    `kerazoo predict` writes the error of each file.

    Example:
        >>> from applications.autoencoding import Autoencoding
        >>> from applications.core.training import start
        >>> run = start(Autoencoding(data="digits", epochs=2))
    """

    task: ClassVar[str] = "autoencoding"
    summary: ClassVar[str] = "short codes of pictures: compress, denoise, find the unusual"
    kinds: ClassVar[tuple[str, ...]] = ("autoencoder",)
    reserved_options: ClassVar[tuple[str, ...]] = (*Application.reserved_options, "output_activation")

    data: str = option("digits", "`digits`, `tfds:NAME`, or a folder of images.")
    model: str = option("autoencoder", "Autoencoder of the catalogue.")
    epochs: int = option(150, "Passes over the training data.", minimum=1)
    learning_rate: float = option(1e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    image_size: tuple[int, ...] | None = option(
        None,
        "Size all images are resized to, `64` or `HEIGHT,WIDTH`; none: their common size, or about their median.",
        minimum=1,
    )

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> Datasets:
        from applications.datasets.pictures import load_pictures

        size = None if self.image_size is None else (self.image_size[0], self.image_size[-1])
        found = load_pictures(self.data, image_size=size, **self.loading(progress))
        step = 2 ** len(self.options.get("filters") or ())
        height, width = (-(-int(n) // step) * step for n in found.images.max_shape[:2])
        if size is None and (height, width) != tuple(found.images.max_shape[:2]):
            return load_pictures(self.data, image_size=(height, width), **self.loading(progress))
        return found

    def check(self) -> None:
        super().check()
        if self.image_size is not None and len(self.image_size) not in (1, 2):
            raise UserError(f"image_size: expected one or two numbers, received {len(self.image_size)}.")
        if self.class_weights != "none":
            raise UserError("class_weights: classes are not learnt here; leave it at none.")
        if self.is_variational and self.loss != "auto":
            raise UserError(f"loss: {self.model} learns by its own bound on the likelihood; leave it at auto.")

    def takes(self, model: str) -> bool:
        from kerazoo.catalog import builder_parameters

        return super().takes(model) and "num_labels" not in builder_parameters(model)  # those are told the class

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return super().for_other_data(data, known).replace(image_size=tuple(known["image_shape"][:2]))

    def as_trained(self, datasets: Datasets, known: dict[str, Any]) -> Datasets:
        import dataclasses

        if set(datasets.class_names) - set(known["class_names"]):  # unusual pictures may well have classes of their own
            datasets = dataclasses.replace(datasets, labels=None, class_names=())
        return super().as_trained(datasets, known)

    @property
    def options(self) -> dict[str, Any]:
        """The builder's arguments by name: those given, ours, and its own."""
        from kerazoo.catalog import builder_parameters

        return {**builder_parameters(self.model), **DEFAULTS.get(self.model, {}), **self.model_options}

    @property
    def is_variational(self) -> bool:
        """Whether the code is drawn from a distribution."""
        return "beta" in self.options

    @property
    def corruption(self) -> tuple[str, float] | None:
        """Kind and level of the noise a denoising model removes; None for the others."""
        options = self.options
        return (options["corruption"], options["corruption_level"]) if "corruption" in options else None

    def samples(self, datasets: Datasets, split: str, *, training: bool) -> Samples:
        import tensorflow as tf

        from applications.core.pipeline import ImageReader, Samples

        chosen = datasets.split[split]
        read, indices = ImageReader(datasets.images), tf.constant(chosen, tf.int64)
        low, high = datasets.value_range
        noisy = None
        if not training and self.corruption is not None:  # in training the model itself corrupts, anew each time
            noisy = tf.constant(self.corrupted(scaled(datasets, chosen)))

        def load(index: tf.Tensor, _: tf.Tensor) -> tuple:
            clean = (tf.cast(read(tf.gather(indices, index)), tf.float32) - low) / (high - low)
            return (clean if noisy is None else tf.gather(noisy, index)), clean

        return Samples(len(chosen), load, at_once=read.at_once)

    def corrupted(self, pictures: np.ndarray) -> np.ndarray:
        """Returns pictures with the noise that the model is to remove, always the same."""
        import keras

        from kerazoo.layers import Corruption

        assert self.corruption is not None
        kind, level = self.corruption
        noise = Corruption(kind, level, seed=CORRUPTION_SEED)
        return keras.ops.convert_to_numpy(noise(keras.ops.convert_to_tensor(pictures, "float32"), training=True))

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: Datasets, dtype: str | None = None) -> keras.Model:
        shape = tuple(int(n) for n in datasets.images.max_shape)
        return self.create(shape, **{**DEFAULTS.get(self.model, {}), "dtype": dtype})

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        import keras

        from applications.core.optimization import make_loss
        from kerazoo.autoencoders.sparse import half_squared_error

        if self.is_variational:
            model.compile(optimizer=optimizer, metrics=[keras.metrics.MeanSquaredError("mse")], **execution)
            return
        name = LOSSES.get(self.model, "mean_squared_error") if self.loss == "auto" else self.loss
        loss = half_squared_error if name == "half_squared_error" else make_loss(name)
        model.compile(optimizer=optimizer, loss=loss, metrics=[keras.metrics.MeanSquaredError("mse")], **execution)

    def packaged(self, model: keras.Model, datasets: Datasets) -> keras.Model:
        """Puts the range of the pixels around the model, which then takes and gives them as they lie in the files."""
        import keras
        from keras import layers

        low, high = datasets.value_range
        pixels = keras.Input(model.input_shape[1:], name="pixels")
        scaled_pixels = layers.Rescaling(1 / (high - low), -low / (high - low), name="from_pixels")(pixels)
        back = layers.Rescaling(high - low, low, dtype="float32", name="to_pixels")
        return keras.Model(pixels, back(model(scaled_pixels)), name=f"{model.name}_of_pixels")

    def drawn(self, model: keras.Model, datasets: Datasets) -> np.ndarray:
        """Reconstructions of validation pictures, always the same ones; of a variational model new pictures."""
        from applications.core.pictures import as_bytes
        from applications.generation.walks import reconstruct

        if self.is_variational:
            return as_bytes(model.generate(16, seed=0))
        given = scaled(datasets, datasets.split["val"][:16])
        return as_bytes(reconstruct(model, given if self.corruption is None else self.corrupted(given)))

    # Results --------------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: Datasets) -> Result:
        from applications.generation import autoencoding_report

        return autoencoding_report.report(self, inner(model), datasets)

    def baseline(self, datasets: Datasets) -> tuple[str, dict[str, float]]:
        """Principal components, a median filter, or pixels that know nothing of each other, by the kind of model."""
        from applications.generation import autoencoding_report

        return autoencoding_report.baseline(self, datasets)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        import json

        from applications.core.fidelity import psnr, squared_errors
        from applications.core.inference import Predictor, read_like_training
        from applications.core.pictures import as_bytes
        from applications.datasets.pixels import resize

        height, width, _ = model.input_shape[1:]
        low, high = about["value_range"]
        file = Path(about["folder"]) / "metrics.json"
        limit = json.loads(file.read_text())["test"].get("mse_95_percent") if file.is_file() else None
        call, found = Predictor(model), []
        for path, image in read_like_training(inputs, about, self.on_bad_file):
            pixels = resize(image, (height, width))[None]
            pair = (pixels - low) / (high - low), (call(pixels) - low) / (high - low)
            mse = float(squared_errors(*pair)[0])
            unusual = None if limit is None else mse > limit
            found.append(Prediction(path, mse, float(psnr(*pair)[0]), unusual, as_bytes(pair[1][0])))
        return found

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes the reconstructions, and `predictions.csv`: errors, and whether 95 % of the test split have less."""
        import csv
        import io

        from applications.core.inference import unique_stems
        from applications.core.pictures import save_picture
        from applications.core.run_directory import write_atomically

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "mse", "psnr", "above_95_percent"])
        answers = {None: "", True: "yes", False: "no"}
        writer.writerows([p.file, f"{p.mse:.7g}", f"{p.psnr:.4f}", answers[p.unusual]] for p in predictions)
        write_atomically(folder / "predictions.csv", text.getvalue())
        stems = unique_stems(p.file for p in predictions)
        pictures = [save_picture(folder / f"{s}.png", p.picture) for s, p in zip(stems, predictions, strict=True)]
        return [folder / "predictions.csv", *pictures]

    def serving(self, datasets: Datasets) -> Serving:
        import numpy as np

        samples = datasets.images.as_array(datasets.split["train"][:64]).astype(np.float32)
        low, high = datasets.value_range
        form = f"float32, (batch, {', '.join(map(str, samples.shape[1:]))}), pixels from {low:g} to {high:g}"
        return Serving(
            samples=samples, labels=(), signature={"input": f"images, {form}", "output": f"the same, {form}"}
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real, Space

        dense: dict[str, Space] = {"model_options.hidden_units": Choice([256], [512, 256], [1000, 500, 250])}
        conv: dict[str, Space] = {"model_options.filters": Choice([16, 32], [32, 64], [32, 64, 128])}
        return {
            **super().search_space(),
            "learning_rate": Real(1e-4, 1e-2, log=True),
            "optimizer": Choice("adam", "adamw"),
            "model": Choice(
                "autoencoder", "autoencoder_conv", children={"autoencoder": dense, "autoencoder_conv": conv}
            ),
        }


def scaled(datasets: Datasets, chosen: Any) -> np.ndarray:
    """Returns pictures as float32 with pixels in [0, 1]."""
    import numpy as np

    low, high = datasets.value_range
    return ((datasets.images.as_array(chosen).astype(np.float32) - low) / (high - low)).astype(np.float32)


def inner(model: keras.Model) -> keras.Model:
    """Returns the trained model within that of `packaged`, with pixels in [0, 1]."""
    return model.get_layer(model.name.removesuffix("_of_pixels"))
