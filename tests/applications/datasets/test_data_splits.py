"""Splits are disjoint, complete, stratified or grouped, and fixed by the seed."""

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets.splits import complete_splits, k_fold_indices, split_indices


def check(split, count):
    assert list(split) == ["train", "val", "test"]
    np.testing.assert_array_equal(np.sort(np.concatenate(list(split.values()))), np.arange(count))
    assert all(len(indices) for indices in split.values())


@pytest.mark.parametrize("seed", range(3))
def test_stratified_split_keeps_the_shares_of_every_class(seed):
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [200, 60, 20]))
    split = split_indices(labels, seed=seed)
    check(split, 280)
    counts = {name: np.bincount(labels[indices]).tolist() for name, indices in split.items()}
    assert counts == {"train": [140, 42, 14], "val": [30, 9, 3], "test": [30, 9, 3]}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7])
def test_tiny_classes_are_spread(size):
    labels = np.repeat(np.arange(40), size)
    split = split_indices(np.concatenate([labels, np.full(20, 40)]))
    counts = np.stack([np.bincount(np.append(labels, [40] * 20)[split[name]], minlength=41)[:40] for name in split])
    check(split, 40 * size + 20)
    assert (counts[0] >= 1).all()  # Every class can be learned.
    if size >= 3:
        assert (counts >= 1).all()  # And tested.
    if size == 2:
        assert counts[1].sum() == counts[2].sum() == 20
    if size > 3:  # Rounding does not favour one split.
        assert abs(counts[1].sum() - counts[2].sum()) <= 8


def test_overall_shares_with_many_small_classes():
    split = split_indices(np.repeat(np.arange(100), 5))
    assert len(split["train"]) >= 300
    assert len(split["val"]) >= 80
    assert len(split["test"]) >= 80


def test_plain_split_and_seed():
    first, again, other = (split_indices(100, seed=seed) for seed in (0, 0, 1))
    check(first, 100)
    assert [len(indices) for indices in first.values()] == [70, 15, 15]
    np.testing.assert_array_equal(first["test"], again["test"])
    assert not np.array_equal(first["test"], other["test"])


@pytest.mark.parametrize("count", [3, 4, 5, 10])
def test_few_images_reach_every_split(count):
    check(split_indices(count), count)


@pytest.mark.parametrize("stratified", [True, False])
def test_groups_never_lie_in_two_splits(stratified):
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 30, 600)
    split = split_indices(groups % 3 if stratified else 600, groups=groups)
    check(split, 600)
    owners = [set(groups[indices]) for indices in split.values()]
    assert sum(len(owned) for owned in owners) == len(set(groups))
    assert 0.6 < len(split["train"]) / 600 < 0.8
    assert 0.08 < len(split["test"]) / 600 < 0.22


def test_one_giant_group_leaves_something_for_the_others():
    groups = np.array([0] * 50 + [1, 2])
    check(split_indices(52, groups=groups), 52)


@pytest.mark.parametrize("fractions", [(0.7, 0.3), (0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (0.8, -0.1, 0.3), "abc", None, 1])
def test_bad_fractions(fractions):
    with pytest.raises(UserError, match=r"add up to 1, such as 0.7 0.15 0.15; received"):
        split_indices(100, fractions=fractions)


@pytest.mark.parametrize(("count", "groups", "message"), [(2, None, "2 images"), (9, [0, 1] * 4 + [1], "2 groups")])
def test_too_few_to_split(count, groups, message):
    with pytest.raises(UserError, match=f"{message}.*at least 3"):
        split_indices(count, groups=groups)


@pytest.mark.parametrize("labels", [50, np.arange(50) % 4, np.r_[np.zeros(48, int), 1, 2]])
def test_folds_use_every_sample_once(labels):
    folds = k_fold_indices(labels, 5, seed=3)
    assert len(folds) == 5
    np.testing.assert_array_equal(np.sort(np.concatenate([val for _, val in folds])), np.arange(50))
    for train, val in folds:
        assert len(train) + len(val) == 50
        assert not set(train) & set(val)


def test_folds_are_stratified_grouped_and_seeded():
    labels = np.repeat([0, 1], [40, 10])
    assert all(labels[val].sum() == 2 for _, val in k_fold_indices(labels, 5, seed=0))
    groups = np.arange(50) // 5
    for train, val in k_fold_indices(labels, 5, seed=0, groups=groups):
        assert not set(groups[train]) & set(groups[val])
    first, again, other = (k_fold_indices(labels, 5, seed=seed)[0][1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("k", [1, 11, 2.5, "x"])
def test_bad_number_of_folds(k):
    with pytest.raises(UserError, match="between 2 and the number of images"):
        k_fold_indices(10, k, seed=0)


def test_missing_splits_are_cut_from_training():
    labels = np.repeat([0, 1], 50)
    given = {"train": np.arange(0, 100, 2), "test": np.arange(1, 100, 2)}
    split, remarks = complete_splits(given, labels, fractions=(0.7, 0.15, 0.15))
    check({name: split[name] for name in ("train", "val", "test")}, 100)
    np.testing.assert_array_equal(split["test"], given["test"])
    assert np.bincount(labels[split["val"]]).tolist() == [4, 4]
    assert "validation" in remarks[0]
    split, remarks = complete_splits({"train": np.arange(100)}, labels, fractions=(0.7, 0.15, 0.15))
    check({name: split[name] for name in ("train", "val", "test")}, 100)
    assert "validation and test" in remarks[0]
    split, remarks = complete_splits({"train": [0, 1], "val": [2], "test": [3]}, 4, fractions=(0.7, 0.15, 0.15))
    assert remarks == []
