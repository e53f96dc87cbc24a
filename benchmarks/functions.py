"""Functions with a known minimum, for searches."""

from __future__ import annotations

import math

from applications.core.search_space import Real, Space

BRANIN_SPACE: dict[str, Space] = {"a": Real(-5.0, 10.0), "b": Real(0.0, 15.0)}
BRANIN_MINIMUM = 0.397887


def branin(a: float, b: float) -> float:
    """Three minima of 0.397887 in [-5, 10] x [0, 15]."""
    valley = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10
