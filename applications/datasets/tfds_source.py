"""Any TensorFlow data set by name: prepared data first, then the network, never a long wait."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError, nearest
from applications.datasets.data import Datasets
from applications.datasets.embedded.prepare import data_folder, storage_errors
from applications.datasets.loading import choose_channels, choose_size
from applications.datasets.pixels import resize, to_channels, to_dtype, value_range
from applications.datasets.readers import ImageHeader
from applications.datasets.sources import read_examples, square
from applications.datasets.splits import complete_splits, split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

PROBE_URL = "https://storage.googleapis.com"
PROBE_SECONDS = 3.0
_SPLITS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "dev": "val", "test": "test"}


def tfds_classification(name: str, *, data_dir, cache_dir, fractions, seed, channels, image_size) -> Datasets:
    """Reads a TFDS data set with `image` and `label`, see `load_classification`."""
    import numpy as np

    size = None if image_size is None else square(image_size)
    builder = find_builder(name, data_dir)
    image_key, label_key = _keys(builder, name, "label", "image classification")
    splits, warnings = _own_splits(builder)
    images, remark = _read_images(builder, splits, image_key, channels, size, cache_dir)
    labels = np.concatenate([_column(builder, split, image_key, label_key) for split in splits]).astype(np.int64)
    parts = _parts(builder, splits)
    split, remarks = _complete(parts, labels, fractions, seed)
    feature = builder.info.features[label_key]
    names = getattr(feature, "names", None) or [str(value) for value in range(int(labels.max()) + 1)]
    if labels.min() < 0:
        raise UserError(f"Data set {name!r} holds images without a class (label {labels.min()}) and cannot be used.")
    return Datasets(
        name=builder.name,
        description=_description(builder),
        images=images,
        split=split,
        class_names=tuple(names),
        ids=_ids(builder, splits),
        labels=labels,
        value_range=value_range(images.dtype, images),
        warnings=(*warnings, *([remark] if remark else []), *remarks),
    )


def tfds_segmentation(name: str, *, data_dir, cache_dir, fractions, seed, channels) -> Datasets:
    """Reads a TFDS data set with `image` and `segmentation_mask`, see `load_segmentation`."""
    import numpy as np

    builder = find_builder(name, data_dir)
    image_key, mask_key = _keys(builder, name, "segmentation_mask", "semantic segmentation")
    splits, warnings = _own_splits(builder)
    images, _ = _read_images(builder, splits, image_key, channels, None, cache_dir, resized=False)
    masks = ImageStore.allocate([(h, w, 1) for h, w, _ in images.shapes], "uint8", cache_dir=cache_dir)
    found: set[int] = set()
    for slot, example in zip(masks, _examples(builder, splits), strict=True):
        slot[...] = example[mask_key].reshape(slot.shape)
        found.update(np.flatnonzero(np.bincount(slot.ravel())).tolist())
    names = getattr(builder.info.features[mask_key], "names", None)
    if not names:  # Any numbers, such as 1, 2, 3 or 0, 255: the classes in their order.
        table = np.zeros(256, np.uint8)
        table[sorted(found)] = np.arange(len(found))
        masks.flat[...] = table[masks.flat]
        names = [f"value {value}" for value in sorted(found)]
    split, remarks = _complete(_parts(builder, splits), len(images), fractions, seed)
    return Datasets(
        name=builder.name,
        description=_description(builder),
        images=images,
        split=split,
        class_names=tuple(names),
        ids=_ids(builder, splits),
        masks=masks,
        value_range=value_range(images.dtype, images),
        warnings=(*warnings, *remarks),
    )


def find_builder(name: str, data_dir=None):
    """Returns a builder whose data lie on disk: found there, or downloaded and prepared.

    Args:
        name: `NAME`, `NAME/CONFIG`, with an optional `:VERSION`.
        data_dir: where TFDS keeps prepared data.

    Raises:
        UserError: for an unknown name, and without a network (after a few seconds, not minutes).
    """
    import tensorflow_datasets as tfds

    root = data_folder(data_dir)
    parsed = re.fullmatch(r"(?P<name>\w+)(/(?P<config>[^:]+))?(:(?P<version>[\d.]+))?", name)
    if not parsed:
        raise UserError(f"{name!r} is no TFDS name; it has the form NAME, NAME/CONFIG or NAME/CONFIG:VERSION.")
    folder = prepared_folder(root, parsed["name"], parsed["config"], parsed["version"])
    if folder is not None:
        return tfds.builder_from_directory(folder)
    known = tfds.list_builders(with_community_datasets=False)
    if parsed["name"] not in known:
        raise UserError(
            f"Unknown TFDS data set {parsed['name']!r}: neither in TFDS' catalogue nor prepared in "
            f"{str(root)!r}.{nearest(parsed['name'], known)}"
        )
    local = not tfds.builder_cls(parsed["name"]).__module__.startswith("tensorflow_datasets.")
    if not local and not network_answers():
        raise UserError(
            f"TFDS data set {name!r} is not prepared in {str(root)!r} and there is no network to download "
            f"it; run `python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\"` where there is "
            f"one and copy its folder {parsed['name']!r} there, or use an embedded data set."
        )
    return _download(tfds, name, root)


def _download(tfds, name: str, root: Path):
    with storage_errors(root, f"preparing TFDS data set {name!r}"):
        try:
            builder = tfds.builder(name, data_dir=root)
            builder.download_and_prepare()
        except OSError:
            raise
        except Exception as error:
            reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
            raise UserError(f"TFDS could not prepare data set {name!r}: {reason}.") from error
    return builder


def prepared_folder(root: Path, name: str, config: str | None, version: str | None) -> Path | None:
    """Returns the folder of prepared data below `root/name`, of the newest version, or None."""
    top = root / name / config if config else root / name
    found = [path.parent for path in top.glob("**/dataset_info.json") if "incomplete." not in path.parent.name]
    found = [path for path in found if version in (None, path.name)]
    if not config and len({path.parent for path in found}) > 1:
        default = next((path for path in found if path.parent.name == "default"), None)
        if default is None:
            configs = ", ".join(sorted({path.parent.relative_to(top).as_posix() for path in found}))
            raise UserError(f"TFDS data set {name!r} is prepared in several configurations ({configs}); name one.")
        found = [path for path in found if path.parent == default.parent]
    return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)], default=None)


def network_answers(url: str | None = None, seconds: float | None = None) -> bool:
    """Whether TFDS' servers can be reached, told within `seconds` (name resolution alone can hang)."""
    import urllib.error
    import urllib.request

    answered = threading.Event()

    def probe():
        try:
            urllib.request.urlopen(url or PROBE_URL, timeout=seconds or PROBE_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # A refusal is an answer.
        except OSError:
            return
        answered.set()

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(seconds or PROBE_SECONDS)
    return answered.is_set()


def _keys(builder, name: str, wanted: str, task: str) -> tuple[str, str]:
    """Returns the names of the image feature and of the `wanted` one."""
    features = builder.info.features
    supervised = tuple(builder.info.supervised_keys or ())
    keys = set(features) if hasattr(features, "keys") else set()
    if {"image", wanted} <= keys and (wanted != "label" or features[wanted].shape == ()):
        return "image", wanted
    if wanted == "label" and len(supervised) == 2 and set(map(str, supervised)) <= keys:
        kinds = [type(features[key]).__name__ for key in supervised]
        if kinds == ["Image", "ClassLabel"]:
            image_key, label_key = supervised
            return image_key, label_key
    have = ", ".join(f"{key} ({type(features[key]).__name__})" for key in sorted(keys))
    raise UserError(f"TFDS data set {name!r} is not for {task}, which needs image and {wanted}; it has {have}.")


def _own_splits(builder) -> tuple[list[str], list[str]]:
    """Returns the splits to read: train, validation and test where they exist, else all."""
    names = [name for name, info in builder.info.splits.items() if info.num_examples]
    if not names:
        raise UserError(f"TFDS data set {builder.name!r} in {str(builder.data_dir)!r} holds no example.")
    own = [name for name in names if name in _SPLITS]
    if "train" not in own:
        return names, []
    seen: dict[str, str] = {}
    for name in own:
        seen.setdefault(_SPLITS[name], name)
    unused = [name for name in names if name not in seen.values()]
    return list(seen.values()), [f"Splits left out: {', '.join(unused)}."] if unused else []


def _parts(builder, splits: list[str]) -> dict[str, np.ndarray]:
    """Returns split name -> positions among all samples read."""
    import numpy as np

    ends = np.cumsum([builder.info.splits[split].num_examples for split in splits])
    return {
        split: np.arange(end - builder.info.splits[split].num_examples, end)
        for split, end in zip(splits, ends, strict=True)
    }


def _complete(parts, labels_or_n, fractions, seed):
    if "train" not in parts or len(parts) == 1:
        return split_indices(labels_or_n, fractions=fractions, seed=seed), []
    given = {_SPLITS[name]: indices for name, indices in parts.items()}
    return complete_splits(given, labels_or_n, fractions=fractions, seed=seed)


def _examples(builder, splits):
    for split in splits:
        yield from read_examples(builder, split)


def _column(builder, split, image_key, key):
    """Returns one feature of a split without decoding the images."""
    import numpy as np
    import tensorflow_datasets as tfds

    decoders = {image_key: tfds.decode.SkipDecoding()}
    return np.array([example[key] for example in read_examples(builder, split, decoders)])


def _read_images(builder, splits, image_key, channels, size, cache_dir, *, resized=True):
    """Returns all images as one store, and a sentence about a size that was our choice.

    Images of unknown size are decoded twice, so that they never lie in memory twice.
    """
    import numpy as np

    feature = builder.info.features[image_key]
    shape, total = feature.shape, sum(builder.info.splits[split].num_examples for split in splits)
    dtype = np.dtype(feature.np_dtype)
    dtype = dtype if dtype.name in ("uint8", "uint16") else np.dtype("float32")
    if len(shape) != 3:
        raise UserError(f"TFDS data set {builder.name!r} holds {image_key} of shape {shape}, not single images.")
    open_size = None in shape
    shapes = [example[image_key].shape for example in _examples(builder, splits)] if open_size else [shape] * total
    headers = [ImageHeader(height, width, depth, dtype.name) for height, width, depth in shapes]
    channels = choose_channels(headers, [str(index) for index in range(total)], channels)
    size, remark = choose_size(headers, size) if resized else (None, None)
    store = ImageStore.allocate([(*(size or h[:2]), channels) for h in headers], dtype, cache_dir=cache_dir)
    for slot, example in zip(store, _examples(builder, splits), strict=True):
        image = to_channels(to_dtype(np.asarray(example[image_key]), dtype), channels)
        slot[...] = image if size is None else resize(image, size)
    return store, remark


def _ids(builder, splits) -> tuple[str, ...]:
    return tuple(f"{split}/{i}" for split in splits for i in range(builder.info.splits[split].num_examples))


def _description(builder) -> str:
    text = re.split(r"(?<=[.!?])\s", " ".join((builder.info.description or "").split()))[0]
    return f"TensorFlow data set {builder.info.full_name}" + (f": {text}" if text else ".")
