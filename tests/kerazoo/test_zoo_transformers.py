"""What the Transformers promise beyond the catalogue's tests: heads, masks, positions, generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.blocks import Transformer
from kerazoo.layers import PaddingMask, PositionEmbedding, SinusoidalPositions, TakeToken, sinusoids

RANDOM = np.random.default_rng(0)


def _strong(model: keras.Model) -> keras.Model:
    """Draws all weights wide enough that every path through the network shows in its output."""
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0, 0.3, weight.shape) + (weight.name == "gamma"))
    return model


# --- the parts


def test_padding_mask() -> None:
    assert PaddingMask()(np.array([[7, 3, 0], [0, 1, 0]])).numpy().tolist() == [
        [[True, True, False]],
        [[False, True, False]],
    ]
    assert PaddingMask(7)(np.array([[7, 3, 0]])).numpy().tolist() == [[[False, True, True]]]


def test_take_token() -> None:
    x = RANDOM.normal(size=(2, 4, 3)).astype("float32")
    for position in (0, 2, -1):
        assert np.array_equal(TakeToken(position)(x), x[:, position])


def test_sinusoids_by_hand() -> None:
    """The paper's: sin(p / 10000^(2i / 4)) and the cosine in turn; for four features the divisors are 1 and 100."""
    expected = [[np.sin(p), np.cos(p), np.sin(p / 100), np.cos(p / 100)] for p in range(3)]
    np.testing.assert_allclose(sinusoids(3, 4), expected, atol=1e-7)
    # tensor2tensor's: divisors 10000^(i / (4 / 2 - 1)), which are 1 and 10000; all sines first
    halves = [[np.sin(p), np.sin(p / 1e4), np.cos(p), np.cos(p / 1e4)] for p in range(2, 5)]
    np.testing.assert_allclose(sinusoids(3, 4, "halves", offset=2), halves, atol=1e-7)
    layer = SinusoidalPositions(9, offset=1)
    np.testing.assert_allclose(layer(np.ones((1, 3, 4))), 1 + sinusoids(4, 4)[None, 1:], atol=1e-6)


@pytest.mark.parametrize("layer", [PositionEmbedding(5), SinusoidalPositions(5)], ids=lambda layer: layer.name)
def test_positions_end(layer: keras.layers.Layer) -> None:
    y = layer(np.zeros((2, 5, 4), "float32"))
    assert np.array_equal(layer(np.zeros((2, 3, 4), "float32")), y[:, :3])
    assert len(np.unique(np.round(y[0], 6), axis=0)) == 5, "every position has its own vector"
    with pytest.raises(ValueError, match=r"at most max_length=5 tokens. Received: 6"):
        layer(np.zeros((2, 6, 4), "float32"))
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_position_layouts() -> None:
    with pytest.raises(ValueError, match="layout must be one of 'interleaved', 'halves'"):
        SinusoidalPositions(5, layout="alternating")


# --- blocks


def _blocks(pre_norm: bool, causal: bool) -> keras.Model:
    x = tokens = keras.Input((None, 8), name="x")
    mask = keras.Input((1, None), dtype="bool", name="mask")
    block = Transformer(num_heads=2, mlp_dim=16, pre_norm=pre_norm)
    for index in (1, 2):
        x = block.block(x, f"block{index}", mask=mask, causal=causal)
    return _strong(keras.Model([tokens, mask], x))


@pytest.mark.parametrize("pre_norm", [False, True])
def test_causality(pre_norm: bool) -> None:
    """A token changes nothing of what stands before it, and something of all that follows."""
    model, mask = _blocks(pre_norm, causal=True), np.ones((1, 1, 6), bool)
    x = RANDOM.normal(size=(1, 6, 8)).astype("float32")
    changed = x.copy()
    changed[:, 3] += RANDOM.normal(size=8)  # a constant would vanish in the normalisation
    moved = np.abs(zoo.value(model([x, mask])) - zoo.value(model([changed, mask]))).max(-1)[0]
    assert np.all(moved[:3] == 0)
    assert np.all(moved[3:] > 1e-4)
    free = _blocks(pre_norm, causal=False)
    moved = np.abs(zoo.value(free([x, mask])) - zoo.value(free([changed, mask]))).max(-1)[0]
    assert np.all(moved > 1e-4)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("causal", [False, True])
def test_padded_is_trimmed(side: str, causal: bool) -> None:
    """Whatever stands at masked places, on either side, the others come out as without it."""
    model = _blocks(False, causal)
    x = RANDOM.normal(size=(2, 4, 8)).astype("float32")
    rest = 9 * RANDOM.normal(size=(2, 3, 8)).astype("float32")
    pair = (x, rest) if side == "right" else (rest, x)
    real = slice(0, 4) if side == "right" else slice(3, 7)
    mask = np.zeros((2, 1, 7), bool)
    mask[:, :, real] = True
    found = zoo.value(model([np.concatenate(pair, axis=1), mask]))[:, real]
    expected = zoo.value(model([x, np.ones((2, 1, 4), bool)]))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if side == "left" or not causal:
        unmasked = zoo.value(model([np.concatenate(pair, axis=1), np.ones_like(mask)]))[:, real]
        assert np.abs(unmasked - expected).max() > 1e-3, "the mask does something"


def test_heads_must_divide() -> None:
    with pytest.raises(ValueError, match=r"hidden_dim must be a multiple of num_heads. Received: hidden_dim=8"):
        Transformer(num_heads=3, mlp_dim=4, pre_norm=False).block(keras.Input((5, 8)), "block1")


# --- BERT

_IDS = np.array([[5, 3, 9, 2, 7, 1]])


def _bert(**options: Any) -> keras.Model:
    return _strong(zoo.fresh("bert_tiny", **options))


def _texts(ids: np.ndarray) -> dict[str, np.ndarray]:
    return {"token_ids": ids, "segment_ids": np.zeros_like(ids)}


@pytest.mark.parametrize("head", ["pretraining", "masked_lm", "classifier", None])
def test_bert_sees_no_padding(head: str | None) -> None:
    model = _bert(head=head)
    trimmed = zoo.outputs(model, _texts(_IDS))
    padded = zoo.outputs(model, _texts(np.pad(_IDS, ((0, 0), (0, 2)))))
    for a, b in zip(trimmed, padded, strict=True):
        np.testing.assert_allclose(a, b[:, :6] if b.ndim == 3 else b, atol=1e-5)
    other = zoo.outputs(model, _texts(np.pad(_IDS, ((0, 0), (0, 2)), constant_values=4)))
    assert np.abs(other[-1] - padded[-1]).max() > 1e-4


@pytest.mark.parametrize("head", ["pretraining", "masked_lm", None])
def test_berts_other_heads_are_saved(head: str | None, tmp_path: Path) -> None:
    model = _bert(head=head)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    for a, b in zip(zoo.outputs(model, _texts(_IDS)), zoo.outputs(again, _texts(_IDS)), strict=True):
        assert np.array_equal(a, b)


def test_bert_sees_both_directions_and_segments() -> None:
    model = _bert(head="masked_lm")
    plain = zoo.value(model(_texts(_IDS)))
    changed = _IDS.copy()
    changed[0, 3] = 8
    assert np.all(np.abs(zoo.value(model(_texts(changed))) - plain).max(-1) > 1e-4)
    second = zoo.value(model({"token_ids": _IDS, "segment_ids": np.ones_like(_IDS)}))
    assert np.abs(second - plain).max() > 1e-4


def test_the_masked_head_is_tied() -> None:
    model = _bert(head="masked_lm")
    kernels = [weight.path for weight in model.weights if 11 in tuple(weight.shape)]
    assert kernels == ["token_embedding/embeddings", "mlm/bias"]


def test_bert_pretrains() -> None:
    """Both heads learn from one `fit`: covered tokens from their surroundings, the order of sentences from [CLS]."""
    from kerazoo.transformers.masking import UNCOVERED, mask_tokens

    model = zoo.fresh("bert_tiny", head="pretraining", dropout_rate=0.0, attention_dropout_rate=0.0)
    order = np.repeat([0, 1], 32)
    ids = np.where(order[:, None] == 0, np.arange(3, 9), np.arange(8, 2, -1))
    covered, targets = mask_tokens(ids, vocab_size=11, mask_id=1, special_ids=(0, 1), seed=0, rate=0.3)
    mlm = kerazoo.losses.SequenceCrossentropy(ignore_id=UNCOVERED)
    nsp = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    hits = kerazoo.metrics.TokenAccuracy(ignore_id=UNCOVERED)
    model.compile(keras.optimizers.Adam(1e-2), {"mlm": mlm, "nsp": nsp}, metrics={"mlm": hits, "nsp": "accuracy"})
    data = _texts(covered), {"mlm": targets, "nsp": order}
    model.fit(*data, epochs=150, batch_size=64, verbose=0)
    found = model.evaluate(*data, verbose=0, return_dict=True)
    assert found["mlm_token_accuracy"] > 0.95, found
    assert found["nsp_accuracy"] == 1, found
