"""Predictions of images of any size, also of those whose maps take more memory than there is."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from applications.core.inference import Predictor, padded

if TYPE_CHECKING:
    import keras
    import numpy as np

MEMORY = 2**29  # bytes of the largest maps of what is computed at once; the whole prediction takes about twice as much
ROWS = 256  # of a large map that are finished at once


class ImagePredictor:
    """A trained network from image to image, or to maps of a fixed part or multiple of its size.

    Images whose maps would take more than `MEMORY` are cut into windows, so that the result stays the same; where a
    network looks at the whole image that is out of reach, and overlapping windows are blended.

    Args:
        model: A functional model of open size with one image as its input and one map as its output.
        batch_size: Largest number of images of one size computed at once.
        finish: From a map to what is kept of it, pixel by pixel and with any number of channels, such as bytes. It is
            called for every window, so that no map of a large image is ever in memory.
        frame: From an image and the multiple of pixels that the network works on to an image of such a size, the old
            one in its upper left corner; by default it is continued by reflection.
    """

    def __init__(
        self,
        model: keras.Model,
        batch_size: int = 1,
        finish: Callable[[np.ndarray], np.ndarray] = lambda found: found,
        frame: Callable[[np.ndarray, int], np.ndarray] = padded,
    ):
        from kerazoo.tiling import largest_window

        self.model, self.batch_size, self.finish, self.frame = model, batch_size, finish, frame
        self._multiple = size_multiple(model)
        self._predictor = Predictor(model, batch_size)
        self._largest = largest_window(model, MEMORY) ** 2

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Returns the map (height, width, channels) of an image of any size."""
        (found,) = self.each([image])
        return found

    def each(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the map of every image of any size; neighbours of one size are computed together."""
        import numpy as np

        framed = ((image.shape[:2], self.frame(np.asarray(image, np.float32), self._multiple)) for image in images)
        for shape, alike in itertools.groupby(framed, lambda pair: pair[1].shape):
            fitting = self._largest // math.prod(shape[:2])
            count = min(self.batch_size, 1 << fitting.bit_length() >> 1)  # a power of two, as the predictor fills up to
            while count and (batch := list(itertools.islice(alike, count))):
                maps = self._predictor(np.stack([image for _, image in batch]))
                for found, (size, image) in zip(maps, batch, strict=True):
                    yield _cropped(self.finish(found), size, image.shape)
            for size, image in alike:
                yield _cropped(self._in_windows(image), size, image.shape)

    @functools.cached_property
    def _is_exact(self) -> bool:
        from kerazoo.tiling import allows_exact_windows

        return allows_exact_windows(self.model)

    def _in_windows(self, image: np.ndarray) -> np.ndarray:
        """Returns the map of a large image."""
        import kerazoo

        kept = _Finished(self.model.compute_output_shape((1, *image.shape))[1:], self.finish)
        if self._is_exact:
            kerazoo.predict_tiled(self.model, image, mode="exact", output=kept)
            return kept.pixels
        found = kerazoo.predict_tiled(self.model, image, mode="blend")  # adds windows up before they can be finished
        for row in range(0, len(found), ROWS):
            kept[row : row + ROWS] = found[row : row + ROWS]
        return kept.pixels


class _Finished:
    """What a map is written to that keeps what `finish` makes of it.

    Args:
        shape: Shape of the map (height, width, channels).
        finish: See `ImagePredictor`.

    Attributes:
        pixels: What is kept, from the first writing on.
    """

    def __init__(self, shape: tuple[int, ...], finish: Callable[[np.ndarray], np.ndarray]):
        import numpy as np

        self.shape, self.dtype, self.finish = tuple(shape), np.dtype("float32"), finish
        self.pixels: Any = None

    def __setitem__(self, place: Any, part: np.ndarray) -> None:
        import numpy as np

        found = self.finish(part)
        if self.pixels is None:
            self.pixels = np.empty((*self.shape[:2], found.shape[-1]), found.dtype)
        self.pixels[place] = found


def _cropped(found: np.ndarray, size: Iterable[int], framed: Iterable[int]) -> np.ndarray:
    """Returns of the map of a framed image what belongs to the image, of the given size before it was framed."""
    height, width = (-(-n * after // before) for n, after, before in zip(size, found.shape, framed, strict=False))
    return found[:height, :width]


def size_multiple(model: keras.Model) -> int:
    """Returns the multiple of pixels a model of open size works on: its largest total stride."""
    import keras

    from kerazoo import _graph

    probe = 1024
    calls = _graph.output_specs(model, [keras.KerasTensor((1, probe, probe, model.inputs[0].shape[-1]))])
    return probe // min(map_.shape[1] for call in calls for map_ in call.outputs if len(map_.shape) == 4)
