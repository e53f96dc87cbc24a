"""Covering tokens for a masked language model, as section 3.1 of the BERT paper and its code do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from kerazoo import checks

UNCOVERED = -1
"""Target of a token that was not covered: `ignore_id` of the loss and the metrics."""


def mask_tokens(
    token_ids: Any,
    *,
    vocab_size: int,
    mask_id: int,
    special_ids: Sequence[int],
    seed: int | Sequence[int] | np.random.Generator,
    rate: float = 0.15,
) -> tuple[np.ndarray, np.ndarray]:
    """Covers some tokens of each text: of those chosen 80 % become `mask_id`, 10 % any token, 10 % stay as they are.

    Args:
        token_ids: Token numbers (..., length).
        vocab_size: Number of tokens.
        mask_id: Number of the token that covers others.
        special_ids: Tokens that are never chosen: padding, beginning, end.
        seed: Of the choice, or a generator of random numbers.
        rate: Share of the other tokens that is chosen, rounded; at least one.

    Returns:
        The text with covered tokens, and the targets: the tokens that were chosen, `UNCOVERED` (-1) elsewhere; int32.

    Example:
        >>> covered, targets = mask_tokens([[5, 6, 7, 0]], vocab_size=9, mask_id=1, special_ids=(0, 1), seed=0)
        >>> loss = kerazoo.losses.SequenceCrossentropy(ignore_id=UNCOVERED)

    References:
        Devlin et al. (2018), https://arxiv.org/abs/1810.04805
    """
    token_ids = np.asarray(token_ids)
    noise = np.random.default_rng(seed).random((3, *token_ids.shape), dtype="float32")
    pair = cover_tokens(token_ids, noise, vocab_size=vocab_size, mask_id=mask_id, special_ids=special_ids, rate=rate)
    return ops.convert_to_numpy(pair[0]), ops.convert_to_numpy(pair[1])


def cover_tokens(
    token_ids: Any, noise: Any, *, vocab_size: int, mask_id: int, special_ids: Sequence[int], rate: float = 0.15
) -> tuple[Any, Any]:
    """The same with random numbers given, e.g. those of `tf.random.stateless_uniform` in a pipeline of `tf.data`.

    Args:
        token_ids: Token numbers (..., length).
        noise: Uniform random numbers in [0, 1) of shape (3, ..., length): who is chosen, what becomes of them, and
            which token replaces them.
        vocab_size: Number of tokens.
        mask_id: Number of the token that covers others.
        special_ids: Tokens that are never chosen.
        rate: Share of the other tokens that is chosen, rounded; at least one.

    Returns:
        The text with covered tokens and the targets, as tensors.
    """
    checks.positive_int("vocab_size", vocab_size)
    checks.fraction("rate", rate)
    token_ids = ops.cast(token_ids, "int32")
    choice, fate, other = (ops.cast(noise[index], "float32") for index in range(3))
    eligible = ops.ones_like(token_ids, dtype="bool")
    for special in special_ids:
        eligible = ops.logical_and(eligible, ops.not_equal(token_ids, special))
    # The n smallest random numbers of a text: the rank of a number is where it goes when they are sorted.
    ranks = ops.argsort(ops.argsort(ops.where(eligible, choice, 2.0), axis=-1), axis=-1)
    count = ops.sum(ops.cast(eligible, "float32"), axis=-1, keepdims=True)
    wanted = ops.maximum(ops.round(rate * count), 1.0)
    chosen = ops.logical_and(eligible, ops.cast(ranks, "float32") < wanted)
    replacement = ops.cast(other * vocab_size, "int32")
    covered = ops.where(fate < 0.8, mask_id, ops.where(fate < 0.9, replacement, token_ids))
    return ops.where(chosen, covered, token_ids), ops.where(chosen, token_ids, UNCOVERED)
