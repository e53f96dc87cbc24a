"""Graph attention network: every node decides how much it listens to each neighbour.

P. Velickovic, G. Cucurull, A. Casanova, A. Romero, P. Lio, Y. Bengio, "Graph attention networks", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.graphs._shared import graph_inputs, half_square
from kerazoo.layers.graph import BIASES, GraphAttention


@register_model
def gat(
    num_features: int = 1433,
    num_classes: int = 7,
    *,
    adjacency: str = "dense",
    num_nodes: int | None = 2708,
    hidden_units: Sequence[int] = (8,),
    num_heads: int = 8,
    output_heads: int = 1,
    residual: bool = False,
    bias: str | None = "output",
    l2: float = 5e-4,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.6,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "gat",
) -> keras.Model:
    """Graph attention network that gives every node of a graph a class, by default the paper's for Cora.

    A sample is a whole graph. The known nodes are told by the sample weight, one per node. The paper's
    inductive network for protein graphs is `gat(50, 121, hidden_units=(256, 256), num_heads=4, output_heads=6,
    residual=True, l2=0.0, dropout_rate=0.0, classifier_activation="sigmoid", num_nodes=None)`.

    Args:
        num_features: Features of each node; the paper divides each row by its sum.
        adjacency: `"dense"`: the input `adjacency` is a matrix (nodes, nodes), not 0 where the row's node listens to
            the column's. `"edges"`: the input `edges` is (edges, 2), source and target of each, both directions of an
            undirected one; (-1, -1) fills up. Every node listens to itself as well.
        num_nodes: Nodes of a graph; `None` takes graphs of any size.
        hidden_units: Outputs per head of each hidden layer, whose heads are set side by side; empty for one layer.
        num_heads: Heads of each hidden layer.
        output_heads: Heads of the last layer, which are averaged; the paper has 8 for Pubmed.
        residual: Whether hidden layers that keep the width add their input to their output.
        bias: `"output"`: each layer has one per output. `"head"`: as in the authors' code, each head has its own, two
            more in its scores. `None`: none, as in the paper's equations.
        l2: Weight decay: l2 / 2 times the sum of all squared weights is added to the loss.
        dropout_rate: Fraction of the inputs of each layer, of its transformed features and of its attention
            coefficients dropped, in [0, 1).

    Returns:
        A flat functional `keras.Model`, {`features`: (batch, nodes, num_features), `adjacency` or `edges`} -> (batch,
        nodes, num_classes).

    Example:
        >>> model = kerazoo.gat(34, 2, num_nodes=34, adjacency="edges")

    References:
        Velickovic et al. (2018), https://arxiv.org/abs/1710.10903
    """
    inputs = graph_inputs(num_features, adjacency, num_nodes)
    num_classes = checks.positive_int("num_classes", num_classes)
    units = checks.positive_ints("hidden_units", hidden_units, allow_empty=True)
    num_heads = checks.positive_int("num_heads", num_heads)
    output_heads = checks.positive_int("output_heads", output_heads)
    residual = checks.flag("residual", residual)
    checks.one_of("bias", bias, BIASES)
    decay = checks.non_negative("l2", l2)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    def attention(x: Any, width: int, heads: int, layer_name: str, **options: Any) -> Any:
        options |= {"dropout_rate": dropout_rate, "attention_dropout_rate": dropout_rate}
        options |= {"bias": bias, "regularizer": half_square(decay), "adjacency": adjacency, "name": layer_name}
        return GraphAttention(width, heads, **options)(x, graph)

    x, graph = inputs.values()
    for index, width in enumerate(units, start=1):
        before = x
        x = layers.Dropout(dropout_rate, name=f"layer{index}_dropout")(x)
        x = attention(x, width, num_heads, f"layer{index}_attention")
        if residual and before.shape[-1] == x.shape[-1] and index > 1:
            x = layers.Add(name=f"layer{index}_add")([x, before])
        x = layers.ELU(name=f"layer{index}_elu")(x)
    x = layers.Dropout(dropout_rate, name="head_dropout")(x)
    head = {"merge": "mean", "activation": classifier_activation, "dtype": "float32"}
    return keras.Model(inputs, attention(x, num_classes, output_heads, "predictions", **head), name=name)
