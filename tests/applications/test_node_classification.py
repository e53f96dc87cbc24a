"""The application `node-classification` from the command line, and what is said about bad graphs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from applications.core.application import Split
from applications.core.errors import UserError
from applications.datasets.graphs import load_graph
from applications.node_classification import NodeClassification, graph_inputs
from tests.applications.conftest import command

QUICK = ("--no-tensorboard",)


def graph(folder: Path, nodes: int = 40, seed: int = 0) -> Path:
    """Two groups that differ in one feature and have few edges between them; every fifth class is unknown."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    side = np.arange(nodes) % 2
    labels = ["" if i % 5 == 4 else ("left", "right")[side[i]] for i in range(nodes)]
    sizes, ages = side + random.normal(0, 0.3, nodes), random.normal(5, 3, nodes)
    rows = [f"n{i};{sizes[i]:.3f};{ages[i]:.3f};{labels[i]}" for i in range(nodes)]
    pairs = random.integers(0, nodes, (4 * nodes, 2))
    pairs = pairs[(side[pairs[:, 0]] == side[pairs[:, 1]]) | (random.uniform(size=len(pairs)) < 0.1)]
    edges = ["from,to", *[f"n{a},n{b}" for a, b in pairs]]
    return _written(folder, "\n".join(["id;size;age;label", *rows]), "\n".join(edges))


def _written(folder: Path, nodes: str, edges: str) -> Path:
    (folder / "nodes.csv").write_text(nodes + "\n")
    (folder / "edges.csv").write_text(edges + "\n")
    return folder


def train(out: Path, *words: object) -> Path:
    answer = command("train", "node-classification", *QUICK, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "node-classification" / "run"


@pytest.fixture(scope="module")
def karate_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("karate"))


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a graph of one's own, as edges, with attention."""
    folder = tmp_path_factory.mktemp("own")
    words = ("--model", "gat", "--model-options.adjacency", "edges", "--labelled-per-class", 5, "--epochs", 60)
    words += ("--model-options.dropout-rate", 0.2)
    return train(folder, "--data", graph(folder / "mine"), *words)


def test_karate_club(karate_run):
    """At least 31 of the 34 members, the two leaders who are known among them."""
    metrics = json.loads((karate_run / "metrics.json").read_text())
    assert metrics["test"]["correct_nodes"] >= 31
    assert metrics["test"]["accuracy"] == pytest.approx((metrics["test"]["correct_nodes"] - 2) / 32)
    assert metrics["baseline_name"] == "label propagation"
    assert set(metrics["baseline"]) <= set(metrics["test"])
    names = {path.stem for path in (karate_run / "figures").glob("*.png")}
    assert names == {"graph", "embedding", "confusion_matrix", "learning_curves"}
    page = (karate_run / "report.html").read_text()
    assert "the 32 test nodes" in page
    assert "No node was held out" in page


def test_own_graph(own_run):
    about = json.loads((own_run / "data.json").read_text())
    assert about["splits"] == {"train": 10, "val": 10, "test": 12}
    assert about["features"] == ["size", "age"]
    assert any("count once" in warning for warning in about["warnings"])
    assert json.loads((own_run / "metrics.json").read_text())["test"]["accuracy"] > 0.7


@pytest.mark.parametrize("fixture", ["karate_run", "own_run"])
def test_evaluate_finds_the_same_figures_again(fixture, request):
    run = request.getfixturevalue(fixture)
    answer = command("evaluate", run)
    assert answer.status == 0, answer.err
    saved = json.loads((run / "metrics.json").read_text())["test"]
    again = json.loads((run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, abs=1e-6)


def test_another_graph_of_the_same_kind(own_run, tmp_path):
    other = graph(tmp_path / "other", nodes=30, seed=3)
    answer = command("evaluate", own_run, "--data", other)
    assert answer.status == 0, answer.err
    found = json.loads((own_run / "evaluations" / "other" / "metrics.json").read_text())["test"]
    assert found["accuracy"] > 0.7
    assert found["correct_nodes"] == pytest.approx(found["accuracy"] * 24)
    text = (other / "nodes.csv").read_text().splitlines()
    (other / "nodes.csv").write_text("\n".join(line.rsplit(";", 1)[0] for line in text))
    answer = command("predict", own_run, other, "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    with (tmp_path / "out" / "other_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["node"] for row in rows] == [f"n{i}" for i in range(30)]
    sides = [row["class"] == ("left", "right")[i % 2] for i, row in enumerate(rows)]
    assert np.mean(sides) > 0.7
    (other / "nodes.csv").write_text("\n".join(text).replace("size", "height"))
    answer = command("predict", own_run, other, "-o", tmp_path / "out")
    assert answer.status == 2
    assert "lacks the feature 'size'" in answer.err


def test_nodes_known_by_number_fit_one_graph(karate_run, tmp_path):
    answer = command("predict", karate_run, "karate", "-o", tmp_path)
    assert answer.status == 0, answer.err
    assert len((tmp_path / "karate_predictions.csv").read_text().splitlines()) == 35
    answer = command("predict", karate_run, graph(tmp_path / "other"), "-o", tmp_path)
    assert answer.status == 2
    assert "knows its 34 nodes by their numbers" in answer.err


@pytest.mark.parametrize(
    ("fixture", "format"),
    # tf2onnx has no maximum over the edges of a node, which attention along edges needs
    [("karate_run", "saved_model"), ("karate_run", "litert"), ("karate_run", "onnx"), ("own_run", "litert")],
)
def test_export(fixture, format, request):
    run = request.getfixturevalue(fixture)
    answer = command("export", run, "--format", format)
    assert answer.status == 0, answer.err
    assert set(json.loads((run / "exports" / "graph.json").read_text())) == {"features", "nodes", "classes"}


def test_classes_of_test_nodes_never_reach_the_training(tmp_path):
    app = NodeClassification(data=str(graph(tmp_path / "mine")), labelled_per_class=4)
    data = app.datasets()
    for part in ("train", "val"):
        _, labels, weights = app.samples(data, part, training=part == "train").load(None, None)
        known = np.zeros(len(data), bool)
        known[data.split[part]] = True
        assert np.array_equal(weights.numpy() > 0, known)
        assert weights.numpy().mean() == pytest.approx(1)
        assert not labels.numpy()[~known].any()
    assert not set(data.split["test"]) & {*data.split["train"], *data.split["val"]}


def test_both_forms_hold_the_same_graph():
    data = load_graph("karate")
    dense = graph_inputs(data, "dense", data.features)["adjacency"][0]
    assert dense.sum() == 2 * 78
    assert np.array_equal(dense, dense.T)
    again = np.zeros_like(dense)
    source, target = graph_inputs(data, "edges", data.features)["edges"][0].T
    again[target, source] = 1
    assert np.array_equal(again, dense)


NODES = "id,size,label\na,1,x\nb,2,y\nc,3,\nd,4,x\ne,5,y"
EDGES = "from,to\na,b\nb,c\nc,d\nd,e"
BAD_GRAPHS = {
    "unknown node": (NODES, "from,to\na,b\nb,z", "edges.csv', line 3: node 'z' is not in nodes.csv"),
    "one end": (NODES, "from,to\na,b\nb,", "line 3: one of the two nodes is missing"),
    "one column": (NODES, "from\na\nb", "has one column"),
    "twice": (NODES + "\nb,6,x", EDGES, "node 'b' stands in line 3 and again in line 7"),
    "no name": (NODES + "\n,6,x", EDGES, "line 7: the node has no name"),
    "no number": (NODES.replace("c,3", "c,big"), EDGES, "line 4: feature 'size' is no number ('big')"),
    "gap": (NODES.replace("c,3", "c,"), EDGES, "line 4: feature 'size' is missing"),
    "no label": (NODES.replace("label", "kind"), EDGES, "has no column 'label'"),
    "no classes": (NODES.replace("x", "").replace("y", ""), EDGES, "knows 0 classes"),
    "one of a class": (NODES.replace("e,5,y", "e,5,"), EDGES, "Class 'y' has 1 nodes, 1 for training"),
    "odd split": (
        "id,label,split\na,x,now\nb,y,\nc,x,\nd,y,\ne,x,",
        EDGES,
        "line 2: split must be train, val, test or",
    ),
    "split of none": ("id,label,split\na,x,train\nb,y,\nc,,test\nd,y,\ne,x,", EDGES, "line 4: the node is for test"),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_bad_graph(case, tmp_path):
    nodes, edges, sentence = BAD_GRAPHS[case]
    with pytest.raises(UserError) as caught:
        load_graph(str(_written(tmp_path, nodes, edges)))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folder_without_a_graph(tmp_path):
    with pytest.raises(UserError, match=r"has no file nodes\.csv"):
        load_graph(str(tmp_path))
    with pytest.raises(UserError, match=r"neither an embedded graph .* Did you mean 'karate'"):
        load_graph("karat")


def test_split_that_comes_with_the_data(tmp_path):
    nodes = "id,label,split\na,x,train\nb,y,train\nc,,\nd,x,val\ne,y,test\nf,x,"
    data = load_graph(str(_written(tmp_path, nodes, EDGES + "\nd,d\ne,d")))
    assert {part: chosen.tolist() for part, chosen in data.split.items()} == {"train": [0, 1], "val": [3], "test": [4]}
    assert data.features.shape == (6, 6)
    said = " ".join(data.warnings)
    for sentence in ("1 nodes have no edge", "1 edges from a node to itself", "1 edges stand in edges.csv twice"):
        assert sentence in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 2}, "batch_size: the graph is the only sample"),
        ({"k_folds": 3}, "k_folds:"),
        ({"split": Split(0.5, 0.25, 0.25)}, "split: nodes are divided by"),
        ({"loss": "dice"}, "loss:"),
        ({"model": "mlp"}, "needs one of: gat, gcn"),
        ({"model_options": {"num_nodes": 3}}, "model_options.num_nodes follows from the data"),
    ],
)
def test_options_that_cannot_work(changes, sentence):
    with pytest.raises(UserError) as caught:
        NodeClassification(**changes).check()
    assert sentence in str(caught.value)
