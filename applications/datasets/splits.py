"""Splits that are stratified or grouped, disjoint, complete and fixed by a seed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from applications.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("train", "val", "test")


# Fractions of data that are only evaluated, which need be neither many nor of several classes.
ALL_TEST = (0.0, 0.0, 1.0)


def check_fractions(fractions) -> None:
    """Raises `UserError` unless `fractions` are three positive numbers that add up to 1, or `ALL_TEST`."""
    if isinstance(fractions, tuple) and fractions == ALL_TEST:
        return
    try:
        values = [float(value) for value in fractions]
    except (TypeError, ValueError):
        values = []
    if len(values) != 3 or not all(0 < value < 1 for value in values) or abs(sum(values) - 1) > 1e-6:
        raise UserError(
            "Fractions must be three positive numbers (training, validation, test) that add up to 1, such "
            f"as 0.7 0.15 0.15; received {fractions!r}."
        )


def split_indices(labels_or_n, *, fractions=(0.7, 0.15, 0.15), seed=0, groups=None) -> dict[str, np.ndarray]:
    """Splits samples into training, validation and test.

    Args:
        labels_or_n: `(N,)` class indices for a split stratified by class, or the number of samples for a
            plain one.
        fractions: three positive shares that add up to 1, or `ALL_TEST`.
        seed: fixes the shuffle.
        groups: `(N,)` group of each sample; a group never lies in two splits. None means no groups.

    Returns:
        "train", "val", "test" -> sorted int64 indices, disjoint and together complete. With labels, a class
        with one sample is in training only, with two in training and one other, with three or more in all
        three.

    Raises:
        UserError: for bad fractions and for fewer than three samples or groups.

    Example:
        >>> {name: len(indices) for name, indices in split_indices(100).items()}
        {'train': 70, 'val': 15, 'test': 15}
    """
    import numpy as np

    check_fractions(fractions)
    labels = np.zeros(labels_or_n, np.int64) if np.ndim(labels_or_n) == 0 else np.asarray(labels_or_n)
    if fractions == ALL_TEST:
        return _all_test(len(labels))
    units = len(labels) if groups is None else len(np.unique(groups))
    if units < 3:
        what = "images" if groups is None else "groups of images"
        raise UserError(f"{units} {what} cannot be split into training, validation and test; at least 3 are needed.")
    rng = np.random.default_rng(seed)
    if groups is None:
        part = _stratified(labels, fractions, rng)
    else:
        part = _grouped(labels, np.asarray(groups), fractions, rng)
    return {name: np.flatnonzero(part == index) for index, name in enumerate(SPLITS)}


def _all_test(count: int) -> dict[str, np.ndarray]:
    import numpy as np

    return {"train": np.arange(0), "val": np.arange(0), "test": np.arange(count)}


def _stratified(labels, fractions, rng) -> np.ndarray:
    """Returns 0, 1 or 2 for each sample.

    scikit-learn's stratified split refuses classes with one image and splits smaller than the number of
    classes; both are common in small folders, so each class is dealt out by largest remainder here.
    """
    import numpy as np

    part = np.zeros(len(labels), np.int64)
    owed = np.zeros(3)  # What rounding has taken from each split so far, given back by the next classes.
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        counts = _deal(len(members), np.asarray(fractions), owed)
        owed += len(members) * np.asarray(fractions) - counts
        part[members] = np.repeat(np.arange(3), counts)
    return part


def _deal(total: int, fractions, owed) -> np.ndarray:
    """Returns how many of `total` samples go to each split: three or more give each at least one."""
    import numpy as np

    if total == 1:
        return np.array([1, 0, 0])
    wanted = total * fractions
    minimum = np.array([1, 0, 0]) if total == 2 else np.ones(3, np.int64)
    counts = np.maximum(np.floor(wanted + 1e-9).astype(np.int64), minimum)
    while counts.sum() > total:  # The minimum of one has overdrawn: take from the largest split.
        counts[np.argmax(counts)] -= 1
    while counts.sum() < total:
        short = wanted - counts + 1e-3 * owed if total > 3 else owed + fractions * (counts == 0)
        if total == 2:
            short[0] = -np.inf
        counts[np.argmax(short)] += 1
    return counts


def _grouped(labels, groups, fractions, rng) -> np.ndarray:
    """Deals whole groups, large ones first, each to the split that lacks the most of the group's classes."""
    import numpy as np

    _, classes = np.unique(labels, return_inverse=True)
    _, group_of = np.unique(groups, return_inverse=True)
    table = np.zeros((group_of.max() + 1, classes.max() + 1))
    np.add.at(table, (group_of, classes), 1)
    lacking = np.outer(fractions, table.sum(axis=0))
    shuffled = rng.permutation(len(table))
    order = shuffled[np.argsort(-table[shuffled].sum(axis=1), kind="stable")]
    parts = range(len(fractions))
    part_of_group, empty = np.zeros(len(table), np.int64), set(parts)
    for position, group in enumerate(order):
        score = (lacking * table[group]).sum(axis=1) / np.asarray(fractions)
        if len(order) - position <= len(empty):  # The last groups go to splits that have none yet.
            score[[index for index in parts if index not in empty]] = -np.inf
        chosen = int(np.argmax(score))
        part_of_group[group] = chosen
        lacking[chosen] -= table[group]
        empty.discard(chosen)
    return part_of_group[group_of]


def k_fold_indices(labels_or_n, k: int, *, seed=0, groups=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns `k` pairs of (training, validation) indices; every sample is in validation exactly once.

    Args:
        labels_or_n: `(N,)` class indices for stratified folds, or the number of samples for plain ones.
        k: number of folds, at least 2.
        seed: fixes the shuffle.
        groups: `(N,)` group of each sample; a group is never split. None means no groups.

    Raises:
        UserError: when there are fewer samples, or groups, than folds.
    """
    import numpy as np
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

    plain = np.ndim(labels_or_n) == 0
    labels = np.zeros(labels_or_n, np.int64) if plain else np.asarray(labels_or_n)
    units = len(labels) if groups is None else len(np.unique(groups))
    if not isinstance(k, int) or not 2 <= k <= units:
        what = "images" if groups is None else "groups of images"
        raise UserError(f"The number of folds must be between 2 and the number of {what} ({units}), received {k!r}.")
    if groups is not None:
        folds = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    elif plain or np.unique(labels, return_counts=True)[1].max() < k:
        folds = KFold(k, shuffle=True, random_state=seed)
    else:
        folds = StratifiedKFold(k, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # Classes with fewer members than folds are legal: some folds lack them.
        warnings.simplefilter("ignore", UserWarning)
        return list(folds.split(np.zeros(len(labels)), labels, groups))


def complete_splits(given, labels_or_n, *, fractions, seed=0, groups=None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Takes the splits that data come with and cuts the missing ones from training.

    Args:
        given: "train" and possibly "val", "test" -> indices.
        labels_or_n: as in `split_indices`, over all samples.
        fractions: shares of training, validation and test.
        seed: fixes the cut.
        groups: `(N,)` group of each sample, or None; a group is never cut.

    Returns:
        The complete split, and one sentence where something had to be cut.

    Raises:
        UserError: A group lies in two of the given splits, or the training images cannot be cut.
    """
    import numpy as np

    if fractions == ALL_TEST:
        return _all_test(sum(len(indices) for indices in given.values())), []
    if groups is not None:
        _refuse_shared_groups(given, groups)
    missing = [name for name in SPLITS[1:] if not len(given.get(name, ()))]
    split = {name: np.sort(np.asarray(indices, np.int64)) for name, indices in given.items() if len(indices)}
    if not missing:
        return split, []
    pool = split["train"]
    labels = len(pool) if np.ndim(labels_or_n) == 0 else np.asarray(labels_or_n)[pool]
    pool_groups = None if groups is None else np.asarray(groups)[pool]
    if len(missing) == 2:
        parts = split_indices(labels, fractions=fractions, seed=seed, groups=pool_groups)
    else:
        if len(pool) < 2:
            raise UserError(f"There is no {missing[0]} split, and {len(pool)} training image cannot be divided.")
        share = fractions[SPLITS.index(missing[0])] / (fractions[0] + fractions[SPLITS.index(missing[0])])
        parts = _cut_two(labels, share, missing[0], seed, pool_groups)
    split |= {name: pool[indices] for name, indices in parts.items() if name == "train" or name in missing}
    names = " and ".join({"val": "validation", "test": "test"}[name] for name in missing)
    return split, [f"The data come without {names} images of their own; these were cut from the training images."]


def _refuse_shared_groups(given, groups) -> None:
    import numpy as np

    owners: dict = {}
    for name, indices in given.items():
        for group in np.unique(np.asarray(groups)[np.asarray(indices, np.int64)]):
            if group in owners:
                raise UserError(
                    f"Group {str(group)!r} lies in {owners[group]} and in {name}, so the images of one are known from "
                    "the other; move all of them into one, or correct groups.csv."
                )
            owners[group] = name


def _cut_two(labels_or_n, share: float, name: str, seed, groups=None) -> dict[str, np.ndarray]:
    """Cuts `share` of the samples off, class by class (a class with one sample stays whole) or whole groups."""
    import numpy as np

    labels = np.zeros(labels_or_n, np.int64) if np.ndim(labels_or_n) == 0 else np.asarray(labels_or_n)
    rng, cut = np.random.default_rng(seed), np.zeros(len(labels), bool)
    if groups is not None:
        if len(np.unique(groups)) < 2:
            raise UserError(f"There is no {name} split, and the training images are of one group, which is never cut.")
        cut = _grouped(labels, groups, (1 - share, share), rng) == 1
        return {"train": np.flatnonzero(~cut), name: np.flatnonzero(cut)}
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            cut[members[: min(len(members) - 1, max(1, round(share * len(members))))]] = True
    if not cut.any():
        raise UserError(f"There is no {name} split, and no class has two training images to cut it from.")
    return {"train": np.flatnonzero(~cut), name: np.flatnonzero(cut)}
