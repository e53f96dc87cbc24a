"""PixelCNN: no value sees itself or a later one, the likelihood by hand, and seeded draws."""

from __future__ import annotations

import itertools
import math
from typing import Any

import keras
import numpy as np
import pytest
import zoo
from keras import ops

import kerazoo
from kerazoo.autoencoders.pixelcnn import bits_per_dimension, negative_log_likelihood
from kerazoo.layers import MaskedConv2D
from kerazoo.layers.masked_conv import causal_mask

SHAPE = (4, 4, 2)


def test_masks_by_hand() -> None:
    assert causal_mask(3, 1, 1, 1, True)[..., 0, 0].tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert causal_mask(3, 1, 1, 1, False)[..., 0, 0].tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    # Red sees nothing of its own place, green the red, blue both; behind the first layer also themselves.
    assert causal_mask(1, 3, 3, 3, True)[0, 0].tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert causal_mask(1, 3, 3, 3, False)[0, 0].tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
    assert causal_mask(1, 6, 3, 3, True)[0, 0].sum(0).tolist() == [0, 2, 4]


def test_the_layer_uses_the_mask() -> None:
    layer = MaskedConv2D(2, 3, kind="A", colours=2, kernel_initializer="ones", use_bias=False)
    found = np.array(layer(ops.ones((1, 3, 3, 2))))[0, 1, 1]
    assert found.tolist() == [8.0, 9.0]  # four places before it with two colours each, and red for green
    with pytest.raises(ValueError, match="kernel_size must be odd and square"):
        MaskedConv2D(2, 4)
    with pytest.raises(ValueError, match="kind must be one of 'A', 'B'"):
        MaskedConv2D(2, 3, kind="C")


def _seen() -> np.ndarray:
    """Which logits (rows) depend on which values (columns), both in the order of reading."""
    model, random = zoo.built("pixelcnn"), np.random.default_rng(0)
    base = random.uniform(size=(1, *SHAPE)).astype("float32")
    count = math.prod(SHAPE)
    changed = np.repeat(base, count, axis=0).reshape(count, count)
    changed[np.arange(count), np.arange(count)] += 0.5
    told = {"label": np.zeros(count, "int32")}
    outputs = zoo.value(model({"input": changed.reshape(count, *SHAPE), **told}))
    before = zoo.value(model({"input": base, "label": told["label"][:1]}))
    return np.abs(outputs - before).max(-1).reshape(count, count).T > 1e-7


def test_no_value_sees_itself_or_a_later_one() -> None:
    seen = _seen()
    assert not np.any(np.triu(seen))
    # Everything near and before it is seen, the place to the right in the row above, too.
    assert np.all(np.diag(seen, -1))
    place = lambda row, column, colour: (row * SHAPE[1] + column) * SHAPE[2] + colour  # noqa: E731
    assert seen[place(2, 1, 0), place(1, 2, 1)]


def test_likelihood_by_hand() -> None:
    logits = np.log(np.array([0.1, 0.2, 0.7], "float32")) * np.ones((1, 1, 2, 1, 1), "float32")
    x = np.array([0.0, 0.9], "float32").reshape(1, 1, 2, 1)  # levels 0 and 2, the nearest
    found = float(negative_log_likelihood(ops.convert_to_tensor(x), ops.convert_to_tensor(logits))[0])
    assert found == pytest.approx(-math.log(0.1) - math.log(0.7), rel=1e-5)


def test_loss_and_bits() -> None:
    model, (x, _) = zoo.built("pixelcnn"), zoo.batch("pixelcnn")
    model.compile("adam", jit_compile=False)
    logits = zoo.value(model(x)).astype("float64")
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    numbers = np.rint(x["input"] * 4).astype(int)
    nats = -np.log(np.take_along_axis(chances, numbers[..., None], -1)).sum((1, 2, 3, 4))
    assert model.evaluate(x, verbose=0) == pytest.approx(nats.mean(), rel=1e-5)
    np.testing.assert_allclose(bits_per_dimension(model, x, batch_size=3), nats / 32 / math.log(2), rtol=1e-5)


def test_the_likelihoods_of_all_pictures_add_up_to_one() -> None:
    keras.utils.set_random_seed(0)
    model = kerazoo.pixelcnn((2, 2, 1), filters=4, num_blocks=1, head_filters=4, levels=2)
    x = np.array(list(itertools.product((0.0, 1.0), repeat=4)), "float32").reshape(16, 2, 2, 1)
    zoo.perturb(model)
    nats = np.array(negative_log_likelihood(ops.convert_to_tensor(x), model(x)))
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-5)
    drawn = model.generate(4000, seed=0, batch_size=4000).reshape(4000, 4)
    shares = np.bincount((drawn @ [8, 4, 2, 1]).astype(int), minlength=16) / 4000
    np.testing.assert_allclose(shares, np.exp(-nats), atol=0.03)


def test_draws_are_seeded_one_by_one() -> None:
    model = zoo.built("pixelcnn")
    many = model.generate(3, labels=[0, 1, 2], seed=5)
    assert many.shape == (3, *SHAPE)
    assert set(np.unique(many)) <= {0, 0.25, 0.5, 0.75, 1}
    np.testing.assert_array_equal(model.generate(3, labels=[0, 1, 2], seed=5, batch_size=1), many)
    assert np.any(model.generate(3, labels=[0, 1, 2], seed=6) != many)
    greedy = [model.generate(1, labels=0, temperature=0, seed=seed) for seed in (0, 1)]
    np.testing.assert_array_equal(*greedy)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "needs labels"),
        ({"labels": 3}, "labels must be 2 whole numbers from 0 to 2"),
        ({"labels": [0]}, "labels must be 2 whole numbers"),
        ({"labels": 0, "temperature": -1}, "temperature must be"),
    ],
)
def test_draws_that_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        zoo.built("pixelcnn").generate(2, **options)


def test_every_channel_needs_features_of_its_own() -> None:
    with pytest.raises(ValueError, match="at least the 2 channels"):
        zoo.fresh("pixelcnn", filters=1)


def test_it_learns_what_follows_what() -> None:
    """Chequerboards of either colour: only the first value has to be guessed, one bit."""
    keras.utils.set_random_seed(0)
    board = np.indices((4, 4)).sum(0) % 2
    x = np.stack([board if i % 2 else 1 - board for i in range(64)]).astype("float32")[..., None]
    model = kerazoo.pixelcnn((4, 4, 1), filters=8, num_blocks=2, head_filters=8, levels=2)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    model.fit(zoo.long_epoch(x, 40, 16), verbose=0)
    assert bits_per_dimension(model, x).mean() == pytest.approx(1 / 16, abs=0.02)
    drawn = model.generate(20, seed=0)
    assert np.mean([np.array_equal(d, x[0]) or np.array_equal(d, x[1]) for d in drawn]) > 0.9
