"""What every task gets: images, labels or masks, names, and the split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest

if TYPE_CHECKING:
    import numpy as np

    from applications.datasets.store import ImageStore

Progress = Callable[[int, int, str], None]

CLASSIFICATION_NAMES = ("digits",)
SEGMENTATION_NAMES = ("nuclei", "walls")
INSTANCE_NAMES = ("nuclei", "nuclei3d")
TABLE_NAMES = ("breast_cancer", "wine", "diabetes", "xor")
IMAGE_REGRESSION_NAMES = ("beads",)
SERIES_NAMES = ("co2", "sunspots")
ACTIVITY_NAMES = ("imu",)
GRAPH_NAMES = ("karate",)
TEXT_NAMES = ("pydoc",)
PAIR_NAMES = ("dates",)
CAPTION_NAMES = ("shapes",)
TRANSLATION_NAMES = ("nuclei", "noisy_nuclei")
PHOTOGRAPH_NAMES = ("photographs",)
BOX_NAMES = ("scenes",)
REGISTRATION_NAMES = ("ellipses",)
FILM_NAMES = ("particles", "cells")
NOISY_NAMES = ("noisy_camera", "noisy_photographs")
POINT_NAMES = ("lattices", "nanoparticles")
EMBEDDED_NAMES = (
    *(CLASSIFICATION_NAMES + SEGMENTATION_NAMES + TABLE_NAMES + IMAGE_REGRESSION_NAMES),
    *(SERIES_NAMES + ACTIVITY_NAMES + GRAPH_NAMES + TEXT_NAMES + PAIR_NAMES + CAPTION_NAMES),
    *(TRANSLATION_NAMES + PHOTOGRAPH_NAMES + BOX_NAMES + POINT_NAMES + NOISY_NAMES),
    *(REGISTRATION_NAMES + FILM_NAMES + INSTANCE_NAMES),
)
FRACTIONS = (0.7, 0.15, 0.15)


@dataclass(frozen=True, eq=False)
class Datasets:
    """A data set in memory (or memory-mapped), checked and split; pixels keep the range they have in the
    files.

    Attributes:
        name: short name, for titles and folders.
        description: one sentence: real or simulated, and from where.
        images: the N images.
        split: "train", "val", "test" -> int64 index arrays, disjoint and complete.
        class_names: one per class; for masks the first is the background; none for regression.
        ids: one per image, a relative file name or an index.
        labels: `(N,)` int64 class indices, or None for segmentation and regression.
        masks: N images of `(H, W, 1)` class indices, or None for classification.
        instances: N images of `(H, W, 1)` object numbers (0 background) where they are known, or None.
        targets: `(N, K)` float64 values that belong to each image, or None.
        target_names: names of these K values.
        groups: `(N,)` group of each image (images of one group never lie in two splits), or None.
        value_range: lowest and highest value that a pixel can have.
        skipped: (file, reason) of each file that could not be used.
        warnings: sentences for the user and the report.
        fingerprint: changes when names, shapes, labels, masks or pixels change (not with the split).
    """

    name: str
    description: str
    images: ImageStore
    split: dict[str, np.ndarray]
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    labels: np.ndarray | None = None
    masks: ImageStore | None = None
    instances: ImageStore | None = None
    targets: np.ndarray | None = None
    target_names: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    value_range: tuple[float, float] = (0.0, 255.0)
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    fingerprint: str = field(default="")

    def __post_init__(self):
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint(self))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def channels(self) -> int:
        return self.images.channels

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": list(self.class_names),
            "target_names": list(self.target_names),
            "channels": self.channels,
            "value_range": list(self.value_range),
            "image_shape": [int(n) for n in self.images.max_shape] if self.images.uniform else None,
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [list(entry) for entry in self.skipped],
        }


def load_classification(
    data: str,
    *,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    cache_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> Datasets:
    """Loads images with one class each.

    Args:
        data: `digits` (embedded), `tfds:NAME[/CONFIG]`, or a folder: one folder per class, or `train/`,
            `val/`, `test/` (also `validation`, `valid`) with one folder per class in each.
        image_size: height and width in pixels (one number for a square) that all images are resized to,
            antialiased, without keeping the aspect ratio. None keeps the size all images share; images of
            mixed sizes go to their median size, at most 224.
        channels: 1 or 3; None takes 1 where all images are grey and 3 where they are grey and colour. Stacks
            with another number of channels keep it.
        fractions: shares of training, validation and test, where the data come without a split.
        seed: fixes the split.
        on_bad_file: "error" names the first file that cannot be read, "skip" leaves such files out and lists
            them.
        data_dir: where TFDS keeps prepared data, default `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
        cache_dir: where images that do not fit into memory are kept, default `~/.cache/kerazoo`.
        options: options of an embedded data set; `digits` has none.
        progress: called with (files done, files in all, what is being done).

    Returns:
        The data set with `labels`.

    Raises:
        UserError: one sentence for the user.

    Example:
        >>> data = load_classification("digits")
        >>> len(data), data.num_classes, data.value_range
        (1797, 10, (0.0, 16.0))
    """
    from applications.datasets.splits import check_fractions

    check_fractions(fractions)
    _check_on_bad_file(on_bad_file)
    common = {"fractions": fractions, "seed": seed, "channels": channels, "image_size": image_size}
    name = source(data, CLASSIFICATION_NAMES, SEGMENTATION_NAMES, "image classification")
    if name == "digits":
        from applications.datasets.sources import digits

        return digits(data_dir=data_dir, options=options, **common)
    if name == "tfds":
        from applications.datasets.tfds_source import tfds_classification

        return tfds_classification(data.removeprefix("tfds:"), data_dir=data_dir, cache_dir=cache_dir, **common)
    from applications.datasets.folders import classification_folder

    return classification_folder(
        Path(data).expanduser(), on_bad_file=on_bad_file, cache_dir=cache_dir, progress=progress, **common
    )


def load_segmentation(
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
) -> Datasets:
    """Loads images with a mask each; sizes may differ from image to image.

    Args:
        data: `nuclei` or `walls` (embedded simulators), `tfds:NAME[/CONFIG]`, or a folder with `images/` and `masks/`
            (also `image`, `img`, `imgs`; `mask`, `labels`, `label`, `annotations`), alone or inside `train/`,
            `val/`, `test/`, or with these inside. Masks belong to the image of the same name, whatever the
            suffix; they may end in `_mask`, `_label` or `_seg`. Values are 0/1, 0/255 or class numbers from
            0; a file `classes.txt` names the classes, one per line (the line number from 0 is the value, or
            each line is `VALUE NAME`).
        channels, fractions, seed, on_bad_file, data_dir, cache_dir, progress: as in `load_classification`.
        options: options of an embedded data set; `images`, `seed` and the simulator's parameters.

    Returns:
        The data set with `masks`, whose values are class indices.

    Raises:
        UserError: one sentence for the user.
    """
    from applications.datasets.splits import check_fractions

    check_fractions(fractions)
    _check_on_bad_file(on_bad_file)
    common = {"fractions": fractions, "seed": seed, "channels": channels}
    name = source(data, SEGMENTATION_NAMES, CLASSIFICATION_NAMES, "semantic segmentation")
    if name == "nuclei":
        from applications.datasets.sources import nuclei

        return nuclei(data_dir=data_dir, options=options, progress=progress, **common)
    if name == "walls":
        from applications.datasets.sources import walls

        return walls(data_dir=data_dir, options=options, progress=progress, **common)
    if name == "tfds":
        from applications.datasets.tfds_source import tfds_segmentation

        return tfds_segmentation(data.removeprefix("tfds:"), data_dir=data_dir, cache_dir=cache_dir, **common)
    from applications.datasets.masks import segmentation_folder

    return segmentation_folder(
        Path(data).expanduser(), on_bad_file=on_bad_file, cache_dir=cache_dir, progress=progress, **common
    )


def _check_on_bad_file(on_bad_file: str) -> None:
    if on_bad_file not in ("error", "skip"):
        raise UserError(f"on_bad_file must be 'error' or 'skip', received {on_bad_file!r}.")


def source(data: str, names: tuple[str, ...], other_names: tuple[str, ...], task: str) -> str:
    """Returns an embedded name, "tfds" or "folder"; refuses what is none of them."""
    data = str(data)
    if not data.strip():
        raise UserError(f"Data {data!r} name nothing; give {', '.join(names)}, tfds:NAME or a folder.")
    if data in names:
        return data
    if data.startswith("tfds:"):
        return "tfds"
    path = Path(data).expanduser()
    if path.is_dir():
        return "folder"
    if path.exists():
        raise UserError(f"Data {data!r} is a file; give the folder that holds the images.")
    if data in other_names:
        raise UserError(f"Data set {data!r} is not for {task}; embedded for this task: {', '.join(names)}.")
    if path.is_absolute() or len(path.parts) > 1 or data.endswith(("/", "\\")) or data.startswith((".", "~")):
        raise UserError(f"Data folder {data!r} does not exist (looked for {str(path.absolute())!r}).")
    raise UserError(
        f"Unknown data {data!r}: neither an embedded data set ({', '.join(names)}), nor tfds:NAME, nor a "
        f"folder that exists.{nearest(data, names)}"
    )


def fingerprint(data: Datasets) -> str:
    """Returns 16 hexadecimal digits of names, shapes, labels, masks and up to a million pixels."""
    import hashlib

    import numpy as np

    digest = hashlib.sha256(repr((data.class_names, data.ids)).encode())
    for store in (data.images, data.masks if data.masks is not None else data.instances):
        if store is not None:
            digest.update(f"{store.dtype} {len(store)}".encode() + store.shapes.tobytes())
            step = max(1, store.flat.size // 1_000_003)
            digest.update(np.ascontiguousarray(store.flat[::step]).tobytes())
    for array in (data.labels, data.groups, data.targets):
        if array is not None:
            digest.update(repr(array.tolist()).encode())
    return digest.hexdigest()[:16]
