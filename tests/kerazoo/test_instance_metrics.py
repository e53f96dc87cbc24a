"""Metrics of instances against all possible assignments, and against cases computed by hand."""

import itertools

import numpy as np
import pytest

from kerazoo.metrics.instances import average_precision, match_all, match_instances, relabel_sequential, seg_score

TRUTH = np.array([[1, 1, 1, 1, 0, 0, 5, 5, 5, 5]])
FOUND = np.array([[2, 2, 2, 0, 0, 9, 9, 4, 4, 4]])  # IoU 3/4 with 1; 9: 1/5 and 4: 3/4 with 5


def _by_brute_force(truth, found, threshold):
    """Tries all assignments: most matches first, then the largest sum of overlaps."""
    true_ids, found_ids = ([n for n in np.unique(labels) if n > 0] for labels in (truth, found))
    size = max(len(true_ids), len(found_ids))
    ious = np.zeros((size, size))
    for i, j in itertools.product(range(len(true_ids)), range(len(found_ids))):
        a, b = (truth == true_ids[i]) & (truth >= 0), (found == found_ids[j]) & (truth >= 0)
        ious[i, j] = (a & b).sum() / (a | b).sum()
    best = (0, 0.0)
    for order in itertools.permutations(range(size)):
        matched = [ious[i, j] for i, j in enumerate(order) if ious[i, j] >= threshold]
        best = max(best, (len(matched), sum(matched)))
    return best


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.5, 0.8])
def test_no_assignment_is_better(threshold):
    rng = np.random.default_rng(3)
    counts = []
    for _ in range(40):
        truth, found = rng.integers(-1, 6, (2, 5, 6))
        found = np.where(rng.uniform(size=truth.shape) < 0.7, truth, found)
        matching = match_instances(truth, found, threshold)
        tp, total = _by_brute_force(truth, found, threshold)
        assert matching.tp == tp
        assert matching.ious.sum() == pytest.approx(total)
        assert len(matching.pairs) == tp
        counts.append(tp)
    assert len(set(counts)) > 1


def test_numbers_by_hand():
    matching = match_instances(TRUTH, FOUND, 0.5)
    assert (matching.tp, matching.fp, matching.fn) == (2, 1, 0)
    assert matching.pairs.tolist() == [[1, 2], [5, 4]]
    assert matching.average_precision == pytest.approx(2 / 3)
    assert matching.f1 == pytest.approx(4 / 5)
    assert matching.precision == pytest.approx(2 / 3)
    assert matching.recall == 1
    assert matching.mean_matched_score == pytest.approx(0.75)
    assert matching.mean_true_score == pytest.approx(0.75)
    assert matching.panoptic_quality == pytest.approx(1.5 / (2 + 0.5))
    missed = match_instances(TRUTH, np.where(FOUND == 4, 0, FOUND), 0.5)
    assert missed.mean_true_score == pytest.approx(0.75 / 2)
    assert missed.panoptic_quality == pytest.approx(0.75 / (1 + 0.5 + 0.5))


def test_seg_asks_for_more_than_half_of_the_object():
    truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2]])
    assert seg_score([truth], [np.array([[3, 3, 0, 0, 7, 7, 7, 0]])]) == pytest.approx((0 + 3 / 4) / 2)
    # An object found too many costs nothing; objects count, not images.
    assert seg_score([truth, truth[:, :4]], [truth, np.array([[0, 0, 0, 5]])]) == pytest.approx(2 / 3)
    assert np.isnan(seg_score([np.zeros((2, 2), int)], [np.ones((2, 2), int)]))


def test_images_are_pooled_not_averaged():
    truths = [np.array([[1, 2, 3, 4]]), np.array([[1, 0, 0, 0]])]
    founds = [np.array([[1, 2, 3, 0]]), np.array([[0, 0, 0, 1]])]
    assert average_precision(truths, founds, [0.5, 0.9]) == pytest.approx([3 / 6, 3 / 6])
    pooled = match_all(truths, founds, [0.5])[0]
    assert (pooled.tp, pooled.fp, pooled.fn, len(pooled.pairs)) == (3, 1, 2, 3)


@pytest.mark.parametrize("factor", [1, 3, 1000])
def test_gaps_in_the_numbers_change_nothing(factor):
    assert average_precision([TRUTH * factor], [FOUND * 7], [0.5, 0.75, 0.8]) == pytest.approx([2 / 3, 2 / 3, 0])


def test_ignored_pixels_do_not_count():
    truth = np.array([[1, 1, -1, -1, 0, 0]])
    assert match_instances(truth, np.array([[4, 4, 4, 4, 0, 0]]), 0.99).tp == 1
    only_there = match_instances(truth, np.array([[4, 4, 5, 5, 0, 0]]), 0.5)
    assert (only_there.tp, only_there.fp) == (1, 0)


def test_nothing_there():
    empty = np.zeros((3, 3), int)
    assert match_instances(empty, empty).average_precision == 1
    assert match_instances(empty, empty).panoptic_quality == 1
    assert match_instances(empty, empty + 1).average_precision == 0
    assert match_instances(empty + 1, empty).panoptic_quality == 0
    assert match_instances(empty + 1, empty + 9).average_precision == 1


def test_relabelling_keeps_background_and_ignored():
    labels = np.array([[0, 300, 300], [-1, 12, 7]], np.int64)
    assert relabel_sequential(labels).tolist() == [[0, 3, 3], [-1, 2, 1]]
    assert relabel_sequential(np.full((2, 2), 5)).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: match_instances(TRUTH, FOUND[:, :5]), "one shape"),
        (lambda: match_instances(TRUTH.astype(float), FOUND), "truth must be whole numbers"),
        (lambda: match_instances(TRUTH, FOUND, 0), "above 0 and at most 1"),
        (lambda: relabel_sequential(FOUND / 2), "labels must be whole numbers"),
    ],
)
def test_bad_input_is_explained(call, words):
    with pytest.raises(ValueError, match=words):
        call()
