"""The user's own images: one folder per class, already split or not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from applications.core.errors import UserError
from applications.datasets.data import Datasets, Progress
from applications.datasets.groups import GROUP_FILE, read_group_file
from applications.datasets.loading import BadFiles, load_readable, others_warning, relative_name
from applications.datasets.pixels import value_range
from applications.datasets.readers import natural_key, plain, scan_folder, subfolders
from applications.datasets.sources import square
from applications.datasets.splits import ALL_TEST, complete_splits, split_indices

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
IMAGE_NAMES = ("images", "image", "img", "imgs")
MASK_NAMES = ("masks", "mask", "labels", "label", "annotations")


class Sample(NamedTuple):
    path: Path
    class_name: str
    split: str | None


def split_folders(root: Path) -> dict[str, Path]:
    """Returns "train", "val", "test" -> folder of a root that is already split, empty where it is not."""
    found: dict[str, Path] = {}
    for folder in subfolders(root):
        split = SPLIT_NAMES.get(folder.name.lower())
        if split in found:
            raise UserError(f"Folders {found[split].name!r} and {folder.name!r} in {str(root)!r} both mean {split!r}.")
        if split is not None:
            found[split] = folder
    return found if "train" in found else {}


def classification_folder(
    root: Path, *, image_size, channels, fractions, seed, on_bad_file, cache_dir, progress: Progress | None
) -> Datasets:
    """Reads one folder per class, see `load_classification`."""
    import numpy as np

    size = None if image_size is None else square(image_size)
    samples, warnings = find_samples(root)
    bad = BadFiles(on_bad_file, root)
    names = [relative_name(sample.path, root) for sample in samples]
    images, kept, resized = load_readable(
        [sample.path for sample in samples],
        names,
        bad,
        channels=channels,
        size=size,
        cache_dir=cache_dir,
        progress=progress,
        none_left=f"None of the {len(samples)} image files in {str(root)!r} can be read.",
    )
    samples, names = [samples[index] for index in kept], [names[index] for index in kept]
    class_names = tuple(sorted({sample.class_name for sample in samples}, key=natural_key))
    if len(class_names) < 2 and fractions != ALL_TEST:
        raise UserError(
            f"Folder {str(root)!r} has images of {_one_class(class_names)}; classification needs at least "
            "two class folders with images."
        )
    labels = np.array([class_names.index(sample.class_name) for sample in samples], np.int64)
    groups = read_group_file(root, names)
    split, remarks = _split(samples, labels, class_names, fractions, seed, groups)
    return Datasets(
        name=plain(root.resolve().name),
        description=f"The user's own images from {str(root)!r}.",
        images=images,
        split=split,
        class_names=class_names,
        ids=tuple(names),
        labels=labels,
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*warnings, *resized, *remarks),
    )


def find_samples(root: Path) -> tuple[list[Sample], list[str]]:
    """Returns the image files with their classes and splits, and sentences about what was left out.

    Raises:
        UserError: for an empty folder, one without class folders, and one laid out for segmentation.
    """
    _, others = scan_folder(root)
    others[".csv"] -= (root / GROUP_FILE).is_file()
    others = +others
    splits = split_folders(root)
    samples: list[Sample] = []
    warnings = others_warning(others, root)
    for split, folder in splits.items() or [(None, root)]:
        loose = [path for path in scan_folder(folder)[0] if path.parent == folder]
        classes = subfolders(folder)
        _check_class_folders(folder, classes, loose)
        if loose:
            warnings.append(f"{len(loose)} images lie in {folder.name!r} beside the class folders and were left out.")
        for class_folder in classes:
            images = scan_folder(class_folder)[0]
            if not images:
                warnings.append(f"Class folder {relative_name(class_folder, root)!r} holds no image and was left out.")
            samples += [Sample(path, plain(class_folder.name), split) for path in images]
    if splits:
        unused = [folder.name for folder in subfolders(root) if folder not in splits.values()]
        if unused:
            warnings.append(f"Folders beside train, val and test were left out: {', '.join(unused)}.")
    if not samples:
        raise UserError(f"Folder {str(root)!r} holds no image{_what_else(others)}.")
    return samples, warnings


def _check_class_folders(folder: Path, classes: list[Path], loose: list[Path]) -> None:
    lower = {path.name.lower() for path in classes}
    if len(lower) == 2 and lower & set(IMAGE_NAMES) and lower & set(MASK_NAMES):
        raise UserError(
            f"Folder {str(folder)!r} holds images and masks, not one folder per class; it is laid out for "
            "semantic segmentation."
        )
    if not classes and loose:
        raise UserError(
            f"Folder {str(folder)!r} holds {len(loose)} images but no class folders; put the images of each "
            "class into a folder named after it."
        )


def _what_else(others: Counter) -> str:
    if not others:
        return " (it is empty); put the images of each class into a folder named after it"
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    return f", only other files ({kinds}); images are PNG, JPEG, TIFF, BMP, GIF or WebP"


def _one_class(class_names: tuple[str, ...]) -> str:
    return f"one class only ({class_names[0]!r})" if class_names else "no class"


def _split(samples, labels, class_names, fractions, seed, groups):
    """Returns the split of the folders, or our own, and sentences about what is odd."""
    import numpy as np

    if samples[0].split is None and fractions != ALL_TEST:
        counts = np.bincount(labels, minlength=len(class_names))
        single = [name for name, count in zip(class_names, counts, strict=True) if count == 1]
        warnings = [f"Class {name!r} has one image, which goes to training; it cannot be tested." for name in single]
        return split_indices(labels, fractions=fractions, seed=seed, groups=groups), warnings
    if fractions == ALL_TEST:
        return split_indices(labels, fractions=fractions), []
    parts = np.array([sample.split for sample in samples])
    given = {name: np.flatnonzero(parts == name) for name in ("train", "val", "test") if (parts == name).any()}
    if "train" not in given:
        raise UserError("The folder 'train' holds no image that can be read.")
    trained = set(labels[given["train"]])
    unseen = [class_names[label] for label in sorted(set(labels) - trained)]
    if unseen:
        raise UserError(f"Class {unseen[0]!r} has no image in the training folder; give it some, or remove it.")
    return complete_splits(given, labels, fractions=fractions, seed=seed, groups=groups)
