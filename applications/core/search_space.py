"""Ranges of hyperparameters as plain data; `tuning` turns them into a search.

A search space is a mapping from a dotted option of the application (`learning_rate`, `augment.rotation`,
`model_options.filters`) to its range. A `Choice` may have children: ranges that count only where that value was taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Real:
    """A real number between `low` and `high`, on a logarithmic scale with `log`.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Whether steps are factors rather than differences.
        points: Number of values in a grid search, the two ends among them.
    """

    low: float
    high: float
    log: bool = False
    points: int = 3


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`, both included, in steps of `step`."""

    low: int
    high: int
    step: int = 1


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values, e.g. `Choice("adam", "sgd")`.

    Attributes:
        values: What can be chosen.
        children: Value -> the search space that belongs to it alone.
    """

    values: tuple[Any, ...]
    children: Mapping[Any, Mapping[str, Space]]

    def __init__(self, *values: Any, children: Mapping[Any, Mapping[str, Space]] | None = None):
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "children", MappingProxyType(dict(children or {})))


Space = Real | Integer | Choice
