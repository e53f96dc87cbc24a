"""Linking of points by linear assignment, in two steps: from frame to frame, then over gaps and divisions.

K. Jaqaman et al., "Robust single-particle tracking in live-cell time-lapse sequences", Nature Methods 5 (2008). The
price of a point without a partner, the square of the search range, is that of J. C. Crocker, D. G. Grier, "Methods of
digital video microscopy for colloidal studies", J. Colloid Interface Sci. 179 (1996).

An assignment costs the cube of the number of points, but points out of each other's reach have nothing to do with each
other: each connected component of the graph of possible links is solved by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from kerazoo.tracking.tracks import Tracks, as_points

_VELOCITY_FRAMES = 5  # a velocity is the mean over so many steps: one step alone is mostly noise
MOTIONS = ("none", "velocity")
# From a frame and pairs of its points and the next one's to the factors of their squared distances.
Discount = Callable[[int, np.ndarray, np.ndarray], np.ndarray]


def link(
    points_per_frame: Sequence[Any],
    max_distance: float,
    *,
    max_gap: int = 0,
    splitting: bool = False,
    motion: str = "none",
) -> Tracks:
    """Links points to tracks.

    Each two frames are linked so that the sum of squared distances is least, where a point that finds no partner costs
    `max_distance ** 2`. Then ends of tracks are linked, all at once, to starts up to `max_gap` missed frames later, and
    starts that lie beside a running track to it, as divisions.

    Over t frames a random walk gets sqrt(t) times as far as in one: so far apart may an end and a start be, and the
    squared distance that is paid grows with the gap.

    Args:
        points_per_frame: One array (points, 2) of row and column in pixels per frame; frames may be empty.
        max_distance: Longest way in pixels from one frame to the next.
        max_gap: Frames in a row in which a point may be missed.
        splitting: Whether tracks may divide. Of a division both daughters must be within `max_distance` of the mother's
            last point, and the nearer their middle is to it, the less the division costs.
        motion: `"none"`, points are looked for where they were; `"velocity"`, where they would be if they went on as
            in their last frames (up to five).

    Returns:
        The tracks.

    Raises:
        ValueError: Points are not finite, or an argument has a value that cannot work.

    Example:
        >>> frames = [[(0, 0), (10, 10)], [(1, 0)], [(2, 1), (10, 12)]]
        >>> tracks = link(frames, 4, max_gap=1)
        >>> tracks.track.tolist(), tracks.frame.tolist()
        ([1, 1, 1, 2, 2], [0, 1, 2, 0, 2])
    """
    check_options(max_distance, max_gap, splitting, motion)
    return linked(as_points(points_per_frame), float(max_distance), max_gap, splitting, motion == "velocity")


def linked(
    frames: list[np.ndarray],
    max_distance: float,
    max_gap: int,
    splitting: bool,
    moving: bool,
    discount: Discount | None = None,
) -> Tracks:
    """Links checked points; see `link`. With a `discount` squared distances are multiplied by what it returns."""
    numbers, velocities = _frame_to_frame(frames, max_distance, moving, discount)
    parents: dict[int, int] = {}
    if max_gap or splitting:
        numbers, parents = _close(frames, numbers, velocities, max_distance, max_gap, splitting)
    return Tracks.of(numbers, frames, parents)


def link_nearest(points_per_frame: Sequence[Any], max_distance: float) -> Tracks:
    """Links each two frames by their closest pairs first: the simple method to compare with.

    Args:
        points_per_frame: As in `link`.
        max_distance: Longest way in pixels from one frame to the next.

    Returns:
        The tracks.

    Example:
        >>> link_nearest([[(0, 0), (3, 0)], [(2, 0), (5, 0)]], 5).track.tolist()
        [1, 1, 2, 2]
    """
    frames = as_points(points_per_frame)
    check_options(max_distance, 0, False, "none")
    numbers = [np.arange(1, len(frames[0]) + 1)]
    used = len(frames[0])
    for before, after in pairwise(frames):
        rows, columns, costs = possible_links(before, after, max_distance)
        found, free = np.zeros(len(after), np.int64), np.ones(len(before), bool)
        for pair in np.argsort(costs, kind="stable"):
            if free[rows[pair]] and not found[columns[pair]]:
                found[columns[pair]] = numbers[-1][rows[pair]]
                free[rows[pair]] = False
        used = _start_tracks(found, used)
        numbers.append(found)
    return Tracks.of(numbers, frames, {})


def _start_tracks(numbers: np.ndarray, used: int) -> int:
    """Gives points without a track, which have number 0, the next numbers; returns the last number."""
    new = numbers == 0
    numbers[new] = used + 1 + np.arange(new.sum())
    return used + int(new.sum())


def cheapest_links(rows: np.ndarray, columns: np.ndarray, costs: np.ndarray, unlinked: float) -> np.ndarray:
    """Chooses links so that all costs together are least.

    Args:
        rows: (m,) of each possible link its one end.
        columns: (m,) its other end.
        costs: (m,) what it costs, at most `unlinked`.
        unlinked: What a row without a link costs.

    Returns:
        Numbers of the chosen links, in increasing order; each row and each column has at most one.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    _, row = np.unique(rows, return_inverse=True)
    _, column = np.unique(columns, return_inverse=True)
    size = row.max() + 1 + column.max() + 1
    graph = coo_array((np.ones(len(row)), (row, row.max() + 1 + column)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][row]
    alone = np.bincount(component)[component] == 1
    chosen = [np.flatnonzero(alone)]
    order = np.argsort(component, kind="stable")
    order = order[~alone[order]]
    for block in np.split(order, np.flatnonzero(np.diff(component[order])) + 1) if len(order) else ():
        _, r = np.unique(row[block], return_inverse=True)
        _, c = np.unique(column[block], return_inverse=True)
        # What a link saves; where none is possible nothing is saved, which is the same as no link.
        savings = np.zeros((r.max() + 1, c.max() + 1))
        which = np.full(savings.shape, -1)
        np.add.at(savings, (r, c), np.nextafter(unlinked, math.inf) - costs[block])
        which[r, c] = block
        found = which[linear_sum_assignment(savings, maximize=True)]
        chosen.append(found[found >= 0])
    return np.sort(np.concatenate(chosen))


def check_options(max_distance: float, max_gap: int, splitting: bool, motion: str) -> None:
    """Refuses options that cannot work."""
    if isinstance(max_distance, bool) or not 0 < max_distance < math.inf:
        raise ValueError(f"max_distance must be a number of pixels above 0. Received: max_distance={max_distance!r}")
    if isinstance(max_gap, bool) or max_gap != int(max_gap) or max_gap < 0:
        raise ValueError(f"max_gap must be a whole number of frames of at least 0. Received: max_gap={max_gap!r}")
    if not isinstance(splitting, bool):
        raise ValueError(f"splitting must be True or False. Received: splitting={splitting!r}")
    if motion not in MOTIONS:
        raise ValueError(f"motion must be one of {', '.join(map(repr, MOTIONS))}. Received: motion={motion!r}")


def possible_links(before: np.ndarray, after: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the pairs of points that are within reach of each other.

    Args:
        before: (n, 2) points.
        after: (m, 2) points.
        reach: Largest distance.

    Returns:
        Of each pair its place in `before`, its place in `after`, and the squared distance.
    """
    if not len(before) or not len(after):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    pairs = KDTree(before).query_ball_tree(KDTree(after), reach)
    rows = np.repeat(np.arange(len(before)), [len(found) for found in pairs])
    columns = np.array([point for found in pairs for point in found], np.int64)
    return rows, columns, ((before[rows] - after[columns]) ** 2).sum(axis=1)


def _frame_to_frame(
    frames: list[np.ndarray], max_distance: float, moving: bool, discount: Discount | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the track of each point of each frame, and the velocity with which each point is left."""
    numbers = [np.arange(1, len(frames[0]) + 1)]
    velocities, ages = [np.zeros_like(frames[0])], np.zeros(len(frames[0]))
    used = len(frames[0])
    for frame, (before, after) in enumerate(pairwise(frames)):
        rows, columns, costs = possible_links(before + velocities[-1], after, max_distance)
        if discount is not None:
            costs = costs * discount(frame, rows, columns)
        chosen = cheapest_links(rows, columns, costs, max_distance**2)
        rows, columns = rows[chosen], columns[chosen]
        found, velocity, age = np.zeros(len(after), np.int64), np.zeros_like(after), np.zeros(len(after))
        found[columns] = numbers[-1][rows]
        if moving:
            age[columns] = np.minimum(ages[rows] + 1, _VELOCITY_FRAMES)
            step = after[columns] - before[rows]
            velocity[columns] = velocities[-1][rows] + (step - velocities[-1][rows]) / age[columns][:, None]
        used = _start_tracks(found, used)
        numbers.append(found)
        velocities.append(velocity)
        ages = age
    return numbers, velocities


def _close(
    frames: list[np.ndarray],
    numbers: list[np.ndarray],
    velocities: list[np.ndarray],
    max_distance: float,
    max_gap: int,
    splitting: bool,
) -> tuple[list[np.ndarray], dict[int, int]]:
    """Links ends of segments to starts, and starts to segments that go on; returns tracks and their parents."""
    place, velocity = np.concatenate(frames), np.concatenate(velocities)
    frame = np.repeat(np.arange(len(frames)), [len(points) for points in frames])
    segment = np.concatenate(numbers)
    order = np.lexsort((frame, segment))
    changes = np.diff(segment[order]) != 0
    last, first = (np.append(*sides)[: len(order)] for sides in ((changes, True), (True, changes)))
    ends, starts = order[last], order[first]
    follower = np.full(len(place), -1)
    follower[order[:-1][~last[:-1]]] = order[1:][~last[:-1]]
    starts = starts[frame[starts] > 0]

    links: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for time in range(2, max_gap + 2):
        for now in range(len(frames) - time):
            here, there = ends[frame[ends] == now], starts[frame[starts] == now + time]
            rows, columns, costs = possible_links(
                place[here] + time * velocity[here], place[there], max_distance * math.sqrt(time)
            )
            links.append((here[rows], there[columns], costs))
    for now in range(len(frames) - 1) if splitting else ():
        here = np.flatnonzero((frame == now) & (follower >= 0))
        there = starts[frame[starts] == now + 1]
        rows, columns, _ = possible_links(place[here], place[there], max_distance)
        middle = (place[follower[here[rows]]] + place[there[columns]]) / 2
        # Twice the distance of the middle: for a start that has nothing to do with the track, its own distance.
        costs = 4 * ((place[here[rows]] - middle) ** 2).sum(axis=1)
        near = costs <= max_distance**2
        links.append((here[rows[near]], there[columns[near]], costs[near]))
    if not links:
        return numbers, {}
    rows, columns, costs = (np.concatenate(parts) for parts in zip(*links, strict=True))
    chosen = cheapest_links(rows, columns, costs, max_distance**2 * (max_gap + 1))
    return _joined(frames, frame, segment, follower, rows[chosen], columns[chosen])


def _joined(
    frames: list[np.ndarray],
    frame: np.ndarray,
    segment: np.ndarray,
    follower: np.ndarray,
    earlier: np.ndarray,
    later: np.ndarray,
) -> tuple[list[np.ndarray], dict[int, int]]:
    """Returns the tracks of each frame with further links: of a point with a follower they are divisions."""
    after = follower.copy()
    mother = np.full(len(segment), -1)
    for a, b in zip(earlier, later, strict=True):
        if follower[a] < 0:
            after[a] = b
        else:
            mother[b] = mother[follower[a]] = a
            after[a] = -1
    begins = np.ones(len(segment), bool)
    begins[after[after >= 0]] = False
    track = np.zeros(len(segment), np.int64)
    parents: dict[int, int] = {}
    for number, start in enumerate(sorted(np.flatnonzero(begins), key=lambda i: (frame[i], i)), start=1):
        point = start
        while point >= 0:
            track[point] = number
            point = after[point]
        if mother[start] >= 0:
            parents[number] = int(track[mother[start]])
    return np.split(track, np.cumsum([len(points) for points in frames])[:-1]), parents
