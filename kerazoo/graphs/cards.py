"""Cards of the networks that label the nodes of a graph."""

from __future__ import annotations

from kerazoo.card import ModelCard, Sample, Tensor

_SAMPLE = Sample(
    inputs={"features": Tensor((6, 5)), "adjacency": Tensor((6, 6), "int32", 0, 2)},
    targets=Tensor((6,), "int32", 0, 3),
)

CARDS = (
    ModelCard(
        name="gcn",
        family="gcn",
        kind="graph",
        task="node-classification",
        module="kerazoo.graphs.gcn",
        title="Semi-supervised classification with graph convolutional networks",
        authors="T. N. Kipf, M. Welling",
        year=2017,
        paper_url="https://arxiv.org/abs/1609.02907",
        summary="Each layer averages every node with its neighbours and transforms the result.",
        input_shape=(2708, 1433),
        num_outputs=7,
        input_range="each row at least 0 and divided by its sum",
        params=23_040,
        trainable_params=23_040,
        flops=462_114_784,
        params_source="1433 * 16 + 16 * 7, the authors' code on Cora",
        custom_objects=True,
        sample=_SAMPLE,
        test_config={"num_features": 5, "num_classes": 3, "num_nodes": 6, "hidden_units": (4,)},
        deviations=("The dense form multiplies by the whole matrix; the paper's is sparse, as `adjacency='edges'`.",),
        unlike_default=("PyTorch Geometric's layers add a bias: `use_bias=True`.",),
    ),
    ModelCard(
        name="gat",
        family="gat",
        kind="graph",
        task="node-classification",
        module="kerazoo.graphs.gat",
        title="Graph attention networks",
        authors="P. Velickovic, G. Cucurull, A. Casanova, A. Romero, P. Lio, Y. Bengio",
        year=2018,
        paper_url="https://arxiv.org/abs/1710.10903",
        summary="Every node decides by attention how much it listens to each of its neighbours.",
        input_shape=(2708, 1433),
        num_outputs=7,
        input_range="each row at least 0 and divided by its sum",
        params=92_373,
        trainable_params=92_373,
        flops=1_541_231_120,
        params_source="PyTorch Geometric on Cora: (1433 + 2) * 64 + 64, and (64 + 2) * 7 + 7",
        custom_objects=True,
        sample=_SAMPLE,
        test_config={"num_features": 5, "num_classes": 3, "num_nodes": 6, "hidden_units": (4,), "num_heads": 2},
        deviations=(
            "All heads of a layer share one draw of the dropout of its inputs; the authors' code draws for each.",
            "Along `adjacency='edges'` it cannot be exported to ONNX, whose converter has no maximum over segments.",
            "One bias per output and none in the scores, where the paper's equations have none at all: `bias=None`.",
        ),
        unlike_default=("The authors' code has biases in every head: `bias='head'`.",),
    ),
)
