"""Many files in parallel: headers first, then pixels into one store; bad files are named or skipped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError
from applications.datasets.pixels import common_dtype, resize, to_channels, to_dtype
from applications.datasets.readers import BadFileError, ImageHeader, image_header, read_image
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    from applications.datasets.data import Progress

LARGEST_DEFAULT_SIZE = 224


class BadFiles:
    """Raises at the first bad file, or remembers them all.

    Args:
        mode: "error" or "skip".
        root: folder that file names are shown relative to.
    """

    def __init__(self, mode: str, root: Path):
        self.mode, self.root = mode, root
        self.skipped: list[tuple[str, str]] = []

    def add(self, error: BadFileError) -> None:
        if self.mode == "error":
            raise UserError(
                f"{str(error).rstrip('.')}; repair or remove it, or leave such files out by --on-bad-file skip."
            ) from error
        self.skipped.append((relative_name(error.path, self.root), error.reason))


def relative_name(path: Path, root: Path) -> str:
    """Returns `path` relative to `root` where it lies below it, with forward slashes."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def in_threads(function: Callable, count: int, bad: BadFiles, progress: Progress | None, what: str) -> list:
    """Returns `[function(0), ...]`, with None where it raised `BadFileError` and `bad` lets that pass."""
    from concurrent.futures import ThreadPoolExecutor

    def guarded(index: int):
        try:
            return function(index)
        except BadFileError as error:
            return error

    results = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            for done, result in enumerate(pool.map(guarded, range(count)), start=1):
                if isinstance(result, BadFileError):
                    bad.add(result)
                    result = None
                results.append(result)
                if progress is not None:
                    progress(done, count, what)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def read_headers(paths: Sequence[Path], bad: BadFiles, progress: Progress | None) -> list[ImageHeader | None]:
    """Returns the header of each image, None where the file is bad."""
    return in_threads(lambda index: image_header(paths[index]), len(paths), bad, progress, "reading headers")


def load_images(
    paths: Sequence[Path],
    headers: Sequence[ImageHeader],
    *,
    channels: int,
    size: tuple[int, int] | None,
    bad: BadFiles,
    cache_dir,
    progress: Progress | None,
) -> tuple[ImageStore, list[int]]:
    """Decodes images into one store of one dtype and number of channels.

    Args:
        paths, headers: the files and their headers.
        channels: number of channels of the result.
        size: height and width of the result, None for each image's own.
        bad, cache_dir, progress: as elsewhere.

    Returns:
        The store, and the positions in `paths` of the images it holds.
    """
    dtype = common_dtype(header.dtype for header in headers)
    shapes = [(*(size or (header.height, header.width)), channels) for header in headers]
    store = ImageStore.allocate(shapes, dtype, cache_dir=cache_dir)

    def load(index: int) -> bool:
        image, header = read_image(paths[index]), headers[index]
        if image.shape != header[:3]:
            raise BadFileError(paths[index], f"its header promises {header[:3]}, its pixels are {image.shape}")
        if image.dtype.kind == "f" and not _all_finite(image):
            raise BadFileError(paths[index], "it holds NaN or infinite pixels")
        image = to_channels(to_dtype(image, dtype), channels)
        store[index][...] = image if size is None else resize(image, size)
        return True

    loaded = in_threads(load, len(paths), bad, progress, "reading images")
    kept = [index for index, done in enumerate(loaded) if done]
    return (store if len(kept) == len(paths) else store.select(kept)), kept


def _all_finite(image) -> bool:
    import numpy as np

    return bool(np.isfinite(image).all())


def choose_channels(headers: Sequence[ImageHeader], names: Sequence[str], channels: int | None) -> int:
    """Returns the number of channels all images get: the one asked for, or the one that loses nothing."""
    counts = {header.channels: name for header, name in zip(headers, names, strict=True)}
    if channels is None:
        if set(counts) <= {1, 3}:
            return max(counts)
        if len(counts) == 1:
            return next(iter(counts))
        examples = ", ".join(f"{name!r} has {count}" for count, name in sorted(counts.items()))
        raise UserError(f"Images have different numbers of channels ({examples}); give all of them the same.")
    for count, name in counts.items():
        if count != channels and count != 1 and (count, channels) != (3, 1):
            raise UserError(f"Image {name!r} has {count} channels, which cannot be turned into {channels}.")
    return channels


def choose_size(headers: Sequence[ImageHeader], size: tuple[int, int] | None) -> tuple[tuple[int, int], str | None]:
    """Returns height and width all images get, and a sentence where that was our choice."""
    import numpy as np

    sizes = Counter((header.height, header.width) for header in headers)
    if size is not None:
        return size, None
    if len(sizes) == 1:
        return next(iter(sizes)), None
    middle = np.median([header[:2] for header in headers], axis=0)
    middle = middle * min(1.0, LARGEST_DEFAULT_SIZE / middle.max())
    height, width = (int(max(8, 8 * round(n / 8))) for n in middle)
    low, high = np.min(list(sizes), axis=0), np.max(list(sizes), axis=0)
    return (height, width), (
        f"Images have mixed sizes, from {low[0]} x {low[1]} to {high[0]} x {high[1]} pixels; all are resized "
        f"to {height} x {width}, their median, at most {LARGEST_DEFAULT_SIZE} (set the image size to choose "
        "another)."
    )


def load_readable(
    paths: Sequence[Path],
    names: Sequence[str],
    bad: BadFiles,
    *,
    channels: int | None,
    size: tuple[int, int] | None,
    same_size: bool = True,
    cache_dir: str | None = None,
    progress: Progress | None = None,
    none_left: str,
) -> tuple[ImageStore, list[int], list[str]]:
    """Reads those of some images that can be read.

    Args:
        paths: the files.
        names: what messages call them.
        bad: what to do about the others.
        channels: 1 or 3; None as in `choose_channels`.
        size: height and width of all; None as in `choose_size`.
        same_size: whether all are to have one size; if not, every image keeps its own.
        cache_dir, progress: as in `load_classification`.
        none_left: sentence where there is none.

    Returns:
        The images, their places among the paths, and a sentence about a size that was our choice.
    """
    found = read_headers(paths, bad, progress)
    places = [place for place, header in enumerate(found) if header is not None]
    headers = [header for header in found if header is not None]
    if not headers:
        raise UserError(none_left)
    shared, remark = choose_size(headers, size) if same_size else (None, None)
    images, kept = load_images(
        [paths[place] for place in places],
        headers,
        channels=choose_channels(headers, [names[place] for place in places], channels),
        size=shared,
        bad=bad,
        cache_dir=cache_dir,
        progress=progress,
    )
    return images, [places[index] for index in kept], [remark] if remark else []


def others_warning(others: Counter, root: Path) -> list[str]:
    """Returns a sentence about files that are no images."""
    if not others:
        return []
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    return [f"{sum(others.values())} files in {root.name!r} are no images and were left alone ({kinds})."]
