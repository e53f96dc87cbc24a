"""Instance segmentation: which pixels belong to which object."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from applications.core.application import Application, ScheduleName, Serving
from applications.core.config import group, option
from applications.core.errors import UserError
from applications.core.pipeline import Samples
from applications.imaging.instance_targets import NUM_DRAWS, InstanceAugmentation

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from applications.core.report import Result
    from applications.datasets.instances import InstanceData
    from applications.datasets.store import ImageStore
    from applications.imaging.objects import Finder, Objects, Prediction
    from applications.imaging.volumes import VolumePrediction

SETTINGS_FILE = "objects.json"
NOT_COUNTED = 255


@dataclass(frozen=True, kw_only=True)
class InstanceSegmentation(Application):
    """Finds every object of an image with its outline, those that touch apart from each other.

    Training looks at random crops, prediction at whole images of any size, in tiles where they are large. Each image is
    normalised by itself, from its 1st to its 99.8th percentile. Data: `nuclei` (simulated fluorescence images,
    embedded), or a folder with `images/` and `masks/` whose masks hold one number per object. With a table
    `classes.csv` (image, object, class) beside them stardist learns the classes of objects, too.

    `unet3d` does the same in volumes: of stacks it learns the background, the inside and the boundary of each object.
    Planes are interpolated so that voxels are cubes, which needs their distance.

    Example:
        >>> from applications.core.training import start
        >>> from applications.instance_segmentation import InstanceSegmentation
        >>> run = start(InstanceSegmentation(data="nuclei", model="cellpose", epochs=2))
    """

    task: ClassVar[str] = "instance-segmentation"
    summary: ClassVar[str] = "every object with its outline"
    kinds: ClassVar[tuple[str, ...]] = ("instance_segmentation",)
    further_models: ClassVar[tuple[str, ...]] = ("unet", "unet_small", "unet3d")
    reserved_options: ClassVar[tuple[str, ...]] = Application.reserved_options

    data: str = option(
        "nuclei", "`nuclei` (of unet3d volumes of them), or a folder with images/ and masks/ (one number per object)."
    )
    model: str = option(
        "stardist",
        "stardist for round objects, cellpose for any shape; unet_small or unet finds boundaries, unet3d in volumes.",
    )
    model_options: dict[str, Any] = option(
        {},
        "Arguments of the builder; by default `grid=2`, of cellpose `filters=(16, 32, 64)`, of unet3d `filters=8, "
        'depth=2, padding="same"`, for a laptop.',
    )
    epochs: int = option(40, "Passes over the training data.", minimum=1)
    batch_size: int = option(4, "Crops per step, over all devices together.", minimum=1)
    learning_rate: float = option(1e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    crop_size: int | None = option(
        None, "Height and width of the training crops in pixels; none: 128, of volumes 32, as their depth.", minimum=32
    )
    crops_per_image: int | None = option(
        None, "Crops taken from each image per epoch; none: as many as cover its area.", minimum=1
    )
    anisotropy: float | None = option(
        None, "Of volumes the distance of planes over that of pixels; none: what the files say.", above=0
    )
    augment: InstanceAugmentation = group(InstanceAugmentation, "Random changes of the training crops.")

    def check(self) -> None:
        super().check()
        if self.class_weights != "none" or self.loss != "auto":
            word = "loss" if self.loss != "auto" else "class_weights"
            raise UserError(f"{word}: {self.model} learns with the loss of its paper; leave it out.")
        rays = self.num_rays
        if self.method == "stardist" and self.augment.quarter_turns and isinstance(rays, int) and rays % 4:
            raise UserError(
                f"model_options.num_rays: {rays} directions cannot be turned by 90 degrees; give a multiple of 4, or "
                "--augment.quarter-turns false."
            )
        if self.crop % 32:
            raise UserError(f"crop_size: expected a multiple of 32, received {self.crop_size}.")
        if self.anisotropy is not None and not self.volumes:
            raise UserError(f"anisotropy: {self.model} looks at images one by one; volumes have --model unet3d.")
        if self.volumes and self.options["padding"] != "same":
            raise UserError('model_options.padding: objects reach to the faces of a volume; leave it at "same".')

    @property
    def method(self) -> str:
        """How objects are described: `"stardist"`, `"cellpose"` or `"boundaries"`."""
        return self.model if self.model in ("stardist", "cellpose") else "boundaries"

    @property
    def volumes(self) -> bool:
        """Whether the network looks at volumes."""
        return self.model == "unet3d"

    @property
    def crop(self) -> int:
        """Pixels of a training crop along each of its axes."""
        return self.crop_size or (32 if self.volumes else 128)

    @property
    def options(self) -> dict[str, Any]:
        """The builder's arguments, those of a laptop where nothing was said."""
        laptop: dict[str, dict[str, Any]] = {
            "stardist": {"grid": 2},
            "cellpose": {"filters": (16, 32, 64)},
            "unet3d": {"filters": 8, "depth": 2, "padding": "same"},
        }
        return {**laptop.get(self.model, {}), **self.model_options}

    @property
    def grid(self) -> int:
        """Every how many pixels the network describes objects."""
        return self.options.get("grid", 1) if self.method == "stardist" else 1

    @property
    def num_rays(self) -> int:
        """Directions of StarDist."""
        return self.options.get("num_rays", 32)

    @property
    def multiple(self) -> int:
        """What the sizes of images must be multiples of."""
        if self.method == "cellpose":
            return 2 ** (len(self.options["filters"]) - 1)
        return self.grid * 2 ** self.options.get("depth", 3 if self.model != "unet" else 4)

    def datasets(self, progress: Callable | None = None) -> InstanceData:
        from applications.datasets.instances import load_instances, without_classes

        found = load_instances(self.data, volumes=self.volumes, anisotropy=self.anisotropy, **self.loading(progress))
        if found.object_classes and self.method != "stardist":
            return without_classes(found, f"{self.model} does not tell the classes of objects apart, stardist does.")
        return found

    def prepared(self, datasets: InstanceData) -> InstanceData:  # type: ignore[override]
        """With the factor that makes objects as large as the network takes them."""
        from applications.imaging.objects import best_scale, default_settings

        assert datasets.instances is not None
        labels = [datasets.instances[index] for index in datasets.split["train"]]
        scale = best_scale(labels) if self.method == "cellpose" else 1.0
        return dataclasses.replace(datasets, settings={**default_settings(self.method), "scale": scale})

    def chosen(self, model: keras.Model, datasets: InstanceData) -> InstanceData:  # type: ignore[override]
        """With the thresholds that are best on the validation split, for StarDist and in volumes."""
        from applications.imaging.objects import normalised
        from applications.imaging.volumes import best_inside
        from kerazoo.detection.star_convex import optimize_thresholds

        if self.volumes:
            cubes = (next(self._copies(datasets, int(index), 0)) for index in datasets.split["val"][:8])
            inside = best_inside(self._finder(model, datasets.settings), cubes)
            return dataclasses.replace(datasets, settings={**datasets.settings, "inside": inside})
        if self.method != "stardist":
            return datasets
        finder = self._finder(model, datasets.settings)
        chosen = [index for index in datasets.split["val"] if max(datasets.images.shapes[index]) <= finder.largest][:16]
        if not chosen:
            return datasets
        assert datasets.instances is not None
        predictions = [finder.maps(normalised(datasets.images[index])) for index in chosen]
        truths = [datasets.instances[index][..., 0] for index in chosen]
        best, _ = optimize_thresholds(predictions, truths, self.num_rays, grid=self.grid)
        return dataclasses.replace(
            datasets, settings={**datasets.settings, "probability": best.probability, "nms": best.nms}
        )

    def files(self, datasets: InstanceData) -> dict[str, str]:  # type: ignore[override]
        return {SETTINGS_FILE: json.dumps(dict(datasets.settings), indent=2) + "\n"}

    def recalled(self, datasets: InstanceData, known: dict[str, Any]) -> InstanceData:  # type: ignore[override]
        return dataclasses.replace(datasets, settings=_settings(known))

    def as_trained(self, datasets: InstanceData, known: dict[str, Any]) -> InstanceData:  # type: ignore[override]
        import numpy as np

        found: Any = super().as_trained(datasets, known)
        numbers = np.array([list(known["class_names"]).index(name) for name in datasets.class_names])
        return dataclasses.replace(found, object_classes=tuple(numbers[each] for each in datasets.object_classes))

    def samples(self, datasets: InstanceData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import tensorflow as tf

        from applications.core.pipeline import ImageReader
        from applications.imaging.crops import at_least, crop_places
        from applications.imaging.instance_targets import changed_pixels, moved
        from applications.imaging.volumes import volume_samples

        images, targets = self._stores(datasets, split, self.augment.rotated_copies if training else 0)
        if self.volumes:
            return volume_samples(images, targets, self.crop, self.crops_per_image, self.augment, training=training)
        size, grid = self.crop, self.grid
        # With what lies before its first pixel that is described a crop has the described ones in its middle, where
        # turns and mirrors leave them; it is cut off afterwards.
        before, window = grid - 1, size + grid - 1
        crops = self.crops_per_image if training else None
        places = tf.constant(crop_places(images, range(len(images)), window, crops))
        read, read_target = ImageReader(images), ImageReader(targets)

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            index, top, left = tf.unstack(places[index])
            image = at_least(read(index), window)
            target = at_least(read_target(index), size // grid)
            corner = tf.cast(tf.stack([top, left]), tf.int32)
            if training:
                free = tf.cast(tf.shape(image)[:2] - window + 1, tf.float32)
                corner = tf.cast(draws[NUM_DRAWS:] * free, tf.int32)
            corner = tf.minimum(corner // grid, tf.shape(target)[:2] - size // grid)  # targets lie on the grid
            image = tf.image.crop_to_bounding_box(image, corner[0] * grid, corner[1] * grid, window, window)
            target = tf.image.crop_to_bounding_box(target, corner[0], corner[1], size // grid, size // grid)
            return (image, target) if training else (image[before:, before:], target)

        def augment(images: tf.Tensor, targets: tf.Tensor, draws: tf.Tensor) -> tuple:
            images, targets = moved(images, targets, draws, self.augment, self.method, self.num_rays)
            return changed_pixels(images[:, before:, before:], draws, self.augment), targets

        if training:
            return Samples(len(places), load, augment, NUM_DRAWS + 2)
        return Samples(len(places), load)

    def _stores(self, datasets: InstanceData, split: str, copies: int = 0) -> tuple[ImageStore, ImageStore]:
        """Returns the normalised images of a split and what the network is to say about them, computed once."""
        import numpy as np

        from applications.datasets.store import ImageStore

        images, targets = [], []
        for index in datasets.split[split]:
            for image, labels in self._copies(datasets, int(index), copies):
                # Continued to a whole crop here: what reflection makes of flows and distances points the wrong way.
                image, labels = (_at_least(part, self.crop, labels.ndim) for part in (image, labels))
                before = (self.grid - 1, 0)
                images.append(np.pad(image, [*[before] * labels.ndim, (0, 0)], mode="symmetric"))
                targets.append(self._target(datasets, int(index), labels))
        return ImageStore.from_arrays(images), ImageStore.from_arrays(targets)

    def _copies(self, datasets: InstanceData, index: int, copies: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields an image, normalised and at the network's scale, with its labels, and copies turned by any angle."""
        import numpy as np

        from applications.datasets.instances import rescaled
        from applications.imaging.instance_targets import rotated
        from applications.imaging.objects import normalised

        assert datasets.instances is not None
        factors = [datasets.settings["scale"] * by for by in datasets.stretch(index)]
        image = normalised(rescaled(datasets.images[index], factors))
        labels = rescaled(datasets.instances[index], factors, nearest_pixel=True)[..., 0]
        yield image, labels
        for degrees in np.random.default_rng((self.seed, index)).uniform(0, 360, copies):
            yield rotated(image, labels, float(degrees))

    def _target(self, datasets: InstanceData, index: int, labels: np.ndarray) -> np.ndarray:
        """Returns what the network is to say about an image with these labels."""
        import numpy as np

        from kerazoo.detection import boundaries, flows, star_convex

        if self.method == "cellpose":
            return flows.flow_targets(labels)
        if self.method == "boundaries":
            classes = np.where(labels < 0, NOT_COUNTED, boundaries.boundary_classes(labels))
            return classes[..., None].astype(np.float32)
        kinds = None
        if datasets.object_classes:
            kinds = np.append(0, datasets.object_classes[index])[np.maximum(labels, 0)]
        return star_convex.star_targets(labels, self.num_rays, grid=self.grid, classes=kinds)

    def build(self, datasets: InstanceData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        app = dataclasses.replace(self, model_options=self.options)
        sizes = (None,) * (3 if self.volumes else 2)
        maps = 3 if self.method == "boundaries" else datasets.num_object_classes
        return app.create((*sizes, datasets.channels), maps, dtype=dtype)

    def compile(self, model: keras.Model, optimizer: Any, **execution: Any) -> None:
        import kerazoo

        losses: dict[str, Callable[[], keras.Loss]] = {
            "stardist": lambda: kerazoo.losses.StarDist(self.num_rays),
            "cellpose": kerazoo.losses.Cellpose,
            "boundaries": lambda: kerazoo.losses.PixelCrossentropy(ignore_class=NOT_COUNTED),
        }
        model.compile(optimizer, losses[self.method](), **execution)

    def _finder(self, model: keras.Model, settings: Mapping[str, float]) -> Finder:
        from applications.imaging import objects, volumes

        largest = volumes.LARGEST if self.volumes else objects.LARGEST
        return objects.Finder(
            model,
            self.method,
            settings,
            multiple=self.multiple,
            num_rays=self.num_rays,
            grid=self.grid,
            largest=largest,
        )

    def _found(self, model: keras.Model, datasets: InstanceData) -> tuple[list[np.ndarray], list[Objects]]:
        """Returns the true label images of the test split and what is found."""
        find, test = self._finder(model, datasets.settings), datasets.split["test"]
        assert datasets.instances is not None
        founds = [find(datasets.images[index], datasets.stretch(index)) for index in test]
        return [datasets.instances[index][..., 0] for index in test], founds

    def _metrics(self, datasets: InstanceData, truths: list[np.ndarray], found: list[Objects]) -> dict[str, float]:
        from applications.imaging import object_classes
        from applications.imaging.instance_report import instance_metrics

        metrics = instance_metrics(truths, [objects.labels for objects in found])
        if datasets.object_classes:
            metrics |= object_classes.class_metrics(datasets, truths, found)
        return metrics

    def report(self, model: keras.Model, datasets: InstanceData) -> Result:  # type: ignore[override]
        from applications.core.report import Figure, Result, Table
        from applications.imaging import instance_report as parts

        test = datasets.split["test"]
        truths, found = self._found(model, datasets)
        founds = [objects.labels for objects in found]
        names = [datasets.ids[index] for index in test]
        images = [datasets.images[index] for index in test]
        per_image, order = parts.image_table(names, truths, founds)

        def panels(chosen: list[int]) -> Any:
            return parts.matched_panels(*([column[i] for i in chosen] for column in (names, images, truths, founds)))

        figures = [Figure("matched", "Test images with matched outlines", panels(list(range(len(test)))[:4]))]
        if len(test) > 4:
            figures.append(Figure("worst", "The images with the lowest average precision", panels(order[:4])))
        tables = [parts.precision_table(truths, founds), per_image]
        if datasets.object_classes:
            from applications.imaging.object_classes import class_table

            tables.append(class_table(datasets, truths, found))
        settings = Table(
            "Settings, chosen on training and validation images", ("setting", "value"), list(datasets.settings.items())
        )
        return Result(
            metrics=self._metrics(datasets, truths, found),
            headline="ap_50",
            tables=[*tables, settings],
            figures=figures,
        )

    def baseline(self, datasets: InstanceData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """A threshold, and a watershed of the distances to the background; the most frequent class for all."""
        import numpy as np

        from applications.imaging.objects import Objects
        from applications.imaging.thresholds import foreground_is_bright
        from applications.imaging.watershed import threshold_and_watershed

        assert datasets.instances is not None
        test, train = datasets.split["test"], datasets.split["train"]
        bright = foreground_is_bright(datasets.images, datasets.instances, train)
        truths = [datasets.instances[index][..., 0] for index in test]
        labels = [threshold_and_watershed(datasets.images[index], bright, datasets.stretch(index)) for index in test]
        usual = 0
        if datasets.object_classes:
            usual = np.bincount(np.concatenate([datasets.object_classes[i] for i in datasets.split["train"]])).argmax()
        counts = [int(each.max(initial=0)) for each in labels]
        found = [
            Objects(each, np.ones(count), np.full(count, usual)) for each, count in zip(labels, counts, strict=True)
        ]
        return "threshold and watershed", self._metrics(datasets, truths, found)

    def scores(self, model: keras.Model, datasets: InstanceData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        return "ap_50", self._metrics(datasets, *self._found(model, datasets))

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        from applications.core.inference import find_images

        return find_images(inputs, zarr=True)

    def predict(
        self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]
    ) -> list[Prediction] | list[VolumePrediction]:
        """Of a stack every plane by itself, or the volume."""
        from applications.core.inference import adapted, each_usable
        from applications.imaging.objects import Prediction, read_planes

        if self.volumes:
            return self._predict_volumes(model, inputs, about)
        find, predictions = self._finder(model, _settings(about)), []
        for path, (planes, times, spacing) in each_usable(inputs, read_planes, self.on_bad_file):
            images = [adapted(plane, about["channels"], about["value_range"], str(path)) for plane in planes]
            found = [find(image) for image in images]
            predictions.append(Prediction(path, images, found, times, spacing, tuple(about["class_names"])))
        return predictions

    def _predict_volumes(self, model: keras.Model, inputs: Iterable[Path], about: dict) -> list[VolumePrediction]:
        from applications.core.inference import adapted, each_usable
        from applications.datasets.volumes import read_volume
        from applications.imaging.volumes import VolumePrediction

        find, predictions = self._finder(model, _settings(about)), []

        def read(path: Path) -> Any:
            return read_volume(path, self.anisotropy)

        for path, volume in each_usable(inputs, read, self.on_bad_file):
            pixels = adapted(volume.pixels, about["channels"], about["value_range"], str(path))
            found = find(pixels, (volume.anisotropy, 1.0, 1.0))
            predictions.append(VolumePrediction(path, volume._replace(pixels=pixels), found))
        return predictions

    def write(self, predictions: Any, folder: Path) -> list[Path]:
        """Writes for each file `NAME_labels.tif` (`.zarr` for zarr), `NAME_objects.csv` and `NAME_overlay.png`."""
        from applications.core.inference import unique_stems
        from applications.imaging.objects import write_objects
        from applications.imaging.volumes import write_volume

        write = write_volume if self.volumes else write_objects
        stems = unique_stems(prediction.file for prediction in predictions)
        return [
            file
            for stem, prediction in zip(stems, predictions, strict=True)
            for file in write(stem, prediction, folder)
        ]

    def serving(self, datasets: InstanceData) -> Serving:  # type: ignore[override]
        images, _ = self._stores(dataclasses.replace(datasets, split={"train": datasets.split["train"][:32]}), "train")
        import numpy as np

        settings = ", ".join(f"{name} {value:g}" for name, value in datasets.settings.items())
        maps = {
            "stardist": "object probability and distances to the outline along rays, in pixels"
            + (f", then probabilities of {', '.join(datasets.class_names)}" if datasets.object_classes else ""),
            "cellpose": "5 times the flow down and right, and the logit of lying in an object",
            "boundaries": "probabilities of background, inside and boundary",
        }[self.method]
        sizes, crop = "depth, height, width" if self.volumes else "height, width", slice(self.crop)
        rank = 3 if self.volumes else 2
        return Serving(
            samples=np.stack([image[(crop,) * rank] for image in images]).astype(np.float32),
            labels=(),
            signature={
                "input": f"images, float32, (batch, {sizes}, {datasets.channels}), each with its 1st percentile "
                "at 0 and its 99.8th at 1",
                "output": f"{maps}, float32; kerazoo.detection makes objects of it, with {settings}",
            },
            files=self.files(datasets),
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice

        own = {
            "stardist": {"model_options.grid": Choice(1, 2, 4), "model_options.num_rays": Choice(16, 32, 64)},
            "cellpose": {"model_options.use_style": Choice(True, False)},
            "boundaries": {"model_options.filters": Choice(8, 16, 32)},
        }[self.method]
        return {
            **super().search_space(),
            "batch_size": Choice(2, 4, 8),
            "augment.noise": Choice(0.0, 0.02, 0.05),
            **own,
        }


def _settings(known: dict[str, Any]) -> dict[str, float]:
    """Returns what a run has chosen."""
    return json.loads((Path(known["folder"]) / SETTINGS_FILE).read_text(encoding="utf-8"))


def _at_least(image: np.ndarray, size: int, rank: int) -> np.ndarray:
    """Continues an image or a label image by reflection, along its first axes."""
    import numpy as np

    missing = [(0, max(0, size - length)) for length in image.shape[:rank]]
    return np.pad(image, [*missing, *[(0, 0)] * (image.ndim - rank)], mode="symmetric")
