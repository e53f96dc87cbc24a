"""The likeliest sequence of a model: greedy, or by a beam of several at a time.

Beam search with the length penalty of Y. Wu et al., "Google's neural machine translation system", arXiv:1609.08144
(2016), section 7, as A. Vaswani et al., "Attention is all you need", arXiv:1706.03762 (2017), section 6.1, use it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerazoo.generation.stepper import Stepper, reorder


def length_factor(length: Any, length_penalty: float) -> Any:
    """Returns ((5 + length) / 6) ** length_penalty, by which the logarithm of a sequence's probability is divided."""
    return ((5 + length) / 6) ** length_penalty


def greedy(
    stepper: Stepper, inputs: Any, *, max_new_tokens: int, end_id: int | None = None, pad_id: int = 0
) -> np.ndarray:
    """Takes the likeliest token at every step.

    Args:
        stepper: The model, token by token.
        inputs: Prompts or sources of the batch, as `stepper.start` takes them.
        max_new_tokens: Longest sequence.
        end_id: The token that ends a sequence. Defaults to `None`, which ends none before its time.
        pad_id: What stands behind an ended sequence.

    Returns:
        Tokens (batch, length), the end token included.

    Raises:
        ValueError: If the model cannot write as many tokens.

    Example:
        >>> model = kerazoo.lstm((None,), 30, mode="many_to_many", vocab_size=30)
        >>> ids = greedy(kerazoo.recurrent.rnn.stepper(model), [[3, 7]], max_new_tokens=5)
    """
    _check_length(stepper, inputs, max_new_tokens)
    logits, state = stepper.start(inputs)
    written: list[np.ndarray] = []
    ended = np.zeros(len(logits), bool)
    while len(written) < max_new_tokens:
        tokens = np.where(ended, pad_id, keras.ops.convert_to_numpy(logits).argmax(-1))
        written.append(tokens)
        ended |= tokens == end_id
        if ended.all() or len(written) == max_new_tokens:
            break
        logits, state = stepper.step(tokens.astype("int32"), state)
    return np.stack(written, axis=1).astype("int32")


def beam_search(
    stepper: Stepper,
    inputs: Any,
    *,
    beam_size: int = 4,
    max_new_tokens: int,
    end_id: int | None = None,
    pad_id: int = 0,
    length_penalty: float = 0.6,
) -> tuple[np.ndarray, np.ndarray]:
    """Follows the `beam_size` best beginnings of every sequence at once.

    A sequence is worth the logarithm of its probability divided by ((5 + length) / 6) ** length_penalty. One that has
    ended keeps its place in the beam until as many better ones push it out; a beam of 1 is greedy.

    Args:
        stepper: The model, token by token.
        inputs: Prompts or sources of the batch, as `stepper.start` takes them.
        beam_size: Sequences followed.
        max_new_tokens: Longest sequence.
        end_id: The token that ends a sequence. Defaults to `None`, which ends none before its time.
        pad_id: What stands behind an ended sequence.
        length_penalty: 0 compares probabilities, which favours short sequences; more favours longer ones.

    Returns:
        Tokens (batch, beam_size, length), the end token included, best first; and what they are worth (batch,
        beam_size), minus infinity where there are fewer sequences than places.

    Raises:
        ValueError: If the model cannot write as many tokens, or `beam_size` is below 1.

    Example:
        >>> model = kerazoo.lstm((None,), 30, mode="many_to_many", vocab_size=30)
        >>> ids, worth = beam_search(kerazoo.recurrent.rnn.stepper(model), [[3, 7]], max_new_tokens=5)

    References:
        Wu et al. (2016), https://arxiv.org/abs/1609.08144
    """
    _check_length(stepper, inputs, max_new_tokens)
    if beam_size < 1:
        raise ValueError(f"beam_size must be at least 1. Received: beam_size={beam_size!r}")
    logits, state = stepper.start(inputs)
    batch, vocab_size = logits.shape
    # At first every place of a beam holds the same empty sequence, of which one counts.
    order = np.repeat(np.arange(batch), beam_size)
    written = np.zeros((batch, beam_size, 0), "int32")
    logs = np.where(np.arange(beam_size), -np.inf, 0.0)[None].repeat(batch, axis=0)
    lengths, ended = np.zeros((batch, beam_size)), np.zeros((batch, beam_size), bool)
    state, logits = reorder(state, order), keras.ops.convert_to_numpy(logits)[order]
    while True:
        steps = _log_softmax(logits).reshape(batch, beam_size, vocab_size)
        # An ended sequence goes on with padding alone, at no cost.
        steps[ended] = np.where(np.arange(vocab_size) == pad_id, 0.0, -np.inf)
        logs_after = logs[..., None] + steps
        lengths_after = lengths + ~ended
        worth = (logs_after / length_factor(lengths_after, length_penalty)[..., None]).reshape(batch, -1)
        best = np.argsort(-worth, axis=1, kind="stable")[:, :beam_size]
        parents, tokens = best // vocab_size, best % vocab_size
        logs = np.take_along_axis(logs_after.reshape(batch, -1), best, axis=1)
        lengths = np.take_along_axis(lengths_after, parents, axis=1)
        written = np.take_along_axis(written, parents[..., None], axis=1)
        written = np.concatenate([written, tokens[..., None].astype("int32")], axis=2)
        ended = np.take_along_axis(ended, parents, axis=1) | (tokens == end_id)
        if written.shape[2] == max_new_tokens or (ended | np.isneginf(logs)).all():
            return written, np.take_along_axis(worth, best, axis=1)
        order = (parents + beam_size * np.arange(batch)[:, None]).reshape(-1)
        logits, state = stepper.step(tokens.reshape(-1).astype("int32"), reorder(state, order))
        logits = keras.ops.convert_to_numpy(logits)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    x = logits.astype("float64")
    x -= x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def _check_length(stepper: Stepper, inputs: Any, max_new_tokens: int) -> None:
    most = None if stepper.max_new_tokens is None else stepper.max_new_tokens(inputs) + 1
    if max_new_tokens < 1 or (most is not None and max_new_tokens > most):
        allowed = "at least 1" if most is None else f"between 1 and {most} here"
        raise ValueError(f"max_new_tokens must be {allowed}. Received: max_new_tokens={max_new_tokens!r}")
