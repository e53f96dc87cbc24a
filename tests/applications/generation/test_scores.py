"""Scores of sets of pictures and of single ones, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from applications.core.fidelity import fidelity, psnr, squared_errors, ssim
from applications.generation import scores
from applications.generation.features import pixel_features


def gaussians(count: int, size: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)) + shift


def test_kernel_distance_of_two_points_by_hand():
    # k(x, y) = (x y + 1)^3 in one dimension: within {0, 1}: k(0, 1) = 1; within {2, 3}: k(2, 3) = 343;
    # between: k(0, .) = 1, k(1, 2) = 27, k(1, 3) = 64
    x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])
    between = (1 + 1 + 27 + 64) / 4
    assert scores.kernel_distance(x, y) == pytest.approx(1 + 343 - 2 * between)
    whole = (1 + 1 + 1 + 8) / 4 + (125 + 343 + 343 + 1000) / 4
    assert scores.kernel_distance(x, y, unbiased=False) == pytest.approx(whole - 2 * between)


def test_kernel_distance_of_normal_distributions():
    """E (x y + 1)^3 = 1 + 3 E x^2 E y^2 + 3 E x E y + E x^3 E y^3 in one dimension."""
    shift = 1.0  # moments of N(1, 1): 1, 2, 4
    expected = (1 + 3) + (1 + 3 * 4 + 3 + 16) - 2 * (1 + 3 * 2 + 0 + 0)
    found = [scores.kernel_distance(gaussians(1500, 1, 0, s), gaussians(1500, 1, shift, s + 50)) for s in range(5)]
    assert np.mean(found) == pytest.approx(expected, rel=0.1)
    same = [scores.kernel_distance(gaussians(500, 4, 0, s), gaussians(500, 4, 0, s + 50)) for s in range(20)]
    assert abs(np.mean(same)) < 0.02
    assert min(same) < 0 < max(same), "without bias it lies on both sides of 0"


def test_halves_of_one_set_are_the_floor():
    real = gaussians(400, 8)
    ours, floor = scores.compared_with_halves(real, gaussians(300, 8, 0, 1))
    assert ours == pytest.approx(floor, rel=0.15)
    far, floor = scores.compared_with_halves(real, gaussians(300, 8, 1.0, 1))
    assert far > 3 * floor


def test_frechet_distance_by_hand():
    x = gaussians(50, 3)
    assert scores.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert scores.frechet_distance(x, x + np.array([1.0, 2.0, 2.0])) == pytest.approx(9.0)
    assert scores.frechet_distance(x, 3 * (x - x.mean(0)) + x.mean(0)) == pytest.approx(
        4 * np.trace(np.cov(x, rowvar=False))
    )


def test_precision_and_recall_by_hand():
    line = np.arange(10.0)[:, None]  # with three neighbours each ball has a radius of 2, at the ends of 3
    assert scores.precision_recall(line, line) == (1.0, 1.0)
    assert scores.precision_recall(line, line + 100) == (0.0, 0.0)
    # two of four within; of their own balls (radius 88.., 99..) everything is
    precision, recall = scores.precision_recall(line, np.array([[1.5], [2.5], [90.0], [101.0]]))
    assert (precision, recall) == (0.5, 1.0)


def test_a_collapsed_set_is_precise_and_covers_little():
    real = gaussians(300, 2)
    precision, recall = scores.precision_recall(real, 0.02 * gaussians(300, 2, 0, 1))
    assert precision > 0.95
    assert recall < 0.1


def test_classes_by_hand():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.5, 0.4, 0.1]])
    assert scores.class_consistency(probabilities, np.array([0, 1, 1, 0])) == 0.75
    assert scores.coverage(probabilities) == {
        "confidence": pytest.approx(0.7),
        "smallest_class_share": 0.0,
        "covered_classes": 2,
    }


def test_errors_of_pictures_by_hand():
    truth = np.zeros((2, 4, 4, 1))
    found = truth + np.array([0.1, 0.0])[:, None, None, None]
    np.testing.assert_allclose(squared_errors(truth, found), [0.01, 0])
    np.testing.assert_allclose(psnr(truth, found), [20, math.inf])
    # flat pictures: the structure term is 1 and the luminance c1 / (0.01 + c1)
    np.testing.assert_allclose(ssim(truth, found), [1e-4 / (0.01 + 1e-4), 1])
    assert fidelity(truth, found)["psnr"] == pytest.approx(10 * math.log10(1 / 0.005))


def test_ssim_equals_that_of_scikit_image():
    from skimage.metrics import structural_similarity

    random = np.random.default_rng(0)
    truth = random.uniform(size=(1, 40, 40, 1))
    found = np.clip(truth + random.normal(0, 0.2, truth.shape), 0, 1)
    _, whole = structural_similarity(
        truth[0, ..., 0], found[0, ..., 0], data_range=1.0, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    assert ssim(truth, found)[0] == pytest.approx(whole.mean(), abs=1e-6)


def test_few_pictures_have_no_directions_of_rounding():
    """Twenty pictures differ in nineteen directions; a twentieth would magnify its rounding beyond all measure."""
    pictures = np.random.default_rng(0).uniform(size=(30, 8, 8, 3)).astype(np.float32)
    features = pixel_features(pictures[:20])
    known, new = features(pictures[:20]), features(pictures[20:])
    assert known.shape == (20, 19)
    np.testing.assert_allclose(known.std(axis=0, ddof=1), 1, rtol=1e-4)
    assert np.abs(new).max() < 10
    assert abs(scores.kernel_distance(known, new)) < 10
