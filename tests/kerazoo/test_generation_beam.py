"""Greedy and beam search on models whose every probability is known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest

from kerazoo.generation import Stepper, beam_search, greedy
from kerazoo.generation.beam import length_factor

END = 1


def _random_model(vocab_size: int = 4, rows: int = 2) -> tuple[Stepper, np.ndarray]:
    """A model whose logits depend on the row, the token and the step; the state counts steps and knows its row."""
    table = np.random.default_rng(0).normal(0, 1.5, (rows, 4, vocab_size, vocab_size))

    def start(inputs: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return table[inputs, 0, 0], {"row": inputs, "step": np.zeros(len(inputs), int)}

    def step(tokens: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        after = np.array(state["step"]) + 1
        row = np.array(state["row"])
        return table[row, after, tokens], {"row": row, "step": after}

    return Stepper(start, step, vocab_size, lambda inputs: 3), table


def _log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def _all_sequences(table: np.ndarray, length: int, alpha: float) -> dict[tuple[int, ...], float]:
    """Every sequence that ends, or is cut at `length`, and its worth."""
    worth: dict[tuple[int, ...], float] = {}
    for tokens in itertools.product(range(table.shape[-1]), repeat=length):
        if END in tokens:
            tokens = tokens[: tokens.index(END) + 1]
        logs = [_log_softmax(table[t, tokens[t - 1] if t else 0])[token] for t, token in enumerate(tokens)]
        worth[tokens] = sum(logs) / ((5 + len(tokens)) / 6) ** alpha
    return worth


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_is_exhaustive_search(alpha: float) -> None:
    """With a place for every beginning, all sequences come out in the order of their worth."""
    stepper, table = _random_model()
    found, worth = beam_search(
        stepper, np.arange(2), beam_size=64, max_new_tokens=3, end_id=END, pad_id=0, length_penalty=alpha
    )
    for row in range(2):
        expected = sorted(_all_sequences(table[row], 3, alpha).items(), key=lambda item: -item[1])
        kept = [tuple(tokens.tolist()) for tokens in found[row]]
        for (tokens, value), written, said in zip(expected, kept, worth[row], strict=False):
            assert written == (*tokens, *[0] * (3 - len(tokens)))
            assert said == pytest.approx(value, rel=1e-9)
        assert np.all(np.isneginf(worth[row, len(expected) :]))


def test_a_narrow_beam_misses_what_it_has_to() -> None:
    """Greedy takes 2, whose follow-ups are all unlikely; a beam of two finds what is likelier as a whole."""
    stepper = _written_down(
        {(): {2: 0.6, 3: 0.4}, (2,): {2: 0.25, 3: 0.25, 4: 0.25, END: 0.25}, (3,): {END: 0.9, 2: 0.1}}
    )
    assert greedy(stepper, [0], max_new_tokens=2, end_id=END)[0, 0] == 2
    assert beam_search(stepper, [0], beam_size=1, max_new_tokens=2, end_id=END)[0][0, 0, 0] == 2
    found, worth = beam_search(stepper, [0], beam_size=2, max_new_tokens=2, end_id=END, length_penalty=0.0)
    assert found[0, 0].tolist() == [3, END]
    assert worth[0, 0] == pytest.approx(np.log(0.36))


def _written_down(table: Mapping[tuple[int, ...], Mapping[int, float]]) -> Stepper:
    """A model that gives the probabilities written down for each beginning; its state is the beginning."""

    def logits(beginnings: np.ndarray) -> np.ndarray:
        found = np.full((len(beginnings), 5), 1e-12)
        for row, beginning in enumerate(beginnings):
            for token, probability in table.get(tuple(beginning[beginning > 0].tolist()), {}).items():
                found[row, token] = probability
        return np.log(found)

    def start(inputs: list[int]) -> tuple[np.ndarray, np.ndarray]:
        state = np.zeros((len(inputs), 8), int)
        return logits(state), state

    def step(tokens: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        state = np.array(state)
        state = np.concatenate([state[:, 1:], np.asarray(tokens)[:, None]], axis=1)
        return logits(state), state

    return Stepper(start, step, 5)


_SHORT_OR_LONG = {
    **{(): {END: 0.4, 2: 0.6}, (2,): {2: 0.9, 3: 0.1}},
    **{(2, 2): {2: 0.9, 3: 0.1}, (2, 2, 2): {END: 0.75, 3: 0.25}},
}


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, [END, 0, 0, 0]), (1.0, [2, 2, 2, END])])
def test_the_length_penalty_changes_the_choice(alpha: float, expected: list[int]) -> None:
    """0.4 for one token against 0.6 * 0.9 * 0.9 * 0.75 = 0.3645 for four."""
    stepper = _written_down(_SHORT_OR_LONG)
    found, worth = beam_search(stepper, [0], beam_size=3, max_new_tokens=4, end_id=END, length_penalty=alpha)
    assert found[0, 0].tolist() == expected
    value = np.log(0.4) if expected[0] == END else np.log(0.3645) / (9 / 6)
    assert worth[0, 0] == pytest.approx(value, rel=1e-6)


def test_ended_sequences_keep_their_place_and_their_worth() -> None:
    """The one that ends at once stays through three more steps, and nothing is written behind its end but padding."""
    stepper = _written_down(_SHORT_OR_LONG)
    for steps in (1, 2, 3, 4):
        found, worth = beam_search(stepper, [0], beam_size=3, max_new_tokens=steps, end_id=END, length_penalty=0.6)
        place = [row.tolist() for row in found[0]].index([END] + [0] * (found.shape[2] - 1))
        assert worth[0, place] == pytest.approx(np.log(0.4))


def test_rows_of_a_batch_do_not_meet() -> None:
    stepper, _ = _random_model()
    together, worth = beam_search(stepper, np.arange(2), beam_size=3, max_new_tokens=4, end_id=END)
    for row in range(2):
        alone, value = beam_search(stepper, np.array([row]), beam_size=3, max_new_tokens=4, end_id=END)
        width = alone.shape[2]
        np.testing.assert_array_equal(together[row, :, :width], alone[0])
        np.testing.assert_allclose(worth[row], value[0])


def test_greedy_stops_where_all_have_ended() -> None:
    stepper = _written_down({(): {2: 0.9, END: 0.1}, (2,): {END: 0.8, 3: 0.2}})
    assert greedy(stepper, [0, 0], max_new_tokens=5, end_id=END).tolist() == [[2, END]] * 2
    assert greedy(stepper, [0, 0], max_new_tokens=1, end_id=END).tolist() == [[2]] * 2


def test_one_beam_is_greedy() -> None:
    stepper, _ = _random_model()
    for end_id in (END, None):
        expected = greedy(stepper, np.arange(2), max_new_tokens=4, end_id=end_id)
        found, _ = beam_search(stepper, np.arange(2), beam_size=1, max_new_tokens=4, end_id=end_id)
        np.testing.assert_array_equal(found[:, 0], expected)


def test_length_factor_of_wu() -> None:
    assert length_factor(1, 0.6) == 1.0
    assert length_factor(7, 0.5) == pytest.approx(np.sqrt(2))


def test_lengths_that_cannot_be() -> None:
    stepper, _ = _random_model()
    for search in (greedy, beam_search):
        for length, message in ((0, "between 1 and 4"), (5, "between 1 and 4 here. Received: max_new_tokens=5")):
            with pytest.raises(ValueError, match=message):
                search(stepper, np.arange(2), max_new_tokens=length)
    with pytest.raises(ValueError, match="beam_size must be at least 1"):
        beam_search(stepper, np.arange(2), beam_size=0, max_new_tokens=2)
