"""Predicting images that are larger than memory, piece by piece.

Two ways: cut so that every piece is what the whole image would have given, or blend pieces that overlap.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import keras
import numpy as np

from kerazoo import _graph, checks
from kerazoo._calls import answer
from kerazoo._receptive_field import UnknownOperationError, WholeImageError, receptive_field

_twins: WeakKeyDictionary[keras.Model, keras.Model] = WeakKeyDictionary()  # so that a second image needs no new trace
_densities: WeakKeyDictionary[keras.Model, float] = WeakKeyDictionary()  # so that it needs no new walk either
_LARGEST_STRIDE = 32
"""What windows are multiples of where neither the graph nor the caller says it: that of most encoders."""
_USUAL_TILE = 512


class _Axis(NamedTuple):
    """How one axis of the image is cut.

    Attributes:
        size: Pixels of the image.
        window: Pixels of a window.
        starts: First pixel of every window.
        parts: Of the image the pixels that each window is to answer for, [first, last).
    """

    size: int
    window: int
    starts: tuple[int, ...]
    parts: tuple[tuple[int, int], ...]


def predict_tiled(
    model: Any,
    image: Any,
    *,
    tile_size: int | Sequence[int] | None = None,
    mode: str = "exact",
    margin: int | Sequence[int] | None = None,
    multiple: int | Sequence[int] | None = None,
    batch_size: int = 1,
    output: Any = None,
    progress: Callable[[int, int], Any] | None = None,
) -> Any:
    """Predicts one image or volume of any size in windows that fit into memory.

    `mode="exact"` reads windows with a margin as wide as the network's receptive field and writes their interior: the
    result is that of the whole image at once. Where the size is no multiple of what the network needs, the image is
    continued by reflection at the far end, and the surplus is cut off. `mode="blend"` averages overlapping windows with
    Gaussian weights: for networks with operations on the whole image, and cheaper where the margin would be wide.
    `mode="auto"` is exact where the network allows it.

    Args:
        model: A functional model with one image or volume as its input and outputs of its size, or of a fixed
            multiple or fraction of it.
        image: (height, width, channels) or (depth, height, width, channels): a NumPy array, a memory map, or whatever
            is cut by slices (zarr). Only one batch of windows of it is in memory at a time.
        tile_size: Size of the windows with their margins, one number or one per axis; a model of fixed size has its
            own. Defaults to 512 pixels, more where the margins are wide, and less where the network has such wide maps
            (or maps of such size, as behind an enlargement) that a window would take more than about 1 GiB.
        mode: `"exact"`, `"blend"` or `"auto"`.
        margin: Pixels of a window that are thrown away on each side (exact), or half the overlap (blend). Defaults to
            the receptive field found in the graph, or to an eighth of the window.
        multiple: What sizes and positions of windows are multiples of. Defaults to what is found in the graph.
        batch_size: Windows computed at once.
        output: Where to write: an array of floats, or what takes assignments to slices like one (memory map, zarr); a
            sequence of them for several outputs. Defaults to new arrays.
        progress: Called with the number of windows done and of all.

    Returns:
        The output (height, width, channels) or (depth, height, width, channels), float32, which is `output` if given;
        for a model with several outputs a tuple in the order of `model.outputs`.

    Raises:
        ValueError: If exact mode is asked of a network that looks at the whole image, or shapes do not fit.

    Example:
        >>> model = kerazoo.unet((None, None, 1), 2)
        >>> probabilities = kerazoo.predict_tiled(model, image)
    """
    checks.one_of("mode", mode, ("exact", "blend", "auto"))
    batch_size = checks.positive_int("batch_size", batch_size)
    sizes = _image_sizes(model, image)
    tiles = None if tile_size is None else _per_axis("tile_size", tile_size, len(sizes))
    margins = None if margin is None else _per_axis("margin", margin, len(sizes), minimum=0)
    multiples = None if multiple is None else _per_axis("multiple", multiple, len(sizes))
    mode, margins, multiples, tiles = _from_graph(model, mode, margins, multiples, tiles)
    fixed = model.inputs[0].shape[1:-1]
    axes = [
        _cut(*numbers, exact=mode == "exact") for numbers in zip(sizes, fixed, tiles, margins, multiples, strict=True)
    ]
    predict, canvas = _predictor(model), None
    places = list(itertools.product(*(range(len(axis.starts)) for axis in axes)))
    for first in range(0, len(places), batch_size):
        chosen = places[first : first + batch_size]
        found = predict(np.stack([_read(image, axes, place) for place in chosen]))
        canvas = canvas or [
            _Canvas(axes, multiples, part.shape[1:], target, mode == "blend")
            for part, target in zip(found, _targets(output, len(found)), strict=True)
        ]
        for sheet, parts in zip(canvas, found, strict=True):
            for place, part in zip(chosen, parts, strict=True):
                sheet.write(place, part)
        if progress is not None:
            progress(first + len(chosen), len(places))
    assert canvas is not None
    return canvas[0].target if len(canvas) == 1 else tuple(sheet.target for sheet in canvas)


def _image_sizes(model: Any, image: Any) -> tuple[int, ...]:
    """Returns the spatial sizes of the image, after holding it against the model's input."""
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs) != 1 or len(inputs[0].shape) not in (4, 5):
        raise ValueError(
            "predict_tiled takes a functional model with one image or volume as its input. "
            f"Received: {getattr(model, 'name', model)!r}"
        )
    wanted, given = tuple(inputs[0].shape[1:]), tuple(np.shape(image))
    if len(given) != len(wanted) or given[-1] != wanted[-1] or 0 in given:
        axes = "height, width" if len(wanted) == 3 else "depth, height, width"
        raise ValueError(
            f"image must be ({axes}, {wanted[-1]} channel(s)) for {model.name!r}, not empty, and images of a stack are "
            f"predicted one by one. Received: an image of shape {given}"
        )
    return given[:-1]


def _per_axis(name: str, value: int | Sequence[int], axes: int, minimum: int = 1) -> tuple[int, ...]:
    values = value if isinstance(value, (tuple, list)) else (value,) * axes
    if len(values) != axes:
        raise ValueError(f"{name} must be one number or one for each of the {axes} axes. Received: {name}={value!r}")
    return tuple(checks.positive_int(name, number, minimum=minimum) for number in values)


def largest_window(model: keras.Model, memory: float = 2**29) -> int:
    """Returns the side in pixels of the largest square or cube whose maps take so much memory.

    What counts are the inputs and outputs of the operation that has most of them, in float32. A whole prediction takes
    about twice as much.

    Args:
        model: A functional model with one image or volume as its input.
        memory: Bytes.

    Example:
        >>> kerazoo.tiling.largest_window(kerazoo.srresnet((None, None, 3), 3))
        256
    """
    axes = len(model.inputs[0].shape) - 2
    if model not in _densities:
        probe = (1, *(size or 8 * _LARGEST_STRIDE for size in model.inputs[0].shape[1:-1]), model.inputs[0].shape[-1])
        calls = _graph.output_specs(model, [keras.KerasTensor(probe)])
        numbers = max(sum(math.prod(x.shape) for x in (*call.inputs, *call.outputs)) for call in calls)
        _densities[model] = numbers / math.prod(probe[:-1])
    return math.floor((memory / (4 * _densities[model])) ** (1 / axes) + 1e-9)


def allows_exact_windows(model: keras.Model) -> bool:
    """Returns whether windows can give what the whole image would give: what `mode="auto"` goes by.

    Args:
        model: A functional model with one image or volume as its input.

    Example:
        >>> kerazoo.tiling.allows_exact_windows(kerazoo.unet((None, None, 1), 2))
        True
    """
    return _from_graph(model, "auto", None, None, None)[0] == "exact"


def _from_graph(
    model: Any, mode: str, margins: Any, multiples: Any, tiles: Any
) -> tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Returns mode, margin, multiple and size of windows: the caller's, else what the graph says."""
    axes = len(model.inputs[0].shape) - 2
    try:
        field = receptive_field(model)
    except (WholeImageError, UnknownOperationError) as error:
        known = margins is not None and multiples is not None
        if mode == "exact" and isinstance(error, WholeImageError):
            raise ValueError(f"mode='exact' is out of reach for {model.name!r}: {error}; use mode='blend'") from None
        if mode == "exact" and not known:
            raise ValueError(
                f"mode='exact' needs margin= and multiple= for {model.name!r}: {error}; or use mode='blend'"
            ) from None
        mode = "exact" if known and not isinstance(error, WholeImageError) and mode != "blend" else "blend"
        multiples = multiples or (_LARGEST_STRIDE,) * axes
    else:
        multiples = multiples or field.multiple
        if mode == "auto":
            least = (2 * -(-m // k) * k + k for m, k in zip(margins or field.margin, multiples, strict=True))
            fixed = model.inputs[0].shape[1:-1]
            mode = "exact" if all(size is None or size >= n for size, n in zip(fixed, least, strict=True)) else "blend"
        margins = field.margin if margins is None and mode == "exact" else margins
    tiles = tiles or _default_tiles(model, margins, multiples)
    return mode, tuple(size // 8 for size in tiles) if margins is None else margins, multiples, tiles


def _default_tiles(model: Any, margins: Sequence[int] | None, multiples: Sequence[int]) -> tuple[int, ...]:
    """Returns windows that fit into memory, of which the margins leave most, or at least a third."""
    fits = largest_window(model) if isinstance(model, keras.Model) else _USUAL_TILE
    return tuple(
        max(min(fits, max(_USUAL_TILE, 8 * margin)), 3 * margin, 2 * margin + 3 * multiple)
        for margin, multiple in zip(margins or (0,) * len(multiples), multiples, strict=True)
    )


def _cut(size: int, fixed: int | None, tile: int, margin: int, multiple: int, *, exact: bool) -> _Axis:
    """Places windows along one axis."""
    whole = -(-size // multiple) * multiple
    window = fixed or min(max(tile // multiple, 1) * multiple, whole)
    if size <= window:
        return _Axis(size, window, (0,), ((0, size),))
    margin = -(-margin // multiple) * multiple
    step = (window - 2 * margin) // multiple * multiple
    if exact and (step < multiple or window % multiple):
        least = 2 * margin + multiple
        raise ValueError(
            f"windows of {window} pixels are too small for an image of {size}: with a margin of {margin} on each side "
            f"exact mode needs multiples of {multiple} from {least} on, as the tile_size or the model's own size"
        )
    last = -(-(size - window) // multiple) * multiple
    starts = (*range(0, last, max(step, multiple)), last)
    edges = [0, *(start + margin for start in starts[1:]), size]
    return _Axis(size, window, starts, tuple(itertools.pairwise(edges)))


def _read(image: Any, axes: Sequence[_Axis], place: Sequence[int]) -> np.ndarray:
    """Returns one window, continued by reflection where it reaches beyond the image."""
    starts = [axis.starts[index] for axis, index in zip(axes, place, strict=True)]
    cut = tuple(slice(start, min(start + axis.window, axis.size)) for start, axis in zip(starts, axes, strict=True))
    window = np.asarray(image[cut], "float32")
    missing = [(0, axis.window - size) for axis, size in zip(axes, window.shape, strict=False)]
    return np.pad(window, [*missing, (0, 0)], mode="reflect") if any(pair[1] for pair in missing) else window


def _predictor(model: Any) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Returns the compiled model, every output as an array."""
    if not isinstance(model, keras.Model):  # a loaded export in its place
        return lambda batch: [np.asarray(y) for y in keras.tree.flatten(model(batch, training=False))]
    if model not in _twins:
        _twins[model] = keras.Model(_graph.inputs(model), model.outputs)
        _twins[model].jit_compile = False  # XLA takes longer to compile than most images take
    return lambda batch: keras.tree.flatten(answer(_twins[model], batch))


def _targets(output: Any, count: int) -> list[Any]:
    """Returns where each of the model's outputs is to be written to; `None` for a new array."""
    if output is None:
        return [None] * count
    targets = list(output) if count > 1 and isinstance(output, (tuple, list)) else [output]
    if len(targets) != count:
        raise ValueError(f"output must be one array for each of the model's {count} outputs. Received: {len(targets)}")
    return targets


class _Canvas:
    """One output of the whole image, on which the outputs of windows are put together.

    Args:
        axes: How the image is cut.
        multiples: What starts of windows are multiples of.
        shape: Shape of the output of one window.
        target: Where to write; `None` for a new array.
        blend: Whether windows are averaged.
    """

    def __init__(
        self, axes: Sequence[_Axis], multiples: Sequence[int], shape: tuple[int, ...], target: Any, blend: bool
    ) -> None:
        self.axes = axes
        windows = [axis.window for axis in axes]
        if len(shape) != len(axes) + 1:
            raise ValueError(f"predict_tiled needs outputs that are images, not of shape {shape}")
        self.scales = [Fraction(size, window) for size, window in zip(shape, windows, strict=False)]
        if any((size * scale).denominator > 1 for size, scale in zip(multiples, self.scales, strict=True)):
            raise ValueError(
                "predict_tiled needs an output of the input's size, or of a fixed multiple or fraction of it (such as "
                f"padding='same'). Received: {tuple(windows)} -> {tuple(shape[:-1])}"
            )
        self.sizes = [self._place(axis.size, number) for number, axis in enumerate(axes)]
        whole = (*self.sizes, shape[-1])
        self.target = np.zeros(whole, "float32") if target is None else target
        if tuple(self.target.shape) != whole or np.dtype(self.target.dtype).kind != "f":
            raise ValueError(
                f"output must be an array of floats of shape {whole}. Received: {self.target.dtype} of shape "
                f"{tuple(self.target.shape)}"
            )
        self.weights = [self._weights(number) for number in range(len(axes))] if blend else None
        if blend and target is not None:
            self.target[...] = 0.0  # windows are added to it

    def _place(self, pixel: int, axis: int) -> int:
        """Returns the coordinate in the output of a pixel of the input."""
        return -int(-pixel * self.scales[axis] // 1)

    def _weights(self, number: int) -> list[np.ndarray]:
        """Returns the weights of every window along one axis; at every pixel they add up to one.

        The weight of a window is the product of those of its axes, and so are the sums over all windows.
        """
        axis = self.axes[number]
        length = self._place(axis.window, number)
        distance = (np.arange(length) - (length - 1) / 2) / (length / 8)
        bell = np.exp(-0.5 * distance**2)
        begins = [self._place(start, number) for start in axis.starts]
        total = np.zeros(begins[-1] + length)
        for begin in begins:
            total[begin : begin + length] += bell
        return [(bell / total[begin : begin + length]).astype("float32") for begin in begins]

    def write(self, place: Sequence[int], part: np.ndarray) -> None:
        """Writes what a window answers for, or adds it with its weights."""
        there: list[slice] = []
        here: list[slice] = []
        for number, (axis, index) in enumerate(zip(self.axes, place, strict=True)):
            begin = self._place(axis.starts[index], number)
            first, last = (self._place(pixel, number) for pixel in axis.parts[index])
            if self.weights is not None:
                first, last = begin, min(begin + part.shape[number], self.sizes[number])
            there.append(slice(first, last))
            here.append(slice(first - begin, last - begin))
        if self.weights is None:
            self.target[tuple(there)] = part[tuple(here)]
            return
        for number, index in enumerate(place):
            shape = [1] * part.ndim
            shape[number] = -1
            part = part * self.weights[number][index].reshape(shape)
        self.target[tuple(there)] = self.target[tuple(there)] + part[tuple(here)]
