"""Two kinds of images, in pairs or not, of which one is to become the other."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from applications.core.errors import UserError, nearest
from applications.datasets.data import FRACTIONS, TRANSLATION_NAMES, Progress
from applications.datasets.folders import IMAGE_NAMES, MASK_NAMES
from applications.datasets.loading import BadFiles, choose_channels, load_images, others_warning, read_headers
from applications.datasets.loading import relative_name as relative
from applications.datasets.masks import MASK_ENDING, by_stem, load_masks
from applications.datasets.readers import BadFileError, plain, scan_folder, subfolders
from applications.datasets.splits import ALL_TEST, check_fractions, complete_splits, split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

MOST_CLASSES = 10  # different numbers in label images; where there are more, they are numbers of objects
NUCLEI_OPTIONS = {"photons": 100.0}
NOISY_OPTIONS: dict[str, Any] = {"images": 60, "photons": 10.0}
NOISY_SIZE = 128


@dataclass(frozen=True, eq=False)
class Domain:
    """One kind of images.

    Attributes:
        name: what the images are, for the report.
        images: all of them.
        ids: one file name or number per image.
        limits: lowest and highest pixel that the networks tell apart.
        is_mask: whether there are two values only, a background and a foreground.
    """

    name: str
    images: ImageStore
    ids: tuple[str, ...]
    limits: tuple[float, float]
    is_mask: bool = False

    def foreground(self, image: np.ndarray) -> np.ndarray:
        """Returns which pixels (height, width) of one of these images, or of one made to be like them, are bright."""
        import numpy as np

        return np.asarray(image, np.float32).mean(axis=-1) >= sum(self.limits) / 2

    def about(self) -> dict[str, Any]:
        """Returns what later commands must know."""
        plain_values = {"name": self.name, "limits": list(self.limits), "is_mask": self.is_mask}
        return {**plain_values, "channels": self.images.channels, "dtype": str(self.images.dtype)}


@dataclass(frozen=True, eq=False)
class DomainData:
    """Images of two kinds, checked and split; the counterpart of `Datasets`.

    Attributes:
        name, description, skipped, warnings, fingerprint: as in `Datasets`.
        a, b: the two kinds.
        paired: whether image i of one belongs to image i of the other.
        split: parts of A, and of B too where they are paired.
        split_b: parts of B.
    """

    name: str
    description: str
    a: Domain
    b: Domain
    paired: bool
    split: dict[str, np.ndarray]
    split_b: dict[str, np.ndarray]
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    labels: None = None
    groups: None = None
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.a.images)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when names, sizes or pixels change (not with the split)."""
        import hashlib

        digest = hashlib.sha256()
        for domain in (self.a, self.b):
            flat = domain.images.flat
            step = max(1, flat.size // 1_000_003)
            digest.update(repr((domain.ids, domain.images.shapes.tolist(), str(flat.dtype))).encode())
            digest.update(flat[::step].tobytes())
        return digest.hexdigest()[:16]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": [],
            "paired": self.paired,
            "domains": {"a": self.a.about(), "b": self.b.about()},
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [list(entry) for entry in self.skipped],
        }

    @functools.cached_property
    def find_mask(self) -> Callable[[np.ndarray], np.ndarray]:
        """A function from a picture to its mask (height, width), learnt from the real pairs for training.

        Raises:
            ValueError: The images are no pairs of masks and pictures.
        """
        from applications.imaging.pixel_forest import mask_forest

        if not self.paired or self.a.is_mask == self.b.is_mask:
            raise ValueError("masks are found where each picture has its mask.")
        masks, pictures = (self.a, self.b) if self.a.is_mask else (self.b, self.a)
        chosen = _training(self.split)
        return mask_forest([pictures.images[i] for i in chosen], [masks.foreground(masks.images[i]) for i in chosen])

    def training_parts(self, pairs: bool) -> tuple[np.ndarray, np.ndarray]:
        """Returns the images of A and of B to train with; without `pairs` they have nothing to do with each other."""
        if pairs or not self.paired:
            return self.split["train"], self.split_b["train"]
        half = len(self.split["train"]) // 2
        return self.split["train"][:half], self.split["train"][half:]

    def replaced(self, a: Domain, b: Domain) -> DomainData:
        """Returns the data with other domains."""
        return dataclasses.replace(self, a=a, b=b)


def load_domains(
    data: str,
    *,
    pairs: bool,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> DomainData:
    """Loads images of two kinds.

    Args:
        data: `nuclei` (label maps and simulated micrographs), `noisy_nuclei` (noisy and clean micrographs), or a folder
            with two folders of images, or with `trainA`, `trainB` and so on. The first one by name is A. A folder named
            `masks` or `labels` holds label images, and is B beside one named `images`.
        pairs: whether images of one name belong together, and each must have its partner of the same size.
        channels: 1 or 3 for both; none takes what the files have.
        fractions, seed, on_bad_file, data_dir, progress: as in `load_classification`.
        options: of an embedded data set.

    Returns:
        Both kinds.

    Raises:
        UserError: One sentence for the user.
    """
    check_fractions(fractions)
    if data == "nuclei":
        return _nuclei(options, fractions, seed, data_dir, channels, progress)
    if data == "noisy_nuclei":
        return _noisy_nuclei(options, fractions, seed, channels)
    if options:
        raise UserError(
            f"data_options belong to {', '.join(TRANSLATION_NAMES)}, received {', '.join(options)} for {data!r}."
        )
    root = Path(data).expanduser()
    if not root.is_dir():
        raise UserError(
            f"Unknown data {data!r}: neither an embedded data set ({', '.join(TRANSLATION_NAMES)}) nor a folder that "
            f"exists.{nearest(data, TRANSLATION_NAMES)}"
        )
    return _of_folder(root, pairs, channels, fractions, seed, BadFiles(on_bad_file, root), progress)


def limits(images: ImageStore, chosen: np.ndarray) -> tuple[float, float]:
    """Returns between which pixels nearly all of some images lie: one hot pixel must not make all others equal."""
    import numpy as np

    values = np.concatenate([images[index].ravel()[:: max(1, images[index].size // 65536)] for index in chosen])
    low, high = (float(value) for value in np.percentile(values, [0.1, 99.9]))
    if low >= high:
        low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low, low + 1.0)


def _nuclei(options, fractions, seed, data_dir, channels, progress) -> DomainData:
    from applications.datasets.sources import nuclei

    scenes = nuclei(
        data_dir=data_dir, options={**NUCLEI_OPTIONS, **(options or {})}, fractions=fractions, seed=seed,
        channels=channels, progress=progress,
    )  # fmt: skip
    assert scenes.masks is not None
    masks = scenes.masks
    if channels == 3:
        masks = ImageStore.from_arrays([mask.repeat(3, axis=-1) for mask in masks])
    return DomainData(
        name="nuclei",
        description=f"Label maps and micrographs. {scenes.description}",
        a=Domain("label maps", masks, scenes.ids, (0.0, 1.0), is_mask=True),
        b=Domain("micrographs", scenes.images, scenes.ids, limits(scenes.images, _training(scenes.split))),
        paired=True,
        split=scenes.split,
        split_b=scenes.split,
    )


def _noisy_nuclei(options, fractions, seed, channels) -> DomainData:
    """Micrographs with few photons, and what a camera without noise would have counted."""
    import numpy as np

    from applications.datasets.embedded.options import changed_options
    from applications.datasets.pixels import to_channels
    from applications.datasets.simulators.fluorescence import NucleiParameters, simulate_nuclei

    chosen = {"size": NOISY_SIZE, "num_nuclei": 15, **NOISY_OPTIONS, **(options or {})}
    found = changed_options("noisy_nuclei", chosen, {"images": 0}, NucleiParameters)
    count = found.pop("images")
    try:
        scenes = [simulate_nuclei(NucleiParameters(**found), (seed, index)) for index in range(count)]
    except ValueError as error:
        raise UserError(f"Data set 'noisy_nuclei' cannot be simulated: {error}") from error
    noisy = [to_channels(scene.image[..., None], channels or 1) for scene in scenes]
    clean = [np.rint(100 + scene.gain * scene.photons).astype(np.uint16)[..., None] for scene in scenes]
    stores = [ImageStore.from_arrays(images) for images in (noisy, [to_channels(c, channels or 1) for c in clean])]
    split = split_indices(count, fractions=fractions, seed=seed)
    ids, chosen_images = tuple(str(index) for index in range(count)), _training(split)
    return DomainData(
        name="noisy_nuclei",
        description="Simulated fluorescence micrographs of nuclei with few photons, and the same without noise.",
        a=Domain("noisy", stores[0], ids, limits(stores[0], chosen_images)),
        b=Domain("clean", stores[1], ids, limits(stores[1], chosen_images)),
        paired=True,
        split=split,
        split_b=split,
    )


def _training(split: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the training images, or all there are where all are for testing."""
    return split["train"] if len(split["train"]) else split["test"]


# The user's own folders ---------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """One folder of images of one kind, and the split it stands for."""

    folder: Path
    split: str | None


def _of_folder(
    root: Path, pairs: bool, channels: int | None, fractions, seed: int, bad: BadFiles, progress: Progress | None
) -> DomainData:
    found = _folders(root)
    files = [[(path, part.split) for part in parts for path in _images(part.folder, root)] for parts in found]
    names = [_name(parts[0]) for parts in found]
    if pairs:
        files = [list(side) for side in zip(*_partners(found, names, bad), strict=True)]
    stores, kept = [], []
    for parts, side in zip(found, files, strict=True):
        store, good = _read([path for path, _ in side], parts[0].folder.name, channels, bad, progress)
        stores.append(store)
        kept.append(good)
    if pairs:
        both = sorted(set(kept[0]) & set(kept[1]))
        stores = [store.select([good.index(i) for i in both]) for store, good in zip(stores, kept, strict=True)]
        kept = [both, both]
        _refuse_other_sizes(stores, [[side[i][0] for i in both] for side in files], root)
    chosen = [[side[i] for i in good] for side, good in zip(files, kept, strict=True)]
    for name, side in zip(names, chosen, strict=True):
        if not side:
            raise UserError(f"Folder {str(root)!r} holds no image of the kind {name!r} that can be used.")
    splits, remarks = _splits(chosen, pairs, fractions, seed)
    domains = [
        _domain(name, store, [relative(path, root) for path, _ in side], parts[0].folder.name, _training(split))
        for name, store, side, parts, split in zip(names, stores, chosen, found, splits, strict=True)
    ]
    return DomainData(
        name=plain(root.resolve().name),
        description=f"The user's own images of two kinds, {names[0]} and {names[1]}, from {str(root)!r}.",
        a=domains[0][0],
        b=domains[1][0],
        paired=pairs,
        split=splits[0],
        split_b=splits[1],
        skipped=tuple(bad.skipped),
        warnings=(*others_warning(scan_folder(root)[1], root), *remarks, *(w for _, words in domains for w in words)),
    )


def _folders(root: Path) -> tuple[list[_Part], list[_Part]]:
    """Returns the folders of A and those of B."""
    folders = {path.name.casefold(): path for path in subfolders(root)}
    if "traina" in folders or "trainb" in folders:
        parts: tuple[list[_Part], list[_Part]] = ([], [])
        for side, letter in zip(parts, "ab", strict=True):
            side += [
                _Part(folders[split + letter], split) for split in ("train", "val", "test") if split + letter in folders
            ]
            if not side or side[0].split != "train":
                raise UserError(f"Folder {str(root)!r} has no folder 'train{letter.upper()}'.")
        return parts
    filled = [path for path in folders.values() if scan_folder(path)[0]]
    if len(filled) == 2:
        # Beside images their masks are B, whatever their names.
        first, second = sorted(filled, key=lambda path: path.name.casefold() in MASK_NAMES)
        if not {first.name.casefold(), second.name.casefold()} & {*IMAGE_NAMES}:
            first, second = filled
        return [_Part(first, None)], [_Part(second, None)]
    empty = [path.name for path in folders.values() if path not in filled]
    what = f"; {', '.join(map(repr, empty))} hold no image" if empty else ""
    raise UserError(
        f"Folder {str(root)!r} needs two folders of images, one for each kind, such as 'A' and 'B'; it has "
        f"{len(filled)}{what}."
    )


def _images(folder: Path, root: Path) -> list[Path]:
    images = scan_folder(folder)[0]
    if not images:
        raise UserError(f"Folder {relative(folder, root)!r} holds no image; both kinds need some.")
    return images


def _name(part: _Part) -> str:
    return part.folder.name if part.split is None else part.folder.name[len(part.split) :]


def _partners(found: Sequence[list[_Part]], names: list[str], bad: BadFiles) -> list[tuple]:
    """Returns for each image of A and its partner in B the path and the split.

    Raises:
        UserError: A folder has other splits, or (unless bad files are skipped) an image has no partner.
    """
    if [part.split for part in found[0]] != [part.split for part in found[1]]:
        raise UserError(f"The images of {names[0]!r} and of {names[1]!r} are not divided in the same way.")
    partners = []
    for first, second in zip(*found, strict=True):
        a, b = by_stem(first.folder), by_stem(second.folder)
        for key in [key for key in b if key not in a]:
            shorter = MASK_ENDING.sub("", key)
            if shorter in a and shorter not in b:
                b[shorter] = b.pop(key)
        lonely = [a[key] for key in a if key not in b] + [b[key] for key in b if key not in a]
        if lonely and bad.mode == "error":
            more = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
            raise UserError(
                f"Image {relative(lonely[0], bad.root)!r}{more} has no partner of the same name, and this model learns "
                "from pairs: give it one, leave such files out by --on-bad-file skip, or use --model cyclegan_small, "
                "which needs none."
            )
        for path in lonely:
            bad.add(BadFileError(path, "it has no partner"))
        partners += [((a[key], first.split), (b[key], second.split)) for key in a if key in b]
    if not partners:
        raise UserError(f"Folder {str(bad.root)!r} holds no image with a partner of the same name.")
    return partners


def _read(
    paths: list[Path], folder: str, channels: int | None, bad: BadFiles, progress: Progress | None
) -> tuple[ImageStore, list[int]]:
    """Returns the images of one kind, and which of the files they are."""
    found = read_headers(paths, bad, progress)
    good = [index for index, header in enumerate(found) if header is not None]
    headers = [header for header in found if header is not None]
    if not headers:
        raise UserError(f"None of the {len(paths)} images in {folder!r} can be read.")
    chosen = [paths[index] for index in good]
    if folder.casefold() in MASK_NAMES:
        store, _, kept = load_masks(chosen, headers, bad, None, progress)
        return store.select(kept), [good[index] for index in kept]
    wanted = choose_channels(headers, [relative(path, bad.root) for path in chosen], channels)
    store, kept = load_images(chosen, headers, channels=wanted, size=None, bad=bad, cache_dir=None, progress=progress)
    return store, [good[index] for index in kept]


def _refuse_other_sizes(stores: Sequence[ImageStore], paths: list[list[Path]], root: Path) -> None:
    for index, (first, second) in enumerate(zip(stores[0].shapes, stores[1].shapes, strict=True)):
        if tuple(first[:2]) != tuple(second[:2]):
            raise UserError(
                f"Image {relative(paths[0][index], root)!r} has {first[0]} x {first[1]} pixels, but its partner "
                f"{relative(paths[1][index], root)!r} has {second[0]} x {second[1]}."
            )


def _splits(chosen: list[list[tuple]], pairs: bool, fractions, seed: int) -> tuple[list[dict], list[str]]:
    """Returns the parts of A and of B; those of pairs are the same."""
    import numpy as np

    found: list[dict] = []
    remarks: list[str] = []
    for side in chosen[:1] if pairs else chosen:
        parts = np.array([split or "" for _, split in side])
        if fractions == ALL_TEST or not parts[0]:
            found.append(split_indices(len(side), fractions=fractions, seed=seed))
            continue
        given = {name: np.flatnonzero(parts == name) for name in ("train", "val", "test") if (parts == name).any()}
        split, words = complete_splits(given, len(side), fractions=fractions, seed=seed)
        found.append(split)
        remarks += [word for word in words if word not in remarks]
    return (found * 2 if pairs else found), remarks


def _domain(name: str, store: ImageStore, ids: list[str], folder: str, chosen) -> tuple[Domain, list[str]]:
    """Returns one kind with its limits; label images with many numbers become foreground and background."""
    import numpy as np

    if folder.casefold() not in MASK_NAMES:
        return Domain(name, store, tuple(ids), limits(store, chosen)), []
    values, warnings = np.unique(store.flat[:: max(1, store.flat.size // 10_000_003)]), []
    if len(values) > MOST_CLASSES:
        store = ImageStore.from_arrays([(image > 0).astype(np.uint8) for image in store])
        warnings = [f"The images in {folder!r} hold {len(values)} numbers, of objects: all of them became foreground."]
        values = np.array([0, 1])
    low, high = float(values.min()), float(values.max())
    return Domain(name, store, tuple(ids), (low, high if high > low else low + 1), is_mask=len(values) == 2), warnings
