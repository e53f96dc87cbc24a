"""Image translation: one kind of image into another, learnt from pairs or without."""

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
    from applications.datasets.domains import Domain, DomainData

DIRECTIONS = ("a-to-b", "b-to-a")


class Prediction(NamedTuple):
    """What became of one file, in pixels of the other kind."""

    file: Path
    image: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ImageTranslation(Application):
    """Turns one kind of image into another.

    pix2pix learns it from pairs, CycleGAN in both directions from images that have nothing to do with each other.
    Training looks at random crops, prediction at whole images of any size. Data: `nuclei` (label maps and simulated
    micrographs, embedded), `noisy_nuclei` (noisy and clean micrographs), or a folder with two folders of images, whose
    files have the same names where the model needs pairs.

    Example:
        >>> from applications.core.training import start
        >>> from applications.image_translation import ImageTranslation
        >>> run = start(ImageTranslation(data="nuclei", model="cyclegan_small", direction="b-to-a", epochs=2))
    """

    task: ClassVar[str] = "image-translation"
    summary: ClassVar[str] = "one kind of image into another"
    kinds: ClassVar[tuple[str, ...]] = ("image_translator",)
    own_data: ClassVar[str] = "path/to/two-folders"
    monitor: ClassVar[tuple[str, str]] = ("", "")
    default_beta_1: ClassVar[float] = 0.5
    reserved_options: ClassVar[tuple[str, ...]] = (*Application.reserved_options, "num_channels")

    data: str = option("nuclei", "`nuclei`, `noisy_nuclei`, or a folder with two folders of images.")
    model: str = option("pix2pix_small", "pix2pix for pairs, cyclegan for images without a partner.")
    direction: Literal["a-to-b", "b-to-a"] = option("a-to-b", "Which kind becomes which.")
    epochs: int = option(20, "Passes over the training data.", minimum=1)
    batch_size: int = option(4, "Crops per step, over all devices together.", minimum=1)
    learning_rate: float = option(1e-3, "Largest learning rate, of all networks.", minimum=0)
    schedule: ScheduleName = option("linear", "How the learning rate changes.")
    crop_size: int = option(64, "Height and width of the training crops in pixels.", minimum=8)
    crops_per_image: int | None = option(
        None, "Crops taken from each image per epoch; none: as many as cover its area.", minimum=1
    )
    augment: SegmentationAugmentation = group(SegmentationAugmentation, "Random changes of the training crops.")

    # The data -------------------------------------------------------------------------------------------------------

    @property
    def needs_pairs(self) -> bool:
        """Whether the model learns from pairs."""
        import kerazoo

        return kerazoo.model_card(self.model).family == "pix2pix"

    def takes(self, model: str) -> bool:
        import kerazoo

        return super().takes(model) and kerazoo.model_card(model).task == self.task

    def check(self) -> None:
        super().check()
        if self.loss != "auto":
            raise UserError(f"loss: {self.model} has its own losses, leave it at auto; received {self.loss!r}.")
        if self.class_weights != "none":
            raise UserError(f"class_weights: there are no classes in {self.task}; leave it at none.")

    def datasets(self, progress: Callable | None = None) -> DomainData:  # type: ignore[override]
        from applications.datasets.domains import load_domains

        data = load_domains(self.data, pairs=self.needs_pairs, **self.loading(progress))
        for domain in (data.a, data.b):
            for index, shape in enumerate(domain.images.shapes):
                if min(shape[:2]) < self.crop_size:
                    raise UserError(
                        f"Image {domain.ids[index]!r} has {shape[0]} x {shape[1]} pixels, but the networks are trained "
                        f"on crops of {self.crop_size} x {self.crop_size}: leave it out, or give a smaller --crop-size."
                    )
        return data

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return self.replace(data=data, data_options={}, split=Split(train=0.0, val=0.0, test=1.0))

    def as_trained(self, datasets: DomainData, known: dict[str, Any]) -> DomainData:  # type: ignore[override]
        import dataclasses

        from applications.datasets.pixels import depth_factor, value_range
        from applications.datasets.store import ImageStore

        domains = {}
        for key, domain in (("a", datasets.a), ("b", datasets.b)):
            about = known["domains"][key]
            if domain.images.channels != about["channels"]:
                raise UserError(
                    f"The images of the kind {domain.name!r} have {domain.images.channels} channels, the run was "
                    f"trained on {about['channels']}."
                )
            images = domain.images
            if not domain.is_mask:
                factor = depth_factor(images.dtype, value_range(images.dtype)[1], value_range(about["dtype"])[1])
                if factor != 1:
                    images = ImageStore.from_arrays([image * image.dtype.type(1) * factor for image in images])
            domains[key] = dataclasses.replace(
                domain, images=images, limits=tuple(about["limits"]), is_mask=about["is_mask"]
            )
        return datasets.replaced(**domains)

    def samples(self, datasets: DomainData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import tensorflow as tf

        from applications.core.augmentation import NUM_DRAWS, augment_geometry, augment_intensity
        from applications.core.pipeline import Samples
        from applications.imaging.crops import crop_places

        pairs = self.needs_pairs or (datasets.paired and not training)
        chosen = {"a": datasets.split[split], "b": datasets.split_b[split]}
        if training:
            chosen["a"], chosen["b"] = datasets.training_parts(self.needs_pairs)
        crops = self.crops_per_image if training else None
        domains = {"a": datasets.a, "b": datasets.b}
        places = {
            key: tf.constant(crop_places(domain.images, chosen[key], self.crop_size, crops))
            for key, domain in domains.items()
        }
        read = {key: crop_reader(domain, self.crop_size, training) for key, domain in domains.items()}
        count = len(places["a"]) if pairs else max(len(places["a"]), len(places["b"]))
        first, second = ("a", "b") if self.direction == "a-to-b" or not self.needs_pairs else ("b", "a")
        # Numbers of one crop: those of its changes, its place, and, without pairs, which image it is of.
        each = NUM_DRAWS + (2 if pairs else 3)

        def own(draws: tf.Tensor, key: str) -> tf.Tensor:
            return draws[..., :each] if pairs or key == "a" else draws[..., each:]

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            found = {}
            for key in "ab":
                row, mine = index % len(places[key]), own(draws, key)
                if training and not pairs:
                    row = tf.cast(mine[NUM_DRAWS + 2] * len(places[key]), tf.int64)
                found[key] = read[key](places[key][row], mine[NUM_DRAWS : NUM_DRAWS + 2])
            return found[first], found[second]

        def augment(x: tf.Tensor, y: tf.Tensor, draws: tf.Tensor) -> tuple:
            turned = []
            for images, key in ((x, first), (y, second)):
                is_mask, mine = domains[key].is_mask, own(draws, key)
                images = augment_geometry(
                    images, mine, self.augment, interpolation="nearest" if is_mask else "bilinear"
                )
                turned.append(images if is_mask else augment_intensity(images, mine, self.augment, (-1.0, 1.0)))
            return tuple(turned)

        if not training:
            return Samples(count, load)
        return Samples(count, load, augment, each if pairs else 2 * each)

    # The networks ---------------------------------------------------------------------------------------------------

    def build(self, datasets: DomainData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        source, target = self._ends(datasets)
        options: dict[str, Any] = {}
        channels = source.images.channels, target.images.channels
        if self.needs_pairs:  # what the paper's batch normalisation does, whose batches have one image
            options["normalization"] = "instance"
        else:
            channels = datasets.a.images.channels, datasets.b.images.channels
            if channels[0] != channels[1]:  # no generator could be given an image of its own output
                options["identity_weight"] = 0.0
        return self.create((self.crop_size, self.crop_size, channels[0]), channels[1], dtype=dtype, **options)

    def _ends(self, datasets: DomainData) -> tuple[Domain, Domain]:
        """Returns what is to be turned, and into what."""
        ends = datasets.a, datasets.b
        return ends if self.direction == "a-to-b" else ends[::-1]

    def compile(self, model: keras.Model, optimizer: Any, **execution: Any) -> None:
        model.compile(**optimizer, **execution)

    def packaged(self, model: keras.Model, datasets: DomainData) -> keras.Model:  # type: ignore[override]
        """Pixels in, pixels out: one way of pix2pix, both of CycleGAN, which are named `a_to_b` and `b_to_a`."""
        import keras

        from applications.core.in_pixels import in_pixels, pixel_input

        def way(generator: keras.Model, first: Domain, second: Domain, name: str) -> tuple[Any, Any]:
            pixels = pixel_input(first.images.channels, name)
            return pixels, in_pixels(generator, pixels, first.limits, second.limits, name=f"{name}_pixels")

        if self.needs_pairs:
            source, target = self._ends(datasets)
            pixels, found = way(model.generator, source, target, "translated")
            return keras.Model(pixels, found, name=model.name)
        there, back = renamed(model.generator_ab, "ab"), renamed(model.generator_ba, "ba")
        ways = {
            "a_to_b": way(there, datasets.a, datasets.b, "a_to_b"),
            "b_to_a": way(back, datasets.b, datasets.a, "b_to_a"),
        }
        inputs, outputs = ({key: pair[side] for key, pair in ways.items()} for side in (0, 1))
        return keras.Model(inputs, outputs, name=model.name)

    def exported(self, model: keras.Model) -> keras.Model:
        """The way the run was asked for."""
        return one_way(model, self.direction)

    def drawn(self, model: keras.Model, datasets: DomainData) -> np.ndarray | None:  # type: ignore[override]
        """What becomes of the upper left corners of some validation images."""
        import numpy as np

        from applications.core.pictures import as_bytes

        source, target = self._ends(datasets)
        if target.images.channels not in (1, 3):
            return None
        part = datasets.split if self.direction == "a-to-b" else datasets.split_b
        corners = [source.images[i][: self.crop_size, : self.crop_size] for i in part["val"][:8]]
        images = scaled(np.stack(corners), source.limits)
        ways = {} if self.needs_pairs else {"direction": self.direction.replace("-", "_")}
        return as_bytes(model.translate(images, **ways), -1.0, 1.0)

    # The result -----------------------------------------------------------------------------------------------------

    def scores(self, model: keras.Model, datasets: DomainData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        from applications.translation_report import scores_of_one_way

        return scores_of_one_way(self, model, datasets)

    def report(self, model: keras.Model, datasets: DomainData) -> Result:  # type: ignore[override]
        from applications.translation_report import report

        return report(self, model, datasets)

    def baseline(self, datasets: DomainData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """The images as they are."""
        from applications.translation_report import identity

        return identity(self, datasets)

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.translation_report import translator

        keys = ("a", "b") if self.direction == "a-to-b" else ("b", "a")
        source, target = (about["domains"][key] for key in keys)
        call = translator(one_way(model, self.direction), target)
        return [Prediction(path, call(image)) for path, image in read_domain(inputs, source, self.on_bad_file)]

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes for each file `NAME.png`, or `NAME.tif` for pixels that no PNG holds."""
        from applications.core.inference import unique_stems
        from applications.core.pictures import write_image

        stems = unique_stems(prediction.file for prediction in predictions)
        return [write_image(folder / stem, p.image) for stem, p in zip(stems, predictions, strict=True)]

    def serving(self, datasets: DomainData) -> Serving:  # type: ignore[override]
        import numpy as np

        source, target = self._ends(datasets)
        part = datasets.split if self.direction == "a-to-b" else datasets.split_b
        samples = [source.images[i][: self.crop_size, : self.crop_size] for i in part["train"][:16]]
        sides = "a multiple of what the network halves"
        return Serving(
            samples=np.stack(samples).astype(np.float32),
            labels=(),
            signature={
                "input": f"{source.name}, float32, (batch, height, width, {source.images.channels}), pixels from "
                f"{source.limits[0]:g} to {source.limits[1]:g}, height and width {sides}",
                "output": f"{target.name}, float32, (batch, height, width, {target.images.channels}), pixels from "
                f"{target.limits[0]:g} to {target.limits[1]:g}",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real

        return {
            "learning_rate": Real(1e-4, 3e-3, log=True),
            "batch_size": Choice(1, 4, 8),
            "model_options.filters": Choice(8, 16, 32),
        }


def scaled(pixels: Any, limits: tuple[float, float]) -> Any:
    """Returns pixels as the networks see them: the limits become -1 and 1, what lies beyond is cut off."""
    import numpy as np

    low, high = limits
    return np.clip((np.asarray(pixels, np.float32) - low) * (2.0 / (high - low)) - 1.0, -1.0, 1.0)


def crop_reader(domain: Domain, size: int, training: bool) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a function from a row of `crop_places` and two random numbers to a crop as the networks see it."""
    import tensorflow as tf

    from applications.core.pipeline import ImageReader

    read, (low, high) = ImageReader(domain.images), domain.limits

    def crop(place: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        index, top, left = tf.unstack(place)
        image = read(index)
        corner = tf.cast(tf.stack([top, left]), tf.int32)
        if training:
            corner = tf.cast(draws * tf.cast(tf.shape(image)[:2] - size + 1, tf.float32), tf.int32)
        image = tf.cast(tf.image.crop_to_bounding_box(image, corner[0], corner[1], size, size), tf.float32)
        return tf.clip_by_value((image - low) * (2.0 / (high - low)) - 1.0, -1.0, 1.0)

    return crop


def one_way(model: keras.Model, direction: str) -> keras.Model:
    """Returns the part of a saved model that goes one way."""
    import keras

    from kerazoo import _graph

    inputs, way = _graph.inputs(model), direction.replace("-", "_")
    return keras.Model(inputs[way], model.output[way], name=model.name) if isinstance(inputs, dict) else model


def renamed(model: keras.Model, prefix: str) -> keras.Model:
    """Returns a copy of a network whose layers have a prefix, so that two of a kind fit into one model."""
    import keras

    def copied(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "name": f"{prefix}_{layer.name}"})

    copy = keras.models.clone_model(model, clone_function=copied)
    copy.set_weights(model.get_weights())
    return copy


def read_domain(paths: Iterable[Path], about: dict[str, Any], on_bad_file: str) -> Iterable[tuple[Path, np.ndarray]]:
    """Reads files of one kind as the training's were; yields path and float32 (height, width, channels)."""
    from applications.core.inference import each_usable, read_like_training
    from applications.datasets.pixels import value_range
    from applications.datasets.readers import read_mask

    if not about["is_mask"]:
        known = {"channels": about["channels"], "value_range": value_range(about["dtype"])}
        yield from read_like_training(paths, known, on_bad_file)
        return
    for path, mask in each_usable(paths, read_mask, on_bad_file):
        foreground = mask[..., None] > 0
        low, high = about["limits"]
        yield path, (low + (high - low) * foreground.repeat(about["channels"], axis=-1)).astype("float32")
