"""Photographs to make small and large again: those that scikit-image brings along, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError, nearest
from applications.datasets.data import FRACTIONS, PHOTOGRAPH_NAMES, Datasets, Progress
from applications.datasets.folders import split_folders
from applications.datasets.loading import BadFiles, load_readable, others_warning, relative_name
from applications.datasets.pixels import to_channels, value_range
from applications.datasets.readers import plain, scan_folder
from applications.datasets.splits import ALL_TEST, check_fractions, complete_splits, split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

# All of scikit-image's wheel that are grey or RGB photographs of something, by which part they are for. `cell` is none:
# it is the phase of a hologram, computed and so smooth that bicubic interpolation is right to 57 dB.
BUNDLED = {
    "train": (
        *("astronaut", "brick", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "moon", "retina"),
        "rocket",
    ),
    "val": ("clock", "microaneurysms"),
    "test": ("camera", "immunohistochemistry", "page"),
}


def load_photographs(
    data: str,
    *,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> Datasets:
    """Loads images without anything that belongs to them.

    Args:
        data: `photographs` (scikit-image's, whose division into parts is fixed), or a folder of images, alone or inside
            `train/`, `val/`, `test/`.
        channels: 1 or 3; none takes 3 where any is in colour.
        fractions, seed, on_bad_file, progress: as in `load_classification`.
        data_dir: not used; nothing is prepared.
        options: there are none.

    Returns:
        The images; no photograph lies in two parts.

    Raises:
        UserError: One sentence for the user.
    """
    check_fractions(fractions)
    if options:
        raise UserError(f"data_options: {data!r} has none, received {', '.join(options)}.")
    if data in PHOTOGRAPH_NAMES:
        return _bundled(channels or 3, fractions)
    root = Path(data).expanduser()
    if not root.is_dir():
        raise UserError(
            f"Unknown data {data!r}: neither an embedded data set ({', '.join(PHOTOGRAPH_NAMES)}) nor a folder that "
            f"exists.{nearest(data, PHOTOGRAPH_NAMES)}"
        )
    return _of_folder(root, channels, fractions, seed, BadFiles(on_bad_file, root), progress)


def _bundled(channels: int, fractions: tuple[float, float, float]) -> Datasets:
    import numpy as np

    try:
        from skimage import data
    except ImportError:
        raise UserError(
            "The photographs come with scikit-image: pip install 'kerazoo[imaging]', or give a folder of your own."
        ) from None
    names = [name for part in BUNDLED.values() for name in part]
    images = [_eight_bits(getattr(data, name)()) for name in names]
    ends = np.cumsum([0, *(len(part) for part in BUNDLED.values())])
    split = {part: np.arange(a, b) for part, a, b in zip(BUNDLED, ends[:-1], ends[1:], strict=True)}
    if fractions == ALL_TEST:
        split = split_indices(len(names), fractions=fractions)
    return Datasets(
        name="photographs",
        description="Real photographs and micrographs that scikit-image brings along.",
        images=ImageStore.from_arrays([to_channels(image, channels) for image in images]),
        split=split,
        class_names=(),
        ids=tuple(names),
        value_range=(0.0, 255.0),
    )


def _eight_bits(image: np.ndarray) -> np.ndarray:
    """Returns an image as uint8 (height, width, channels); one that is stored as fractions is stretched to it."""
    import numpy as np

    image = image[..., None] if image.ndim == 2 else image
    if image.dtype == np.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    return np.rint((image - low) * (255.0 / (high - low))).astype(np.uint8)


def _of_folder(
    root: Path, channels: int | None, fractions, seed: int, bad: BadFiles, progress: Progress | None
) -> Datasets:
    import numpy as np

    found, others = scan_folder(root)
    splits = split_folders(root)
    files = [(path, split) for split, folder in splits.items() for path in scan_folder(folder)[0]]
    files = files or [(path, "") for path in found]
    if not files:
        raise UserError(f"Folder {str(root)!r} holds no image.")
    names = [relative_name(path, root) for path, _ in files]
    images, kept, _ = load_readable(
        [path for path, _ in files],
        names,
        bad,
        channels=channels,
        size=None,
        same_size=False,
        progress=progress,
        none_left=f"None of the {len(files)} image files in {str(root)!r} can be read.",
    )
    parts = np.array([files[index][1] for index in kept])
    remarks: list[str] = []
    if splits and fractions != ALL_TEST:
        given = {part: np.flatnonzero(parts == part) for part in ("train", "val", "test") if (parts == part).any()}
        split, remarks = complete_splits(given, len(kept), fractions=fractions, seed=seed)
    else:
        split = split_indices(len(kept), fractions=fractions, seed=seed)
    return Datasets(
        name=plain(root.resolve().name),
        description=f"The user's own images from {str(root)!r}.",
        images=images,
        split=split,
        class_names=(),
        ids=tuple(names[index] for index in kept),
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*others_warning(+others, root), *remarks),
    )
