"""How well tracks are found: the share of right links, and the scores DET and TRA of the Cell Tracking Challenge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.tracking.linking import cheapest_links, possible_links
from kerazoo.tracking.tracks import Tracks

_NODE_WEIGHTS = (5.0, 10.0, 1.0)  # a found object that stands for several, one that is missing, one too many
_EDGE_WEIGHTS = (1.0, 1.5, 1.0)  # a link too many, one that is missing, one of the wrong kind


@dataclass(frozen=True)
class LinkScores:
    """How many links of the truth were found.

    Attributes:
        true: Links of the truth.
        found: Links that were found.
        correct: Links that are both.
    """

    true: int
    found: int
    correct: int

    @property
    def recall(self) -> float:
        """Share of the true links that were found; 1 where there are none."""
        return self.correct / self.true if self.true else 1.0

    @property
    def precision(self) -> float:
        """Share of the found links that are true; 1 where there are none."""
        return self.correct / self.found if self.found else 1.0


def link_scores(truth: Tracks, found: Tracks, *, tolerance: float = 1e-6, consecutive: bool = False) -> LinkScores:
    """Counts the links that truth and result have in common.

    Args:
        truth: The true tracks.
        found: The tracks found.
        tolerance: Largest distance in pixels between a point and the true one it stands for; more than the default
            where the points were detected and not given.
        consecutive: Whether only links from one frame to the very next count.

    Returns:
        The counts; a division is a link from mother to daughter.

    Example:
        >>> truth = kerazoo.tracking.link([[(0, 0)], [(1, 0)], [(2, 0)]], 3)
        >>> link_scores(truth, kerazoo.tracking.link([[(0, 0)], [(1, 0)], []], 3)).recall
        0.5
    """
    partner = _partners(truth, found, tolerance)
    true, _ = truth.links()
    links, _ = found.links()
    if consecutive:
        true = true[np.diff(truth.frame[true], axis=1)[:, 0] == 1]
        links = links[np.diff(found.frame[links], axis=1)[:, 0] == 1]
    wanted = {(int(a), int(b)) for a, b in true}
    correct = sum((int(partner[a]), int(partner[b])) in wanted for a, b in links)
    return LinkScores(len(true), len(links), correct)


def detection_and_tracking(truth: Tracks, found: Tracks, *, tolerance: float) -> tuple[float, float]:
    """Returns DET and TRA of points: each point is matched to at most one true point within the tolerance.

    Args:
        truth: The true tracks.
        found: The tracks found.
        tolerance: Largest distance in pixels.

    Returns:
        DET and TRA, from 0 to 1.

    References:
        Matula et al., "Cell tracking accuracy measurement based on comparison of acyclic oriented graphs", PLoS ONE
        (2015), https://doi.org/10.1371/journal.pone.0144959
    """
    partner = _partners(truth, found, tolerance)
    return _scores(truth, found, [[int(p)] if p >= 0 else [] for p in partner])


def detection_and_tracking_of_labels(
    truth: Tracks, true_images: Sequence[Any], found: Tracks, images: Sequence[Any]
) -> tuple[float, float]:
    """Returns DET and TRA of label images in which every object has the number of its track.

    An object stands for each true object of which it covers more than half.

    Args:
        truth: The true tracks.
        true_images: One array (height, width) per frame, numbered by `truth`.
        found: The tracks found.
        images: The same, numbered by `found`.

    Returns:
        DET and TRA, from 0 to 1.
    """
    row = {(int(f), int(t)): i for i, (f, t) in enumerate(zip(found.frame, found.track, strict=True))}
    covered: list[list[int]] = [[] for _ in range(len(found))]
    for i, (frame, number) in enumerate(zip(truth.frame, truth.track, strict=True)):
        inside = np.asarray(images[frame])[np.asarray(true_images[frame]) == number]
        numbers, counts = np.unique(inside, return_counts=True)
        most = int(np.argmax(counts)) if len(counts) else 0
        if len(counts) and 2 * counts[most] > len(inside) and numbers[most] > 0:
            covered[row[int(frame), int(numbers[most])]].append(i)
    return _scores(truth, found, covered)


def _partners(truth: Tracks, found: Tracks, tolerance: float) -> np.ndarray:
    """Returns for each found row the true row it stands for, or -1; in each frame the closest fit of all."""
    partner = np.full(len(found), -1)
    for frame in np.intersect1d(truth.frame, found.frame):
        true, rows = np.flatnonzero(truth.frame == frame), np.flatnonzero(found.frame == frame)
        a, b, squared = possible_links(found.position[rows], truth.position[true], tolerance)
        chosen = cheapest_links(a, b, squared, tolerance**2)
        partner[rows[a[chosen]]] = true[b[chosen]]
    return partner


def _scores(truth: Tracks, found: Tracks, covered: list[list[int]]) -> tuple[float, float]:
    """Returns DET and TRA, where `covered` says which true rows each found row stands for."""
    stands_for = [len(rows) for rows in covered]
    missing = len(truth) - sum(stands_for)
    splits = sum(count - 1 for count in stands_for if count > 1)
    extra = sum(count == 0 for count in stands_for)
    nodes = float(np.dot(_NODE_WEIGHTS, (splits, missing, extra)))

    true = {(int(a), int(b)): bool(kind) for (a, b), kind in zip(*truth.links(), strict=True)}
    own = {i: rows[0] for i, rows in enumerate(covered) if len(rows) == 1}
    there = {
        (own[int(a)], own[int(b)]): bool(kind)
        for (a, b), kind in zip(*found.links(), strict=True)
        if int(a) in own and int(b) in own
    }
    too_many = len(there.keys() - true.keys())
    lacking = len(true.keys() - there.keys())
    wrong = sum(there[link] != true[link] for link in there.keys() & true.keys())
    edges = float(np.dot(_EDGE_WEIGHTS, (too_many, lacking, wrong)))

    from_nothing = _NODE_WEIGHTS[1] * len(truth)
    all_from_nothing = from_nothing + _EDGE_WEIGHTS[1] * len(true)
    if not from_nothing:
        return (1.0, 1.0) if not len(found) else (0.0, 0.0)
    det = 1 - min(nodes, from_nothing) / from_nothing
    return det, 1 - min(nodes + edges, all_from_nothing) / all_from_nothing
