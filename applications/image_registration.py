"""Image registration: one image deformed until it lies on another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from applications.core.application import Application, ScheduleName, Serving, Split
from applications.core.config import option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.registration_pairs import RegistrationData

# Similarity -> weight of the smoothness of the velocity. Of local_ncc the paper has 1, which is stiff for small images.
SMOOTHNESS = {"local_ncc": 0.3, "mean_squared_error": 0.01}


class Prediction(NamedTuple):
    """One pair: the first image laid on the second."""

    file: Path
    moved: np.ndarray
    field: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ImageRegistration(Application):
    """Deforms one image until it lies on another, and says where each pixel came from.

    Nothing but pairs of images is needed: the network learns from how alike they become, and from how smooth the
    deformation is. Data: `ellipses` (simulated sections with a known deformation, embedded), a folder with `moving/`
    and `fixed/` whose files of one name are a pair, or a folder of images of which each is laid on the others or on an
    atlas. Label images, if there are any, are used by the report alone.

    Example:
        >>> from applications.core.training import start
        >>> from applications.image_registration import ImageRegistration
        >>> run = start(ImageRegistration(data="ellipses", epochs=2))
    """

    task: ClassVar[str] = "image-registration"
    summary: ClassVar[str] = "one image deformed until it lies on another"
    kinds: ClassVar[tuple[str, ...]] = ("registration",)
    own_data: ClassVar[str] = "path/to/pairs"
    reserved_options: ClassVar[tuple[str, ...]] = (*Application.reserved_options, "int_steps")

    data: str = option("ellipses", "`ellipses`, a folder with moving/ and fixed/, or a folder of images.")
    model: str = option("voxelmorph", "Registration model of the catalogue.")
    epochs: int = option(50, "Passes over the training pairs.", minimum=1)
    batch_size: int = option(8, "Pairs per step, over all devices together.", minimum=1)
    learning_rate: float = option(1e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    loss: str = option("auto", "local_ncc (brightness may differ), mean_squared_error; auto: local_ncc.")
    smoothness: float | None = option(
        None, "Weight of the deformation's smoothness; none: 0.3 for local_ncc, 0.01 for mean_squared_error.", minimum=0
    )
    diffeomorphic: bool = option(True, "Integrate a velocity, so that nothing folds; no: any field.")
    atlas: str | None = option(None, "One image of a folder on which all others are laid; none: each on the others.")
    mirror: bool = option(True, "Mirror both images of a training pair at random.")

    @property
    def similarity(self) -> str:
        """Name of what is compared."""
        return "local_ncc" if self.loss == "auto" else self.loss

    def check(self) -> None:
        super().check()
        if self.similarity not in SMOOTHNESS:
            raise UserError(f"loss: {self.task} learns with auto, {', '.join(SMOOTHNESS)}; received {self.loss!r}.")
        if self.class_weights != "none":
            raise UserError(f"class_weights: there are no classes in {self.task}; leave it at none.")
        if self.k_folds:
            raise UserError(f"k_folds: pairs have images in common, so {self.task} has no folds; leave it at 0.")

    def check_loss(self) -> None:
        """Does nothing: `check` has compared the name."""

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> RegistrationData:  # type: ignore[override]
        from applications.datasets.registration_pairs import load_registration_pairs

        return load_registration_pairs(self.data, atlas=self.atlas, **self.loading(progress))

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        split = Split(train=0.0, val=0.0, test=1.0)
        return self.replace(data=data, data_options={}, channels=known["channels"], split=split)

    def as_trained(self, datasets: RegistrationData, known: dict[str, Any]) -> RegistrationData:  # type: ignore[override]
        import dataclasses

        from applications.core.inference import adapted
        from applications.datasets.store import ImageStore

        images = [
            adapted(image, known["channels"], known["value_range"], name)
            for image, name in zip(datasets.images, datasets.ids, strict=True)
        ]
        return dataclasses.replace(datasets, images=ImageStore.from_arrays(images), limits=tuple(known["limits"]))

    def samples(self, datasets: RegistrationData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import tensorflow as tf

        from applications.core.pipeline import ImageReader, Samples

        pairs, (low, high) = tf.constant(datasets.pairs[datasets.split[split]]), datasets.limits
        read = ImageReader(datasets.images)

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            both = tf.stack([read(pairs[index, side]) for side in (0, 1)])
            both = tf.clip_by_value((tf.cast(both, tf.float32) - low) / (high - low), 0.0, 1.0)
            if training and self.mirror:
                for axis in (1, 2):
                    both = tf.where(draws[axis - 1] < 0.5, tf.reverse(both, [axis]), both)
            return {"moving": both[0], "fixed": both[1]}, {"moved": both[1], "velocity": tf.zeros([1])}

        return Samples(len(datasets.split[split]), load, None, 2 if training and self.mirror else 0)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: RegistrationData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        import kerazoo

        steps = kerazoo.catalog.builder_parameters(self.model)["int_steps"] if self.diffeomorphic else 0
        return self.create((None, None, datasets.channels), steps, dtype=dtype)

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        import keras

        from kerazoo.losses import FieldSmoothness, LocalNCC

        similarity = LocalNCC() if self.similarity == "local_ncc" else keras.losses.MeanSquaredError()
        weight = SMOOTHNESS[self.similarity] if self.smoothness is None else self.smoothness
        model.compile(
            optimizer=optimizer,
            loss={"moved": similarity, "velocity": FieldSmoothness()},
            # A velocity of half the size changes twice as much from one of its pixels to the next.
            loss_weights={"moved": 1.0, "velocity": weight * (2.0 if self.diffeomorphic else 1.0)},
            **execution,
        )

    def packaged(self, model: keras.Model, datasets: RegistrationData) -> keras.Model:  # type: ignore[override]
        """Pixels in, pixels and displacements out."""
        import keras
        from keras import layers

        from applications.core.in_pixels import pixel_input
        from kerazoo import _graph

        low, high = datasets.limits
        inputs = {name: pixel_input(datasets.channels, name) for name in ("moving", "fixed")}
        scaled = {
            name: layers.Rescaling(1 / (high - low), -low / (high - low), dtype="float32", name=f"{name}_scaled")(x)
            for name, x in inputs.items()
        }
        limited = {name: layers.ReLU(1.0, dtype="float32", name=f"{name}_limited")(x) for name, x in scaled.items()}
        ordered = [limited[tensor.name] for tensor in model.inputs]
        found = {}
        for call in _graph.replay(model, ordered, lambda layer, args, kwargs: layer(*args, **kwargs)):
            found[call.operation.name] = call.outputs[0]
        moved = layers.Rescaling(high - low, low, dtype="float32", name="moved_pixels")(found["moved"])
        return keras.Model(inputs, {"moved": moved, "field": found["field"]}, name=model.name)

    # The result -----------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: RegistrationData) -> Result:  # type: ignore[override]
        from applications.imaging.registration_report import report

        return report(self, model, datasets)

    def scores(self, model: keras.Model, datasets: RegistrationData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        from applications.imaging.registration_report import headline, metrics, registered

        return headline(datasets), metrics(datasets, registered(model, datasets))

    def baseline(self, datasets: RegistrationData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """The images as they are."""
        from applications.imaging.registration_report import metrics, unregistered

        return "no registration", metrics(datasets, unregistered(datasets))

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        """Returns moving and fixed images by turns: of two files, or of a folder with moving/ and fixed/."""
        from applications.core.inference import find_images
        from applications.datasets.loading import BadFiles
        from applications.datasets.masks import match

        found: list[Path] = []
        for item in map(Path, inputs):
            if (item / "moving").is_dir() and (item / "fixed").is_dir():
                pairs = match(item / "moving", item / "fixed", BadFiles("error", item))
                found += [path for pair in pairs for path in pair]
            else:
                found += find_images([item])
        if len(found) % 2:
            raise UserError(
                f"Images come in pairs, the moving one before the fixed one, or in a folder with moving/ and fixed/; "
                f"received {len(found)} images."
            )
        return found

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.core.inference import each_usable, read_like_training
        from applications.datasets.registration_pairs import as_pair, grown
        from applications.imaging.registration_report import caller

        call, files = caller(model), list(inputs)

        def laid(pair: tuple[Path, Path]) -> Prediction:
            moving, fixed = (image for _, image in read_like_training(pair, about, "error"))
            as_pair((moving, fixed), (str(pair[0]), str(pair[1])))
            height, width = moving.shape[:2]
            result = call(grown(moving), grown(fixed))
            moved = result["moved"][:height, :width]
            return Prediction(pair[0], in_dtype(moved, about["dtype"]), result["field"][:height, :width])

        pairs = zip(files[::2], files[1::2], strict=True)
        return [found for _, found in each_usable(pairs, laid, self.on_bad_file)]

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes for each pair `NAME_moved.png` (or `.tif`) and `NAME_field.tif`.

        The field is an ImageJ stack of 32-bit numbers of two channels, the displacements along y and along x in pixels:
        the moved image has at p what the moving one has at p + field(p).
        """
        import io

        import numpy as np
        import tifffile

        from applications.core.inference import unique_stems
        from applications.core.pictures import write_image
        from applications.core.run_directory import write_atomically

        written = []
        for stem, found in zip(unique_stems(p.file for p in predictions), predictions, strict=True):
            written.append(write_image(folder / f"{stem}_moved", found.moved))
            buffer = io.BytesIO()
            channels = np.moveaxis(found.field.astype(np.float32), -1, 0)
            tifffile.imwrite(buffer, channels, imagej=True, metadata={"axes": "CYX", "Labels": ["dy", "dx"]})
            write_atomically(folder / f"{stem}_field.tif", buffer.getvalue())
            written.append(folder / f"{stem}_field.tif")
        return written

    def serving(self, datasets: RegistrationData) -> Serving:  # type: ignore[override]
        import numpy as np

        chosen = datasets.pairs[datasets.split["train"][:16]]
        low, high = datasets.limits
        pixels = f"pixels from {low:g} to {high:g}"
        images = f"float32, (batch, height, width, {datasets.channels}), {pixels}, sides multiples of 16"
        return Serving(
            samples={
                name: np.stack([datasets.images[i] for i in chosen[:, side]]).astype(np.float32)
                for side, name in enumerate(("moving", "fixed"))
            },
            labels=(),
            signature={
                "input": f"moving and fixed: images, {images}",
                "output": f"moved: images, {images}; field: displacements in pixels along y and x, float32, (batch, "
                "height, width, 2)",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real

        return {
            "learning_rate": Real(1e-4, 3e-3, log=True),
            "batch_size": Choice(4, 8, 16),
            "smoothness": Real(0.1, 5.0, log=True),
        }


def in_dtype(image: np.ndarray, dtype: str) -> np.ndarray:
    """Returns pixels in the type of the training's files; whole numbers rounded and cut off."""
    import numpy as np

    if np.dtype(dtype).kind == "f":
        return image.astype(np.float32)
    return np.clip(np.rint(image), 0, np.iinfo(dtype).max).astype(dtype)
