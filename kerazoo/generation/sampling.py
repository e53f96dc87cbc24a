"""Writing with a language model: greedy, or drawn at a temperature from the likeliest tokens."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from kerazoo import checks
from kerazoo.generation.stepper import Stepper

# Which module has the `stepper(model)` of a model that holds such a layer.
_MODULES = (
    (keras.layers.MultiHeadAttention, "kerazoo.generation.decoder"),
    (keras.layers.RNN, "kerazoo.recurrent.rnn"),
)
# They are compiled when they first run, and see later changes of the weights.
_steppers: WeakKeyDictionary[keras.Model, Stepper] = WeakKeyDictionary()


def generate(
    model: keras.Model,
    prompt_ids: Any,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    end_id: int | None = None,
    pad_id: int = 0,
    seed: int | None = None,
    use_cache: bool = True,
) -> np.ndarray:
    """Continues prompts token by token.

    A token is drawn from softmax(logits / temperature), first among the `top_k` likeliest, then among the fewest of
    those whose probabilities reach `top_p`.

    Args:
        model: A language model: a GPT, or a recurrent network with `mode="many_to_many"` and `vocab_size`.
        prompt_ids: Token numbers of one prompt, or a list of prompts, which may differ in length.
        max_new_tokens: How many tokens are written at most.
        temperature: Below 1 the likely become likelier; 0 takes the likeliest always.
        top_k: How many tokens may be drawn; those as likely as the last of them may be, too. `None` for all.
        top_p: The token that reaches this probability is the last that may be drawn. `None` for all.
        end_id: Token that ends a text.
        pad_id: What stands behind the end of a text that is shorter than others.
        seed: Of the draws; equal seeds give equal texts.
        use_cache: `False` computes every step from the first token again, to compare.

    Returns:
        The new tokens, `end_id` included: (new,) of one prompt, (batch, new) of several, int32.

    Raises:
        ValueError: If an argument has a value that cannot work, or prompt and new tokens are longer than the model's
            context.

    Example:
        >>> kerazoo.generate(model, [5, 3, 8], max_new_tokens=20, temperature=0.8, top_p=0.95, seed=1)
    """
    checks.positive_int("max_new_tokens", max_new_tokens)
    checks.non_negative("temperature", temperature)
    if top_k is not None:
        checks.positive_int("top_k", top_k)
    if top_p is not None and not (checks.positive("top_p", top_p) <= 1):
        raise ValueError(f"top_p must be at most 1. Received: top_p={top_p!r}")
    stepper = stepper_of(model)
    prompts, alone = _prompts(prompt_ids, stepper.vocab_size)
    longest = np.inf if stepper.max_new_tokens is None else stepper.max_new_tokens(prompts) + 1
    if max_new_tokens > longest:
        raise ValueError(
            f"max_new_tokens must be at most {max(longest, 0)} behind {prompts.shape[1]} tokens, or the context of "
            f"{model.name!r} is left. Received: max_new_tokens={max_new_tokens}"
        )
    stepper = stepper if use_cache else _forgetful(stepper)
    random = np.random.default_rng(seed)
    written: list[np.ndarray] = []
    ended = np.zeros(len(prompts), bool)
    logits, state = stepper.start(prompts)
    for index in range(max_new_tokens):
        if index:
            logits, state = stepper.step(np.where(ended, 0, written[-1]), state)
        likely = probabilities(np.asarray(logits), temperature, top_k, top_p)
        tokens = np.where(ended, pad_id, _draw(likely, random)).astype("int32")
        written.append(tokens)
        ended |= tokens == end_id
        if ended.all():
            break
    result = np.stack(written, axis=1)
    return result[0] if alone else result


def stepper_of(model: keras.Model) -> Stepper:
    """Returns the stepper of a language model.

    Args:
        model: A model that gives the logits of the next token at every position.

    Raises:
        ValueError: If there is none for it.
    """
    if model in _steppers:
        return _steppers[model]
    for layer, module in _MODULES:
        if any(isinstance(part, layer) for part in model.layers):
            _steppers[model] = importlib.import_module(module).stepper(model)
            return _steppers[model]
    raise ValueError(f"generation needs a language model, of attention or recurrent. Received: {model.name!r}")


def probabilities(
    logits: np.ndarray, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> np.ndarray:
    """Returns what tokens are drawn with: temperature, then `top_k`, then `top_p`.

    Args:
        logits: (batch, vocabulary).
        temperature: 0 leaves the likeliest token alone.
        top_k: Tokens at least as likely as the k-th likeliest stay.
        top_p: The fewest tokens stay whose probabilities reach it.

    Returns:
        (batch, vocabulary), float64.

    References:
        Fan, Lewis, Dauphin (2018), https://arxiv.org/abs/1805.04833; Holtzman et al. (2020),
        https://arxiv.org/abs/1904.09751
    """
    logits = np.asarray(logits, "float64")
    if temperature == 0:
        return np.eye(logits.shape[-1])[logits.argmax(-1)]
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        kth = np.partition(logits, -top_k)[:, -top_k, None]
        logits = np.where(logits < kth, -np.inf, logits)
    found = _softmax(logits)
    if top_p is not None:
        order = np.argsort(-found, axis=-1, kind="stable")
        ahead = np.cumsum(np.take_along_axis(found, order, -1), axis=-1) - np.take_along_axis(found, order, -1)
        kept = np.empty(found.shape, bool)
        np.put_along_axis(kept, order, ahead < top_p, -1)
        found = np.where(kept, found, 0.0)
    return found / found.sum(-1, keepdims=True)


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def _draw(likely: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draws one token per row: where the summed probabilities pass a random number."""
    sums = np.cumsum(likely, axis=-1)
    found = (sums <= random.random((len(likely), 1)) * sums[:, -1:]).sum(-1)
    return found  # never one of probability 0: its sum does not pass what the one before has not


def _prompts(prompt_ids: Any, vocab_size: int) -> tuple[np.ma.MaskedArray, bool]:
    """Returns prompts as one array, padded and masked at the left, and whether there was one alone."""
    rows = list(prompt_ids)
    alone = bool(rows) and np.ndim(rows[0]) == 0
    rows = [np.asarray(row) for row in ([rows] if alone else rows)]
    if not rows or any(row.ndim != 1 or not len(row) for row in rows):
        raise ValueError(f"prompt_ids must hold at least one token for every prompt. Received: {prompt_ids!r}")
    if any(not np.issubdtype(row.dtype, np.integer) or row.min() < 0 or row.max() >= vocab_size for row in rows):
        raise ValueError(f"prompt_ids must be whole numbers from 0 to {vocab_size - 1}. Received: {prompt_ids!r}")
    longest = max(map(len, rows))
    padded = np.ma.masked_all((len(rows), longest), "int32")
    padded.data[:] = 0
    for index, row in enumerate(rows):
        padded[index, longest - len(row) :] = row
    return padded, alone


def _forgetful(stepper: Stepper) -> Stepper:
    """Returns a stepper that remembers the tokens alone and reads all of them at every step."""

    def step(tokens: Sequence[int], prompt: Any) -> tuple[Any, Any]:
        longer = np.ma.concatenate([prompt, np.asarray(tokens, "int32")[:, None]], axis=1)
        return stepper.start(longer)[0], longer

    return Stepper(lambda prompt: (stepper.start(prompt)[0], prompt), step, stepper.vocab_size, stepper.max_new_tokens)
