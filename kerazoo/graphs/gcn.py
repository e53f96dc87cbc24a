"""Graph convolutional network: every layer mixes each node with its neighbours, then transforms.

T. N. Kipf, M. Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.graphs._shared import graph_inputs, half_square
from kerazoo.layers.graph import GraphConvolution


@register_model
def gcn(
    num_features: int = 1433,
    num_classes: int = 7,
    *,
    adjacency: str = "dense",
    num_nodes: int | None = 2708,
    hidden_units: Sequence[int] = (16,),
    use_bias: bool = False,
    l2: float = 5e-4,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.5,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "gcn",
) -> keras.Model:
    """Graph convolutional network that gives every node of a graph a class, by default the paper's for Cora.

    A sample is a whole graph. The known nodes are told by the sample weight, one per node.

    Args:
        num_features: Features of each node; the paper divides each row by its sum.
        adjacency: `"dense"`: the input `adjacency` is a matrix (nodes, nodes), not 0 where the row's node listens to
            the column's. `"edges"`: the input `edges` is (edges, 2), source and target of each, both directions of an
            undirected one; (-1, -1) fills up. Neither has self-loops: the layers add them.
        num_nodes: Nodes of a graph; `None` takes graphs of any size.
        hidden_units: Outputs of each hidden layer; empty for a linear model.
        use_bias: Whether layers have a bias. The authors' code has none, PyTorch Geometric's layers do.
        l2: Weight decay of the first layer: l2 / 2 times the sum of its squared weights is added to the loss.
        dropout_rate: Fraction of the inputs of each layer dropped, in [0, 1).

    Returns:
        A flat functional `keras.Model`, {`features`: (batch, nodes, num_features), `adjacency` or `edges`} -> (batch,
        nodes, num_classes).

    Example:
        >>> model = kerazoo.gcn(34, 2, num_nodes=34, adjacency="edges")

    References:
        Kipf, Welling (2017), https://arxiv.org/abs/1609.02907
    """
    inputs = graph_inputs(num_features, adjacency, num_nodes)
    num_classes = checks.positive_int("num_classes", num_classes)
    units = checks.positive_ints("hidden_units", hidden_units, allow_empty=True)
    use_bias = checks.flag("use_bias", use_bias)
    decay = checks.non_negative("l2", l2)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    def convolution(x: Any, width: int, layer_name: str, **options: Any) -> Any:
        options |= {"use_bias": use_bias, "adjacency": adjacency, "name": layer_name}
        return GraphConvolution(width, **options)(x, graph)

    x, graph = inputs.values()
    penalties = [half_square(decay), *[None] * len(units)]  # that of the first layer alone
    for index, width in enumerate(units, start=1):
        x = layers.Dropout(dropout_rate, name=f"layer{index}_dropout")(x)
        x = convolution(x, width, f"layer{index}_conv", activation="relu", kernel_regularizer=penalties[index - 1])
    x = layers.Dropout(dropout_rate, name="head_dropout")(x)
    head = {"activation": classifier_activation, "kernel_regularizer": penalties[-1], "dtype": "float32"}
    if not units:
        head["kernel_regularizer"] = penalties[0]
    return keras.Model(inputs, convolution(x, num_classes, "predictions", **head), name=name)
