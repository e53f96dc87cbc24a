"""What graph networks promise: equal on both forms of a graph, blind to the order of its nodes, true to the papers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import seeded
import zoo

import kerazoo
from kerazoo import layers

_REFERENCES = Path(__file__).parent / "references"
_RECORDED = dict(np.load(_REFERENCES / "graphs.npz"))
FEATURES, ADJACENCY = _RECORDED["features"], _RECORDED["adjacency"]
NODES = len(FEATURES)
LAYERS: dict[str, Any] = {
    "convolution": lambda form: layers.GraphConvolution(4, use_bias=True, adjacency=form),
    "attention": lambda form: layers.GraphAttention(4, 3, adjacency=form),
    "averaged attention": lambda form: layers.GraphAttention(4, 3, merge="mean", bias="head", adjacency=form),
}
CASES: dict[str, dict[str, Any]] = json.loads((_REFERENCES / "graphs.json").read_text())


def edges_of(matrix: np.ndarray, filling: int = 3) -> np.ndarray:
    """Returns (edges, 2) pairs of source and target of a matrix whose rows listen, with some filling."""
    target, source = np.nonzero(matrix)
    return np.concatenate([np.stack([source, target], 1), np.full((filling, 2), -1)]).astype("int32")


def randomised(layer: keras.layers.Layer, *inputs: np.ndarray) -> keras.layers.Layer:
    """Builds a layer and draws all its weights, biases too."""
    layer(*inputs)
    for index, weight in enumerate(layer.trainable_weights):
        weight.assign(np.random.default_rng(index).normal(0, 0.5, weight.shape))
    return layer


def heard(layer: keras.layers.Layer, features: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Runs a layer on one graph, in the form it takes."""
    graph = edges_of(matrix) if layer.adjacency == "edges" else matrix
    return zoo.value(layer(features[None], graph[None]))[0]


def made(kind: str, form: str) -> keras.layers.Layer:
    graph = edges_of(ADJACENCY) if form == "edges" else ADJACENCY
    return randomised(LAYERS[kind](form), FEATURES[None], graph[None])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["dense", "edges"])
def test_recorded_outputs_of_pytorch(case: str, form: str) -> None:
    name, options = CASES[case]["builder"], CASES[case]["options"]
    with zoo.cheap_weights():
        model = kerazoo.create_model(name, 5, 3, num_nodes=None, adjacency=form, classifier_activation=None, **options)
    graph = {"edges": edges_of(ADJACENCY)[None]} if form == "edges" else {"adjacency": ADJACENCY[None]}
    found = seeded.fill(model)({"features": FEATURES[None], **graph})
    assert seeded.difference(zoo.value(found)[0], _RECORDED[case]) < 5e-6


@pytest.mark.parametrize("form", ["dense", "edges"])
@pytest.mark.parametrize("kind", LAYERS)
def test_order_of_the_nodes_does_not_matter(kind: str, form: str) -> None:
    layer, order = made(kind, form), np.random.default_rng(3).permutation(NODES)
    expected = heard(layer, FEATURES, ADJACENCY)
    assert np.abs(expected - expected[order]).max() > 0.1
    found = heard(layer, FEATURES[order], ADJACENCY[order][:, order])
    np.testing.assert_allclose(found, expected[order], atol=1e-5)


@pytest.mark.parametrize("form", ["dense", "edges"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_node_alone_hears_itself_only(kind: str, form: str) -> None:
    layer = made(kind, form)
    among_others = heard(layer, FEATURES, ADJACENCY)[4]
    alone = heard(layer, FEATURES[4:6], np.zeros((2, 2), "float32"))[0]
    np.testing.assert_allclose(among_others, alone, atol=1e-6)
    if kind == "convolution":
        np.testing.assert_allclose(alone, FEATURES[4] @ zoo.value(layer.kernel) + zoo.value(layer.bias), atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_both_forms_agree_on_a_batch_of_graphs(kind: str) -> None:
    dense, sparse = made(kind, "dense"), made(kind, "edges")
    sparse.set_weights(dense.get_weights())
    features = np.stack([FEATURES, FEATURES[::-1] * 2])
    matrices = np.stack([ADJACENCY, (ADJACENCY.T > 0) & (np.arange(NODES) < 5)]).astype("float32")
    rows = [edges_of(matrix) for matrix in matrices]
    longest = max(map(len, rows))
    edges = np.stack([np.pad(r, ((0, longest - len(r)), (0, 0)), constant_values=-1) for r in rows])
    expected = zoo.value(dense(features, matrices))
    np.testing.assert_allclose(zoo.value(sparse(features, edges)), expected, atol=1e-5)
    for index in range(2):
        np.testing.assert_allclose(heard(dense, features[index], matrices[index]), expected[index], atol=1e-5)


def test_attention_adds_up_to_one() -> None:
    layer = made("attention", "dense")
    found = zoo.value(layer.coefficients(FEATURES[None], ADJACENCY[None]))[0]
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    silent = (ADJACENCY == 0) & ~np.eye(NODES, dtype=bool)
    assert np.all(found[:, silent] == 0)
    assert np.all(found[:, ~silent] > 0)
    assert found[:, 4, 4] == pytest.approx(1)


def test_convolution_by_hand() -> None:
    """Two nodes and one edge: every degree is 2, so each node gets the mean of both, times the kernel."""
    x = np.array([[[1.0, 2.0], [3.0, 6.0]]], "float32")
    layer = layers.GraphConvolution(1)
    layer.build((1, 2, 2), (1, 2, 2))
    layer.kernel.assign([[10.0], [1.0]])
    assert zoo.value(layer(x, np.array([[[0, 1], [1, 0]]], "float32"))).ravel().tolist() == pytest.approx([24, 24])
    # A chain 0 - 1 - 2 with the features 1, 0, 0: node 0 has degree 2, its neighbour 3, node 2 is two steps away.
    chain = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]], "float32")
    layer = layers.GraphConvolution(1)
    layer.build((1, 3, 1), (1, 3, 3))
    layer.kernel.assign([[1.0]])
    found = zoo.value(layer(np.array([[[1.0], [0.0], [0.0]]], "float32"), chain)).ravel()
    assert found.tolist() == pytest.approx([1 / 2, 6**-0.5, 0])


def test_attention_by_hand() -> None:
    """One head, W = 1, a_1 = 0, a_2 = 1: node 0 weighs itself by e^1 and its neighbour by e^(0.2 * -2)."""
    layer = layers.GraphAttention(1, bias=None)
    layer.build((1, 2, 1), (1, 2, 2))
    for weight, start in ((layer.kernel, 1.0), (layer.target_vector, 0.0), (layer.source_vector, 1.0)):
        weight.assign([[start]])
    found = zoo.value(layer(np.array([[[1.0], [-2.0]]], "float32"), np.array([[[0, 1], [0, 0]]], "float32"))).ravel()
    own, other = np.exp(1), np.exp(-0.4)
    assert found.tolist() == pytest.approx([(own - 2 * other) / (own + other), -2.0], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "penalised"), [("gcn", {"layer1_conv"}), ("gat", {"layer1_attention", "predictions"})]
)
def test_weight_decay_of_the_papers(name: str, penalised: set[str]) -> None:
    """Half the sum of the squares times 5e-4; of the convolutions on the first layer alone."""
    model = zoo.fresh(name)
    squares = sum(float(np.sum(w**2)) for layer in penalised for w in model.get_layer(layer).get_weights()[:3])
    assert float(sum(model.losses)) == pytest.approx(5e-4 / 2 * squares, rel=1e-5)
    assert not zoo.fresh(name, l2=0.0).losses


@pytest.mark.parametrize("name", ["gcn", "gat"])
def test_dropout_reaches_inputs_and_attention(name: str) -> None:
    model = zoo.fresh(name, dropout_rate=0.3)
    rates = {layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert rates == {0.3}
    inputs, _ = zoo.batch(name)
    assert np.abs(zoo.outputs(model, inputs, training=True)[0] - zoo.outputs(model, inputs)[0]).max() > 1e-4
    if name == "gat":
        layer = layers.GraphAttention(4, 3, adjacency="edges", attention_dropout_rate=0.5)
        several = [zoo.value(layer(FEATURES[None], edges_of(ADJACENCY)[None], training=True)) for _ in range(2)]
        assert np.abs(several[0] - several[1]).max() > 1e-3


@pytest.mark.parametrize("name", ["gcn", "gat"])
def test_a_model_of_edges_trains_and_reloads(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = kerazoo.create_model(name, 5, 2, num_nodes=NODES, adjacency="edges", dropout_rate=0.0, l2=0.0)
    inputs = {"features": FEATURES[None], "edges": edges_of(ADJACENCY)[None]}
    labels, known = np.array([[0, 1, 0, 1, 0, 1, 0, 1, 0]]), np.ones((1, NODES), "float32")
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", jit_compile=False)
    losses = [float(model.train_on_batch(inputs, labels, sample_weight=known)) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(zoo.value(again(inputs)), zoo.value(model(inputs)), atol=1e-6)


def test_counting_the_operations_of_edges() -> None:
    model = kerazoo.gcn(5, 3, num_nodes=9, hidden_units=(4,), adjacency="edges")
    assert kerazoo.count_flops(model, [(20, 2), (9, 5)]) == 2 * (4 * (9 * 5 + 20) + 3 * (9 * 4 + 20))
