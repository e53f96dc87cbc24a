"""Networks that train against each other: generators and the discriminators that judge them."""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {"ConstantThenLinear": "kerazoo.gans.schedule", "vgg19_features": "kerazoo.gans.srgan"}
__all__ = ["ConstantThenLinear", "vgg19_features"]


def __getattr__(name: str) -> Any:  # reading the cards of this folder must not import Keras
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import keras  # noqa: F401  first, so that the hook of kerazoo runs before the module below

    return getattr(importlib.import_module(_EXPORTS[name]), name)
