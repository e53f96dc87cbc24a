"""Embedded data sets and TFDS data sets, read into `Datasets`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError
from applications.datasets.data import Datasets, Progress
from applications.datasets.pixels import resize, to_channels, value_range
from applications.datasets.splits import split_indices
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    from applications.datasets.embedded.simulated import Simulated


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


def nuclei(**how: Any) -> Datasets:
    """Simulated nuclei, see `load_segmentation` and `simulators.fluorescence.NucleiParameters`."""
    from applications.datasets.embedded.nuclei import Nuclei

    return _with_masks(Nuclei, ("background", "nucleus"), **how)


def walls(**how: Any) -> Datasets:
    """Simulated domain walls, see `load_segmentation` and `simulators.walls.WallParameters`."""
    from applications.datasets.embedded.walls import Walls

    return _with_masks(Walls, ("domain", "wall"), **how)


def _with_masks(
    simulated: type[Simulated],
    class_names: tuple[str, ...],
    *,
    data_dir,
    options: Mapping | None,
    fractions,
    seed,
    channels,
    progress: Progress | None,
) -> Datasets:
    """Returns simulated images with their masks, and with their instances where the simulator knows them."""
    from applications.datasets.embedded.prepare import prepare

    examples = list(read_examples(prepare(simulated, data_dir, simulated.config(options), progress), "train"))
    images = ImageStore.from_arrays([to_channels(example["image"], channels or 1) for example in examples])
    instances = [example["instances"] for example in examples] if "instances" in simulated.columns else None
    return Datasets(
        name=simulated.name,
        description=simulated.description,
        images=images,
        split=split_indices(len(images), fractions=fractions, seed=seed),
        class_names=class_names,
        ids=tuple(str(index) for index in range(len(images))),
        masks=ImageStore.from_arrays([example["segmentation_mask"] for example in examples]),
        instances=None if instances is None else ImageStore.from_arrays(instances),
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
