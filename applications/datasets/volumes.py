"""Volumes with an object number for each voxel: simulated nuclei, and the user's own stacks and label stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from applications.core.errors import UserError
from applications.datasets.data import Progress
from applications.datasets.instances import CLASS_NAMES, InstanceData
from applications.datasets.loading import BadFiles, in_threads, relative_name
from applications.datasets.object_classes import CLASS_TABLE
from applications.datasets.readers import BadFileError, guarded, plain
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np


class Volume(NamedTuple):
    """A file with a volume.

    Attributes:
        pixels: (depth, height, width, channels).
        anisotropy: Distance of its planes over that of its pixels.
        spacing: Distances along depth, height and width in micrometres, 0 where they are not known.
    """

    pixels: np.ndarray
    anisotropy: float
    spacing: tuple[float, float, float]


def read_volume(path: Path, anisotropy: float | None = None) -> Volume:
    """Reads a volume; of a file of pages without a meaning each is a plane.

    Args:
        path: TIFF stack or zarr folder.
        anisotropy: Distance of planes over that of pixels, where it is not to be that of the file.

    Raises:
        UserError: The file holds no volume, or does not say how far its planes are apart.
    """
    import numpy as np

    from applications.datasets.stacks import read_stack

    pixels, axes, spacing = read_stack(path)
    if pixels.shape[1] == 1 and not set("TZ") & set(axes):
        pixels = np.swapaxes(pixels, 0, 1)
    if pixels.shape[0] > 1:
        raise BadFileError(path, f"it has {pixels.shape[0]} points in time; save the volume of each as its own file")
    if pixels.shape[1] < 2:
        raise BadFileError(path, "it has a single plane, but a volume needs several")
    depth, height, width = spacing
    if anisotropy is None:
        if not depth or not width:
            raise BadFileError(
                path,
                "it does not say how far its planes and its pixels are apart, without which nobody knows the shape of "
                "an object; save it with the size of its voxels, or train with --anisotropy, the distance of planes "
                "over that of pixels (1 for cubes)",
            )
        if abs(height - width) > 0.01 * width:
            raise BadFileError(
                path, f"its pixels are {height:g} x {width:g} micrometres; scale it to square ones first"
            )
        anisotropy = depth / width
    return Volume(np.asarray(pixels[0]), float(anisotropy), spacing)


def simulated_volumes(*, data_dir, options: Mapping | None, progress, fractions, seed, channels) -> InstanceData:
    """Simulated nuclei, see `simulators.volumes.VolumeParameters`."""
    import numpy as np

    from applications.datasets.embedded.nuclei3d import Nuclei3d
    from applications.datasets.embedded.prepare import prepare
    from applications.datasets.pixels import to_channels, value_range
    from applications.datasets.sources import read_examples
    from applications.datasets.splits import split_indices

    builder = prepare(Nuclei3d, data_dir, Nuclei3d.config(options), progress)
    parameters: Any = builder.builder_config.parameters
    examples = list(read_examples(builder, "train"))
    images = ImageStore.from_arrays([to_channels(example["image"], channels or 1) for example in examples])
    return InstanceData(
        name="nuclei3d",
        description=Nuclei3d.description,
        images=images,
        split=split_indices(len(images), fractions=fractions, seed=seed),
        class_names=CLASS_NAMES,
        ids=tuple(map(str, range(len(images)))),
        instances=ImageStore.from_arrays([example["instances"].astype(np.int32) for example in examples]),
        value_range=value_range(images.dtype),
        anisotropy=(parameters.plane_distance,) * len(images),
    )


def volume_folder(
    root: Path, anisotropy: float | None, *, fractions, seed, channels, bad: BadFiles, progress: Progress | None
) -> InstanceData:
    """Reads the user's stacks in `images/` and label stacks of the same names in `masks/`."""
    from applications.datasets.groups import read_group_file
    from applications.datasets.instances import remarked
    from applications.datasets.masks import find_pairs, split_pairs
    from applications.datasets.pixels import value_range

    pairs, warnings = find_pairs(root, bad)
    unused = [f"{CLASS_TABLE} is not used: the objects of volumes have no classes."] * (root / CLASS_TABLE).is_file()
    volumes: list[Any] = [None] * len(pairs)

    def load(index: int) -> tuple[str, ...]:
        volume = read_volume(pairs[index].image, anisotropy)
        labels, remarks = _labels(pairs[index].mask, volume.pixels.shape[:3])
        volumes[index] = _with_channels(volume, channels, pairs[index].image), labels
        return remarks

    found = in_threads(load, len(pairs), bad, progress, "reading volumes")
    good = [index for index, remarks in enumerate(found) if remarks is not None]
    if not good:
        raise UserError(f"Folder {str(root)!r} has no volume with a label stack that can be used.")
    names = [relative_name(pairs[index].image, root) for index in good]
    groups = read_group_file(root, names)
    split, cut = split_pairs([pairs[index] for index in good], fractions, seed, groups)
    images = ImageStore.from_arrays(_of_one_kind([volumes[index][0].pixels for index in good], root))
    return InstanceData(
        name=plain(root.resolve().name),
        description=f"The user's own volumes and label stacks from {str(root)!r}.",
        images=images,
        split=split,
        class_names=CLASS_NAMES,
        ids=tuple(names),
        instances=ImageStore.from_arrays([volumes[index][1][..., None] for index in good]),
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*warnings, *unused, *cut, *remarked(found, [pair.mask for pair in pairs])),
        anisotropy=tuple(volumes[index][0].anisotropy for index in good),
    )


def _labels(path: Path, size: Sequence[int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns a label stack of the size of its volume, and what was changed in it."""
    import tifffile

    from applications.datasets.label_images import check_labels

    labels = guarded(path, tifffile.imread)
    if labels.shape != tuple(size):
        raise BadFileError(path, f"it has the shape {labels.shape}, its volume has {tuple(size)}")
    checked = check_labels(labels, path)
    return checked.labels, checked.remarks


def _with_channels(volume: Volume, channels: int | None, path: Path) -> Volume:
    from applications.datasets.pixels import to_channels

    try:
        return volume._replace(pixels=to_channels(volume.pixels, channels or volume.pixels.shape[-1]))
    except ValueError as error:
        raise BadFileError(path, f"it {error}") from None


def _of_one_kind(volumes: list[np.ndarray], root: Path) -> list[np.ndarray]:
    """Returns volumes of one dtype; refuses those of different channels."""
    import numpy as np

    if len({volume.shape[-1] for volume in volumes}) > 1:
        counts = sorted({volume.shape[-1] for volume in volumes})
        raise UserError(f"The volumes of {str(root)!r} have {counts} channels; give all of them the same.")
    same = len({volume.dtype for volume in volumes}) == 1
    return volumes if same else [volume.astype(np.float32) for volume in volumes]
