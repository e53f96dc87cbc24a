"""Super-resolution: small images made larger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import Application, ScheduleName, Serving
from applications.core.config import group, option
from applications.core.errors import UserError
from applications.semantic_segmentation import SegmentationAugmentation

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.data import Datasets


class Prediction(NamedTuple):
    """One file, made larger."""

    file: Path
    image: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SuperResolution(Application):
    """Makes images two or four times larger.

    Training looks at random crops, which are made small by bicubic interpolation and are to be made large again;
    prediction takes images of any size. Data: `photographs` (those of scikit-image, embedded), or a folder of images.

    Example:
        >>> from applications.core.training import start
        >>> from applications.super_resolution import SuperResolution
        >>> run = start(SuperResolution(data="photographs", scale=2, epochs=2))
    """

    task: ClassVar[str] = "super-resolution"
    summary: ClassVar[str] = "small images made larger"
    kinds: ClassVar[tuple[str, ...]] = ("image_to_image", "image_translator")
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        "num_channels",
        "scale",
        "global_skip",
        "perceptual_network",
        "output_activation",
    )

    data: str = option("photographs", "`photographs`, or a folder of images.")
    model: str = option("srresnet_small", "srresnet for exact pixels, srgan for convincing textures.")
    scale: Literal[2, 4] = option(2, "How many times larger images become.")
    perceptual: str = option(
        "none", "What srgan compares images by: none (pixels), vgg19 (random weights), or the path of a .keras file."
    )
    start_from: str | None = option(None, "srgan: a run or .keras file of a trained srresnet to begin with.")
    epochs: int = option(20, "Passes over the training data.", minimum=1)
    batch_size: int = option(16, "Crops per step, over all devices together.", minimum=1)
    learning_rate: float = option(1e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    global_skip: bool = option(
        True, "Whether the network adds to the image enlarged by interpolation; the paper's makes all of it anew."
    )
    crop_size: int = option(64, "Height and width of the large training crops in pixels.", minimum=8)
    crops_per_image: int | None = option(
        None, "Crops taken from each image per epoch; none: as many as cover its area.", minimum=1
    )
    augment: SegmentationAugmentation = group(SegmentationAugmentation, "Random changes of the training crops.")

    @property
    def is_adversarial(self) -> bool:
        """Whether a discriminator takes part."""
        import kerazoo

        return kerazoo.model_card(self.model).kind == "image_translator"

    @property
    def monitor(self) -> tuple[str, str]:  # type: ignore[override]
        """The squared error of an srresnet; no loss says how good the textures of an srgan are."""
        return ("", "") if self.is_adversarial else ("val_loss", "min")

    def takes(self, model: str) -> bool:
        import kerazoo

        return super().takes(model) and kerazoo.model_card(model).task == self.task

    def check(self) -> None:
        self._check_model()  # before its kind is asked for
        super().check()
        if self.class_weights != "none":
            raise UserError(f"class_weights: there are no classes in {self.task}; leave it at none.")
        if self.loss not in ("auto", *LOSSES) or (self.is_adversarial and self.loss != "auto"):
            known = "auto" if self.is_adversarial else f"auto, {', '.join(LOSSES)}"
            raise UserError(f"loss: {self.model} learns with {known}; received {self.loss!r}.")
        if self.crop_size % self.scale:
            raise UserError(f"crop_size: expected a multiple of scale={self.scale}, received {self.crop_size}.")
        if not self.is_adversarial and (self.perceptual != "none" or self.start_from is not None):
            word = "perceptual" if self.perceptual != "none" else "start_from"
            raise UserError(f"{word}: only srgan has a use for it, {self.model} has none.")

    def datasets(self, progress: Callable | None = None) -> Datasets:
        from applications.datasets.photographs import load_photographs

        data = load_photographs(self.data, **self.loading(progress))
        for name, shape in zip(data.ids, data.images.shapes, strict=True):
            if min(shape[:2]) < self.crop_size:
                raise UserError(
                    f"Image {name!r} has {shape[0]} x {shape[1]} pixels, but the network is trained on crops of "
                    f"{self.crop_size} x {self.crop_size}: leave it out, or give a smaller --crop-size."
                )
        return data

    def samples(self, datasets: Datasets, split: str, *, training: bool) -> Samples:
        import tensorflow as tf

        from applications.core.augmentation import NUM_DRAWS, augment_geometry, augment_intensity
        from applications.core.pipeline import ImageReader, Samples
        from applications.imaging.crops import crop_places

        size, (low, high) = self.crop_size, datasets.value_range
        crops = self.crops_per_image if training else None
        places = tf.constant(crop_places(datasets.images, datasets.split[split], size, crops))
        read = ImageReader(datasets.images)

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            index, top, left = tf.unstack(places[index])
            image = read(index)
            corner = tf.cast(tf.stack([top, left]), tf.int32)
            if training:
                free = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
                corner = tf.cast(draws[NUM_DRAWS:] * free, tf.int32)
            image = tf.cast(tf.image.crop_to_bounding_box(image, corner[0], corner[1], size, size), tf.float32)
            return (image,) if training else smaller_and_larger(image)

        def smaller_and_larger(images: tf.Tensor) -> tuple:
            small = tf.image.resize(images, [size // self.scale] * 2, "bicubic", antialias=True)
            small = tf.clip_by_value((small - low) / (high - low), 0.0, 1.0)
            return small, (images - low) * (2.0 / (high - low)) - 1.0

        def augment(images: tf.Tensor, draws: tf.Tensor) -> tuple:
            images = augment_geometry(images, draws, self.augment)
            return smaller_and_larger(augment_intensity(images, draws, self.augment, datasets.value_range))

        if training:
            return Samples(len(places), load, augment, NUM_DRAWS + 2)
        return Samples(len(places), load)

    def build(self, datasets: Datasets, dtype: str | None = None) -> keras.Model:
        small, channels = self.crop_size // self.scale, datasets.channels
        options: dict[str, Any] = {"scale": self.scale, "global_skip": self.global_skip, "dtype": dtype}
        if self.is_adversarial and self.perceptual != "none":
            options["perceptual_network"] = self.perceptual
        model = self.create((small, small, channels), channels, **options)
        if self.start_from is not None:
            begin_with(model.generator, self.start_from)
        return model

    def compile(self, model: keras.Model, optimizer: Any, **execution: Any) -> None:
        if self.is_adversarial:
            model.compile(**optimizer, **execution)
        else:
            loss = LOSSES[0] if self.loss == "auto" else self.loss
            model.compile(optimizer, loss, **execution)

    def packaged(self, model: keras.Model, datasets: Datasets) -> keras.Model:
        """Pixels in, pixels out, at any size; of an srgan the generator."""
        import keras

        from applications.core.in_pixels import in_pixels, pixel_input

        network = model.generator if self.is_adversarial else model
        pixels = pixel_input(datasets.channels)
        limits = datasets.value_range
        found = in_pixels(network, pixels, limits, limits, network_takes=(0.0, 1.0), name="enlarged")
        return keras.Model(pixels, found, name=model.name)

    def drawn(self, model: keras.Model, datasets: Datasets) -> np.ndarray | None:
        """Some crops of the validation images, made small and large again."""
        import numpy as np

        from applications.core.pictures import as_bytes

        if datasets.channels not in (1, 3):
            return None
        low, high = datasets.value_range
        places = [datasets.images[index] for index in datasets.split["val"][:8]]
        crops = [central(image, self.crop_size) for image in places]
        small = [(shrunk(crop, self.scale) - low) / (high - low) for crop in crops]
        network = model.generator if self.is_adversarial else model
        return as_bytes(network.predict(np.stack(small), verbose=0), -1.0, 1.0)

    def report(self, model: keras.Model, datasets: Datasets) -> Result:
        from applications.core import figures
        from applications.core.report import Figure, Result, Table

        enlarge = enlarger(model, datasets.value_range, datasets.images.dtype)
        rows, titles = [], []
        panels: list[np.ndarray] = []
        for name, truth, small in shrunk_test_images(datasets, self.scale):
            found = enlarge(small)
            plain = _rounded(bicubic(small, self.scale, datasets.value_range), truth.dtype)
            ours, theirs = (scores(truth, image, self.scale, datasets.value_range) for image in (found, plain))
            rows.append((name, ours["psnr"], theirs["psnr"], ours["ssim"], theirs["ssim"]))
            if len(panels) < 12:
                for title, image in (("true", truth), ("bicubic", plain), (self.model, found)):
                    panels.append(central(image, 64))
                    titles.append(f"{name}\n{title}")
        low, high = datasets.value_range
        note = (
            f"PSNR in dB and SSIM of the luminance, for pixels from {low:g} to {high:g}, without {self.scale} pixels "
            "at each edge."
        )
        columns = ("image", "PSNR", "PSNR bicubic", "SSIM", "SSIM bicubic")
        grid = figures.image_grid(panels, titles, columns=3)
        return Result(
            metrics=means(rows, 1, 3),
            headline="psnr",
            tables=[Table("Test images", columns, rows, note)],
            figures=[Figure("enlarged", "Middle of test images, made small and large again", grid)],
            notes=[note],
        )

    def baseline(self, datasets: Datasets) -> tuple[str, dict[str, float]]:
        """Bicubic interpolation."""
        rows = []
        for _, truth, small in shrunk_test_images(datasets, self.scale):
            plain = _rounded(bicubic(small, self.scale, datasets.value_range), truth.dtype)
            found = scores(truth, plain, self.scale, datasets.value_range)
            rows.append((found["psnr"], found["ssim"]))
        return "bicubic interpolation", means(rows, 0, 1)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        import numpy as np

        from applications.core.inference import read_like_training

        low, high = about["value_range"]
        dtype = {255.0: np.uint8, 65535.0: np.uint16}.get(high, np.float32)
        enlarge = enlarger(model, (low, high), np.dtype(dtype))
        return [Prediction(path, enlarge(image)) for path, image in read_like_training(inputs, about, self.on_bad_file)]

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes for each file `NAME_xSCALE.png`, or `.tif` for pixels that no PNG holds."""
        from applications.core.inference import unique_stems
        from applications.core.pictures import write_image

        stems = unique_stems(prediction.file for prediction in predictions)
        return [
            write_image(folder / f"{stem}_x{self.scale}", p.image) for stem, p in zip(stems, predictions, strict=True)
        ]

    def serving(self, datasets: Datasets) -> Serving:
        import numpy as np

        small = self.crop_size // self.scale
        samples = [central(datasets.images[index], small) for index in datasets.split["train"][:16]]
        low, high = datasets.value_range
        pixels = f"pixels from {low:g} to {high:g}"
        return Serving(
            samples=np.stack(samples).astype(np.float32),
            labels=(),
            signature={
                "input": f"images, float32, (batch, height, width, {datasets.channels}), {pixels}",
                "output": f"images {self.scale} times larger, float32, {pixels}; values beyond are to be cut off",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Integer

        return {
            **super().search_space(),
            "model_options.filters": Choice(16, 32, 64),
            "model_options.num_blocks": Integer(2, 8),
        }


LOSSES = ("mean_squared_error", "mean_absolute_error")


def begin_with(generator: keras.Model, path: str) -> None:
    """Gives a generator the weights of a trained SRResNet."""
    import kerazoo

    file = Path(path).expanduser()
    file = file / "model.keras" if file.is_dir() else file
    try:
        generator.set_weights(kerazoo.load_model(file).get_weights())
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f"start_from: the weights of {path!r} do not fit: {str(error).splitlines()[0]}") from error


def central(image: np.ndarray, size: int) -> np.ndarray:
    """Returns the middle of an image, or all of it where it is smaller."""
    top, left = ((max(length - size, 0)) // 2 for length in image.shape[:2])
    return image[top : top + size, left : left + size]


def shrunk(image: np.ndarray, scale: int) -> np.ndarray:
    """Returns an image made smaller by bicubic interpolation, as float32; its sides are multiples of `scale`."""
    import numpy as np
    import tensorflow as tf

    size = [length // scale for length in image.shape[:2]]
    return tf.image.resize(np.asarray(image, np.float32), size, "bicubic", antialias=True).numpy()


def bicubic(image: np.ndarray, scale: int, limits: tuple[float, float]) -> np.ndarray:
    """Returns an image made larger by bicubic interpolation, as float32."""
    import numpy as np
    import tensorflow as tf

    size = [length * scale for length in image.shape[:2]]
    return np.clip(tf.image.resize(np.asarray(image, np.float32), size, "bicubic").numpy(), *limits)


def shrunk_test_images(datasets: Datasets, scale: int) -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
    """Yields name, test image (cut to a multiple of `scale`) and the small image it became."""
    import numpy as np

    for index in datasets.split["test"]:
        image = datasets.images[index]
        height, width = (length - length % scale for length in image.shape[:2])
        small = np.clip(shrunk(image[:height, :width], scale), *datasets.value_range)
        yield datasets.ids[index], image[:height, :width], _rounded(small, image.dtype)


def enlarger(model: keras.Model, limits: tuple[float, float], dtype: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from an image of any size to a larger one, in pixels of the given dtype."""
    import numpy as np

    from applications.core.image_predictor import ImagePredictor

    return ImagePredictor(model, finish=lambda found: _rounded(np.clip(found, *limits), dtype))


def _rounded(image: np.ndarray, dtype: Any) -> np.ndarray:
    import numpy as np

    return image.astype(dtype) if np.dtype(dtype).kind == "f" else np.rint(image).astype(dtype)


def scores(truth: np.ndarray, found: np.ndarray, scale: int, limits: tuple[float, float]) -> dict[str, float]:
    """Returns PSNR and SSIM of the luminance, without `scale` pixels at each edge."""
    import numpy as np

    from applications.core.fidelity import psnr, ssim
    from applications.datasets.pixels import to_channels

    def seen(image: np.ndarray) -> np.ndarray:
        grey = to_channels(image.astype(np.float32), 1) if image.shape[-1] == 3 else image.astype(np.float32)
        return grey[None, scale:-scale, scale:-scale]

    peak = limits[1] - limits[0]
    first, second = seen(truth), seen(found)
    return {"psnr": float(psnr(first, second, peak)[0]), "ssim": float(ssim(first, second, peak)[0])}


def means(rows: list[tuple], first: int, second: int) -> dict[str, float]:
    """Returns the means of two columns as `psnr` and `ssim`."""
    import numpy as np

    return {name: float(np.mean([row[i] for row in rows])) for name, i in (("psnr", first), ("ssim", second))}
