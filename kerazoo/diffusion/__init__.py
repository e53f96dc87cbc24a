"""Networks that learn to take noise away, and make pictures out of nothing but noise."""

from __future__ import annotations

from typing import Any

__all__ = ["Schedule"]


def __getattr__(name: str) -> Any:  # reading the cards of this folder must not import Keras
    if name in __all__:
        import keras  # noqa: F401  first, so that the hook of kerazoo runs before the module below

        from kerazoo.diffusion import _schedule

        return getattr(_schedule, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
