"""A model that is asked for one token after the other: the common ground of sampling and beam search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

State = Any
"""Tensors in any nesting of lists, tuples and dictionaries; the first axis of each is the batch."""


@dataclass(frozen=True)
class Stepper:
    """A model one token at a time, with whatever it remembers as an explicit state.

    Attributes:
        start: Reads a prompt or a source and returns the logits (batch, vocabulary) of the first new token and the
            state after it.
        step: Takes token numbers (batch,) and a state; returns the logits of the next token and the new state.
        vocab_size: Number of tokens.
        max_new_tokens: How many steps can follow a start at most, as a function of the same input; `None` for no end.
    """

    start: Callable[[Any], tuple[Any, State]]
    step: Callable[[Any, State], tuple[Any, State]]
    vocab_size: int
    max_new_tokens: Callable[[Any], int] | None = None


def reorder(state: State, order: Any) -> State:
    """Returns the state whose row i is row `order[i]` of the one given: beams change places, die and multiply."""
    return keras.tree.map_structure(lambda tensor: ops.take(tensor, order, axis=0), state)
