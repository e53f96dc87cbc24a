"""What the builders of this folder share: a graph as the input of a model."""

from __future__ import annotations

from typing import Any

import keras

from kerazoo import checks
from kerazoo.layers.graph import FORMS


def graph_inputs(num_features: Any, adjacency: Any, num_nodes: Any) -> dict[str, keras.KerasTensor]:
    """Checks the arguments and returns the inputs `features` and `adjacency` or `edges`.

    A sample is a whole graph, so the batch axis counts graphs. Graphs of one batch have equally many nodes and edges:
    rows of zeros and edges (-1, -1) fill up the smaller ones, and the sample weight of filled-in nodes is zero.
    """
    num_features = checks.positive_int("num_features", num_features)
    checks.one_of("adjacency", adjacency, FORMS)
    nodes = None if num_nodes is None else checks.positive_int("num_nodes", num_nodes)
    features = keras.Input((nodes, num_features), name="features")
    if adjacency == "edges":
        return {"features": features, "edges": keras.Input((None, 2), dtype="int32", name="edges")}
    return {"features": features, "adjacency": keras.Input((nodes, nodes), name="adjacency")}


def half_square(strength: float) -> keras.regularizers.Regularizer | None:
    """Returns the papers' weight decay, strength / 2 times the sum of the squares; Keras' L2 has no half in it."""
    return keras.regularizers.L2(strength / 2) if strength else None
