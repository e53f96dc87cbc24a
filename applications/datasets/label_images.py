"""Label images: one number per object. What comes otherwise is turned into it where that is safe, else explained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from applications.datasets.readers import BadFileError, read_label_array

if TYPE_CHECKING:
    import numpy as np

# An object numbered by hand may have a piece or two too many; numbers that were interpolated fall into many.
MOST_PIECES = 2.0
LARGEST_NUMBER = 2**31 - 1


class CheckedLabels(NamedTuple):
    """A label image that can be used.

    Attributes:
        labels: `(H, W)` or `(D, H, W)` int32: 0 background, 1..n objects, -1 not to be counted.
        remarks: what was changed; short, without the file's name.
        ids: `(n,)` the numbers that objects 1 to n have in the file; none where the file numbers no objects.
    """

    labels: np.ndarray
    remarks: tuple[str, ...]
    ids: tuple[int, ...] = ()


def read_labels(path: Path) -> CheckedLabels:
    """Reads a label image from TIFF or PNG, see `check_labels`."""
    return check_labels(read_label_array(path), path)


def check_labels(array: np.ndarray, path: Path) -> CheckedLabels:
    """Checks that the numbers of an array are objects.

    Whole numbers stored as floats are taken as they are, gaps in the numbers are closed, the regions of a
    black-and-white mask are numbered, negative numbers mean "do not count", each with a remark.

    Args:
        array: `(H, W)` or `(D, H, W)`, or `(H, W, 3)` with three equal channels.
        path: the file, for messages.

    Returns:
        The labels and remarks.

    Raises:
        BadFileError: For colours, fractions, NaN, and numbers that were interpolated when the image was resized.
    """
    import numpy as np

    from kerazoo.metrics.instances import relabel_sequential

    array, remarks = _without_colours(array, path), []
    if array.dtype.kind == "f":
        array = _whole(array, path)
        remarks.append("its numbers were stored as floats")
    if array.size and array.max() > LARGEST_NUMBER:
        raise BadFileError(path, f"its largest object number is {array.max()}; up to {LARGEST_NUMBER} can be used")
    labels = np.maximum(array.astype(np.int64), -1)
    if (labels < 0).any():
        remarks.append("pixels with negative numbers do not count")
    ids = np.unique(labels[labels > 0])
    pieces = connected_pieces(labels)
    if len(ids) == 1 and pieces.max(initial=0) > 1:
        remarks.append("it is black and white: connected regions were numbered, so objects that touch count as one")
        return CheckedLabels(np.where(labels < 0, -1, pieces).astype(np.int32), tuple(remarks))
    _refuse_interpolated(labels, ids, pieces, path)
    if len(ids) and ids[-1] != len(ids):
        remarks.append("gaps in the numbers of its objects were closed")
    return CheckedLabels(relabel_sequential(labels), tuple(remarks), tuple(ids.tolist()))


def _without_colours(array: np.ndarray, path: Path) -> np.ndarray:
    """Returns the one channel of an image whose three channels are equal."""
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        colours = array[..., :3]
        if (colours != colours[..., :1]).any():
            raise BadFileError(
                path,
                "a label image needs one number per object, but it holds colours; save 16-bit TIFF or PNG",
            )
        array = colours[..., 0]
    return array


def _whole(array: np.ndarray, path: Path) -> np.ndarray:
    """Returns floats that are whole numbers as such."""
    import numpy as np

    if not np.isfinite(array).all():
        raise BadFileError(path, "a label image needs one whole number per object, but it holds NaN or infinity")
    fractions = array != np.rint(array)
    if fractions.any():
        example = float(array[fractions].flat[0])
        scaled = " (a picture scaled to 0..1?)" if array.min() >= 0 and array.max() <= 1 else ""
        raise BadFileError(
            path,
            f"a label image needs one whole number per object, but it holds fractions such as {example:.4g}{scaled}; "
            "if it was resized or turned, do so again with nearest-neighbour interpolation",
        )
    return np.rint(array).astype(np.int64)


def connected_pieces(labels: np.ndarray) -> np.ndarray:
    """Numbers the connected pieces of the objects (neighbours along the axes), 0 elsewhere.

    Args:
        labels: Label image of any number of dimensions.

    Returns:
        Array of the same shape, int64.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places = np.full(labels.shape, -1)
    objects = labels > 0
    places[objects] = np.arange(np.count_nonzero(objects))
    edges = []
    for axis in range(labels.ndim):
        first, second = (np.moveaxis(places, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        one, other = (np.moveaxis(labels, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        joined = (one == other) & (one > 0)
        edges.append(np.stack([first[joined], second[joined]]))
    rows, columns = np.concatenate(edges, axis=1)
    count = int(objects.sum())
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count))
    pieces = np.zeros(labels.shape, np.int64)
    pieces[objects] = connected_components(graph, directed=False)[1] + 1
    return pieces


def _refuse_interpolated(labels: np.ndarray, ids: np.ndarray, pieces: np.ndarray, path: Path) -> None:
    """Raises where objects fall into so many pieces that their numbers cannot be those of objects.

    Linear interpolation of label images gives the rim of every object the numbers between it and the background, which
    are those of other objects: each number gets one body and many slivers all over the image.
    """
    count = int(pieces.max(initial=0))
    if len(ids) >= 2 and count > MOST_PIECES * len(ids) + 2:
        raise BadFileError(
            path,
            f"its {len(ids)} object numbers fall into {count} separate pieces, as when a label image is resized with "
            "interpolation or saved as JPEG; resize it with nearest-neighbour interpolation, one number per object",
        )
