"""Running a trained model on arrays and on the user's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np


def predictor(model: keras.Model) -> Any:
    """Returns the model as one compiled function of a batch; far quicker for few samples than `model.predict`."""
    import functools

    import tensorflow as tf

    # A partial has no code of its own, so TensorFlow does not take several models for one that is traced too often.
    call = tf.function(functools.partial(model, training=False), reduce_retracing=True)
    dtype = tf.int32 if "int" in str(model.inputs[0].dtype) else tf.float32  # token numbers, or pixels
    return lambda batch: call(tf.convert_to_tensor(batch, dtype)).numpy()


def predict_array(model: keras.Model, images: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """Returns the model's outputs for images of one size.

    Args:
        model: A model with one input and one output.
        images: Array of shape (samples, height, width, channels).
        batch_size: Samples computed at once.
    """
    import numpy as np

    call = predictor(model)
    return np.concatenate([call(images[i : i + batch_size]) for i in range(0, len(images), batch_size)])


def padded(image: np.ndarray, multiple: int) -> np.ndarray:
    """Returns an image continued by reflection to the next multiple in height and width (at bottom and right)."""
    import numpy as np

    height, width = image.shape[:2]
    missing = (-height % multiple, -width % multiple)
    mode = "reflect" if missing[0] < height and missing[1] < width else "symmetric"
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode=mode)


def find_images(inputs: Iterable[str | Path]) -> list[Path]:
    """Returns the image files named by the inputs; folders stand for all images in and below them.

    Raises:
        UserError: An input does not exist, or there is no image at all.
    """
    from applications.datasets.readers import SUFFIXES, list_images

    found: list[Path] = []
    inputs = list(inputs)
    for item in map(Path, inputs):
        if item.is_dir():
            found += list_images(item)
        elif item.is_file():
            found.append(item)
        else:
            raise UserError(f"'{item}' does not exist.")
    if not found:
        raise UserError(
            f"No image was found in {', '.join(repr(str(i)) for i in inputs)}; readable are "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    return found


def unique_stems(paths: Iterable[Path]) -> list[str]:
    """Returns one name per file, its own without suffix, numbered where others have the same (in capitals or not)."""
    paths = list(paths)
    taken: set[str] = set()
    # Names as they are go first, so that `a-2.png` keeps its own where two `a.png` come before it.
    first = {path.stem.casefold(): number for number, path in reversed(list(enumerate(paths)))}
    found = []
    for number, path in enumerate(paths):
        stem, count = path.stem, 1
        while stem.casefold() in taken or first.get(stem.casefold(), number) != number:
            count += 1
            stem = f"{path.stem}-{count}"
        taken.add(stem.casefold())
        found.append(stem)
    return found


def read_like_training(
    paths: Iterable[Path], about: dict[str, Any], on_bad_file: str = "error"
) -> Iterator[tuple[Path, np.ndarray]]:
    """Reads images with the channels and the value range the model was trained on.

    Args:
        paths: Image files.
        about: The run's `data.json`.
        on_bad_file: "error" names the first unreadable file, "skip" leaves such files out and says so.

    Yields:
        Path and float32 image of shape (height, width, channels).
    """
    import sys

    from applications.datasets.readers import read_image

    for path in paths:
        try:
            image = read_image(path)
        except UserError as error:
            if on_bad_file == "error":
                raise
            print(f"skipped: {error}", file=sys.stderr)
            continue
        yield path, adapted(image, about["channels"], about["value_range"], str(path))


def adapted(image: np.ndarray, channels: int, value_range: Iterable[float], name: str) -> np.ndarray:
    """Returns an image as float32 with the wanted channels and the scale of the training's pixels."""
    import numpy as np

    from applications.datasets.pixels import depth_factor, to_channels
    from applications.datasets.pixels import value_range as range_of

    factor = depth_factor(image.dtype, range_of(image.dtype)[1], list(value_range)[1])
    result = image.astype(np.float32)
    if factor != 1:
        result *= factor
    try:
        return to_channels(result, channels)
    except ValueError as error:
        raise UserError(f"'{name}' {error}.") from None
