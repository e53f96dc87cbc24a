"""Translators: reversal, padding, causality, attention, token by token, learning to copy."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.generation import beam_search, greedy
from kerazoo.layers import Maxout, ReverseTokens
from kerazoo.recurrent.attention import attention_weights

ATTENTIVE = ("bahdanau_seq2seq", "luong_seq2seq")
NAMES = ("seq2seq", *ATTENTIVE)
LUONG = [
    {"score": score, "input_feeding": feeding}
    for score, feeding in itertools.product(("dot", "general", "concat"), (True, False))
]
VARIANTS = [("seq2seq", {}), ("seq2seq", {"reverse_source": False}), ("bahdanau_seq2seq", {})]
VARIANTS += [("luong_seq2seq", options) for options in LUONG]
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, 11, (2, 6))
SOURCE[1, 4:] = 0
TARGET = RANDOM.integers(1, 9, (2, 5))


def _model(name: str, **options: Any) -> keras.Model:
    model = zoo.fresh(name, **options)
    for weight in model.weights:  # small random weights would hide what is lost
        weight.assign(np.random.default_rng(len(weight.path)).normal(0, 0.5, weight.shape))
    return model


def _run(model: keras.Model, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return zoo.value(model({"source_ids": source, "target_ids": target}))


def _stepper(model: keras.Model, name: str, start_id: int = 1) -> kerazoo.generation.Stepper:
    return importlib.import_module(kerazoo.model_card(name).module).stepper(model, start_id=start_id)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_padding_and_causality(name: str, options: dict[str, Any]) -> None:
    model = _model(name, **options)
    found = _run(model, SOURCE, TARGET)
    longer = _run(model, np.pad(SOURCE, ((0, 0), (0, 3))), np.pad(TARGET, ((0, 0), (0, 2))))
    np.testing.assert_allclose(longer[:, :5], found, atol=1e-5)
    np.testing.assert_allclose(_run(model, SOURCE[1:, :4], TARGET[1:]), found[1:], atol=1e-5)
    later = TARGET.copy()
    later[:, 3] = later[:, 3] % 8 + 1
    difference = np.abs(_run(model, SOURCE, later) - found).max(axis=(0, 2))
    assert difference[:3].max() == 0
    assert difference[3] > 1e-3


@pytest.mark.parametrize("name", ["seq2seq", "luong_seq2seq"])
def test_reversed_source(name: str) -> None:
    """The model that reverses gives what the other one gives for sources reversed by hand; padding stays behind."""
    model, plain = _model(name), _model(name, reverse_source=False)
    turned = np.array([SOURCE[0, ::-1], [*SOURCE[1, 3::-1], 0, 0]])
    found = _run(model, SOURCE, TARGET)
    np.testing.assert_allclose(found, _run(plain, turned, TARGET), atol=1e-6)
    assert np.abs(found - _run(plain, SOURCE, TARGET)).max() > 1e-3
    assert zoo.value(ReverseTokens()(SOURCE)).tolist() == turned.tolist()


@pytest.mark.parametrize(("name", "options"), [row for row in VARIANTS if row[0] in ATTENTIVE])
def test_attention_weights(name: str, options: dict[str, Any]) -> None:
    found = attention_weights(_model(name, **options), SOURCE, TARGET)
    assert found.shape == (2, 5, 6)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-6)
    assert np.all(found[1, :, 4:] == 0)
    assert np.ptp(found[0], axis=-1).max() > 1e-3


@pytest.mark.parametrize("reverse_source", [False, True])
def test_attention_is_in_the_order_of_the_source(reverse_source: bool) -> None:
    """An embedding that stands out is looked at where it stands, whichever way the source is read."""
    model = _model("luong_seq2seq", score="dot", reverse_source=reverse_source, num_layers=1)
    found = attention_weights(model, SOURCE, TARGET)
    shown = ReverseTokens()(SOURCE) if reverse_source else SOURCE
    plain = _model("luong_seq2seq", score="dot", reverse_source=False, num_layers=1)
    as_read = attention_weights(plain, zoo.value(keras.ops.convert_to_tensor(shown)), TARGET)
    lengths = (SOURCE > 0).sum(axis=1)
    for row, length in enumerate(lengths):
        order = slice(None, None, -1) if reverse_source else slice(None)
        np.testing.assert_allclose(found[row, :, :length], as_read[row, :, :length][:, order], atol=1e-6)


def test_attention_of_a_model_without_it_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of bahdanau_seq2seq or luong_seq2seq"):
        attention_weights(_model("seq2seq"), SOURCE, TARGET)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_decoder_of_bahdanau_by_hand() -> None:
    """Appendix A.2 of the paper, word by word in NumPy, from the annotations of the encoder on."""
    model = _model("bahdanau_seq2seq")
    weights = {weight.path.removeprefix("decoder/loop/cell/"): zoo.value(weight) for weight in model.weights}
    embedded = model.get_layer("source_embedding")(SOURCE)
    h, _, backward = map(zoo.value, model.get_layer("encoder")(embedded, mask=SOURCE != 0))
    np.testing.assert_allclose(backward, h[:, 0, 4:], atol=1e-6)
    s = np.tanh(backward @ weights["W_s/kernel"] + weights["W_s/bias"])
    words = weights["target_embedding/embeddings"][TARGET]
    keys = h @ weights["U_a/kernel"] + weights["U_a/bias"]
    expected = []
    for step in range(5):
        y = words[:, step]
        e = np.where(SOURCE != 0, np.tanh((s @ weights["W_a"])[:, None] + keys) @ weights["v_a"], -np.inf)
        alpha = np.exp(e) / np.exp(e).sum(axis=1, keepdims=True)
        c = np.einsum("bs,bsd->bd", alpha, h)
        t = np.concatenate([s, c, y], axis=1) @ weights["deep_output/kernel"] + weights["deep_output/bias"]
        t = t.reshape(2, -1, 2).max(axis=-1)
        expected.append(t @ weights["predictions/kernel"] + weights["predictions/bias"])
        z, r, new = np.split(y @ weights["W"] + c @ weights["C"] + weights["bias"], 3, axis=1)
        z, r = _sigmoid(z + s @ weights["U_z"]), _sigmoid(r + s @ weights["U_r"])
        s = (1 - z) * s + z * np.tanh(new + (r * s) @ weights["U"])
    np.testing.assert_allclose(_run(model, SOURCE, TARGET), np.stack(expected, axis=1), atol=1e-5)


@pytest.mark.parametrize("options", LUONG)
def test_decoder_of_luong_by_hand(options: dict[str, Any]) -> None:
    """Sections 3.1 and 3.3 of the paper with one layer, in NumPy, from the states of the encoder on."""
    model = _model("luong_seq2seq", num_layers=1, reverse_source=False, **options)
    weights = {weight.path.removeprefix("decoder/loop/cell/"): zoo.value(weight) for weight in model.weights}
    embedded = model.get_layer("source_embedding")(SOURCE)
    memory, h, c = map(zoo.value, model.get_layer("encoder_lstm1")(embedded, mask=SOURCE != 0))
    words, fed, expected = weights["target_embedding/embeddings"][TARGET], np.zeros_like(h), []
    for step in range(5):
        x = np.concatenate([words[:, step], fed], axis=1) if options["input_feeding"] else words[:, step]
        gates = x @ weights["lstm1/kernel"] + h @ weights["lstm1/recurrent_kernel"] + weights["lstm1/bias"]
        i, f, g, o = np.split(gates, 4, axis=1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        if options["score"] == "dot":
            e = np.einsum("bd,bsd->bs", h, memory)
        elif options["score"] == "general":
            e = np.einsum("bd,de,bse->bs", h, weights["W_a/kernel"], memory)
        else:
            both = np.concatenate([weights["W_a/kernel"], weights["W_a_memory/kernel"]])
            pairs = np.concatenate([np.repeat(h[:, None], 6, axis=1), memory], axis=-1)
            e = np.tanh(pairs @ both) @ weights["v_a"]
        alpha = np.exp(np.where(SOURCE != 0, e, -np.inf))
        alpha /= alpha.sum(axis=1, keepdims=True)
        context = np.einsum("bs,bsd->bd", alpha, memory)
        fed = np.tanh(np.concatenate([context, h], axis=1) @ weights["W_c/kernel"])
        expected.append(fed @ weights["predictions/kernel"] + weights["predictions/bias"])
    np.testing.assert_allclose(_run(model, SOURCE, TARGET), np.stack(expected, axis=1), atol=1e-5)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_token_by_token(name: str, options: dict[str, Any]) -> None:
    """Greedy writing is teacher forcing on what was written, and a beam of one is greedy."""
    model = _model(name, **options)
    stepper = _stepper(model, name)
    written = greedy(stepper, SOURCE, max_new_tokens=6)
    before = np.pad(written[:, :-1], ((0, 0), (1, 0)), constant_values=1)
    forced = _run(model, SOURCE, before)
    np.testing.assert_array_equal(written, forced.argmax(-1))
    logits, state = stepper.start(SOURCE)
    for step in range(6):
        np.testing.assert_allclose(np.array(logits), forced[:, step], atol=1e-5)
        logits, state = stepper.step(written[:, step], state)
    single = beam_search(stepper, SOURCE, beam_size=1, max_new_tokens=6)[0]
    np.testing.assert_array_equal(single[:, 0], written)


def test_a_reloaded_model_writes_the_same(tmp_path: Any) -> None:
    model = _model("luong_seq2seq")
    model.save(tmp_path / "a.keras")
    reloaded = keras.models.load_model(tmp_path / "a.keras")
    expected = greedy(_stepper(model, "luong_seq2seq"), SOURCE, max_new_tokens=6)
    np.testing.assert_array_equal(greedy(_stepper(reloaded, "luong_seq2seq"), SOURCE, max_new_tokens=6), expected)
    found = attention_weights(reloaded, SOURCE, TARGET)
    np.testing.assert_allclose(found, attention_weights(model, SOURCE, TARGET), atol=1e-6)


def _copies(count: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Sequences of 3 to 6 tokens from 3 to 10, to be repeated; 1 starts and 2 ends the target."""
    random = np.random.default_rng(seed)
    source = random.integers(3, 11, (count, 6))
    lengths = random.integers(3, 7, count)
    source[np.arange(6) >= lengths[:, None]] = 0
    after = np.pad(source, ((0, 0), (0, 1)))
    after[np.arange(count), lengths] = 2
    before = np.pad(source, ((0, 0), (1, 0)), constant_values=1)
    return {"source_ids": source, "target_ids": before}, after


EPOCHS = {"seq2seq": 6, "bahdanau_seq2seq": 5, "luong_seq2seq": 4}
COPYING = {
    "seq2seq": {"units": 96, "num_layers": 1, "embedding_dim": 16},
    "bahdanau_seq2seq": {"units": 48, "attention_units": 32, "maxout_units": 32, "embedding_dim": 16},
    "luong_seq2seq": {"units": 64, "num_layers": 1, "embedding_dim": 16},
}


@pytest.mark.parametrize("name", NAMES)
def test_learns_to_copy(name: str) -> None:
    """New sequences of all lengths are repeated to the end, token by token."""
    keras.utils.set_random_seed(0)
    model = kerazoo.create_model(name, 11, 11, **COPYING[name])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), loss, jit_compile=False)
    x, y = _copies(4096, seed=0)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 * 0.8**epoch)
    model.fit(x, y, batch_size=64, epochs=EPOCHS[name], verbose=0, callbacks=[schedule])
    inputs, expected = _copies(200, seed=1)
    written = greedy(_stepper(model, name), inputs["source_ids"], max_new_tokens=7, end_id=2)
    written = np.pad(written, ((0, 0), (0, 7 - written.shape[1])))
    assert np.mean(np.all(written == expected, axis=1)) >= 0.97


def test_maxout_takes_the_larger_of_neighbours() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 8)).astype("float32")
    np.testing.assert_array_equal(zoo.value(Maxout()(x)), x.reshape(2, 3, 4, 2).max(axis=-1))
