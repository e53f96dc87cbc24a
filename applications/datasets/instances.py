"""Images with an object number for each pixel: simulated nuclei, and the user's own images and label images."""

from __future__ import annotations

import dataclasses
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
    """

    settings: Mapping[str, float] = field(default_factory=dict)


def load_instances(
    data: str,
    *,
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
            `load_segmentation`; masks hold one number per object, see `applications.datasets.label_images`.
        channels, fractions, seed, on_bad_file, data_dir, cache_dir, progress: as in `load_classification`.
        options: options of an embedded data set; for `nuclei` see `applications.datasets.embedded.nuclei`.

    Returns:
        The data set with `instances`, numbered from 1 without gaps, -1 where pixels do not count.

    Raises:
        UserError: one sentence for the user.
    """
    from applications.datasets.splits import check_fractions

    check_fractions(fractions)
    if data in INSTANCE_NAMES:
        from applications.datasets.sources import nuclei

        found = nuclei(
            data_dir=data_dir, options=options, progress=progress, fractions=fractions, seed=seed, channels=channels
        )
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
    return _folder(path, channels, fractions, seed, BadFiles(on_bad_file, path), cache_dir, progress)


def _folder(root: Path, channels, fractions, seed, bad: BadFiles, cache_dir, progress) -> InstanceData:
    from applications.datasets.groups import read_group_file
    from applications.datasets.masks import check_headers, find_pairs, split_pairs
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
    labels, remarks, good = _load_labels([pairs[index].mask for index in kept], headers, kept, bad, cache_dir, progress)
    if not good:
        raise UserError(f"Folder {str(root)!r} has no image with a label image that can be used.")
    kept = [kept[index] for index in good]
    groups = read_group_file(root, [names[index] for index in kept])
    split, cut = split_pairs([pairs[index] for index in kept], fractions, seed, groups)
    images, instances = images.select(good), labels.select(good)
    found = InstanceData(
        name=plain(root.resolve().name),
        description=f"The user's own images and label images from {str(root)!r}.",
        images=images,
        split=split,
        class_names=CLASS_NAMES,
        ids=tuple(names[index] for index in kept),
        instances=instances,
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*warnings, *cut, *remarks),
    )
    if len(split["train"]) and not any(int(instances[index].max()) > 0 for index in split["train"]):
        raise UserError(
            f"None of the {len(split['train'])} training images of {str(root)!r} has an object in its label image; "
            "label at least a few."
        )
    return found


def _load_labels(
    paths: Sequence[Path], headers: Sequence[Any], kept: Sequence[int], bad: BadFiles, cache_dir, progress
) -> tuple[ImageStore, list[str], list[int]]:
    """Returns the label images, sentences about what was changed in them, and the positions of the good ones."""
    shapes = [(headers[index].height, headers[index].width, 1) for index in kept]
    store = ImageStore.allocate(shapes, "int32", cache_dir=cache_dir)

    def load(index: int) -> tuple[str, ...]:
        checked: CheckedLabels = read_labels(paths[index])
        if checked.labels.shape != shapes[index][:2]:
            raise BadFileError(
                paths[index], f"it has the shape {checked.labels.shape}, its image has {shapes[index][:2]}"
            )
        store[index][..., 0] = checked.labels
        return checked.remarks

    found = in_threads(load, len(paths), bad, progress, "reading label images")
    good = [index for index, remarks in enumerate(found) if remarks is not None]
    counts = Counter(remark for index in good for remark in found[index])
    examples = {remark: paths[index].name for index in reversed(good) for remark in found[index]}
    return store, [_remark(text, count, examples[text]) for text, count in counts.items()], good


def _remark(text: str, count: int, example: str) -> str:
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"Label image {example!r}{more}: {text}."


def rescaled(image: np.ndarray, factor: float, *, nearest_pixel: bool = False) -> np.ndarray:
    """Returns an image (height, width, channels) at another size, smoothed before it becomes smaller.

    Args:
        image: Array of any dtype.
        factor: New size over old size.
        nearest_pixel: For label images, whose numbers must not be mixed.
    """
    import numpy as np
    from scipy import ndimage

    height, width = (max(1, round(length * factor)) for length in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    zoom = (height / image.shape[0], width / image.shape[1], 1)
    if nearest_pixel:
        return ndimage.zoom(image, zoom, order=0, grid_mode=True, mode="nearest")
    image = np.asarray(image, np.float32)
    if factor < 1:
        image = ndimage.gaussian_filter(image, (0.5 * (1 / factor - 1), 0.5 * (1 / factor - 1), 0))
    return ndimage.zoom(image, zoom, order=1, grid_mode=True, mode="nearest")
