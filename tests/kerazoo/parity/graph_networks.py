"""GCN and GAT in PyTorch, written from the papers' equations node by node, and their outputs for seeded weights.

`python tests/kerazoo/parity/graph_networks.py` writes `references/graphs.npz`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import seeded

NODES, FEATURES, CLASSES = 9, 5, 3
REFERENCES = Path(__file__).parents[1] / "references"
CASES: dict[str, dict[str, Any]] = json.loads((REFERENCES / "graphs.json").read_text())


def graph() -> tuple[np.ndarray, np.ndarray]:
    """Returns features and a directed adjacency matrix with one node that listens to nobody."""
    random = np.random.default_rng(5)
    adjacency = (random.uniform(size=(NODES, NODES)) < 0.3).astype("float32")
    np.fill_diagonal(adjacency, 0)
    adjacency[4] = 0
    return random.normal(size=(NODES, FEATURES)).astype("float32"), adjacency


def _weight(layer: str, name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(seeded.array(f"{layer}/{name}", shape)).double()


def _gcn_layer(x: torch.Tensor, a: torch.Tensor, layer: str, width: int, bias: bool) -> torch.Tensor:
    hat = a + torch.eye(NODES)
    root = torch.diag(hat.sum(1) ** -0.5)
    y = root @ hat @ root @ x @ _weight(layer, "kernel", x.shape[1], width)
    return y + _weight(layer, "bias", width) if bias else y


def _gat_layer(
    x: torch.Tensor, a: torch.Tensor, layer: str, width: int, heads: int, bias: str | None, mean: bool
) -> torch.Tensor:
    """One head after the other, one node after the other."""
    kernel = _weight(layer, "kernel", x.shape[1], heads * width)
    target, source = (_weight(layer, f"{end}_vector", heads, width) for end in ("target", "source"))
    outputs = []
    for head in range(heads):
        wh = x @ kernel[:, head * width : (head + 1) * width]
        shift = _weight(layer, "score_bias", 2, heads)[:, head].sum() if bias == "head" else 0.0
        rows = []
        for i in range(NODES):
            near = [j for j in range(NODES) if j == i or a[i, j]]
            scores = torch.stack([target[head] @ wh[i] + source[head] @ wh[j] for j in near]) + shift
            rows.append(torch.softmax(torch.nn.functional.leaky_relu(scores, 0.2), 0) @ wh[near])
        own = _weight(layer, "bias", heads, width)[head] if bias == "head" else 0.0
        outputs.append(torch.stack(rows) + own)
    y = torch.stack(outputs).mean(0) if mean else torch.cat(outputs, 1)
    return y + _weight(layer, "bias", y.shape[1]) if bias == "output" else y


def output(case: str) -> np.ndarray:
    """Returns the logits (nodes, classes) of a case."""
    name, options = CASES[case]["builder"], CASES[case]["options"]
    x, a = (torch.from_numpy(part).double() for part in graph())
    if name == "gcn":
        bias = options.get("use_bias", False)
        for index, width in enumerate(options.get("hidden_units", (16,)), start=1):
            x = torch.relu(_gcn_layer(x, a, f"layer{index}_conv", width, bias))
        return _gcn_layer(x, a, "predictions", CLASSES, bias).numpy()
    bias = options.get("bias", "output")
    for index, width in enumerate(options["hidden_units"], start=1):
        y = _gat_layer(x, a, f"layer{index}_attention", width, options["num_heads"], bias, mean=False)
        x = torch.nn.functional.elu(y + x if options.get("residual") and index > 1 else y)
    return _gat_layer(x, a, "predictions", CLASSES, options.get("output_heads", 1), bias, mean=True).numpy()


if __name__ == "__main__":
    features, adjacency = graph()
    outputs = {case: output(case).astype("float32") for case in CASES}
    np.savez_compressed(REFERENCES / "graphs.npz", features=features, adjacency=adjacency, **outputs)
