"""Denoising: from pairs of noisy and clean images, or from the noisy images alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import Application, ScheduleName, Serving, Split
from applications.core.config import group, option
from applications.core.errors import UserError
from applications.semantic_segmentation import SegmentationAugmentation

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.noisy import Noise, NoisyData
    from applications.datasets.stacks import Stack

_SEED_DRAWS = 4
_PAIR_LOSSES = ("mean_absolute_error", "mean_squared_error")
_BLIND_LOSSES = ("squared", "absolute")


class Prediction(NamedTuple):
    """One denoised file."""

    file: Path
    stack: Stack


@dataclass(frozen=True)
class NoiseOptions:
    """Noise that is added to clean images of one's own, and to the embedded ones."""

    kind: Literal["none", "gaussian", "poisson"] = option(
        "none", "What noise is simulated; the embedded data have some."
    )
    sigma: float = option(25.0, "Standard deviation of Gaussian noise in 255ths of the range of pixels.", above=0)
    photons: float = option(30.0, "Photons that the brightest pixel stands for, of Poisson noise.", above=0)


@dataclass(frozen=True)
class BlindSpotOptions:
    """How pixels are hidden from a network that learns without clean images."""

    manipulator: Literal[
        "uniform_withCP",
        "uniform_withoutCP",
        "mean",
        "median",
        "normal_withoutCP",
        "normal_additive",
        "normal_fitted",
        "identity",
    ] = option("uniform_withoutCP", "What hidden pixels are replaced by; n2v2 wants the median.")
    percentage: float = option(1.5, "How many pixels of a crop are hidden, in percent.", above=0, maximum=100)
    radius: int = option(5, "Pixels on each side that replacements come from.", minimum=1)
    structure: Literal["none", "horizontal", "vertical"] = option(
        "none", "Along which line noise is correlated, whose pixels are hidden, too (structN2V)."
    )
    structure_length: int = option(5, "Pixels of that line on each side of a hidden pixel.", minimum=1)


@dataclass(frozen=True, kw_only=True)
class Denoising(Application):
    """Removes noise from images.

    `care` learns from pairs of noisy and clean images, `noise2void` and `n2v2` from the noisy images alone, which are
    then also what they are judged by. Training looks at random crops; prediction takes images and stacks of any size in
    windows and averages over the eight orientations. Data: `noisy_camera` (one photograph), `noisy_photographs`, a
    file, a folder of images, or a folder with `noisy/` and `clean/`.

    Example:
        >>> from applications.core.training import start
        >>> from applications.denoising import Denoising
        >>> run = start(Denoising(data="noisy_camera", epochs=2))
    """

    task: ClassVar[str] = "denoising"
    summary: ClassVar[str] = "images without their noise"
    kinds: ClassVar[tuple[str, ...]] = ("image_to_image",)
    own_data: ClassVar[str] = "path/to/stack.tif"
    reserved_options: ClassVar[tuple[str, ...]] = (*Application.reserved_options, "num_channels", "output_activation")

    data: str = option("noisy_camera", "`noisy_camera`, `noisy_photographs`, a file, or a folder.")
    model: str = option("noise2void", "noise2void and n2v2 need no clean images, care learns from pairs.")
    learns_from: Literal["auto", "pairs", "noisy"] = option(
        "auto", "Pairs, or noisy images alone; auto: what the model was made for."
    )
    epochs: int = option(20, "Passes over the training data.", minimum=1)
    batch_size: int = option(16, "Crops per step, over all devices together.", minimum=1)
    learning_rate: float = option(1e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    crop_size: int = option(64, "Height and width of the training crops in pixels.", minimum=8)
    crops_per_epoch: int = option(512, "Crops of an epoch, shared out among the images.", minimum=1)
    noise: NoiseOptions = group(NoiseOptions, "Simulated noise.")
    blind_spots: BlindSpotOptions = group(BlindSpotOptions, "Hidden pixels.")
    augment: SegmentationAugmentation = group(SegmentationAugmentation, "Random changes of the training crops.")
    orientations: Literal[1, 8] = option(8, "Turned and mirrored copies of an image whose predictions are averaged.")
    tile_size: int = option(512, "Height and width of the windows in which large images are predicted.", minimum=64)
    write_as: Literal["original", "float32"] = option(
        "original", "Pixels of written files: the input's whole numbers, or float32."
    )

    # The data -------------------------------------------------------------------------------------------------------

    @property
    def is_blind(self) -> bool:
        """Whether the network learns from noisy images alone."""
        import kerazoo

        if self.learns_from != "auto":
            return self.learns_from == "noisy"
        return kerazoo.model_card(self.model).family == "noise2void"

    def takes(self, model: str) -> bool:
        import kerazoo

        return super().takes(model) and kerazoo.model_card(model).task == self.task

    def check(self) -> None:
        self._check_model()  # before its family is asked for
        super().check()
        losses = _BLIND_LOSSES if self.is_blind else _PAIR_LOSSES
        if self.loss != "auto" and self.loss not in losses:
            raise UserError(f"loss: {self.model} learns with auto, {', '.join(losses)}; received {self.loss!r}.")
        if self.class_weights != "none":
            raise UserError(f"class_weights: there are no classes in {self.task}; leave it at none.")
        if self.is_blind and self.k_folds:
            raise UserError("k_folds: noisy images alone are training and test at once; leave it at 0.")
        if self.is_blind and self.is_probabilistic:
            raise UserError("model_options.probabilistic: it needs pairs; use --learns-from pairs.")

    @property
    def is_probabilistic(self) -> bool:
        """Whether the network gives a distribution per pixel."""
        return bool(self.model_options.get("probabilistic", False))

    def datasets(self, progress: Callable | None = None) -> NoisyData:
        import dataclasses

        from applications.datasets.noisy import load_noisy

        data = load_noisy(self.data, blind=self.is_blind, noise=self._noise(), **self.loading(progress))
        return dataclasses.replace(data, warnings=(*data.warnings, *self._warnings(data)))

    def _noise(self) -> Noise:
        from applications.datasets.noisy import Noise

        return Noise(self.noise.kind, self.noise.sigma, self.noise.photons)

    def _warnings(self, data: NoisyData) -> list[str]:
        from kerazoo.restoration.diagnostics import structured_noise

        found = []
        small = [
            name for name, shape in zip(data.ids, data.images.shapes, strict=True) if min(shape[:2]) < self.crop_size
        ]
        if small:
            found.append(
                f"{len(small)} image(s) are smaller than a crop of {self.crop_size} x {self.crop_size} pixels, such as "
                f"{small[0]!r}, and are continued by reflection."
            )
        if self.is_blind and self.blind_spots.structure == "none":
            for index in data.split["val"][:4]:
                sentence = structured_noise(data.images[index])
                if sentence is not None:
                    found.append(f"{data.ids[index]!r}: {sentence}")
                    break
        return found

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return self.replace(data=data, channels=known["channels"], split=Split(train=0.0, val=0.0, test=1.0))

    def as_trained(self, datasets: NoisyData, known: dict[str, Any]) -> NoisyData:  # type: ignore[override]
        import dataclasses

        import numpy as np

        if datasets.channels != known["channels"]:
            raise UserError(f"The data have {datasets.channels} channels, the run was trained on {known['channels']}.")
        everything = np.arange(len(datasets))
        return dataclasses.replace(datasets, split={"train": everything[:0], "val": everything[:0], "test": everything})

    def samples(self, datasets: NoisyData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import tensorflow as tf

        from applications.core.augmentation import NUM_DRAWS, augment_geometry
        from applications.core.pipeline import ImageReader, Samples
        from applications.imaging.crops import at_least, crop_places

        chosen, size = datasets.split[split], self.crop_size
        crops = -(-self.crops_per_epoch // len(chosen)) if training else None
        places = tf.constant(crop_places(datasets.images, chosen, size, crops))
        simulated = training and not self.is_blind and datasets.noise.kind != "none"
        noisy = ImageReader(datasets.images)
        clean = ImageReader(datasets.clean) if datasets.clean is not None else noisy
        standard = _scaled_by(self.standard(datasets))

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            index, top, left = tf.unstack(places[index])
            pair = [at_least(read(index), size) for read in ((noisy,) if self.is_blind else (noisy, clean))]
            corner = tf.cast(tf.stack([top, left]), tf.int32)
            if training:
                free = tf.cast(tf.shape(pair[0])[:2] - size + 1, tf.float32)
                corner = tf.cast(draws[NUM_DRAWS : NUM_DRAWS + 2] * free, tf.int32)
            pair = [
                tf.cast(tf.image.crop_to_bounding_box(image, corner[0], corner[1], size, size), tf.float32)
                for image in pair
            ]
            if simulated:  # new noise every time
                pair[0] = datasets.noise.drawn(pair[1], datasets.value_range, _whole(draws[-2:]))
            pair = [standard(image) for image in pair]
            return tuple(pair) if training or not self.is_blind else self._hidden(pair[0][None], _fixed(index, corner))

        def augment(*batch: tf.Tensor) -> tuple:
            *pair, draws = batch
            pair = [augment_geometry(images, draws, self.augment) for images in pair]
            return self._hidden(pair[0], draws[:, -_SEED_DRAWS:]) if self.is_blind else tuple(pair)

        if training:
            return Samples(len(places), load, augment, NUM_DRAWS + 2 + _SEED_DRAWS)
        return Samples(len(places), load)

    def _hidden(self, images: tf.Tensor, draws: tf.Tensor) -> tuple:
        """Hides pixels of a batch of standardised crops, or of the only one of it, as its random numbers say."""
        import tensorflow as tf

        single = draws.shape.rank == 1
        hidden, targets = tf.numpy_function(
            self.hide, [images, draws[None] if single else draws], (tf.float32, tf.float32)
        )
        hidden.set_shape(images.shape)
        targets.set_shape([*images.shape[:-1], 2 * images.shape[-1]])
        return (hidden[0], targets[0]) if single else (hidden, targets)

    def hide(self, images: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hides pixels of crops (count, height, width, channels); `draws` (count, any number) seed each of them."""
        import numpy as np

        from kerazoo.restoration.blind_spots import blind_spots

        options = self.blind_spots
        line = np.ones((1, 2 * options.structure_length + 1))
        structure = {"none": None, "horizontal": line, "vertical": line.T}[options.structure]
        pairs = [
            blind_spots(
                image,
                np.random.default_rng((row * 2.0**24).astype(np.uint32)),
                percentage=options.percentage,
                manipulator=options.manipulator,
                radius=options.radius,
                structure=structure,
            )
            for image, row in zip(images, draws, strict=True)
        ]
        hidden, targets = zip(*pairs, strict=True)
        return np.stack(hidden), np.stack(targets)

    def standard(self, datasets: NoisyData) -> tuple[list[float], list[float]]:
        """Returns what is taken off the pixels of each channel, and what they are then divided by.

        Mean and spread of the noisy training images, or for pairs their percentiles 2 and 99.8 as in CARE.
        """
        import numpy as np

        rows = [datasets.images[i].reshape(-1, datasets.channels) for i in datasets.split["train"]]
        pixels = np.concatenate([row[:: -(-len(rows) * len(row) // 10_000_000)] for row in rows]).astype(np.float64)
        if self.is_blind:
            offset, scale = pixels.mean(axis=0), pixels.std(axis=0)
        else:
            offset, top = np.percentile(pixels, (2.0, 99.8), axis=0)
            scale = top - offset
        return offset.tolist(), np.where(scale > 0, scale, 1.0).tolist()

    # The network ----------------------------------------------------------------------------------------------------

    def build(self, datasets: NoisyData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        return self.create((None, None, datasets.channels), datasets.channels, dtype=dtype)

    def compile(self, model: keras.Model, optimizer: Any, **execution: Any) -> None:
        from kerazoo.losses import BlindSpot, Laplace

        if self.is_blind:
            loss: Any = BlindSpot(error=_BLIND_LOSSES[0] if self.loss == "auto" else self.loss)
        elif self.is_probabilistic and self.loss == "auto":
            loss = Laplace()
        else:
            loss = _PAIR_LOSSES[0] if self.loss == "auto" else self.loss
        model.compile(optimizer, loss, **execution)

    def check_loss(self) -> None:
        """`check` has compared the loss with those there are."""

    def packaged(self, model: keras.Model, datasets: NoisyData) -> keras.Model:  # type: ignore[override]
        """Pixels in, pixels out, at any size; of a probabilistic network the centres."""
        import keras
        from keras import layers

        from applications.core.in_pixels import pixel_input
        from kerazoo import _graph

        if self.is_probabilistic:
            model = keras.Model(model.inputs, model.get_layer("centre_and_scale").input[0], name=model.name)
        offset, scale = self.standard(datasets)
        pixels = pixel_input(datasets.channels)
        inverse = [1.0 / value for value in scale]
        shift = [-a * b for a, b in zip(offset, inverse, strict=True)]
        x = layers.Rescaling(inverse, shift, dtype="float32", name="standardised")(pixels)
        *_, last = _graph.replay(model, [x], lambda layer, args, kwargs: layer(*args, **kwargs))
        found = layers.Rescaling(scale, offset, dtype="float32", name="denoised")(last.outputs[0])
        return keras.Model(pixels, found, name=model.name)

    def drawn(self, model: keras.Model, datasets: NoisyData) -> np.ndarray | None:  # type: ignore[override]
        """The middle of some validation images without their noise."""
        import numpy as np

        from applications.core.pictures import as_bytes

        if datasets.channels not in (1, 3):
            return None
        size = 2 * self.crop_size
        offset, scale = self.standard(datasets)
        found = []
        for index in datasets.split["val"][:4]:
            image = datasets.images[index]
            top, left = (max(0, n - size) // 2 for n in image.shape[:2])
            crop = image[top : top + size, left : left + size].astype(np.float32)
            grown = np.pad(crop, [(0, size - n) for n in crop.shape[:2]] + [(0, 0)], mode="symmetric")
            found.append(model.predict((grown[None] - offset) / scale, verbose=0)[0, ..., : datasets.channels])
        return as_bytes(np.stack(found) * scale + offset, *datasets.value_range)

    # The result -----------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: NoisyData) -> Result:  # type: ignore[override]
        from applications.imaging.denoising_report import report

        return report(self, model, datasets)

    def scores(self, model: keras.Model, datasets: NoisyData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        from applications.imaging.denoising_report import scores

        return scores(self, model, datasets)

    def baseline(self, datasets: NoisyData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """Non-local means, or a Gaussian filter where scikit-image is missing."""
        from applications.imaging.denoising_report import baseline

        return baseline(datasets)

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        from applications.core.inference import find_images

        return find_images(inputs, zarr=True)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.core.inference import each_usable
        from applications.imaging.denoising_report import denoised_stack

        def denoised(path: Path) -> Stack:
            return denoised_stack(self, model, path, about)

        return [Prediction(*pair) for pair in each_usable(inputs, denoised, self.on_bad_file)]

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes for each file `NAME_denoised.tif` as ImageJ reads it, `.png` for a picture, `.zarr` for zarr."""
        from applications.core.inference import unique_stems
        from applications.core.pictures import write_image
        from applications.datasets.stacks import is_stack, write_stack, write_zarr

        written = []
        stems = unique_stems(prediction.file for prediction in predictions)
        for stem, (file, stack) in zip(stems, predictions, strict=True):
            if file.suffix.lower() == ".zarr":
                written.append(write_zarr(folder / f"{stem}_denoised.zarr", stack.pixels, stack.spacing))
            elif is_stack(file) or stack.pixels.dtype.kind == "f":
                written.append(write_stack(folder / f"{stem}_denoised.tif", stack.pixels, spacing=stack.spacing))
            else:
                written.append(write_image(folder / f"{stem}_denoised", stack.pixels[0, 0]))
        return written

    def serving(self, datasets: NoisyData) -> Serving:  # type: ignore[override]
        import numpy as np

        size = self.crop_size
        samples: list[np.ndarray] = []
        for index in datasets.split["train"][np.arange(16) % len(datasets.split["train"])]:
            image = datasets.images[index]
            missing = [(0, max(0, size - n)) for n in image.shape[:2]]
            place = np.random.default_rng(len(samples)).integers(0, [max(1, n - size + 1) for n in image.shape[:2]])
            grown = np.pad(image, [*missing, (0, 0)], mode="symmetric")
            samples.append(grown[place[0] : place[0] + size, place[1] : place[1] + size])
        low, high = datasets.value_range
        pixels = f"pixels as in the training files ({low:g} to {high:g})"
        shape = f"float32, (batch, height, width, {datasets.channels}), {pixels}"
        return Serving(
            samples=np.stack(samples).astype(np.float32),
            labels=(),
            signature={
                "input": f"noisy images, {shape}, height and width a multiple of what the network halves",
                "output": f"the same without noise, {shape}; values beyond are to be cut off",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Integer

        space = {
            **super().search_space(),
            "model_options.filters": Choice(16, 32, 64),
            "model_options.depth": Integer(1, 3),
        }
        return {**space, "blind_spots.percentage": Choice(0.2, 1.0, 1.5, 3.0)} if self.is_blind else space


def _scaled_by(standard: tuple[list[float], list[float]]) -> Callable[[Any], Any]:
    import tensorflow as tf

    offset, scale = (tf.constant(values, tf.float32) for values in standard)
    return lambda image: (image - offset) / scale


def _whole(draws: tf.Tensor) -> tf.Tensor:
    """Returns uniform numbers in [0, 1) as whole numbers for a seed."""
    import tensorflow as tf

    return tf.cast(draws * 2.0**24, tf.int32)


def _fixed(index: tf.Tensor, corner: tf.Tensor) -> tf.Tensor:
    """Returns random numbers that always are the same for one crop."""
    import tensorflow as tf

    seed = tf.stack([tf.cast(index, tf.int32), corner[0] * 100_003 + corner[1]])
    return tf.random.stateless_uniform([_SEED_DRAWS], seed)
