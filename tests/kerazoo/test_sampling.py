"""Writing with a language model: kept keys and values change nothing, and draws are from what they should be."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo import generation

WRITERS = ("gpt", "gpt2")


def _model(name: str, **options) -> keras.Model:
    model = zoo.fresh(name, max_length=80, **options)
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:  # large, so that it matters what a token sees
        if len(weight.shape) > 1:
            weight.assign(random.normal(0, 3 if "positions" in weight.path else 1, weight.shape))
    return model


@pytest.fixture(scope="module", params=WRITERS)
def model(request: pytest.FixtureRequest) -> keras.Model:
    return _model(request.param)


def _tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 11, shape).astype("int32")


def _close(found: np.ndarray, wanted: np.ndarray) -> bool:
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max()) < 1e-5


def test_no_token_sees_what_follows(model: keras.Model) -> None:
    tokens = _tokens(1, 12)
    before = zoo.value(model(tokens))
    for place in (11, 5):
        changed = tokens.copy()
        changed[0, place] = (changed[0, place] + 1) % 11
        after = zoo.value(model(changed))
        assert np.allclose(after[0, :place], before[0, :place], atol=1e-6)
        assert np.abs(after[0, place:] - before[0, place:]).max() > 1e-2


@pytest.mark.parametrize("split", [1, 9, 63, 64])
def test_steps_are_the_whole_pass(model: keras.Model, split: int) -> None:
    """The room for keys and values doubles on the way, at 64 tokens."""
    tokens = _tokens(2, 70)
    whole = zoo.value(model(tokens))
    stepper = generation.stepper_of(model)
    logits, state = stepper.start(tokens[:, :split])
    assert _close(logits, whole[:, split - 1])
    for place in range(split, 70):
        logits, state = stepper.step(tokens[:, place], state)
        assert _close(logits, whole[:, place])


def test_padding_at_the_left_changes_nothing(model: keras.Model) -> None:
    prompts = [_tokens(length).tolist() for length in (7, 1, 4)]
    together = kerazoo.generate(model, prompts, max_new_tokens=9, temperature=0)
    alone = [kerazoo.generate(model, prompt, max_new_tokens=9, temperature=0) for prompt in prompts]
    assert together.tolist() == [row.tolist() for row in alone]
    stepper = generation.stepper_of(model)
    padded = np.ma.array([[5, 5, 1, 2], [1, 2, 3, 4]], mask=[[1, 1, 0, 0], [0, 0, 0, 0]])
    (first, state), (second, _) = stepper.start(padded), stepper.start([[1, 2]])
    assert _close(first[:1], second)
    assert _close(stepper.step(np.array([3, 3]), state)[0][:1], zoo.value(model(np.array([[1, 2, 3]])))[:, -1])
    with pytest.raises(ValueError, match="at the left"):
        stepper.start(np.ma.array([[1, 2]], mask=[[False, True]]))


def test_greedy_is_the_likeliest_of_the_whole_pass(model: keras.Model) -> None:
    text = [3, 1, 4]
    for _ in range(8):
        text.append(int(zoo.value(model(np.array([text])))[0, -1].argmax()))
    for cached in (True, False):
        assert kerazoo.generate(model, text[:3], max_new_tokens=8, temperature=0, use_cache=cached).tolist() == text[3:]
    assert len(set(text[3:])) > 1


def test_state_can_be_reordered(model: keras.Model) -> None:
    stepper = generation.stepper_of(model)
    tokens = _tokens(3, 5)
    _, state = stepper.start(tokens)
    logits, _ = stepper.step(np.array([1, 2]), generation.reorder(state, np.array([2, 0])))
    assert _close(logits, zoo.value(model(np.concatenate([tokens[[2, 0]], [[1], [2]]], axis=1)))[:, -1])


def test_the_step_is_a_model_that_saves(model: keras.Model, tmp_path: Path) -> None:
    first, step = generation.decoder.step_models(model)
    _, *cache = first.predict_on_batch([_tokens(2, 5), np.zeros((2, 1), "int32")])
    slot = np.full((2, 1), 4, "int32")
    inputs = [np.array([[1], [2]], "int32"), np.zeros((2, 1), "int32"), slot, *cache]
    step.save(tmp_path / "step.keras")
    for a, b in zip(
        zoo.outputs(keras.models.load_model(tmp_path / "step.keras"), inputs), zoo.outputs(step, inputs), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy: str) -> None:
    model = zoo.fresh("gpt2", dtype=policy)
    stepper = generation.stepper_of(model)
    tokens = _tokens(2, 6)
    logits, state = stepper.start(np.ma.array(tokens[:, :5], mask=np.arange(5) < [[1], [0]]))
    logits, _ = stepper.step(tokens[:, 5], state)
    assert logits.dtype == np.float32
    assert np.abs(logits[1] - zoo.value(model(tokens[1:]))[0, -1]).max() < 1e-2
    assert kerazoo.generate(model, [1, 2], max_new_tokens=3, seed=0).shape == (3,)


@pytest.mark.parametrize(
    ("logits", "options", "kept"),
    [
        ([1, 1, 1, 0], {"top_k": 2}, [0, 1, 2]),  # ties with the second stay
        ([3, 2, 1, 0], {"top_k": 2}, [0, 1]),
        ([3, 2, 1, 0], {"top_k": 9}, [0, 1, 2, 3]),
        (np.log([0.5, 0.3, 0.15, 0.05]), {"top_p": 0.7}, [0, 1]),  # the token that crosses 0.7 stays
        (np.log([0.5, 0.3, 0.15, 0.05]), {"top_p": 0.81}, [0, 1, 2]),
        (np.log([0.5, 0.3, 0.15, 0.05]), {"top_p": 0.4}, [0]),
        (np.log([0.05, 0.5, 0.15, 0.3]), {"top_p": 0.7}, [1, 3]),
        (np.log([0.5, 0.3, 0.15, 0.05]), {"top_p": 1.0}, [0, 1, 2, 3]),
        (np.log([0.4, 0.3, 0.2, 0.1]), {"temperature": 0.5, "top_p": 0.6}, [0, 1]),  # 16/30, 9/30, ...
        (np.log([0.4, 0.3, 0.2, 0.1]), {"temperature": 4.0, "top_p": 0.6}, [0, 1, 2]),
        (np.log([0.4, 0.3, 0.2, 0.1]), {"top_k": 2, "top_p": 0.5}, [0]),  # 4/7 of the two
        ([0, 2, 2, 1], {"temperature": 0}, [1]),
    ],
)
def test_what_may_be_drawn(logits, options: dict, kept: list[int]) -> None:
    found = generation.probabilities(np.array([logits], "float32"), **options)[0]
    assert np.flatnonzero(found).tolist() == kept
    scaled = np.exp(np.array(logits, "float64") / (options.get("temperature") or 1))[kept]
    np.testing.assert_allclose(found[kept], scaled / scaled.sum(), rtol=1e-5)


def test_draws_follow_the_probabilities() -> None:
    from kerazoo.generation import sampling

    likely = np.array([0.0, 0.5, 0.0, 0.3, 0.2])
    drawn = sampling._draw(np.tile(likely, (20_000, 1)), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 20_000, likely, atol=0.01)


@pytest.mark.parametrize("name", ["lstm", "gru", "simple_rnn"])
def test_recurrent_networks_write(name: str) -> None:
    options = {"mode": "many_to_many", "vocab_size": 11, "classifier_activation": None}
    model = kerazoo.create_model(name, (None,), 11, **options, units=12, embedding_dim=8)
    for weight in model.weights:
        weight.assign(weight.value * 3)
    prompts = [[3, 1, 4], [5]]
    texts = [list(prompt) for prompt in prompts]
    for text in texts:
        for _ in range(7):
            text.append(int(zoo.value(model(np.array([text])))[0, -1].argmax()))
    for cached in (True, False):
        found = kerazoo.generate(model, prompts, max_new_tokens=7, temperature=0, use_cache=cached)
        assert found.tolist() == [text[len(prompt) :] for text, prompt in zip(texts, prompts, strict=True)]


def test_seeds(model: keras.Model) -> None:
    texts = [kerazoo.generate(model, [[1, 2], [1, 2]], max_new_tokens=20, seed=seed).tolist() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0][0] != texts[0][1]


def test_a_text_ends(model: keras.Model) -> None:
    free = kerazoo.generate(model, [[1, 2], [3]], max_new_tokens=12, temperature=0)
    end = int(free[0, 3])
    found = kerazoo.generate(model, [[1, 2], [3]], max_new_tokens=12, temperature=0, end_id=end, pad_id=99)
    for row, whole in zip(found.tolist(), free.tolist(), strict=True):
        length = whole.index(end) + 1 if end in whole else 12
        assert row == (whole[:length] + [99] * 12)[: len(row)]
    assert kerazoo.generate(model, [1, 2], max_new_tokens=12, temperature=0, end_id=end)[-1] == end


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ([], {}, "prompt_ids must hold at least one token"),
        ([[1], []], {}, "prompt_ids must hold at least one token"),
        ([11], {}, "prompt_ids must be whole numbers from 0 to 10"),
        ([-1], {}, "prompt_ids must be whole numbers"),
        ([0.5], {}, "prompt_ids must be whole numbers"),
        ([1] * 81, {"max_new_tokens": 1}, "max_new_tokens must be at most 0 behind 81 tokens"),
        ([1] * 79, {"max_new_tokens": 3}, "max_new_tokens must be at most 2 behind 79 tokens"),
        ([1], {"max_new_tokens": 0}, "max_new_tokens"),
        ([1], {"temperature": -1}, "temperature"),
        ([1], {"top_k": 0}, "top_k"),
        ([1], {"top_p": 0.0}, "top_p"),
        ([1], {"top_p": 1.5}, "top_p"),
    ],
)
def test_refuses(prompt, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kerazoo.generate(zoo.fresh("gpt2", max_length=80), prompt, **{"max_new_tokens": 5, **options})


def test_the_whole_context_can_be_used(model: keras.Model) -> None:
    assert kerazoo.generate(model, [1] * 79, max_new_tokens=2, temperature=0).shape == (2,)
    assert kerazoo.generate(model, [1] * 80, max_new_tokens=1, temperature=0).shape == (1,)


def test_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a language model"):
        kerazoo.generate(zoo.built("mlp"), [1], max_new_tokens=1)


def test_more_tokens_than_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="at most max_length=8 tokens"):
        zoo.fresh("gpt2")(_tokens(1, 9))
    with pytest.raises(ValueError, match="length must be at most max_length=8"):
        zoo.fresh("gpt2", length=9)
