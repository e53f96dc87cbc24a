"""Points: matching, discs and back, refinement."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kerazoo.detection.points import centroids, draw_discs, find_peaks, find_points, refine_gaussian
from kerazoo.metrics.points import match_points, nearest_neighbour_distance, pooled


def _best_by_trying(truth: np.ndarray, found: np.ndarray, most: float) -> tuple[int, float]:
    """Number of pairs and the sum of their distances, by trying all of them."""
    best = (0, 0.0)
    for order in itertools.permutations(range(len(found)), min(len(truth), len(found))):
        for rows in itertools.combinations(range(len(truth)), len(order)):
            distances = [np.linalg.norm(truth[a] - found[b]) for a, b in zip(rows, order, strict=True)]
            near = [distance for distance in distances if distance <= most]
            best = min(best, (-len(near), sum(near)))
    return -best[0], best[1]


@pytest.mark.parametrize("seed", range(6))
def test_matching_is_the_best_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, found = random.uniform(0, 6, (4, 2)), random.uniform(0, 6, (3 + seed % 3, 2))
    matching = match_points(truth, found, 2.0)
    count, total = _best_by_trying(truth, found, 2.0)
    assert len(matching.pairs) == count
    assert np.linalg.norm(matching.offsets, axis=1).sum() == pytest.approx(total)
    assert matching.f1 == pytest.approx(2 * count / (len(truth) + len(found)))


def test_figures_of_a_matching() -> None:
    truth = [[0, 0], [10, 0], [0, 10], [30, 30]]
    matching = match_points(truth, [[1, 0], [11, 0], [20, 20]], 3)
    assert (matching.precision, matching.recall, matching.f1) == (2 / 3, 2 / 4, 4 / 7)
    assert matching.rms == 1
    assert matching.bias.tolist() == [1, 0]
    both = pooled([matching, match_points([[5, 5]], [[5, 8]], 3), match_points([], [[1, 1]], 3)])
    assert (len(both.pairs), both.num_true, both.num_found) == (3, 5, 5)
    assert both.rms == pytest.approx(np.sqrt((1 + 1 + 9) / 3))
    assert both.pairs[-1].tolist() == [4, 3]
    at_the_edge = match_points(truth, [[1, 0], [40, 40]], 3, counted=lambda points: (points < 20).all(axis=1))
    assert (at_the_edge.num_true, at_the_edge.num_found) == (3, 1)
    nothing = match_points([], [], 3)
    assert np.isnan([nothing.f1, nothing.precision, nothing.recall, nothing.rms, *nothing.bias]).all()
    assert nearest_neighbour_distance([[0, 0], [0, 3], [0, 7]]) == pytest.approx(10 / 3)


def test_discs_and_back() -> None:
    """Centres of mass of discs drawn on pixels: within a tenth of a pixel, and classes as they were."""
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 2)
    points = 10 + 14 * grid + random.uniform(-2, 2, grid.shape)
    classes = random.integers(1, 4, len(points))
    drawn = draw_discs(points, classes, (96, 80), 3.5)
    places, kinds, scores = find_points(np.eye(4)[drawn], 3.5)
    matching = match_points(points, places, 3)
    assert matching.f1 == 1
    assert matching.rms < 0.12
    assert np.array_equal(classes[matching.pairs[:, 0]], kinds[matching.pairs[:, 1]])
    assert scores.min() > 0.85
    assert not draw_discs([], [], (4, 4), 2).any()
    assert len(find_points(np.eye(4)[np.zeros((8, 8), int)], 3.0)[0]) == 0


def test_the_nearest_disc_is_on_top() -> None:
    drawn = draw_discs([[5, 4], [5, 8]], [1, 2], (11, 13), 3)
    assert (drawn[5] == [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0]).all()


def test_peaks() -> None:
    image = np.zeros((12, 12))
    image[2, 3], image[2, 5], image[9, 9], image[9, 10] = 3, 2, 1, 1
    assert find_peaks(image, 1.5, 0.5).tolist() == [[2, 3], [2, 5], [9, 9.5]]
    assert find_peaks(image, 3, 0.5).tolist() == [[2, 3], [9, 9.5]]
    assert find_peaks(image, 3, 2).tolist() == [[2, 3]]


def test_a_gaussian_is_found_to_a_hundredth_of_a_pixel() -> None:
    y, x = np.mgrid[:24, :20]
    truth = np.array([[8.3, 7.6], [17.8, 12.1]])
    image = 5 + sum(40 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 1.7**2)) for a, b in truth)
    start = np.rint(truth)
    assert abs(refine_gaussian(image, start, 4, 1.5) - truth).max() < 0.01
    assert abs(centroids(image - 5, start, 4) - truth).max() < 0.1
    flat = np.ones((24, 20))
    assert np.array_equal(refine_gaussian(flat, start, 4, 1.5), start), "nothing to fit: where it was"
