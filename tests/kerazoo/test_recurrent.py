"""Recurrent networks and temporal convolutions: padding, directions, shapes, causality, states, generation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.recurrent import rnn
from kerazoo.recurrent.tcn import receptive_field

RNNS = ("simple_rnn", "lstm", "gru")
OWN = {
    "tcn": {"filters": 4, "num_levels": 2, "kernel_size": 2},
    "transformer_encoder": {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8},
    "text_cnn": {"filters": 4, "kernel_sizes": (2, 3)},
}
RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(2, 6, 3)).astype("float32")
IDS = RANDOM.integers(1, 11, (2, 6))


def _tokens(name: str, **options: Any) -> keras.Model:
    own = OWN.get(name, {"units": 4, "num_layers": 2})
    width = {} if name == "transformer_encoder" else {"embedding_dim": 3}
    settings = {"input_shape": (None,), "vocab_size": 11, "num_classes": 11, **width, **own, **options}
    keras.utils.set_random_seed(0)
    model = kerazoo.create_model(name, **settings)
    zoo.perturb(model)
    return model


def _features(name: str, **options: Any) -> keras.Model:
    model = zoo.fresh(name, **{"input_shape": (None, 3), **options})
    zoo.perturb(model)
    return model


def _run(model: keras.Model, inputs: Any) -> np.ndarray:
    return zoo.value(model(inputs))


@pytest.mark.parametrize("side", ["after", "before"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("mode", ["many_to_one", "many_to_many"])
@pytest.mark.parametrize("name", RNNS)
def test_padding_changes_nothing(name: str, mode: str, bidirectional: bool, side: str) -> None:
    """A padded batch and the trimmed one give equal answers, of tokens and of features, in both directions."""
    tokens = _tokens(name, mode=mode, bidirectional=bidirectional)
    features = _features(name, mode=mode, bidirectional=bidirectional, mask_value=-9.0)
    width = (0, 3) if side == "after" else (3, 0)
    for model, x, value in ((tokens, IDS, 0), (features, FEATURES, -9.0)):
        padded = np.pad(x, ((0, 0), width) + ((0, 0),) * (x.ndim - 2), constant_values=value)
        found = _run(model, padded)
        if mode == "many_to_many":
            found = found[:, width[0] : width[0] + 6]
        np.testing.assert_allclose(found, _run(model, x), atol=1e-6)
        unmasked = np.where(padded == value, 1 if value == 0 else 0, padded)
        if mode == "many_to_one":
            assert np.abs(_run(model, unmasked) - found).max() > 1e-4


@pytest.mark.parametrize("name", RNNS)
def test_the_backward_half_reads_the_reversed_input(name: str) -> None:
    model = _features(name, bidirectional=True, num_layers=1)
    both = next(layer for layer in model.layers if isinstance(layer, keras.layers.Bidirectional))
    both.backward_layer.set_weights(both.forward_layer.get_weights())
    found, turned = zoo.value(both(FEATURES)), zoo.value(both(FEATURES[:, ::-1]))
    np.testing.assert_allclose(found[:, :4], turned[:, 4:], atol=1e-6)
    assert np.abs(found[:, :4] - found[:, 4:]).max() > 1e-3


@pytest.mark.parametrize("name", [*RNNS, "tcn"])
def test_causality(name: str) -> None:
    """What comes later changes nothing of the answers before."""
    for model, x in ((_tokens(name, mode="many_to_many"), IDS), (_features(name, mode="many_to_many"), FEATURES)):
        later = x.copy()
        later[:, 3] = later[:, 3] % 10 + 1 if x is IDS else later[:, 3] + 1
        difference = np.abs(_run(model, later) - _run(model, x)).max(axis=(0, 2))
        assert difference[:3].max() == 0
        assert difference[3] > 1e-5


def test_one_step_is_the_formula_of_the_layer() -> None:
    model = _features("simple_rnn", input_shape=(1, 3), mode="one_to_one", num_layers=1)
    kernel, _, bias, head, head_bias = model.get_weights()
    hidden = np.tanh(FEATURES[:, 0] @ kernel + bias)
    np.testing.assert_allclose(
        _run(model, FEATURES[:, :1]), zoo.value(keras.ops.softmax(hidden @ head + head_bias)), atol=1e-6
    )


def test_gate_of_the_paper_and_of_cudnn() -> None:
    """One step by hand from h = 1: with `reset_after` the reset gate acts behind the product, without it before."""
    for reset_after in (True, False):
        layer = _features("gru", num_layers=1, reset_after=reset_after).get_layer("gru1")
        kernel, recurrent, bias = (np.split(w, 3, axis=-1) for w in layer.get_weights())
        inner = [b[0] if reset_after else b for b in bias]
        outer = [b[1] if reset_after else 0 * b for b in bias]
        x, h = FEATURES[:, 0], np.full((2, 4), 0.5, "float32")
        z, r = (1 / (1 + np.exp(-(x @ kernel[i] + inner[i] + h @ recurrent[i] + outer[i]))) for i in (0, 1))
        past = r * (h @ recurrent[2] + outer[2]) if reset_after else (r * h) @ recurrent[2]
        expected = z * h + (1 - z) * np.tanh(x @ kernel[2] + inner[2] + past)
        found = zoo.value(layer(FEATURES[:, :1], initial_state=[h]))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_dropout_is_between_the_layers() -> None:
    model = _tokens("lstm", mode="many_to_many", dropout_rate=0.5)
    assert [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [
        "embedding_dropout",
        "lstm1_dropout",
        "head_dropout",
    ]
    assert all(layer.recurrent_dropout == 0 for layer in model.layers if isinstance(layer, keras.layers.LSTM))


@pytest.mark.parametrize("name", RNNS)
def test_stateful_batches_go_on(name: str) -> None:
    """Two halves one after the other give what the whole gives; a reset goes back to the beginning."""
    options = {"mode": "many_to_many", "num_classes": 5}
    whole, halves = _features(name, **options), _features(name, stateful=True, batch_size=2, **options)
    expected = _run(whole, FEATURES)
    found = [_run(halves, FEATURES[:, :3]), _run(halves, FEATURES[:, 3:])]
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=1e-6)
    assert np.abs(_run(halves, FEATURES[:, :3]) - found[0]).max() > 1e-4
    for layer in halves.layers:
        if isinstance(layer, keras.layers.RNN):
            layer.reset_state()
    np.testing.assert_allclose(_run(halves, FEATURES[:, :3]), found[0], atol=1e-6)


@pytest.mark.parametrize("name", RNNS)
def test_language_model_token_by_token(name: str) -> None:
    """A stepper gives the distributions of the whole model, from prompts of several lengths."""
    model = _tokens(name, mode="many_to_many")
    expected = _run(model, IDS)
    prompt = np.array([IDS[0, :3], [*IDS[1, :2], 0]])
    step = rnn.stepper(model)
    logits, state = step.start(prompt)
    for t in range(3):
        found = np.exp(np.array(logits))
        np.testing.assert_allclose(found, [expected[0, 2 + t], expected[1, 1 + t]], atol=1e-6)
        logits, state = step.step(np.array([IDS[0, 3 + t], IDS[1, 2 + t]]), state)


@pytest.mark.parametrize("name", RNNS)
def test_sequence_from_a_condition(name: str) -> None:
    """Greedy writing is teacher forcing on what was written; another condition gives another sequence."""
    model = _tokens(name, mode="one_to_many", input_shape=(3,), classifier_activation=None)
    condition = 3 * FEATURES[:, 0]
    written = kerazoo.generation.greedy(rnn.stepper(model, start_id=1), condition, max_new_tokens=7)
    before = np.pad(written[:, :-1], ((0, 0), (1, 0)), constant_values=1)
    forced = _run(model, {"condition": condition, "target_ids": before})
    np.testing.assert_array_equal(written, forced.argmax(-1))
    other = _run(model, {"condition": -condition, "target_ids": before})
    assert np.abs(forced - other).max() > 1e-3


@pytest.mark.parametrize("name", OWN)
def test_padding_behind_the_tokens(name: str) -> None:
    model = _tokens(name)
    padded = np.pad(IDS, ((0, 0), (0, 3)))
    np.testing.assert_allclose(_run(model, padded), _run(model, IDS), atol=1e-6)
    assert np.abs(_run(model, np.pad(IDS, ((0, 0), (0, 3)), constant_values=3)) - _run(model, IDS)).max() > 1e-5


def test_every_step_of_an_encoder_sees_all_others() -> None:
    for model, x in (
        (_tokens("transformer_encoder", mode="many_to_many"), IDS),
        (_features("transformer_encoder", mode="many_to_many"), FEATURES),
    ):
        other = x.copy()
        other[:, 3] = other[:, 3] % 10 + 1 if x is IDS else other[:, 3] + 1
        assert np.all(np.abs(_run(model, other) - _run(model, x)).max(axis=2) > 1e-6)


@pytest.mark.parametrize(("kernel_size", "num_levels"), [(2, 1), (3, 2), (2, 3)])
def test_receptive_field(kernel_size: int, num_levels: int) -> None:
    """The furthest step an answer depends on, found by the gradient."""
    import tensorflow as tf

    seen = receptive_field(kernel_size, num_levels)
    model = _features("tcn", kernel_size=kernel_size, num_levels=num_levels, filters=8)
    x = tf.Variable(np.random.default_rng(1).normal(size=(1, seen + 4, 3)).astype("float32"))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(x)[:, 0])
    reached = np.abs(tape.gradient(total, x).numpy()).max(axis=(0, 2)) > 0
    assert reached.argmax() == 4


def test_weight_normalisation_starts_as_its_direction() -> None:
    layer = kerazoo.layers.WeightNormConv1D(4, 3, dilation_rate=2)
    x = np.random.default_rng(0).normal(size=(2, 9, 3)).astype("float32")
    found = zoo.value(layer(x))
    plain = keras.ops.conv(np.pad(x, ((0, 0), (4, 0), (0, 0))), layer.v, padding="valid", dilation_rate=2)
    np.testing.assert_allclose(found, zoo.value(plain), atol=1e-6)
    layer.v.assign(5 * layer.v)
    np.testing.assert_allclose(zoo.value(layer(x)), found, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lstm", {"input_shape": (6,)}, r"input_shape of lstm must be \(steps, features\)"),
        ("lstm", {"vocab_size": 5}, r"input_shape of lstm must be \(steps,\)"),
        ("lstm", {"input_shape": (None, None)}, "fixed number of features"),
        ("lstm", {"mode": "one_to_one"}, "must have 1 step"),
        ("gru", {"mode": "one_to_many", "input_shape": (3,)}, "vocab_size must equal num_classes"),
        (
            "gru",
            {"mode": "one_to_many", "input_shape": (3,), "vocab_size": 5, "bidirectional": True},
            "cannot be bidirectional",
        ),
        ("gru", {"stateful": True}, "stateful=True needs batch_size"),
        ("gru", {"input_shape": (None,), "vocab_size": 5, "mask_value": 0.0}, "mask_value is for features"),
        ("tcn", {"input_shape": (None, None)}, "fixed number of features"),
        ("transformer_encoder", {"input_shape": (None, None)}, "fixed number of features"),
    ],
)
def test_what_cannot_work_together(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        zoo.fresh(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "many_to_one"}, "one-directional model of tokens at every step"),
        ({"mode": "many_to_many", "bidirectional": True}, "one-directional"),
        ({"mode": "many_to_many", "num_classes": 5}, "vocab_size equal to num_classes"),
        ({"mode": "many_to_many", "classifier_activation": "sigmoid"}, "logits or a softmax"),
        ({"mode": "one_to_many", "input_shape": (3,)}, "start_id must be"),
    ],
)
def test_models_without_a_stepper(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rnn.stepper(_tokens("lstm", **options))
