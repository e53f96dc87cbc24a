"""Hiding pixels from a network that is to guess them: the training samples of Noise2Void, with NumPy alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_FAR = 4.0
"""Standard deviation in pixels of the offsets of `normal_withoutCP`."""


def blind_spots(
    patch: Any,
    random: np.random.Generator,
    *,
    percentage: float = 1.5,
    manipulator: str = "uniform_withoutCP",
    radius: int = 5,
    structure: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a patch with some of its pixels replaced, and what a network is to say of them.

    The pixels are stratified: the patch is divided into boxes as large as one pixel of `percentage` stands for, and one
    pixel of every box is hidden; every channel has its own.

    Args:
        patch: (height, width, channels) or (depth, height, width, channels), with mean 0 and spread 1.
        random: Where random numbers come from.
        percentage: How many pixels are hidden, in percent, above 0 and at most 100.
        manipulator: What a hidden pixel is replaced by, one of `MANIPULATORS`. Those that end in `withoutCP`, `mean`
            and `median` never look at the hidden pixel itself.
        radius: Pixels on each side that replacements are taken from (`normal_additive`: the spread of the noise).
        structure: For noise that is correlated along a line or some other shape (structN2V): an array of zeros and
            ones with an odd size along every spatial axis; pixels under its ones around every hidden pixel are replaced
            by uniform noise in [-2, 2], too, and do not count in the loss.

    Returns:
        The manipulated patch, and the targets for `kerazoo.losses.BlindSpot`: the patch's own channels, then a mask
        that is 1 where a pixel is hidden. Both float32.

    Raises:
        ValueError: If an argument has a value that cannot work.

    Example:
        >>> hidden, targets = blind_spots(patch, np.random.default_rng(0), manipulator="median")

    References:
        Krull, Buchholz, Jug (2019), https://arxiv.org/abs/1811.10980; `structure`: Broaddus et al. (2020),
        https://doi.org/10.1109/ISBI45749.2020.9098336; `mean` and `median`: Hoeck et al. (2022),
        https://arxiv.org/abs/2211.08512
    """
    original = np.asarray(patch, np.float32)
    if original.ndim not in (3, 4) or 0 in original.shape:
        raise ValueError(
            f"patch must be (height, width, channels) or have a depth in front. Received: shape {original.shape}"
        )
    if manipulator not in MANIPULATORS:
        raise ValueError(f"manipulator must be one of {', '.join(MANIPULATORS)}. Received: {manipulator!r}")
    if not 0 < percentage <= 100:
        raise ValueError(f"percentage must be above 0 and at most 100. Received: percentage={percentage!r}")
    if not isinstance(radius, int) or radius < 1:
        raise ValueError(f"radius must be a whole number of at least 1. Received: radius={radius!r}")
    offsets = None if structure is None else _offsets(structure, original.ndim - 1)
    hidden, mask = original.copy(), np.zeros_like(original)
    for channel in range(original.shape[-1]):
        plane = original[..., channel]
        places = stratified(plane.shape, percentage, random)
        values = MANIPULATORS[manipulator](plane, places, radius, random)
        if offsets is not None:
            around = (places[:, None, :] + offsets[None]).reshape(-1, plane.ndim)
            around = around[((around >= 0) & (around < plane.shape)).all(axis=1)]
            hidden[(*around.T, channel)] = random.uniform(-2.0, 2.0, len(around))
        hidden[(*places.T, channel)] = values
        mask[(*places.T, channel)] = 1.0
    return hidden, np.concatenate([original, mask], axis=-1)


def box_size(percentage: float, axes: int) -> int:
    """Returns the edge of the boxes of which every one has one hidden pixel: 8 for 1.5 % of an image, 4 of a volume."""
    return max(1, round((100.0 / percentage) ** (1.0 / axes)))


def stratified(shape: tuple[int, ...], percentage: float, random: np.random.Generator) -> np.ndarray:
    """Returns the coordinates (count, axes) of one random pixel of every box; boxes at the far edge may have none."""
    edge = box_size(percentage, len(shape))
    corners = np.array(list(itertools.product(*(range(0, size, edge) for size in shape))))
    places = corners + random.integers(0, edge, corners.shape)
    inside = places[(places < shape).all(axis=1)]
    return inside if len(inside) else random.integers(0, shape, (1, len(shape)))


def _offsets(structure: Any, axes: int) -> np.ndarray:
    """Returns the offsets under the ones of a mask, relative to its middle."""
    ones = np.asarray(structure)
    if ones.ndim != axes or any(size % 2 == 0 for size in ones.shape) or not np.isin(ones, (0, 1)).all():
        raise ValueError(
            f"structure must be an array of zeros and ones with {axes} axes of odd size. Received: shape {ones.shape}"
        )
    return np.argwhere(ones) - np.array(ones.shape) // 2


def _windows(plane: np.ndarray, places: np.ndarray, radius: int, centre: bool) -> np.ndarray:
    """Returns (count, window) values around each place, NaN beyond the patch and, without `centre`, in the middle."""
    steps = np.array(list(itertools.product(range(-radius, radius + 1), repeat=plane.ndim)))
    if not centre:
        steps = steps[(steps != 0).any(axis=1)]
    around = places[:, None, :] + steps[None]
    inside = ((around >= 0) & (around < plane.shape)).all(axis=-1)
    clipped = np.clip(around, 0, np.array(plane.shape) - 1)
    return np.where(inside, plane[tuple(np.moveaxis(clipped, -1, 0))], np.nan)


def _picked(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns one of the values of every row that are not NaN."""
    draws = np.where(np.isnan(values), -1.0, random.uniform(size=values.shape))
    return values[np.arange(len(values)), draws.argmax(axis=1)]


def _gaussian_neighbour(plane: np.ndarray, places: np.ndarray, radius: int, random: np.random.Generator) -> np.ndarray:
    found, missing = np.empty(len(places), plane.dtype), np.arange(len(places))
    while len(missing):
        steps = np.rint(random.normal(0.0, _FAR, (len(missing), plane.ndim))).astype(int)
        there = np.clip(places[missing] + steps, 0, np.array(plane.shape) - 1)
        other = (there != places[missing]).any(axis=1)
        found[missing[other]] = plane[tuple(there[other].T)]
        missing = missing[~other]
        if plane.size == 1:
            raise ValueError("a patch of one pixel has no neighbours")
    return found


def _fitted(plane: np.ndarray, places: np.ndarray, radius: int, random: np.random.Generator) -> np.ndarray:
    around = _windows(plane, places, radius, centre=True)
    return random.normal(np.nanmean(around, axis=1), np.nanstd(around, axis=1))


def _own(plane: np.ndarray, places: np.ndarray) -> np.ndarray:
    return plane[tuple(places.T)]


_Manipulator = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]
MANIPULATORS: Mapping[str, _Manipulator] = {
    "uniform_withCP": lambda x, places, r, random: _picked(_windows(x, places, r, centre=True), random),
    "uniform_withoutCP": lambda x, places, r, random: _picked(_windows(x, places, r, centre=False), random),
    "mean": lambda x, places, r, random: np.nanmean(_windows(x, places, r, centre=False), axis=1),
    "median": lambda x, places, r, random: np.nanmedian(_windows(x, places, r, centre=False), axis=1),
    "normal_withoutCP": _gaussian_neighbour,
    "normal_additive": lambda x, places, r, random: _own(x, places) + random.normal(0.0, r, len(places)),
    "normal_fitted": _fitted,
    "identity": lambda x, places, r, random: _own(x, places),
}
"""Name -> what replaces hidden pixels: a function of image, places, radius and random numbers."""
