"""Weights and images that are the same everywhere and need no file: each is drawn from its own name."""

from __future__ import annotations

import math
import zlib
from typing import Any

import keras
import numpy as np


def array(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draws the weight called `path`.

    All of them differ from what a layer starts with, so that a missing bias or statistic is seen. Kernels
    keep the size of the signal (He), so that no layer drowns the others.
    """
    random = np.random.default_rng(zlib.crc32(path.encode()))
    kind = path.split("/")[-1]
    if kind == "kernel":
        inputs = shape[:2] if len(shape) == 4 and shape[-1] == 1 else shape[:-1]  # one filter per channel: depthwise
        return random.normal(0, math.sqrt(2 / math.prod(inputs)), shape).astype("float32")
    if kind in ("gamma", "moving_variance"):
        return random.uniform(0.5, 1.5, shape).astype("float32")
    return random.normal(0, 0.3, shape).astype("float32")  # bias, beta, moving_mean


def fill(model: keras.Model) -> keras.Model:
    """Sets every weight of a Keras model."""
    for weight in model.weights:
        if "seed_generator" not in weight.path:
            weight.assign(array(weight.path, tuple(weight.shape)))
    return model


def image(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draws a batch of images."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(0, 1, shape).astype("float32")


def difference(found: Any, expected: Any) -> float:
    """Returns the largest difference relative to the largest expected value; of several outputs the worst."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        return max(difference(found[name], expected[name]) for name in expected)
    found = np.asarray(found)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
