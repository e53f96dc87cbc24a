"""Embedded data sets and TFDS data sets, read into `Datasets`."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from applications.core.errors import UserError
from applications.datasets.data import Datasets, Progress
from applications.datasets.pixels import resize, to_channels, value_range
from applications.datasets.splits import split_indices
from applications.datasets.store import ImageStore


def digits(*, data_dir, options: Mapping | None, fractions, seed, channels, image_size) -> Datasets:
    """scikit-learn's digits, see `load_classification`."""
    import numpy as np

    from applications.datasets.embedded.digits import Digits
    from applications.datasets.embedded.prepare import prepare

    if options:
        raise UserError(f"Data set 'digits' has no options, received {', '.join(map(repr, options))}.")
    examples = list(read_examples(prepare(Digits, data_dir), "train"))
    labels = np.array([example["label"] for example in examples], np.int64)
    images = [example["image"] for example in examples]
    if image_size is not None:
        images = [resize(image, square(image_size)) for image in images]
    return Datasets(
        name="digits",
        description="Real handwritten digits of 8 x 8 pixels (UCI, from scikit-learn).",
        images=ImageStore.from_arrays([to_channels(image, channels or 1) for image in images]),
        split=split_indices(labels, fractions=fractions, seed=seed),
        class_names=tuple(str(digit) for digit in range(10)),
        ids=tuple(str(index) for index in range(len(images))),
        labels=labels,
        value_range=(0.0, 16.0),
    )


def nuclei(*, data_dir, options: Mapping | None, fractions, seed, channels, progress: Progress | None) -> Datasets:
    """Simulated nuclei, see `load_segmentation` and `embedded.nuclei.nuclei_config`."""
    from applications.datasets.embedded.nuclei import DESCRIPTION, Nuclei, nuclei_config
    from applications.datasets.embedded.prepare import prepare

    examples = list(read_examples(prepare(Nuclei, data_dir, nuclei_config(options), progress), "train"))
    images = ImageStore.from_arrays([to_channels(example["image"], channels or 1) for example in examples])
    return Datasets(
        name="nuclei",
        description=DESCRIPTION,
        images=images,
        split=split_indices(len(images), fractions=fractions, seed=seed),
        class_names=("background", "nucleus"),
        ids=tuple(str(index) for index in range(len(images))),
        masks=ImageStore.from_arrays([example["segmentation_mask"] for example in examples]),
        instances=ImageStore.from_arrays([example["instances"] for example in examples]),
        value_range=value_range(images.dtype),
    )


def walls(*, data_dir, options: Mapping | None, fractions, seed, channels, progress: Progress | None) -> Datasets:
    """Simulated domain walls, see `load_segmentation` and `simulators.walls.WallParameters`."""
    from applications.datasets.embedded.prepare import prepare
    from applications.datasets.embedded.walls import DESCRIPTION, Walls

    examples = list(read_examples(prepare(Walls, data_dir, Walls.config(options), progress), "train"))
    images = ImageStore.from_arrays([to_channels(example["image"], channels or 1) for example in examples])
    return Datasets(
        name="walls",
        description=DESCRIPTION,
        images=images,
        split=split_indices(len(images), fractions=fractions, seed=seed),
        class_names=("domain", "wall"),
        ids=tuple(str(index) for index in range(len(images))),
        masks=ImageStore.from_arrays([example["segmentation_mask"] for example in examples]),
        value_range=value_range(images.dtype),
    )


def square(size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns `(height, width)` of one number or of a pair."""
    try:
        height, width = (size, size) if isinstance(size, int) else size
        if height == int(height) >= 1 and width == int(width) >= 1:
            return int(height), int(width)
    except (TypeError, ValueError):
        pass
    raise UserError(f"The image size must be one or two whole numbers of at least 1 pixel, received {size!r}.")


def read_examples(builder, split: str, decoders=None):
    """Yields the examples of a prepared split as numpy dictionaries, without TensorFlow where possible."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS advertises OpenCV.
    if builder.info.file_format.value == "array_record":
        yield from builder.as_data_source(split, decoders=decoders)
    else:
        yield from builder.as_dataset(split=split, decoders=decoders).as_numpy_iterator()
