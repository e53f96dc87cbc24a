"""One compiled call of a model, on as many devices as it was made for."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def answer(model: keras.Model, batch: Any) -> Any:
    """Returns what a model makes of a batch, computed by its compiled function, in NumPy arrays.

    A model of several devices answers `predict_on_batch` once per device, one answer behind the other.

    Args:
        model: The model; all its outputs have an entry per sample.
        batch: Its inputs, each with an entry per sample.
    """
    count = len(keras.tree.flatten(batch)[0])
    return keras.tree.map_structure(lambda found: np.asarray(found)[:count], model.predict_on_batch(batch))
