"""Networks that learn to describe their input: autoencoders and variational autoencoders."""

from __future__ import annotations

from typing import Any

__all__ = ["decoder", "encoder"]


def __getattr__(name: str) -> Any:  # reading the cards of this folder must not import Keras
    if name in __all__:
        import keras  # noqa: F401  first, so that the hook of kerazoo runs before the module below

        from kerazoo.autoencoders import _parts

        return getattr(_parts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
