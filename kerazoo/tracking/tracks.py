"""The result of linking: one row per point, ordered by track and frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NO_PARENT = 0


@dataclass(frozen=True, eq=False)
class Tracks:
    """A table of tracks; row i is one point.

    A track that divides ends, and each of its daughters is a track whose `parent` it is. Rows are ordered by track, and
    within a track by frame; a track may leave out frames.

    Attributes:
        track: (n,) number of the track, from 1.
        parent: (n,) number of the track it came from by division, 0 for none; the same in all rows of a track.
        frame: (n,) number of the frame, from 0.
        y: (n,) row coordinate in pixels.
        x: (n,) column coordinate in pixels.
        point: (n,) which of its frame's points this is, in the order they were given.
    """

    track: np.ndarray
    parent: np.ndarray
    frame: np.ndarray
    y: np.ndarray
    x: np.ndarray
    point: np.ndarray

    @classmethod
    def of(cls, numbers: Sequence[np.ndarray], points: Sequence[np.ndarray], parents: dict[int, int]) -> Tracks:
        """Makes the table of a track's number for each point of each frame.

        Args:
            numbers: One array of whole numbers per frame: the track of each point; 0 leaves a point out.
            points: One array (points, 2) of row and column per frame.
            parents: Track -> the track it came from.

        Returns:
            The table.
        """
        track = np.concatenate([np.zeros(0, np.int64), *numbers]).astype(np.int64)
        frame = np.repeat(np.arange(len(numbers)), [len(n) for n in numbers])
        point = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(n)) for n in numbers)]).astype(np.int64)
        place = np.concatenate([np.zeros((0, 2)), *points])
        order = np.lexsort((frame, track))
        order = order[track[order] > 0]
        parent = np.array([parents.get(int(number), NO_PARENT) for number in track[order]], np.int64)
        return cls(track[order], parent, frame[order], place[order, 0], place[order, 1], point[order])

    def __len__(self) -> int:
        return len(self.track)

    @property
    def position(self) -> np.ndarray:
        """(n, 2) row and column."""
        return np.stack([self.y, self.x], axis=1)

    @property
    def parents(self) -> dict[int, int]:
        """Track -> the track it came from, for those that came from one."""
        rows = self.parent > NO_PARENT
        return dict(zip(self.track[rows].tolist(), self.parent[rows].tolist(), strict=True))

    def each(self) -> Iterator[tuple[int, slice]]:
        """Yields each track's number and its rows."""
        numbers, starts = np.unique(self.track, return_index=True)
        for number, start, stop in zip(numbers, starts, [*starts[1:], len(self)], strict=True):
            yield int(number), slice(int(start), int(stop))

    def lengths(self) -> np.ndarray:
        """Returns the number of points of each track."""
        return np.unique(self.track, return_counts=True)[1]

    def links(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns which rows follow each other.

        Returns:
            (m, 2) rows of earlier and later point, first those within tracks, then those from a mother's last point to
            a daughter's first; and (m,) whether a link is a division.
        """
        within = np.flatnonzero(self.track[1:] == self.track[:-1])
        rows = dict(self.each())
        divisions = [
            (rows[mother].stop - 1, rows[daughter].start)
            for daughter, mother in sorted(self.parents.items())
            if mother in rows
        ]
        both = np.concatenate([np.stack([within, within + 1], axis=1), np.array(divisions, np.int64).reshape(-1, 2)])
        return both, np.arange(len(both)) >= len(within)

    def without_gaps(self) -> Tracks:
        """Returns the tracks cut where they leave out frames; what follows is a track whose parent is what was before.

        That is how formats say it which allow no gap.
        """
        new = np.append(True, (np.diff(self.track) > 0) | (np.diff(self.frame) > 1))[: len(self)]
        track = np.cumsum(new)
        last = {int(number): int(track[rows.stop - 1]) for number, rows in self.each()}
        parent = np.array([last.get(int(number), NO_PARENT) for number in self.parent], np.int64)
        cut = new & np.append(False, np.diff(self.track) == 0)[: len(self)]
        before = {int(number): int(number) - 1 for number in track[cut]}
        parent = np.array([before.get(int(t), int(p)) for t, p in zip(track, parent, strict=True)], np.int64)
        return Tracks(track, parent, self.frame, self.y, self.x, self.point)

    def columns(self) -> dict[str, np.ndarray]:
        """Returns the columns that are written: track, parent, frame, y, x."""
        return {name: getattr(self, name) for name in ("track", "parent", "frame", "y", "x")}


def as_points(points_per_frame: Sequence[Any]) -> list[np.ndarray]:
    """Returns the points of each frame as (n, 2) float64.

    Raises:
        ValueError: There is no frame, or points are no finite rows of two numbers.
    """
    if len(points_per_frame) == 0:
        raise ValueError("points_per_frame must hold at least one frame. Received: none.")
    frames = []
    for number, points in enumerate(points_per_frame):
        array = np.asarray(points, np.float64)
        array = array.reshape(0, 2) if array.size == 0 else array
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(
                f"points_per_frame must hold one array (points, 2) of row and column per frame. Received: shape "
                f"{array.shape} in frame {number}."
            )
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            raise ValueError(
                f"points_per_frame must be finite; leave out what was not found. Received: {array[bad[0]].tolist()} as "
                f"point {bad[0]} of frame {number}."
            )
        frames.append(array)
    return frames
