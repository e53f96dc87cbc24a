"""Running a trained model on arrays and on the user's files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from applications.core.errors import UserError
from applications.core.execution import xla_refusals

if TYPE_CHECKING:
    import keras
    import numpy as np

Execution = Literal["plain", "xla", "auto"]
Item = TypeVar("Item")
Found = TypeVar("Found")


class Predictor:
    """A trained model as one compiled function, for one sample or many.

    `model.predict` sets up a pipeline and calls back around every batch, which takes a hundred times as long as the
    network itself for a single sample. Here the model is traced once, for any number of samples, and batches are filled
    up to a power of two, so that the kernels meet few shapes.

    Args:
        model: A model with one output, and one input or several by name.
        batch_size: Largest number of samples computed at once.
        execution: `plain`, `xla` (compiled for every shape of a batch, seconds each) or `auto`, the faster of the two,
            tried on the first batch of each shape. For long use: on one sample a recurrent network is four times as
            fast under XLA, a convolutional one hardly.

    Raises:
        ValueError: `execution` is another word.

    Example:
        >>> predict = Predictor.of_run("runs/image-classification/digits")
        >>> predict(images).shape
        (1000, 10)
    """

    def __init__(self, model: keras.Model, batch_size: int = 128, execution: Execution = "plain"):
        import tensorflow as tf

        if execution not in get_args(Execution):
            raise ValueError(f"`execution` must be 'plain', 'xla' or 'auto', received {execution!r}.")
        self.model = model
        self._types = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), model.input)
        first = tf.nest.flatten(self._types)[0]
        self.batch_size = first.shape[0] or batch_size
        self._fixed = first.shape[0] is not None
        self._one = isinstance(self._types, tf.TensorSpec)

        def forward(x: Any) -> Any:
            return model(x, training=False)

        traced = tf.function(forward, autograph=False)
        try:
            self._plain = traced.get_concrete_function(self._types)  # the way into it is shorter than into `traced`
        except (TypeError, ValueError):  # `UpSampling2D` of Keras interpolates images of known sizes only
            self._plain = traced
        self._xla = tf.function(forward, autograph=False, jit_compile=True)
        self._execution = execution
        self._fastest: dict[tuple[Any, ...], Callable[[Any], Any]] = {}  # by the shapes of a batch

    @classmethod
    def of_run(cls, path: str | Path, batch_size: int = 128, execution: Execution = "plain") -> Predictor:
        """Returns the predictor of a finished run; raises UserError where there is none."""
        from applications.core.evaluation import load_run_model, open_finished

        return cls(load_run_model(open_finished(path)), batch_size, execution)

    def __call__(self, inputs: Any) -> np.ndarray:
        """Returns the outputs for samples.

        Args:
            inputs: Array with the samples along its first axis, or several by the names of the model's inputs.
        """
        import numpy as np
        import tensorflow as tf

        arrays = np.asarray(inputs) if self._one else tf.nest.map_structure(np.asarray, inputs)
        count = len(arrays if self._one else tf.nest.flatten(arrays)[0])
        if not count:
            raise ValueError("A model needs at least one sample, received none.")
        if count <= self.batch_size:
            return self._batch(arrays, 0, count)
        starts = range(0, count, self.batch_size)
        return np.concatenate([self._batch(arrays, begin, min(count, begin + self.batch_size)) for begin in starts])

    def _batch(self, arrays: Any, begin: int, end: int) -> np.ndarray:
        import numpy as np
        import tensorflow as tf

        size = self.batch_size if self._fixed else bucket(end - begin, self.batch_size)
        rows: Any = slice(begin, end)
        if size > end - begin:
            rows = np.minimum(np.arange(begin, begin + size), end - 1)  # the last sample again and again

        def tensor(array: np.ndarray, spec: tf.TensorSpec) -> tf.Tensor:
            return tf.convert_to_tensor(np.asarray(array[rows], spec.dtype.as_numpy_dtype))

        batch = tensor(arrays, self._types) if self._one else tf.nest.map_structure(tensor, arrays, self._types)
        return self._way(batch)(batch).numpy()[: end - begin]

    def _way(self, batch: Any) -> Callable[[Any], Any]:
        """Returns the call for batches like this one."""
        import tensorflow as tf

        if self._execution == "plain":
            return self._plain
        if self._execution == "xla":
            return self._xla
        shapes = tuple(tuple(part.shape) for part in tf.nest.flatten(batch))
        if shapes not in self._fastest:
            self._fastest[shapes] = self._xla if self._gains_by_xla(batch) else self._plain
        return self._fastest[shapes]

    def _gains_by_xla(self, batch: Any) -> bool:
        plain = shortest_time(self._plain, batch)
        try:
            return shortest_time(self._xla, batch) < plain
        except xla_refusals():
            return False

    def each(self, samples: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the output of every sample; neighbours of one shape are computed together."""
        import numpy as np

        waiting: list[np.ndarray] = []
        for sample in samples:
            if waiting and (sample.shape != waiting[0].shape or len(waiting) == self.batch_size):
                yield from self(np.stack(waiting))
                waiting = []
            waiting.append(sample)
        if waiting:
            yield from self(np.stack(waiting))


def shortest_time(call: Callable[[Any], Any], batch: Any, calls: int = 5) -> float:
    """Returns the seconds of the quickest of a few calls behind the first."""
    times = []
    for _ in range(1 + calls):
        began = time.perf_counter()
        call(batch).numpy()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def bucket(count: int, largest: int) -> int:
    """Returns the smallest power of two that is not below `count`, `largest` at most."""
    return min(largest, 1 << (count - 1).bit_length())


def predict_array(model: keras.Model, inputs: Any, batch_size: int = 128) -> np.ndarray:
    """Returns the model's outputs for samples, see `Predictor`."""
    return Predictor(model, batch_size)(inputs)


def padded(image: np.ndarray, multiple: int) -> np.ndarray:
    """Returns an image or volume continued by reflection to the next multiple of each size but the channels.

    It is continued at its far ends, the bottom and the right.
    """
    import numpy as np

    missing = [-length % multiple for length in image.shape[:-1]]
    reflects = all(added < length for added, length in zip(missing, image.shape, strict=False))
    return np.pad(image, [*((0, added) for added in missing), (0, 0)], mode="reflect" if reflects else "symmetric")


def find_images(inputs: Iterable[str | Path], zarr: bool = False) -> list[Path]:
    """Returns the image files named by the inputs; folders stand for all images in and below them.

    Args:
        inputs: Files and folders.
        zarr: Whether a folder `NAME.zarr` is an image too.

    Raises:
        UserError: An input does not exist, or there is no image at all.
    """
    from applications.datasets.readers import SUFFIXES, list_images

    found: list[Path] = []
    inputs = list(inputs)
    for item in map(Path, inputs):
        if zarr and item.is_dir():
            found += [item] if item.suffix.lower() == ".zarr" else sorted(item.rglob("*.zarr"))
        if item.is_dir():
            found += list_images(item)
        elif item.is_file():
            found.append(item)
        else:
            raise UserError(f"'{item}' does not exist.")
    if not found:
        raise UserError(
            f"No image was found in {', '.join(repr(str(i)) for i in inputs)}; readable are "
            f"{', '.join(sorted(SUFFIXES))}{' and zarr' * zarr}."
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
    from applications.datasets.readers import read_image

    for path, image in each_usable(paths, read_image, on_bad_file):
        yield path, adapted(image, about["channels"], about["value_range"], str(path))


def each_usable(items: Iterable[Item], use: Callable[[Item], Found], on_bad_file: str) -> Iterator[tuple[Item, Found]]:
    """Yields each item (a file, as a rule) with what `use` makes of it.

    Args:
        items: What is to be predicted.
        use: Reads an item, or more; raises UserError where it cannot.
        on_bad_file: "error" raises the first complaint, "skip" says it and goes on without the item.
    """
    import sys

    for item in items:
        try:
            result = use(item)
        except UserError as error:
            if on_bad_file == "error":
                raise
            print(f"skipped: {error}", file=sys.stderr)
            continue
        yield item, result


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
