"""Loading saved models."""

from __future__ import annotations

import os
import re
import zipfile
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
        ValueError: If it is no model file, is damaged, or needs classes that are not there.

    Example:
        >>> model = kerazoo.load_model("run/model.keras")
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {str(path)!r}")
    if path.suffix != ".keras":
        raise ValueError(f"a model file ends in .keras. Received: {str(path)!r}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{str(path)!r} is no model file or only a part of one; save or copy it again")
    _keras_hook.register_classes()
    try:
        return keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # a damaged archive can fail anywhere in Keras, with any class of error
        unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", str(error))
        if unknown:
            raise ValueError(
                f"the model file {str(path)!r} needs {unknown[1]!r}, which is not of Keras nor of kerazoo: import it "
                "first, and load and export the model from Python"
            ) from error
        reason = " ".join(str(error).split())
        raise ValueError(f"the model file {str(path)!r} cannot be loaded: {reason[:300]}") from error
