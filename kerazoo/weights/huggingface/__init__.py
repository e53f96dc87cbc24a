"""Weights from the safetensors files of Hugging Face: a table of names per family, and one way to load them."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.weights.huggingface.loading import load_safetensors

__all__ = ["load_safetensors"]
