"""Pairs of images to be laid on each other: simulated ones with a known field, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError, nearest
from applications.datasets.data import FRACTIONS, REGISTRATION_NAMES, Progress
from applications.datasets.domains import limits as usual_limits
from applications.datasets.folders import IMAGE_NAMES, MASK_NAMES
from applications.datasets.loading import BadFiles, load_readable, others_warning, relative_name
from applications.datasets.masks import match
from applications.datasets.pixels import value_range
from applications.datasets.readers import plain, read_mask, scan_folder, subfolders
from applications.datasets.splits import check_fractions, split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

MULTIPLE = 16  # what the networks halve
MOST_PARTNERS = 20  # of n images there are n (n - 1) pairs: each image is laid on so many others at most


@dataclass(frozen=True, eq=False)
class RegistrationData:
    """Pairs of images, checked and split; the counterpart of `Datasets`.

    Attributes:
        name, description, skipped, warnings, fingerprint: as in `Datasets`.
        images: all images, of one size, whose sides are multiples of 16.
        size: height and width before they were continued to such a multiple.
        ids: one file name or number per image.
        pairs: `(P, 2)` numbers of the moving and of the fixed image.
        split: "train", "val", "test" -> numbers of pairs.
        limits: lowest and highest pixel that the network tells apart.
        objects: for each image a label image `(H, W, 1)` uint16, or None.
        fields: `(P, H, W, 2)` the known displacements of each pair, or None.
    """

    name: str
    description: str
    images: ImageStore
    size: tuple[int, int]
    ids: tuple[str, ...]
    pairs: np.ndarray
    split: dict[str, np.ndarray]
    limits: tuple[float, float]
    objects: ImageStore | None = None
    fields: np.ndarray | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    labels: None = None
    groups: None = None
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.images.channels

    def pair_name(self, pair: int) -> str:
        """Returns the name of a pair for the report."""
        moving, fixed = (Path(self.ids[index]).stem for index in self.pairs[pair])
        return moving if moving == fixed else f"{moving} on {fixed}"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when names, pairs or pixels change (not with the split)."""
        import hashlib

        digest = hashlib.sha256(repr((self.ids, self.images.shapes.tolist(), self.pairs.tolist())).encode())
        digest.update(self.images.flat[:: max(1, self.images.flat.size // 1_000_003)].tobytes())
        return digest.hexdigest()[:16]

    def about(self) -> dict:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": [],
            "size": list(self.size),
            "channels": self.images.channels,
            "limits": list(self.limits),
            "value_range": list(value_range(self.images.dtype, self.images)),
            "dtype": str(self.images.dtype),
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [list(entry) for entry in self.skipped],
        }


def load_registration_pairs(
    data: str,
    *,
    atlas: str | None = None,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    options: Mapping | None = None,
    progress: Progress | None = None,
) -> RegistrationData:
    """Loads pairs of images.

    Args:
        data: `ellipses` (simulated), or a folder: with `moving/` and `fixed/`, whose files of one name are a pair, and
            if there are any with label images in `moving_labels/` and `fixed_labels/`; or with images, alone or in
            `images/` beside their label images in `labels/`, of which each is laid on the others.
        atlas: Name of a file of the second kind of folder on which all others are laid.
        channels, fractions, seed, on_bad_file, data_dir, progress: as in `load_classification`.
        options: of `ellipses`: `pairs`, `seed` (that of the split otherwise) and the fields of `EllipseParameters`.

    Returns:
        The pairs. Of single images none lies in pairs of two parts, but for the atlas.

    Raises:
        UserError: One sentence for the user.
    """
    check_fractions(fractions)
    if data in REGISTRATION_NAMES:
        if atlas is not None:
            raise UserError(f"atlas: the pairs of {data!r} are given; leave it out.")
        return _simulated(data_dir, options, fractions, seed, progress)
    if options:
        raise UserError(
            f"data_options belong to {', '.join(REGISTRATION_NAMES)}, received {', '.join(options)} for {data!r}."
        )
    root = Path(data).expanduser()
    if not root.is_dir():
        raise UserError(
            f"Unknown data {data!r}: neither an embedded data set ({', '.join(REGISTRATION_NAMES)}) nor a folder that "
            f"exists.{nearest(data, REGISTRATION_NAMES)}"
        )
    bad = BadFiles(on_bad_file, root)
    folders = {path.name.lower(): path for path in subfolders(root)}
    if {"moving", "fixed"} <= set(folders):
        if atlas is not None:
            raise UserError("atlas: what is laid on what says the folders moving and fixed; leave it out.")
        return _of_two_folders(root, folders, channels, fractions, seed, bad, progress)
    return _of_one_folder(root, folders, atlas, channels, fractions, seed, bad, progress)


def grown(array: np.ndarray, mode: str = "edge") -> np.ndarray:
    """Returns an image continued at the bottom and on the right so that its sides are multiples of 16."""
    import numpy as np

    missing = [(0, -length % MULTIPLE) for length in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, missing, mode=mode)


def _simulated(data_dir, options, fractions, seed: int, progress: Progress | None) -> RegistrationData:
    import numpy as np

    from applications.datasets.embedded.ellipses import Ellipses
    from applications.datasets.embedded.prepare import prepare
    from applications.datasets.sources import read_examples

    builder = prepare(Ellipses, data_dir, Ellipses.config({"seed": seed, **(options or {})}), progress)
    pairs = list(read_examples(builder, "train"))
    size = builder.builder_config.parameters.size
    images = ImageStore.from_arrays([grown(pair[side]) for pair in pairs for side in ("moving", "fixed")])
    objects = [
        grown(pair[side], "constant").astype(np.uint16) for pair in pairs for side in ("moving_labels", "fixed_labels")
    ]
    return RegistrationData(
        name="ellipses",
        description=Ellipses.description,
        images=images,
        size=(size, size),
        ids=tuple(f"{what}/{index}" for index in range(len(pairs)) for what in ("moving", "fixed")),
        pairs=np.arange(2 * len(pairs)).reshape(-1, 2),
        split=split_indices(len(pairs), fractions=fractions, seed=seed),
        limits=(0.0, 1.0),
        objects=ImageStore.from_arrays(objects),
        fields=np.stack([grown(pair["field"]) for pair in pairs]),
    )


def _of_two_folders(root, folders, channels, fractions, seed, bad: BadFiles, progress) -> RegistrationData:
    import numpy as np

    partners = match(folders["moving"], folders["fixed"], bad)
    files = [path for pair in partners for path in pair]
    if not files:
        raise UserError(f"Folder {str(root)!r} holds no two images of one name in 'moving' and 'fixed'.")
    images, kept = _read(root, files, channels, bad, progress)
    position = {index: place for place, index in enumerate(kept)}
    pairs = [(position[2 * i], position[2 * i + 1]) for i in range(len(partners)) if {2 * i, 2 * i + 1} <= set(kept)]
    for moving, fixed in pairs:
        sides = [images[index].shape[:2] for index in (moving, fixed)]
        if sides[0] != sides[1]:
            raise UserError(
                f"Images {relative_name(files[kept[moving]], root)!r} and {relative_name(files[kept[fixed]], root)!r} "
                f"are to be laid on each other, but have {sides[0][0]} x {sides[0][1]} and {sides[1][0]} x "
                f"{sides[1][1]} pixels; bring both to one size first."
            )
    labels = [folders.get(f"{side}_labels") for side in ("moving", "fixed")]
    objects = None
    if all(labels):
        objects = _labels(root, [files[i] for i in kept], [labels[index % 2] for index in kept])
    return _finished(
        root, "pairs of images", [files[i] for i in kept], images, objects, np.array(pairs).reshape(-1, 2), bad,
        lambda count: split_indices(count, fractions=fractions, seed=seed),
    )  # fmt: skip


def _of_one_folder(root, folders, atlas, channels, fractions, seed, bad: BadFiles, progress) -> RegistrationData:
    import numpy as np

    folder = next((path for name, path in folders.items() if name in IMAGE_NAMES), root)
    label_folder = next((path for name, path in folders.items() if name in MASK_NAMES), None)
    files = [path for path in scan_folder(folder)[0] if label_folder is None or label_folder not in path.parents]
    images, kept = _read(root, files, channels, bad, progress)
    files = [files[index] for index in kept]
    objects = None if label_folder is None else _labels(root, files, [label_folder] * len(files))
    if len(files) < (4 if atlas else 6):
        raise UserError(
            f"Folder {str(root)!r} holds {len(files)} images that can be used; training, validation and test need "
            f"at least {'one each and the atlas' if atlas else 'two each'}, or give pairs in 'moving' and 'fixed'."
        )
    named = [index for index, path in enumerate(files) if atlas in (path.name, path.stem)]
    if atlas is not None and len(named) != 1:
        raise UserError(f"atlas: no single image of {str(folder)!r} is named {atlas!r}.")
    others = np.array([index for index in range(len(files)) if index not in named])
    parts = split_indices(len(others), fractions=fractions, seed=seed)
    random = np.random.default_rng(seed)
    pairs: list[tuple[int, int]] = []
    split: dict[str, np.ndarray] = {}
    for part, chosen in parts.items():
        begin = len(pairs)
        for index in others[chosen]:
            fixed = named or random.permutation([other for other in others[chosen] if other != index])[:MOST_PARTNERS]
            pairs += [(index, other) for other in fixed]
        split[part] = np.arange(begin, len(pairs))
    return _finished(
        root, "images, each laid on the atlas" if atlas else "images, each laid on others", files, images, objects,
        np.array(pairs).reshape(-1, 2), bad, lambda _: split,
    )  # fmt: skip


def _read(root: Path, files: Sequence[Path], channels, bad: BadFiles, progress) -> tuple[ImageStore, list[int]]:
    images, kept, _ = load_readable(
        files,
        [relative_name(path, root) for path in files],
        bad,
        channels=channels,
        size=None,
        same_size=False,
        progress=progress,
        none_left=f"Folder {str(root)!r} holds no image that can be used.",
    )
    return images, kept


def _labels(root: Path, files: Sequence[Path], folders: Sequence[Path]) -> ImageStore:
    """Reads the label image of each file, which has its name."""
    import numpy as np

    from applications.datasets.masks import by_stem

    known = {folder: by_stem(folder) for folder in set(folders)}
    found = []
    for path, folder in zip(files, folders, strict=True):
        label = known[folder].get(plain(path.stem).casefold())
        if label is None:
            raise UserError(f"Image {relative_name(path, root)!r} has no label image of its name in {folder.name!r}.")
        found.append(read_mask(label).astype(np.uint16)[..., None])
    return ImageStore.from_arrays(found)


def _finished(root, what: str, files, images: ImageStore, objects, pairs: np.ndarray, bad: BadFiles, split):
    """Checks sizes and returns the data."""
    import numpy as np

    sizes = {(int(shape[0]), int(shape[1])) for shape in images.shapes}
    if len(sizes) > 1:
        first, second = sorted(sizes)[:2]
        raise UserError(
            f"The images of {str(root)!r} have different sizes, such as {first[0]} x {first[1]} and {second[0]} x "
            f"{second[1]} pixels; a network is trained on pairs of one size: cut or scale them first."
        )
    if objects is not None and {(int(shape[0]), int(shape[1])) for shape in objects.shapes} != sizes:
        raise UserError(f"Label images of {str(root)!r} must have the size of their images.")
    if len(pairs) < 3:
        raise UserError(
            f"Folder {str(root)!r} holds {len(pairs)} pairs that can be used; at least 3 are needed, one each for "
            "training, validation and test."
        )
    store = ImageStore.from_arrays([grown(image) for image in images])
    parts = split(len(pairs))
    training = parts["train"] if len(parts["train"]) else parts["test"]
    return RegistrationData(
        name=plain(root.resolve().name),
        description=f"The user's own {what}, from {str(root)!r}.",
        images=store,
        size=next(iter(sizes)),
        ids=tuple(relative_name(path, root) for path in files),
        pairs=np.asarray(pairs, np.int64),
        split=parts,
        limits=usual_limits(store, np.unique(pairs[training])),
        objects=None if objects is None else ImageStore.from_arrays([grown(image, "constant") for image in objects]),
        skipped=tuple(bad.skipped),
        warnings=tuple(others_warning(scan_folder(root)[1], root)),
    )


def as_pair(images: Sequence[np.ndarray], names: Sequence[str]) -> tuple[np.ndarray, ...]:
    """Returns two images of one size; raises UserError where they differ."""
    if images[0].shape[:2] != images[1].shape[:2]:
        sides = [f"{image.shape[0]} x {image.shape[1]}" for image in images]
        raise UserError(
            f"Images {names[0]!r} and {names[1]!r} are to be laid on each other, but have {sides[0]} and {sides[1]} "
            "pixels; bring both to one size first."
        )
    return tuple(images)
