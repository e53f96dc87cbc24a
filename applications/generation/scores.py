"""How good generated pictures are as a set: distances to real ones in a space of features, coverage, consistency.

The features are those of a classifier trained on the run's own real pictures, so a distance says something about these
data only and is no FID. Where the user has weights of InceptionV3, `applications.generation.features` takes that one's.
"""

from __future__ import annotations

import numpy as np


def class_consistency(probabilities: np.ndarray, wanted: np.ndarray) -> float:
    """Returns the share of pictures that a classifier takes for the class they were asked to be.

    Args:
        probabilities: Of the classifier, (count, classes).
        wanted: Class numbers, (count,).
    """
    return float((probabilities.argmax(axis=1) == np.asarray(wanted)).mean())


def coverage(probabilities: np.ndarray, least: float = 0.04) -> dict[str, float]:
    """Returns how sure a classifier is of the pictures, and how evenly they fall into its classes.

    Args:
        probabilities: Of the classifier, (count, classes).
        least: Share of the pictures that makes a class count as covered.

    Returns:
        `confidence` (mean probability of the likeliest class), `smallest_class_share` and `covered_classes`.
    """
    classes = probabilities.shape[1]
    shares = np.bincount(probabilities.argmax(axis=1), minlength=classes) / len(probabilities)
    return {
        "confidence": float(probabilities.max(axis=1).mean()),
        "smallest_class_share": float(shares.min()),
        "covered_classes": int((shares >= least).sum()),
    }


def kernel_distance(real: np.ndarray, found: np.ndarray, unbiased: bool = True) -> float:
    """Returns the squared maximum mean discrepancy with the kernel (x . y / d + 1)^3, as in KID.

    Args:
        real: Features (m, d).
        found: Features (n, d).
        unbiased: Without the products of a sample with itself: 0 on average, so also negative, for two sets of one
            kind. With them it is never negative, and grows with smaller sets: to be compared at equal sizes only.

    References:
        Binkowski, Sutherland, Arbel, Gretton (2018), "Demystifying MMD GANs", https://arxiv.org/abs/1801.01401
    """
    x, y = np.asarray(real, np.float64), np.asarray(found, np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: np.ndarray) -> float:
        products, count = kernel(a, a), len(a)
        if not unbiased:
            return float(products.mean())
        return float((products.sum() - np.trace(products)) / (count * (count - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())


def compared_with_halves(real: np.ndarray, found: np.ndarray, rounds: int = 20, seed: int = 0) -> tuple[float, float]:
    """Returns the kernel distance of generated to real pictures, and that of one half of the real ones to the other.

    Both with the self-products and at one size, half of the real pictures, so that both have the same floor; each is a
    mean over random halves.

    Args:
        real: Features of real pictures (m, d).
        found: Features of generated ones (n, d), at least half as many.
        rounds: Random halves.
        seed: Fixes them.
    """
    random, half = np.random.default_rng(seed), min(len(real) // 2, len(found))
    ours, floor = [], []
    for _ in range(rounds):
        order, drawn = random.permutation(len(real)), random.permutation(len(found))[:half]
        one, other = real[order[:half]], real[order[half : 2 * half]]
        ours.append(kernel_distance(one, found[drawn], unbiased=False))
        floor.append(kernel_distance(one, other, unbiased=False))
    return float(np.mean(ours)), float(np.mean(floor))


def frechet_distance(real: np.ndarray, found: np.ndarray) -> float:
    """Returns the squared Fréchet distance between the normal distributions fitted to two sets of features.

    It is a FID only with the features of the original Inception network.

    Args:
        real: Features (m, d).
        found: Features (n, d).

    References:
        Heusel et al. (2017), "GANs trained by a two time-scale update rule", https://arxiv.org/abs/1706.08500
    """
    from scipy.linalg import sqrtm

    x, y = np.asarray(real, np.float64), np.asarray(found, np.float64)
    means = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    a, b = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (x, y))
    root = sqrtm(a @ b)  # eigenvalues of a product of covariances are real; what is imaginary is rounding
    return float(means + np.trace(a) + np.trace(b) - 2 * np.trace(np.real(root)))


def precision_recall(real: np.ndarray, found: np.ndarray, neighbours: int = 3) -> tuple[float, float]:
    """Returns the shares of generated pictures within the manifold of real ones, and of real ones within theirs.

    A manifold is the union of balls around its samples, each up to the k-th nearest neighbour among them.

    Args:
        real: Features (m, d), more than `neighbours`.
        found: Features (n, d), more than `neighbours`.
        neighbours: k.

    References:
        Kynkäänniemi, Karras, Laine, Lehtinen, Aila (2019), "Improved precision and recall metric for assessing
        generative models", https://arxiv.org/abs/1904.06991
    """
    from scipy.spatial.distance import cdist

    def covered(centres: np.ndarray, points: np.ndarray) -> float:
        radii = np.sort(cdist(centres, centres), axis=1)[:, neighbours]  # the nearest one is the sample itself
        return float((cdist(points, centres) <= radii).any(axis=1).mean())

    return covered(real, found), covered(found, real)
