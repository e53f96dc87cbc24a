"""Pictures for models that learn what pictures look like: with classes where there are some, without where not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from applications.core.errors import UserError
from applications.datasets.data import CLASSIFICATION_NAMES, FRACTIONS, Datasets, Progress, load_classification
from applications.datasets.folders import split_folders
from applications.datasets.groups import read_group_file
from applications.datasets.loading import BadFiles, load_readable, relative_name
from applications.datasets.pixels import value_range
from applications.datasets.readers import plain, scan_folder, subfolders
from applications.datasets.sources import square
from applications.datasets.splits import ALL_TEST, check_fractions, complete_splits, split_indices


def load_pictures(
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
    """Loads pictures of one size.

    Args:
        data: As in `load_classification`, or a folder of images without classes, alone or in `train/`, `val/` and
            `test/`. Two or more folders of images make classes where no image lies beside them.
        image_size, channels, fractions, seed, on_bad_file, data_dir, cache_dir, options, progress: As there.

    Returns:
        The data set, `labels` being None and `class_names` empty where there are no classes.

    Raises:
        UserError: One sentence for the user.
    """
    check_fractions(fractions)
    root = Path(data).expanduser()
    if data in CLASSIFICATION_NAMES or not root.is_dir() or _has_classes(root):
        return load_classification(
            data, image_size=image_size, channels=channels, fractions=fractions, seed=seed, on_bad_file=on_bad_file,
            data_dir=data_dir, cache_dir=cache_dir, options=options, progress=progress,
        )  # fmt: skip
    return _plain_folder(root, image_size, channels, fractions, seed, on_bad_file, cache_dir, progress)


def _has_classes(root: Path) -> bool:
    """Whether a folder, or its training folder, holds two or more folders of images and no image beside them."""
    folder = split_folders(root).get("train", root)
    if any(path.parent == folder for path in scan_folder(folder)[0]):
        return False
    return sum(bool(scan_folder(child)[0]) for child in subfolders(folder)) >= 2


def _plain_folder(root, image_size, channels, fractions, seed, on_bad_file, cache_dir, progress) -> Datasets:
    import numpy as np

    splits = split_folders(root)
    files = [(path, part) for part, folder in (splits or {"": root}).items() for path in scan_folder(folder)[0]]
    bad = BadFiles(on_bad_file, root)
    names = [relative_name(path, root) for path, _ in files]
    images, kept, warnings = load_readable(
        [path for path, _ in files],
        names,
        bad,
        channels=channels,
        size=None if image_size is None else square(image_size),
        cache_dir=cache_dir,
        progress=progress,
        none_left=f"Folder {str(root)!r} holds no image that can be read.",
    )
    names, parts = [names[index] for index in kept], np.array([files[index][1] for index in kept])
    if len(names) < 3 and fractions != ALL_TEST:
        raise UserError(f"Folder {str(root)!r} holds {len(names)} images; a training needs at least 3.")
    groups = read_group_file(root, names)
    if not splits:
        split = split_indices(len(names), fractions=fractions, seed=seed, groups=groups)
    else:
        given = {part: np.flatnonzero(parts == part) for part in splits if (parts == part).any()}
        if "train" not in given:
            raise UserError("The folder 'train' holds no image that can be read.")
        split, remarks = complete_splits(given, len(names), fractions=fractions, seed=seed, groups=groups)
        warnings += remarks
    return Datasets(
        name=plain(root.resolve().name),
        description=f"The user's own images from {str(root)!r}, without classes.",
        images=images,
        split=split,
        class_names=(),
        ids=tuple(names),
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=tuple(warnings),
    )
