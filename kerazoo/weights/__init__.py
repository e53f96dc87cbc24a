"""Loading weights from files, checked completely before anything is changed."""

from __future__ import annotations

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.weights.files import check_weights, load_weights
from kerazoo.weights.huggingface import load_safetensors

__all__ = ["check_weights", "load_safetensors", "load_weights"]
