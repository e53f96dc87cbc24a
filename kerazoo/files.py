"""Loading saved models."""

from __future__ import annotations

import os
from pathlib import Path

import keras

from kerazoo import _keras_hook


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a `.keras` file, in safe mode, with kerazoo's own layers known.

    Args:
        path: A file written by `model.save("....keras")`.

    Returns:
        The model, compiled if it was compiled when it was saved.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no model file.

    Example:
        >>> model = kerazoo.load_model("run/model.keras")
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {str(path)!r}")
    if path.suffix != ".keras":
        raise ValueError(f"a model file ends in .keras. Received: {str(path)!r}")
    _keras_hook.register_classes()
    return keras.models.load_model(path, safe_mode=True)
