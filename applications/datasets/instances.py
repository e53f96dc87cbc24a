"""Images with an object number for each pixel: simulated nuclei, and the user's own images and label images."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.data import FRACTIONS, INSTANCE_NAMES, Datasets, Progress
from applications.datasets.label_images import CheckedLabels, read_labels
from applications.datasets.loading import BadFiles, choose_channels, in_threads, load_images, relative_name
from applications.datasets.readers import BadFileError
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

CLASS_NAMES = ("background", "object")


@dataclass(frozen=True, eq=False)
class InstanceData(Datasets):
    """Images with `instances`, and what a training finds out about the objects in them.

    Attributes:
        settings: How images are scaled and predictions thresholded, see `applications.imaging.objects`.
        anisotropy: Of each volume the distance of planes over that of pixels; empty for images.
        object_classes: For each image `(n,)` the classes of its objects 1 to n, numbers in `class_names`; empty where
            objects have no classes.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    anisotropy: tuple[float, ...] = ()
    object_classes: tuple[np.ndarray, ...] = ()

    def __post_init__(self):
        if not self.fingerprint:
            super().__post_init__()
            if self.object_classes:
                classes = [classes.tolist() for classes in self.object_classes]
                mixed = hashlib.sha256(repr((self.fingerprint, classes)).encode()).hexdigest()[:16]
                object.__setattr__(self, "fingerprint", mixed)

    @property
    def num_object_classes(self) -> int | None:
        """How many classes objects have, None where they have none."""
        return len(self.class_names) - 1 if self.object_classes else None

    def stretch(self, index: int) -> tuple[float, ...]:
        """Returns what the sizes of an image or volume are multiplied by so that its voxels are cubes."""
        return (self.anisotropy[index], 1.0, 1.0) if self.anisotropy else (1.0, 1.0)


def load_instances(
    data: str,
    *,
    volumes: bool = False,
    anisotropy: float | None = None,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    cache_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> InstanceData:
    """Loads images with a label image each; sizes may differ from image to image.

    Args:
        data: `nuclei` (embedded simulator), or a folder with `images/` and `masks/` in the layouts of
            `load_segmentation`; masks hold one number per object, see `applications.datasets.label_images`. A table
            `classes.csv` beside them says the class of each object, see `applications.datasets.object_classes`.
        volumes: Take TIFF stacks as volumes, and `nuclei` as `nuclei3d`, simulated volumes.
        anisotropy: Distance of planes over that of pixels of all volumes; None reads it from the files.
        channels, fractions, seed, on_bad_file, data_dir, cache_dir, progress: as in `load_classification`.
        options: options of an embedded data set; for `nuclei` see `applications.datasets.embedded.nuclei`.

    Returns:
        The data set with `instances`, numbered from 1 without gaps, -1 where pixels do not count.

    Raises:
        UserError: one sentence for the user.
    """
    from applications.datasets.splits import check_fractions

    check_fractions(fractions)
    common: dict[str, Any] = {"fractions": fractions, "seed": seed, "channels": channels, "progress": progress}
    if data in INSTANCE_NAMES:
        from applications.datasets.sources import nuclei
        from applications.datasets.volumes import simulated_volumes

        if volumes:
            return simulated_volumes(data_dir=data_dir, options=options, **common)
        if data == "nuclei3d":
            raise UserError("'nuclei3d' are volumes, for which there is --model unet3d; of images there are 'nuclei'.")
        found = nuclei(data_dir=data_dir, options=options, **common)
        values = {item.name: getattr(found, item.name) for item in dataclasses.fields(found)}
        assert found.instances is not None
        values["instances"] = ImageStore.from_arrays([labels.astype("int32") for labels in found.instances])
        return InstanceData(**{**values, "masks": None, "class_names": CLASS_NAMES, "fingerprint": ""})
    path = Path(data).expanduser()
    if not path.is_dir():
        raise UserError(
            f"Unknown data {data!r}: neither embedded ({', '.join(INSTANCE_NAMES)}) nor a folder that exists, with the "
            f"folders 'images' and 'masks' inside.{nearest(data, INSTANCE_NAMES)}"
        )
    if options:
        raise UserError(f"data_options belong to {', '.join(INSTANCE_NAMES)}, received {', '.join(options)} too.")
    if volumes:
        from applications.datasets.volumes import volume_folder

        return _with_objects(volume_folder(path, anisotropy, bad=BadFiles(on_bad_file, path), **common), path)
    return _folder(path, channels, fractions, seed, BadFiles(on_bad_file, path), cache_dir, progress)


def _folder(root: Path, channels, fractions, seed, bad: BadFiles, cache_dir, progress) -> InstanceData:
    from applications.datasets.groups import read_group_file
    from applications.datasets.masks import check_headers, find_pairs, split_pairs
    from applications.datasets.object_classes import object_classes
    from applications.datasets.pixels import value_range
    from applications.datasets.readers import plain

    pairs, warnings = find_pairs(root, bad)
    pairs, headers, _ = check_headers(pairs, bad, progress)
    names = [relative_name(pair.image, root) for pair in pairs]
    images, kept = load_images(
        [pair.image for pair in pairs],
        headers,
        channels=choose_channels(headers, names, channels),
        size=None,
        bad=bad,
        cache_dir=cache_dir,
        progress=progress,
    )
    labels, ids, remarks, good = _load_labels(
        [pairs[index].mask for index in kept], headers, kept, bad, cache_dir, progress
    )
    if not good:
        raise UserError(f"Folder {str(root)!r} has no image with a label image that can be used.")
    kept, ids = [kept[index] for index in good], [ids[index] for index in good]
    class_names, classes = object_classes(root, [names[index] for index in kept], ids) or (CLASS_NAMES, ())
    groups = read_group_file(root, [names[index] for index in kept])
    split, cut = split_pairs([pairs[index] for index in kept], fractions, seed, groups)
    images, instances = images.select(good), labels.select(good)
    found = InstanceData(
        name=plain(root.resolve().name),
        description=f"The user's own images and label images from {str(root)!r}.",
        images=images,
        split=split,
        class_names=class_names,
        ids=tuple(names[index] for index in kept),
        instances=instances,
        object_classes=classes,
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*warnings, *cut, *remarks),
    )
    return _with_objects(found, root)


def without_classes(found: InstanceData, why: str) -> InstanceData:
    """Returns data whose objects have no classes, with a warning."""
    return dataclasses.replace(
        found, object_classes=(), class_names=CLASS_NAMES, warnings=(*found.warnings, f"classes.csv is not used: {why}")
    )


def _with_objects(found: InstanceData, root: Path) -> InstanceData:
    """Returns the data; raises where no training image has an object."""
    train, instances = found.split["train"], found.instances
    assert instances is not None
    if len(train) and not any(int(instances[index].max()) > 0 for index in train):
        raise UserError(
            f"None of the {len(train)} training images of {str(root)!r} has an object in its label image; label at "
            "least a few."
        )
    return found


def _load_labels(
    paths: Sequence[Path], headers: Sequence[Any], kept: Sequence[int], bad: BadFiles, cache_dir, progress
) -> tuple[ImageStore, list[tuple[int, ...]], list[str], list[int]]:
    """Returns label images, their objects' own numbers, sentences about changes, and the positions of the good ones."""
    shapes = [(headers[index].height, headers[index].width, 1) for index in kept]
    store = ImageStore.allocate(shapes, "int32", cache_dir=cache_dir)
    ids: list[tuple[int, ...]] = [()] * len(paths)

    def load(index: int) -> tuple[str, ...]:
        checked: CheckedLabels = read_labels(paths[index])
        if checked.labels.shape != shapes[index][:2]:
            raise BadFileError(
                paths[index], f"it has the shape {checked.labels.shape}, its image has {shapes[index][:2]}"
            )
        store[index][..., 0], ids[index] = checked.labels, checked.ids
        return checked.remarks

    found = in_threads(load, len(paths), bad, progress, "reading label images")
    good = [index for index, remarks in enumerate(found) if remarks is not None]
    return store, ids, remarked(found, paths), good


def remarked(found: Sequence[Sequence[str] | None], paths: Sequence[Path]) -> list[str]:
    """Returns a sentence about each thing that was changed in label images; None stands for one that was left out."""
    good = [index for index, remarks in enumerate(found) if remarks is not None]
    counts = Counter(remark for index in good for remark in found[index] or ())
    examples = {remark: paths[index].name for index in reversed(good) for remark in found[index] or ()}
    return [_remark(text, count, examples[text]) for text, count in counts.items()]


def _remark(text: str, count: int, example: str) -> str:
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"Label image {example!r}{more}: {text}."


def rescaled(image: np.ndarray, factor: float | Sequence[float], *, nearest_pixel: bool = False) -> np.ndarray:
    """Returns an image (height, width, channels), or a volume, at another size, smoothed before it becomes smaller.

    Args:
        image: Array of any dtype, channels last.
        factor: New size over old size, one number or one per axis.
        nearest_pixel: For label images, whose numbers must not be mixed.
    """
    import numpy as np
    from scipy import ndimage

    factors = np.broadcast_to(factor, image.ndim - 1)
    sizes = [max(1, round(length * float(by))) for length, by in zip(image.shape, factors, strict=False)]
    if sizes == list(image.shape[:-1]):
        return image
    zoom = [*(new / old for new, old in zip(sizes, image.shape, strict=False)), 1]
    if nearest_pixel:
        return ndimage.zoom(image, zoom, order=0, grid_mode=True, mode="nearest")
    image = np.asarray(image, np.float32)
    if min(factors) < 1:
        image = ndimage.gaussian_filter(image, [*(max(0.0, 0.5 * (1 / by - 1)) for by in factors), 0])
    return ndimage.zoom(image, zoom, order=1, grid_mode=True, mode="nearest")
