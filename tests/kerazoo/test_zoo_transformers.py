"""What the Transformers promise beyond the catalogue's tests: heads, masks, positions, generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface
import keras
import numpy as np
import pytest
import transformer_rules
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
    model.compile(
        keras.optimizers.Adam(1e-2),
        {"mlm": mlm, "nsp": nsp},
        metrics={"mlm": hits, "nsp": "accuracy"},
        jit_compile=False,
    )
    data = _texts(covered), {"mlm": targets, "nsp": order}
    model.fit(zoo.long_epoch(data, 150, 64), verbose=0)
    found = model.evaluate(*data, verbose=0, return_dict=True)
    assert found["mlm_token_accuracy"] > 0.95, found
    assert found["nsp_accuracy"] == 1, found


# --- the Transformer


def _transformer(**options: Any) -> keras.Model:
    return _strong(zoo.fresh("transformer_small", max_length=100, **options))


def _pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A source with padding and a target."""
    random = np.random.default_rng(seed)
    source, target = random.integers(1, 11, (3, 7)), random.integers(1, 11, (3, 9))
    source[1, 5:] = source[2, 2:] = 0
    return source, target


def _logits(model: keras.Model, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return zoo.value(model({"source_ids": source, "target_ids": target}))


def test_the_target_sees_no_future_and_the_whole_source() -> None:
    model, (source, target) = _transformer(), _pair()
    plain, changed = _logits(model, source, target), target.copy()
    changed[:, 4] = changed[:, 4] % 10 + 1
    moved = np.abs(_logits(model, source, changed) - plain).max(-1)
    assert np.all(moved[:, :4] == 0)
    assert np.all(moved[:, 4:] > 1e-4)
    source[:, 1] = source[:, 1] % 10 + 1
    assert np.all(np.abs(_logits(model, source, target) - plain).max(-1) > 1e-5)


def test_the_source_is_read_without_its_padding() -> None:
    model, (source, target) = _transformer(), _pair()
    padded = _logits(model, source, target)
    for row in range(3):
        alone = _logits(model, source[row : row + 1, : np.count_nonzero(source[row])], target[row : row + 1])
        np.testing.assert_allclose(padded[row : row + 1], alone, atol=1e-5)
    np.testing.assert_allclose(_logits(model, source, target[:, :4]), padded[:, :4], atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_tables(tied: bool) -> None:
    model = zoo.fresh("transformer_small", tie_embeddings=tied)
    paths = [weight.path for weight in model.weights if 11 in tuple(weight.shape)]
    separate = ["source_embedding/embeddings", "target_embedding/embeddings", "logits/kernel", "logits/bias"]
    assert sorted(paths) == (["token_embedding/embeddings"] if tied else sorted(separate))


def test_two_vocabularies_cannot_be_tied() -> None:
    with pytest.raises(ValueError, match="tie_embeddings=True needs one vocabulary for both"):
        zoo.fresh("transformer_small", source_vocab_size=12)
    model = zoo.fresh("transformer_small", source_vocab_size=12, tie_embeddings=False)
    assert model.output_shape == (None, None, 11)


def test_a_too_long_text_is_refused() -> None:
    model = zoo.fresh("transformer_small")
    with pytest.raises(ValueError, match="at most max_length=8 tokens"):
        model({"source_ids": np.ones((1, 9), int), "target_ids": np.ones((1, 3), int)})


def test_initial_weights_of_the_paper() -> None:
    """Tables N(0, d^-0.5), so that scaled tokens have unit spread; matrices uniform as Glorot's for d x d and d x m."""
    model = kerazoo.transformer_small(500, 500, hidden_dim=64, mlp_dim=128, num_layers=1)
    assert np.std(model.get_layer("token_embedding").get_weights()[0]) * 8 == pytest.approx(1, abs=0.03)
    for name in ("encoder1_attention", "decoder1_attention", "decoder1_cross_attention"):
        kernels = model.get_layer(name).get_weights()
        assert len(kernels) == 4, "no biases"
        assert len({kernel.ravel()[0] for kernel in kernels}) == 4
        assert all(np.abs(kernel).max() == pytest.approx((6 / 128) ** 0.5, rel=0.02) for kernel in kernels)
    kernel = model.get_layer("encoder1_mlp_fc1").get_weights()[0]
    assert np.abs(kernel).max() == pytest.approx((6 / (64 + 128)) ** 0.5, rel=0.02)


@pytest.mark.parametrize("options", [{}, {"tie_embeddings": False, "use_bias": True, "final_norm": True}], ids=str)
def test_kept_keys_and_values_give_the_full_forward_pass(options: dict[str, Any]) -> None:
    """Token by token, over the edge where the room for keys and values doubles (64 slots)."""
    from kerazoo.transformers.translation import stepper

    model, (source, _) = _transformer(**options), _pair()
    target = np.random.default_rng(1).integers(1, 11, (3, 70))
    full = _logits(model, source, target)
    asked = stepper(model, start_id=4)
    target[:, 0] = 4
    full = _logits(model, source, target)
    logits, state = asked.start(source)
    assert asked.vocab_size == 11
    assert asked.max_new_tokens is not None
    assert asked.max_new_tokens(source) == 99
    for place in range(70):
        assert np.abs(zoo.value(logits) - full[:, place]).max() < 1e-5, place
        if place < 69:
            logits, state = asked.step(target[:, place + 1], state)
    assert np.abs(full).max() > 0.1


def test_greedy_and_beam_search_with_a_transformer() -> None:
    """Greedy is what asking the whole model again and again gives; a beam of one is greedy."""
    from kerazoo.generation import beam_search, greedy
    from kerazoo.transformers.translation import stepper

    model, (source, _) = _transformer(), _pair()
    target = np.full((3, 1), 4)
    for _ in range(6):
        target = np.concatenate([target, _logits(model, source, target)[:, -1:].argmax(-1)], axis=1)
    asked = stepper(model, start_id=4)
    assert np.array_equal(greedy(asked, source, max_new_tokens=6), target[:, 1:])
    one, _ = beam_search(asked, source, beam_size=1, max_new_tokens=6)
    assert np.array_equal(one[:, 0], target[:, 1:])
    four, worth = beam_search(asked, source, beam_size=4, max_new_tokens=6)
    assert four.shape == (3, 4, 6)
    log_p = _logits(model, source, np.concatenate([np.full((3, 1), 4), four[:, 0, :-1]], axis=1))
    log_p = log_p - np.log(np.exp(log_p).sum(-1, keepdims=True))
    score = np.take_along_axis(log_p, four[:, 0, :, None], -1).sum((1, 2)) / (11 / 6) ** 0.6
    np.testing.assert_allclose(worth[:, 0], score, atol=1e-4)


def test_writing_needs_a_transformer() -> None:
    from kerazoo.transformers.translation import stepper

    for name in ("gpt2", "bert_tiny", "mlp"):
        with pytest.raises(ValueError, match=f"encoder and decoder is needed. Received: '{name}'"):
            stepper(zoo.fresh(name), start_id=1)


def test_attention_weights() -> None:
    """They sum to one, skip the padding, and are those the model computes with."""
    from kerazoo.transformers.translation import attention_weights

    model, (source, target) = _transformer(), _pair()
    found = attention_weights(model, source, target)
    assert list(found) == ["decoder1_cross_attention", "decoder2_cross_attention"]
    for weights in found.values():
        assert weights.shape == (3, 2, 9, 7)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        assert not np.any(weights[np.broadcast_to(source[:, None, None] == 0, weights.shape)])
        assert np.ptp(weights[0]) > 0.05
    layer = model.get_layer("decoder1_cross_attention")
    memory = keras.Model(model.input, [model.get_layer(f"{name}").output for name in ("encoder2_out", layer.name)])
    values, output = (zoo.value(part) for part in memory({"source_ids": source, "target_ids": target}))
    mixed = np.einsum("bhts,bshf->bthf", found[layer.name], zoo.value(layer.value_dense(values)))
    np.testing.assert_allclose(zoo.value(layer.output_dense(mixed)), output, atol=1e-5)


@pytest.mark.parametrize(("hidden_dim", "peak"), [(512, 6.98771e-4), (1024, 4.94106e-4)])
def test_learning_rate_of_the_paper(hidden_dim: int, peak: float) -> None:
    """Highest at step 4000: d^-0.5 4000^-0.5."""
    from kerazoo.transformers.schedule import TransformerSchedule

    rate = TransformerSchedule(hidden_dim)
    rates = np.array([float(rate(step - 1)) for step in (1, 2000, 4000, 4001, 16000)])
    assert rates[2] == pytest.approx(peak, rel=1e-5)
    np.testing.assert_allclose(rates[[0, 1, 4]] / rates[2], [1 / 4000, 1 / 2, 1 / 2], rtol=1e-4)
    assert rates[3] < rates[2]
    optimizer = keras.optimizers.Adam(TransformerSchedule(hidden_dim, 10, scale=2.0))
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert float(again.learning_rate) == pytest.approx(2 * hidden_dim**-0.5 * 10**-1.5)


def test_a_transformer_learns_to_copy_backwards() -> None:
    model = kerazoo.transformer_small(12, 12, max_length=8, hidden_dim=32, mlp_dim=64, dropout_rate=0.0)
    random = np.random.default_rng(0)
    source = random.integers(2, 12, (2048, 5))
    target = np.concatenate([np.ones((2048, 1), int), source[:, ::-1]], axis=1)
    loss, hits = kerazoo.losses.SequenceCrossentropy(label_smoothing=0.1), kerazoo.metrics.TokenAccuracy()
    model.compile(keras.optimizers.Adam(5e-3), loss, metrics=[hits], jit_compile=False)
    data = {"source_ids": source, "target_ids": target[:, :-1]}, target[:, 1:]
    model.fit(*data, epochs=12, batch_size=64, verbose=0)
    assert model.evaluate(*data, verbose=0, return_dict=True)["token_accuracy"] > 0.97


@pytest.mark.parametrize("part", ["large", "small"])
@pytest.mark.parametrize("name", transformer_rules.OPTIONS)
def test_recorded_logits_of_other_transformers(name: str, part: str) -> None:
    """FSMT of Hugging Face (fairseq's translator) and torch.nn.Transformer, with the same drawn weights."""
    model = transformer_rules.filled(name, {"large": huggingface.LARGE, "small": huggingface.SMALL}[part])
    expected = {"logits": transformer_rules.recorded(name)[part]}
    inputs = transformer_rules.inputs(name)
    assert huggingface.difference(model(inputs), expected) < 1e-5
    norms = [layer.name for layer in model.layers if isinstance(layer, keras.layers.LayerNormalization)]
    wrong = {
        "epsilon": {key: {"epsilon": 1e-4} for key in norms},
        "mask": {"mask": {"pad_id": 18}},
        "offset": {"target_positions": {"offset": 5}},
        "layout": {"source_positions": {"layout": {"fsmt": "interleaved", "torch": "halves"}[name]}},
        "activation": {"decoder1_mlp_act": {"activation": "gelu"}},
    }
    for what, change in wrong.items():
        if part == "large":
            assert huggingface.difference(zoo.mutated(model, change)(inputs), expected) > 1e-5, what
