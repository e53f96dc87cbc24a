"""Image generation: new pictures that look like those of a collection, also of a class that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from applications.core.application import Application, ScheduleName, Serving
from applications.core.config import option
from applications.core.errors import UserError, nearest

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.core.run_directory import RunDirectory
    from applications.datasets.data import Datasets

SHOWN = 20  # pictures drawn after each epoch


@dataclass(frozen=True)
class PictureRequest:
    """What `kerazoo generate` is asked for."""

    out: str = option("generated", "Folder for the pictures (also `-o`).")
    count: int = option(64, "Pictures to draw.", minimum=1)
    seed: int = option(0, "Of the noise; the same one draws the same pictures.", minimum=0)
    label: str | None = option(None, "Class of all of them, by name; none: the classes in turn.")
    guidance: float | None = option(None, "Diffusion: above 1 exaggerates the class.", minimum=0)


@dataclass(frozen=True, kw_only=True)
class ImageGeneration(Application):
    """Draws new pictures that look like those it has seen.

    Data: `digits` (1797 real handwritten digits, embedded), `tfds:NAME`, or a folder of images, with a folder per class
    where the model is to be told what to draw. `kerazoo generate RUN --count 64 -o out/` draws.

    Example:
        >>> from applications.core.training import start
        >>> from applications.image_generation import ImageGeneration
        >>> run = start(ImageGeneration(data="digits", model="vae", epochs=2))
    """

    task: ClassVar[str] = "image-generation"
    summary: ClassVar[str] = "new pictures like those of a collection"
    request: ClassVar[type | None] = PictureRequest
    reserved_options: ClassVar[tuple[str, ...]] = (*Application.reserved_options, "num_labels", "output_activation")

    data: str = option("digits", "`digits`, `tfds:NAME`, or a folder of images.")
    model: str = option("dcgan", "Model of the catalogue that draws pictures.")
    epochs: int = option(300, "Passes over the training data.", minimum=1)
    batch_size: int = option(64, "Samples per step, over all devices together.", minimum=1)
    learning_rate: float | None = option(  # type: ignore[assignment]
        None, "Largest learning rate, of every network; none: 2e-3 for `gan` and `cgan`, 5e-4 for others.", minimum=0
    )
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    image_size: tuple[int, ...] | None = option(
        None,
        "Size all images are resized to, `64` or `HEIGHT,WIDTH`; none: theirs, or what suits the model.",
        minimum=1,
    )
    classes: bool = option(True, "Tell the model the classes, where it can be told and the data have some.")
    judged: int = option(1000, "Pictures the scores of the report are computed from.", minimum=20)
    inception_weights: str | None = option(
        None, "Weights file of keras.applications' InceptionV3 without its top, for distances in its features, too."
    )

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> Datasets:
        from applications.datasets.pictures import load_pictures

        size = self.image_size
        if size is None and self.data == "digits":
            size = (SIZES.get(self.model, 8),)
        wanted = None if size is None else (size[0], size[-1])
        return load_pictures(self.data, image_size=wanted, **self.loading(progress))

    def check(self) -> None:
        super().check()
        if self.image_size is not None and len(self.image_size) not in (1, 2):
            raise UserError(f"image_size: expected one or two numbers, received {len(self.image_size)}.")
        if self.class_weights != "none" or self.loss != "auto":
            raise UserError("loss, class_weights: these models have losses of their own; leave them at auto and none.")
        if self.inception_weights is not None and not Path(self.inception_weights).expanduser().is_file():
            raise UserError(f"inception_weights: there is no file {self.inception_weights!r}.")

    def takes(self, model: str) -> bool:
        import kerazoo

        return kerazoo.model_card(model).task == self.task

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return super().for_other_data(data, known).replace(image_size=tuple(known["image_shape"][:2]))

    @property
    def monitor(self) -> tuple[str, str]:  # type: ignore[override]
        """Nothing says which epoch of networks that train against each other is best: the last one counts."""
        return ("", "") if self.is_adversarial else ("val_loss", "min")

    @property
    def peak_rate(self) -> float:
        """What suits the model, unless it is given: dense networks with the papers' small weights need large steps."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 2e-3 if self.model in ("gan", "cgan") else 5e-4

    @property
    def default_beta_1(self) -> float:  # type: ignore[override]
        """The momentum of the papers: small, since the other network's weights move the gradient, too."""
        return (0.0 if self.model in ("wgan_gp", "progan") else 0.5) if self.is_adversarial else 0.9

    @property
    def is_adversarial(self) -> bool:
        """Whether networks train against each other."""
        import kerazoo

        return kerazoo.model_card(self.model).kind == "generator_discriminator"

    @property
    def pixel_range(self) -> tuple[float, float]:
        """The range of the pixels the model learns and draws."""
        import kerazoo

        return (-1.0, 1.0) if kerazoo.model_card(self.model).input_range.startswith("[-1") else (0.0, 1.0)

    @property
    def class_word(self) -> str | None:
        """The builder's argument for the number of classes; None for a model that is never told any."""
        from kerazoo.catalog import builder_parameters

        return next((word for word in ("num_classes", "num_labels") if word in builder_parameters(self.model)), None)

    def is_told(self, datasets: Datasets) -> bool:
        """Returns whether the model is told the classes."""
        from kerazoo.catalog import builder_parameters

        word = self.class_word
        if word is None:
            return False
        needs = builder_parameters(self.model)[word] is not None
        if datasets.labels is not None and (self.classes or needs):
            return True
        if needs:
            raise UserError(
                f"--model {self.model} is told the class of each picture, and {self.data!r} has no classes."
            )
        return False

    def samples(self, datasets: Datasets, split: str, *, training: bool) -> Samples:
        import tensorflow as tf

        from applications.core.pipeline import ImageReader, Samples

        chosen, told = datasets.split[split], self.is_told(datasets)
        read, indices = ImageReader(datasets.images), tf.constant(chosen, tf.int64)
        labels = tf.constant(datasets.labels[chosen] if told and datasets.labels is not None else chosen, tf.int32)
        (low, high), (first, last) = datasets.value_range, self.pixel_range
        scale = (last - first) / (high - low)

        def load(index: tf.Tensor, _: tf.Tensor) -> tuple:
            image = (tf.cast(read(tf.gather(indices, index)), tf.float32) - low) * scale + first
            if not told:
                return (image,)
            if self.is_adversarial:
                return image, tf.gather(labels, index)
            label = tf.gather(labels, index)
            if self.class_word == "num_labels":
                label = tf.one_hot(label, datasets.num_classes)
            return ({"input": image, "label": label},)

        return Samples(len(chosen), load, at_once=read.at_once)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: Datasets, dtype: str | None = None) -> keras.Model:
        shape, options = (
            tuple(int(n) for n in datasets.images.max_shape),
            {**DEFAULTS.get(self.model, {}), "dtype": dtype},
        )
        if self.is_told(datasets):
            options[str(self.class_word)] = datasets.num_classes
        return self.create(shape, **options)

    def compile(self, model: keras.Model, optimizer: Any, **execution: Any) -> None:
        if isinstance(optimizer, dict):
            model.compile(**optimizer, **execution)
        else:
            model.compile(optimizer=optimizer, **execution)

    def drawn(self, model: keras.Model, datasets: Datasets) -> np.ndarray:
        """Pictures of the same noise each time, of a conditional model of the classes in turn."""
        from applications.core.pictures import as_bytes

        return as_bytes(self.draw(model, SHOWN, 0, self.turns(datasets, SHOWN)), *self.pixel_range)

    def turns(self, datasets: Datasets, count: int) -> np.ndarray | None:
        """Returns the classes in turn, or None where the model is told none."""
        import numpy as np

        return np.arange(count) % datasets.num_classes if self.is_told(datasets) else None

    def draw(self, model: keras.Model, count: int, seed: int, labels: Any = None, **how: Any) -> np.ndarray:
        """Returns new pictures in the range of the model."""
        return model.generate(count, seed=seed, **({} if labels is None else {"labels": labels}), **how)

    # Results --------------------------------------------------------------------------------------------------------

    def scores(self, model: keras.Model, datasets: Any) -> tuple[str, dict[str, float]]:
        """Nothing: what is exported is one step of drawing, or takes noise, and the scores are those of pictures."""
        return "", {}

    def report(self, model: keras.Model, datasets: Datasets) -> Result:
        from applications.generation import picture_report

        return picture_report.report(self, model, datasets)

    def baseline(self, datasets: Datasets) -> tuple[str, dict[str, float]]:
        """What the scores are where one half of the real pictures is compared with the other."""
        from applications.generation import picture_report

        return picture_report.baseline(datasets)

    def exported(self, model: keras.Model) -> keras.Model:
        """The part that draws, from noise to pixels in [0, 1]."""
        from applications.generation.drawing import drawing_part

        return drawing_part(self, model)

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        raise UserError(
            f"A run of {self.task} takes no files; `kerazoo generate RUN --count 64 -o out/` draws pictures."
        )

    def generate(self, run: RunDirectory, request: PictureRequest) -> str:
        """Draws pictures into a folder."""
        from applications.generation.drawing import draw_with_run

        return draw_with_run(self, run, request)

    def label_of(self, name: str, class_names: tuple[str, ...]) -> int:
        """Returns the number of a class."""
        if name not in class_names:
            raise UserError(
                f"label: the run knows {', '.join(class_names)}, received {name!r}.{nearest(name, class_names)}"
            )
        return class_names.index(name)

    def serving(self, datasets: Datasets) -> Serving:
        from applications.generation.drawing import serving

        return serving(self, datasets)


# What suits the embedded digits and a laptop; `--model-options` and `--image-size` go before it.
DEFAULTS: dict[str, dict[str, Any]] = {
    "vae": {"latent_dim": 16, "hidden_units": [256, 256], "activation": "relu", "kernel_initializer": "glorot_uniform"},
    "conditional_vae": {"latent_dim": 16, "hidden_units": [256, 256], "beta": 0.2},  # 1 draws the mean of each class
    "gan": {"latent_dim": 32, "hidden_units": [256, 256], "maxout_units": [128, 128]},
    # Dropped units of the generator make its pictures differ during training, so that it does not heed the noise.
    "cgan": {"latent_dim": 32, "latent_units": 128, "label_units": 128, "joint_units": 256, "dropout_rate": 0.0},
    "dcgan": {"latent_dim": 32, "filters": 32},
    "conditional_dcgan": {"latent_dim": 32, "filters": 32, "dense_units": 256},
    "acgan": {
        "latent_dim": 32,
        "generator_filters": [128, 64],
        "discriminator_filters": [32, 32, 64, 64],
        "dropout_rate": 0.2,  # with the paper's 0.5 so small a discriminator lets all pictures of a class be one
    },
    "wgan_gp": {"latent_dim": 32, "filters": 32},
    "progan": {"latent_dim": 32, "filters": 512, "max_filters": 64, "stabilize_images": 40_000, "fade_images": 40_000},
    "ddpm_small": {"multipliers": [1, 2], "attention_sizes": [4]},
    "pixelcnn": {"filters": 32, "num_blocks": 4, "head_filters": 64, "levels": 17},  # the digits have 17 levels
}
SIZES: dict[str, int] = {"beta_vae": 16, "progan": 16}
