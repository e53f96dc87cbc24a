"""Losses, metrics and covering of tokens against their formulas in plain numpy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.losses import SequenceCrossentropy
from kerazoo.metrics import Perplexity, TokenAccuracy
from kerazoo.transformers.masking import UNCOVERED, cover_tokens, mask_tokens

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 2, (3, 5, 7)).astype("float32")
TOKENS = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2], [3, 0, 0, 0, 0]])
LOG_P = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
OF_TRUE = np.take_along_axis(LOG_P, TOKENS[..., None], -1)[..., 0]
REAL = TOKENS != 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_crossentropy(smoothing: float) -> None:
    targets = (1 - smoothing) * np.eye(7)[TOKENS] + smoothing / 7
    each = -(targets * LOG_P).sum(-1)
    loss = SequenceCrossentropy(label_smoothing=smoothing)
    assert float(loss(TOKENS, LOGITS)) == pytest.approx(each[REAL].mean(), rel=1e-5)
    assert float(loss(TOKENS[..., None], LOGITS)) == float(loss(TOKENS, LOGITS))
    everything = SequenceCrossentropy(label_smoothing=smoothing, ignore_id=None)
    assert float(everything(TOKENS, LOGITS)) == pytest.approx(each.mean(), rel=1e-5)
    one = SequenceCrossentropy(label_smoothing=smoothing, reduction="none")(TOKENS, LOGITS)
    np.testing.assert_allclose(one, np.where(REAL, each, 0), rtol=1e-5)
    total = SequenceCrossentropy(label_smoothing=smoothing, reduction="sum")(TOKENS, LOGITS)
    assert float(total) == pytest.approx(each[REAL].sum(), rel=1e-5)


def test_crossentropy_is_that_of_keras() -> None:
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)(TOKENS, LOGITS)
    assert float(SequenceCrossentropy()(TOKENS, LOGITS)) == pytest.approx(float(theirs), rel=1e-6)
    ones = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(np.eye(7)[TOKENS], LOGITS)
    ours = SequenceCrossentropy(ignore_id=None, label_smoothing=0.1)(TOKENS, LOGITS)
    assert float(ours) == pytest.approx(float(ones), rel=1e-6)
    probabilities = SequenceCrossentropy(from_logits=False)(TOKENS, np.exp(LOG_P))
    assert float(probabilities) == pytest.approx(float(theirs), rel=1e-5)


def test_weights_and_padding_of_the_loss() -> None:
    loss = SequenceCrossentropy()
    changed = np.where(REAL[..., None], LOGITS, 100 * RANDOM.normal(size=LOGITS.shape)).astype("float32")
    assert float(loss(TOKENS, changed)) == float(loss(TOKENS, LOGITS))
    weights = np.array([2.0, 0.0, 1.0])
    expected = -(OF_TRUE * REAL * weights[:, None]).sum() / REAL.sum()
    assert float(loss(TOKENS, LOGITS, weights)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(TOKENS, LOGITS, np.repeat(weights, 5).reshape(3, 5))) == pytest.approx(expected, rel=1e-5)
    assert float(loss(0 * TOKENS, LOGITS)) == 0, "a batch of nothing but padding"
    with pytest.raises(ValueError, match=r"y_true must be token numbers \(3, 5\)"):
        loss(TOKENS[0], LOGITS)


def test_loss_of_a_compiled_model() -> None:
    """The figure of `fit` and `evaluate` is that of the loss, also under another precision and after reloading."""
    inputs = keras.Input((5, 7), dtype="float32")
    model = keras.Model(inputs, keras.layers.Activation("linear", dtype="float16")(inputs))
    model.compile(loss=SequenceCrossentropy(label_smoothing=0.1), metrics=[TokenAccuracy(), Perplexity()])
    half = LOGITS.astype("float16").astype("float32")
    found = model.evaluate(half, TOKENS, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(float(SequenceCrossentropy(label_smoothing=0.1)(TOKENS, half)), rel=1e-5)
    assert set(found) == {"loss", "token_accuracy", "perplexity"}


def test_accuracy_and_perplexity() -> None:
    accuracy, perplexity = TokenAccuracy(), Perplexity()
    for rows in (slice(0, 1), slice(1, 3)):
        accuracy.update_state(TOKENS[rows], LOGITS[rows])
        perplexity.update_state(TOKENS[rows], LOGITS[rows])
    hits = (LOGITS.argmax(-1) == TOKENS)[REAL]
    assert 0 < hits.mean() < 1
    assert float(accuracy.result()) == pytest.approx(hits.mean())
    assert float(perplexity.result()) == pytest.approx(np.exp(-OF_TRUE[REAL].mean()), rel=1e-5)
    uniform = Perplexity(from_logits=False)
    uniform.update_state(TOKENS, np.full((3, 5, 7), 1 / 7))
    assert float(uniform.result()) == pytest.approx(7, rel=1e-5)
    accuracy.reset_state()
    accuracy.update_state(TOKENS, LOGITS, [0.0, 1.0, 0.0])
    assert float(accuracy.result()) == pytest.approx((LOGITS.argmax(-1) == TOKENS)[1].mean())


@pytest.mark.parametrize(
    "thing",
    [
        SequenceCrossentropy(ignore_id=-1, label_smoothing=0.2, from_logits=False),
        TokenAccuracy(ignore_id=3, name="hits"),
        Perplexity(ignore_id=None, from_logits=False),
    ],
    ids=lambda thing: thing.name,
)
def test_configurations_come_back(thing: Any) -> None:
    again = type(thing).from_config(thing.get_config())
    assert again.get_config() == thing.get_config()
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(thing)).name == thing.name


PLAN: dict[str, Any] = {"vocab_size": 50, "mask_id": 4, "special_ids": (0, 1, 2, 3, 4)}


def test_covered_tokens() -> None:
    """15 % of the tokens of each text; 80 % of these covered, 10 % another, 10 % the same."""
    ids = np.random.default_rng(0).integers(5, 50, (400, 60))
    ids[:, 0], ids[:, 40:] = 1, 0
    covered, targets = mask_tokens(ids, **PLAN, seed=0)
    chosen = targets != UNCOVERED
    assert np.all(chosen.sum(1) == round(0.15 * 39))
    assert not chosen[:, 0].any()
    assert not chosen[:, 40:].any()
    assert np.array_equal(covered[~chosen], ids[~chosen])
    assert np.array_equal(targets[chosen], ids[chosen])
    places = chosen[:, 1:40].mean(0)
    assert np.ptp(places) < 0.12, "every place is as likely"
    masked, same = covered[chosen] == 4, covered[chosen] == ids[chosen]
    assert masked.mean() == pytest.approx(0.8 + 0.1 / 50, abs=0.03)
    assert same.mean() == pytest.approx(0.1 + 0.1 / 50, abs=0.03)
    others = covered[chosen][~masked & ~same]
    assert len(set(others)) > 40
    assert others.max() < 50
    again = mask_tokens(ids, **PLAN, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip((covered, targets), again, strict=True))
    assert not np.array_equal(mask_tokens(ids, **PLAN, seed=1)[1], targets)


def test_covering_short_texts() -> None:
    _, targets = mask_tokens([[1, 7, 0, 0], [1, 2, 0, 0]], **PLAN, seed=0)
    assert targets.tolist() == [[-1, 7, -1, -1], [-1, -1, -1, -1]], "at least one, where there is one"


def test_covering_in_a_pipeline() -> None:
    """In a graph of tf.data, text by text, the same as in numpy."""
    ids = np.random.default_rng(0).integers(0, 50, (6, 20)).astype("int32")
    noise = np.random.default_rng(1).random((6, 3, 20), dtype="float32")
    data = tf.data.Dataset.from_tensor_slices((ids, noise)).map(lambda x, n: cover_tokens(x, n, **PLAN))
    rows = [tuple(part.numpy() for part in row) for row in data]
    whole = cover_tokens(ids, noise.transpose(1, 0, 2), **PLAN)
    for index in range(2):
        assert np.array_equal(np.stack([row[index] for row in rows]), whole[index])
    assert rows[0][0].dtype == np.int32
