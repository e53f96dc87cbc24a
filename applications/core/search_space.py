"""Ranges of hyperparameters as plain data; `tuning` turns them into a search."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Real:
    """A real number between `low` and `high`, on a logarithmic scale with `log`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int
    step: int = 1


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values, e.g. `Choice("adam", "sgd")`."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any):
        object.__setattr__(self, "values", values)


Space = Real | Integer | Choice
