"""Loading weights from files, checked completely before anything is changed."""

from __future__ import annotations

from kerazoo.weights.files import check_weights, load_weights

__all__ = ["check_weights", "load_weights"]
