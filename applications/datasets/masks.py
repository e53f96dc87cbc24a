"""The user's own images with masks: pairing files, sizes, and what the numbers in the masks mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from applications.core.errors import UserError
from applications.datasets.data import Datasets, Progress
from applications.datasets.folders import IMAGE_NAMES, MASK_NAMES, split_folders
from applications.datasets.groups import GROUP_FILE, read_group_file
from applications.datasets.loading import (
    BadFiles,
    choose_channels,
    in_threads,
    load_images,
    others_warning,
    read_headers,
    relative_name,
)
from applications.datasets.object_classes import CLASS_TABLE
from applications.datasets.pixels import value_range
from applications.datasets.readers import (
    BadFileError,
    ImageHeader,
    image_header,
    plain,
    read_mask,
    scan_folder,
    subfolders,
)
from applications.datasets.splits import ALL_TEST, complete_splits, split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

CLASS_FILE = "classes.txt"
MOST_CLASSES = 64
BINARY = {0: 0, 1: 1, 255: 1}  # two classes drawn in black and white are the same two classes
MASK_ENDING = re.compile(r"[_\-. ](masks?|labels?|seg)$", re.IGNORECASE)


class Pair(NamedTuple):
    image: Path
    mask: Path
    split: str | None


def segmentation_folder(
    root: Path, *, channels, fractions, seed, on_bad_file, cache_dir, progress: Progress | None
) -> Datasets:
    """Reads images and masks, see `load_segmentation`."""
    bad = BadFiles(on_bad_file, root)
    pairs, warnings = find_pairs(root, bad)
    pairs, headers, mask_headers = check_headers(pairs, bad, progress)
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
    paths, mask_headers = [pairs[index].mask for index in kept], [mask_headers[index] for index in kept]
    masks, values, good = load_masks(paths, mask_headers, bad, cache_dir, progress)
    if not good:
        raise UserError(f"Folder {str(root)!r} has no image with a mask that can be used.")
    mask_names = [relative_name(paths[index], root) for index in good]
    class_names, meaning = mask_classes(values, mask_names, read_class_file(root))
    kept = [kept[index] for index in good]
    groups = read_group_file(root, [names[index] for index in kept])
    split, remarks = split_pairs([pairs[index] for index in kept], fractions, seed, groups)
    return Datasets(
        name=plain(root.resolve().name),
        description=f"The user's own images and masks from {str(root)!r}.",
        images=images.select(good),
        split=split,
        class_names=class_names,
        ids=tuple(names[index] for index in kept),
        masks=_renumber(masks.select(good), meaning, cache_dir),
        groups=groups,
        value_range=value_range(images.dtype, images),
        skipped=tuple(bad.skipped),
        warnings=(*warnings, *remarks),
    )


def find_pairs(root: Path, bad: BadFiles) -> tuple[list[Pair], list[str]]:
    """Returns images with their masks, and sentences about what was left out.

    Raises:
        UserError: when there are no such folders, or (unless bad files are skipped) a file has no partner.
    """
    _, others = scan_folder(root)
    if (root / CLASS_FILE).is_file():
        others[".txt"] -= 1
    others[".csv"] -= (root / GROUP_FILE).is_file() + (root / CLASS_TABLE).is_file()
    pairs: list[Pair] = []
    for images, masks, split in folder_pairs(root):
        pairs += [Pair(*files, split) for files in match(images, masks, bad)]
    if not pairs:
        raise UserError(f"Folder {str(root)!r} holds no image with a mask.")
    return pairs, others_warning(+others, root)


def folder_pairs(root: Path, partners: Sequence[str] = MASK_NAMES) -> list[tuple[Path, Path, str | None]]:
    """Returns (image folder, mask folder, split) of the layout found below `root`.

    Args:
        root: the folder given.
        partners: names of the folder beside `images`, the usual one first.
    """
    images, masks = _one_of(root, IMAGE_NAMES), _one_of(root, partners)
    if images and masks:
        image_splits, mask_splits = split_folders(images), split_folders(masks)
        if not image_splits and not mask_splits:
            return [(images, masks, None)]
        if set(image_splits) != set(mask_splits):
            raise UserError(
                f"Folders {images.name!r} and {masks.name!r} have different splits: "
                f"{', '.join(image_splits) or 'none'} and {', '.join(mask_splits) or 'none'}."
            )
        return [(image_splits[split], mask_splits[split], split) for split in image_splits]
    found: list[tuple[Path, Path, str | None]] = []
    for split, folder in split_folders(root).items():
        images, masks = _one_of(folder, IMAGE_NAMES), _one_of(folder, partners)
        if not images or not masks:
            raise UserError(
                f"Folder {str(folder)!r} needs the folders 'images' and {partners[0]!r}{_found_folders(folder)}."
            )
        found.append((images, masks, split))
    if not found:
        raise UserError(
            f"Folder {str(root)!r} needs the folders 'images' and {partners[0]!r} (or train, val, test with these "
            f"inside){_found_folders(root)}."
        )
    return found


def _one_of(folder: Path, names: Sequence[str]) -> Path | None:
    found = [path for path in subfolders(folder) if path.name.lower() in names]
    if len(found) > 1:
        raise UserError(f"Folders {found[0].name!r} and {found[1].name!r} in {str(folder)!r} mean the same; keep one.")
    return found[0] if found else None


def _found_folders(folder: Path) -> str:
    names = [path.name for path in subfolders(folder)]
    if names:
        return f"; it has {', '.join(map(repr, names[:5]))}{' ...' if len(names) > 5 else ''}"
    images, others = scan_folder(folder)
    return f"; it has no folder, but {len(images)} images" if images else "; it is empty" if not others else ""


def match(image_folder: Path, mask_folder: Path, bad: BadFiles) -> list[tuple[Path, Path]]:
    """Pairs files by name without suffix; masks may end in `_mask`, `_label` or `_seg`."""
    images, masks = by_stem(image_folder), by_stem(mask_folder)
    for key in [key for key in masks if key not in images]:
        shorter = MASK_ENDING.sub("", key)
        if shorter in images and shorter not in masks:
            masks[shorter] = masks.pop(key)
    for what, lonely, partner, folder in (
        ("image", [images[key] for key in images if key not in masks], "mask", mask_folder),
        ("mask", [masks[key] for key in masks if key not in images], "image", image_folder),
    ):
        if lonely and bad.mode == "error":
            more = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
            raise UserError(
                f"{what.capitalize()} {relative_name(lonely[0], bad.root)!r}{more} has no {partner} of the "
                f"same name in {relative_name(folder, bad.root)!r}; add it, or leave such files out by "
                "--on-bad-file skip."
            )
        for path in lonely:
            bad.add(BadFileError(path, f"it has no {partner}"))
    return [(images[key], masks[key]) for key in images if key in masks]


def by_stem(folder: Path) -> dict[str, Path]:
    """Returns relative name without suffix, accents and capitals made equal -> file."""
    found: dict[str, Path] = {}
    for path in scan_folder(folder)[0]:
        key = plain(path.relative_to(folder).with_suffix("").as_posix()).casefold()
        if key in found:
            raise UserError(
                f"Files {found[key].name!r} and {path.name!r} in {str(folder)!r} have the same name but for "
                "the suffix, so that images and masks cannot be paired."
            )
        found[key] = path
    return found


def check_headers(
    pairs: Sequence[Pair], bad: BadFiles, progress: Progress | None
) -> tuple[list[Pair], list[ImageHeader], list[ImageHeader]]:
    """Returns the pairs whose image and mask can be opened and have the same size, and both headers."""
    images = read_headers([pair.image for pair in pairs], bad, progress)

    def mask_header(index: int) -> ImageHeader | None:
        image = images[index]
        if image is None:
            return None
        mask = image_header(pairs[index].mask)
        if mask[:2] != image[:2]:
            raise BadFileError(
                pairs[index].mask,
                f"this mask has {mask.height} x {mask.width} pixels, but its image "
                f"{pairs[index].image.name!r} has {image.height} x {image.width}",
            )
        return mask

    masks = in_threads(mask_header, len(pairs), bad, progress, "reading mask headers")
    found = [
        (pair, image, mask)
        for pair, image, mask in zip(pairs, images, masks, strict=True)
        if image is not None and mask is not None
    ]
    if not found:
        raise UserError(f"Folder {str(bad.root)!r} has no image with a mask that can be used.")
    return [pair for pair, _, _ in found], [image for _, image, _ in found], [mask for _, _, mask in found]


def load_masks(
    paths: Sequence[Path], headers: Sequence[ImageHeader], bad: BadFiles, cache_dir, progress: Progress | None
) -> tuple[ImageStore, list[np.ndarray], list[int]]:
    """Decodes masks.

    Returns:
        The store of all masks with the numbers of the files, the different numbers in each good mask, and the
        positions of the good ones.
    """
    import numpy as np

    shapes = [(header.height, header.width, 1) for header in headers]
    dtype = "uint8" if {header.dtype for header in headers} <= {"uint8"} else "uint16"
    store = ImageStore.allocate(shapes, dtype, cache_dir=cache_dir)

    def load(index: int) -> np.ndarray:
        mask = read_mask(paths[index])
        if mask.shape != shapes[index][:2]:
            raise BadFileError(paths[index], f"its header promises {shapes[index][:2]}, its pixels are {mask.shape}")
        store[index][..., 0] = mask
        return np.flatnonzero(np.bincount(mask.ravel()))

    values = in_threads(load, len(paths), bad, progress, "reading masks")
    good = [index for index, found in enumerate(values) if found is not None]
    return store, [values[index] for index in good], good


def read_class_file(root: Path) -> dict[int, str] | None:
    """Returns value -> class name from `classes.txt`: one name per line, or `VALUE NAME` in every line.

    Raises:
        UserError: for a file without two classes or with a value or name twice.
    """
    path = root / CLASS_FILE
    if not path.is_file():
        return None
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise UserError(f"File {str(path)!r} is no UTF-8 text; save it as UTF-8.") from None
    numbered = [found for line in lines if (found := re.fullmatch(r"(\d+)[\s,;:=]+(.+)", line))]
    if len(numbered) == len(lines):
        pairs = [(int(found[1]), found[2].strip()) for found in numbered]
    else:
        pairs = list(enumerate(lines))
    if len(pairs) < 2 or len({v for v, _ in pairs}) < len(pairs) or len({n for _, n in pairs}) < len(pairs):
        raise UserError(
            f"File {str(path)!r} must name at least two classes, one per line, each value and name once; "
            f"found {len(pairs)} lines."
        )
    return dict(sorted(pairs))


def mask_classes(
    values: Sequence[np.ndarray], names: Sequence[str], classes: Mapping[int, str] | None
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Finds out what the numbers in the masks mean.

    Args:
        values: the different numbers in each mask.
        names: the masks' file names, for messages.
        classes: value -> name from `classes.txt`, or None.

    Returns:
        Class names, and value in the file -> class index.

    Raises:
        UserError: for numbers outside the classes (with file and numbers).
    """
    found = sorted({int(value) for mask in values for value in mask})
    if classes is not None:
        binary = list(classes) == [0, 1] and _all_binary(values)
        meaning = BINARY if binary else {value: index for index, value in enumerate(classes)}
        _refuse_outside(values, names, meaning, f"{CLASS_FILE} names {_ranges(list(classes))}")
        return tuple(classes.values()), meaning
    if len(found) < 2:
        raise UserError(
            f"All masks hold one value only ({found[0]}); a segmentation needs a background and at least one class."
        )
    if _all_binary(values):
        return ("background", "foreground"), BINARY
    rule = f"without a file {CLASS_FILE} masks hold 0/1, 0/255 or class numbers from 0 without gaps"
    _refuse_outside(values, names, _usual_values(values, found), rule)
    if len(found) > MOST_CLASSES:
        raise UserError(
            f"The masks hold {len(found)} different values; if these are object numbers, save 0/1 masks, and "
            f"if they are classes, name them in a file {CLASS_FILE}."
        )
    return ("background", *(f"class {value}" for value in found[1:])), {value: value for value in found}


def _all_binary(values: Sequence[np.ndarray]) -> bool:
    """Returns whether each mask is 0/1 or 0/255; two programs may have drawn the masks of one folder."""
    return all(set(mask.tolist()) <= {0, 1} or set(mask.tolist()) <= {0, 255} for mask in values)


def _usual_values(values: Sequence[np.ndarray], found: Sequence[int]) -> set[int]:
    """Returns what most masks agree on, so that the odd one out is named and not a good one."""
    for usual in ({0, 1}, {0, 255}):
        if 2 * sum(set(mask.tolist()) <= usual for mask in values) > len(values):
            return usual
    return set(range(next(value for value in range(found[-1] + 2) if value not in found)))


def _refuse_outside(values, names, allowed, rule: str) -> None:
    for mask, name in zip(values, names, strict=True):
        outside = [int(value) for value in mask if int(value) not in allowed]
        if outside:
            hint = " (JPEG changes the values: save masks as PNG)" if name.lower().endswith(("jpg", "jpeg")) else ""
            raise UserError(
                f"Mask {name!r} holds the value{'s'[: len(outside) > 1]} {_ranges(outside)}, but {rule}{hint}."
            )


def _ranges(numbers: list[int]) -> str:
    """Returns "0..3" or "0, 2, 7, ..."."""
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}..{numbers[-1]}"
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")


def _renumber(masks: ImageStore, meaning: Mapping[int, int], cache_dir) -> ImageStore:
    """Replaces the numbers of the files by class indices: in place, or into 8 bits where the files had 16."""
    import numpy as np

    if masks.dtype == np.uint8 and all(value == index for value, index in meaning.items()):
        return masks
    dtype = "uint8" if len(meaning) <= 256 else "uint16"
    table = np.zeros(max(meaning) + 1, dtype)
    table[list(meaning)] = list(meaning.values())
    target = masks if masks.dtype == dtype else ImageStore.allocate(masks.shapes, dtype, cache_dir=cache_dir)
    for mask, slot in zip(masks, target, strict=True):
        slot[...] = table[mask]
    return target


def split_pairs(pairs: Sequence[Pair], fractions, seed, groups):
    """Returns the split of the folders, or our own, and a sentence where something had to be cut."""
    import numpy as np

    if pairs[0].split is None:
        return split_indices(len(pairs), fractions=fractions, seed=seed, groups=groups), []
    parts = np.array([pair.split for pair in pairs])
    given = {name: np.flatnonzero(parts == name) for name in ("train", "val", "test") if (parts == name).any()}
    if "train" not in given and fractions != ALL_TEST:
        raise UserError("The folder 'train' holds no image that can be used.")
    return complete_splits(given, len(pairs), fractions=fractions, seed=seed, groups=groups)
