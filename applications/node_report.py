"""What the report of a graph shows: figures of merit, the graph itself, what the model makes of each node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from applications.core.report import Figure, Result, Table

if TYPE_CHECKING:
    import keras
    import matplotlib.figure
    import numpy as np

    from applications.datasets.graphs import GraphData

MOST_DRAWN = 1000  # nodes; of a larger graph those around the test nodes are drawn
MOST_NAMED = 60


def result(model: keras.Model, datasets: GraphData, probabilities: np.ndarray) -> Result:
    """Returns the results on the nodes of the test split."""
    import numpy as np
    from sklearn.metrics import confusion_matrix

    from applications.core import figures
    from applications.image_classification import classification_metrics

    test, names = datasets.split["test"], datasets.class_names
    metrics, table = classification_metrics(datasets.labels[test], probabilities[test], names, "nodes")
    predicted = probabilities.argmax(axis=1)
    metrics["correct_nodes"] = _correct(datasets, predicted)
    matrix = confusion_matrix(datasets.labels[test], predicted[test], labels=np.arange(len(names)))
    drawings = [
        Figure(
            "graph",
            "The graph, coloured by prediction",
            draw_graph(datasets, predicted),
            "Squares are the nodes whose class was given, red rings are mistakes."
            + (f" Drawn are {MOST_DRAWN} of {len(datasets)} nodes." if len(datasets) > MOST_DRAWN else ""),
        ),
        Figure("confusion_matrix", "Confusion matrix of the test nodes", figures.confusion_matrix(matrix, names)),
    ]
    hidden = embedding(model, datasets)
    if hidden is not None:
        drawings.append(
            Figure(
                "embedding",
                "What the last hidden layer makes of the nodes",
                draw_embedding(datasets, predicted, hidden),
                "Its two largest principal components, coloured by the true class.",
            )
        )
    notes = [counted(datasets)]
    if not len(datasets.split["val"]) and len(datasets.split["train"]):
        notes.append(
            "No node was held out for validation: the best epoch is that with the lowest loss on the known nodes, and "
            "the curves called validation are theirs, without dropout."
        )
    tables = [table, _mistakes(datasets, probabilities)]
    return Result(metrics=metrics, headline="accuracy", tables=tables, figures=drawings, notes=notes)


def counted(datasets: GraphData) -> str:
    """Says how the two figures are counted."""
    test, train = len(datasets.split["test"]), len(datasets.split["train"])
    known = int((datasets.labels >= 0).sum())
    return (
        f"Accuracy and all other figures are of the {test} test nodes, whose classes the training never saw; "
        f"correct_nodes counts all {known} nodes with a known class, the {train} given to the training among them."
    )


def _correct(datasets: GraphData, predicted: np.ndarray) -> float:
    known = datasets.labels >= 0
    return float((predicted == datasets.labels)[known].sum())


def _mistakes(datasets: GraphData, probabilities: np.ndarray) -> Table:
    """Lists the wrong test nodes, the surest first."""
    import numpy as np

    test, names = datasets.split["test"], datasets.class_names
    predicted, surest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = test[predicted[test] != datasets.labels[test]]
    degree = np.bincount(datasets.edges.ravel(), minlength=len(datasets))
    rows = [
        (datasets.ids[i], names[datasets.labels[i]], names[predicted[i]], float(surest[i]), int(degree[i]))
        for i in wrong[np.argsort(-surest[wrong])][:50]
    ]
    note = "None." if not rows else f"{len(wrong)} of {len(test)} test nodes, the surest first."
    return Table("Mistakes", ("node", "true class", "predicted", "probability", "edges"), rows, note)


def baseline(datasets: GraphData) -> tuple[str, dict[str, float]]:
    """Returns the same figures for the harmonic function of Zhu, Ghahramani and Lafferty (2003)."""
    import warnings

    import numpy as np
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    from applications.datasets.graphs import networkx

    nx = networkx()
    graph = nx.Graph()
    graph.add_nodes_from(range(len(datasets)))
    graph.add_edges_from(datasets.edges.tolist())
    train, test = datasets.split["train"], datasets.split["test"]
    for node in train:
        graph.nodes[int(node)]["label"] = int(datasets.labels[node])
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # nodes without an edge divide by zero
        warnings.simplefilter("ignore")
        predicted = np.array(nx.algorithms.node_classification.harmonic_function(graph, max_iter=200))
    labels = datasets.labels[test]
    return "label propagation", {
        "accuracy": float(accuracy_score(labels, predicted[test])),
        "balanced_accuracy": float(balanced_accuracy_score(labels, predicted[test])),
        "macro_f1": float(f1_score(labels, predicted[test], average="macro", zero_division=0)),
        "correct_nodes": _correct(datasets, predicted),
    }


def embedding(model: keras.Model, datasets: GraphData) -> np.ndarray | None:
    """Returns two principal components of what goes into the last layer; None where no layer is hidden."""
    import keras
    import numpy as np

    from applications.node_classification import run_graph

    core = model.get_layer("core")
    if not any(layer.name.startswith("layer1_") for layer in core.layers):
        return None
    last = keras.Model(core.input, core.get_layer("head_dropout").output)
    inputs = {**model.input, "features": model.get_layer("scaled").output}
    hidden = run_graph(keras.Model(model.input, last(inputs)), datasets)
    centred = hidden - hidden.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    found = (left * size)[:, :2]
    return found if found.shape[1] == 2 else np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def draw_graph(datasets: GraphData, predicted: np.ndarray) -> matplotlib.figure.Figure:
    """Draws nodes and edges in a spring layout, coloured by the predicted class."""
    import numpy as np
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure as Canvas

    from applications.core.figures import WRONG
    from applications.datasets.graphs import networkx

    nx = networkx()
    shown = drawn_nodes(datasets)
    place = np.full(len(datasets), -1)
    place[shown] = np.arange(len(shown))
    edges = place[datasets.edges]
    edges = edges[(edges >= 0).all(axis=1)]
    graph = nx.Graph()
    graph.add_nodes_from(range(len(shown)))
    graph.add_edges_from(edges.tolist())
    layout = nx.spring_layout(graph, seed=0, iterations=100, k=1.6 / max(len(shown), 1) ** 0.5)
    points = np.array([layout[i] for i in range(len(shown))])
    figure = Canvas(figsize=(7.5, 5.6), layout="constrained")
    axes = figure.add_subplot()
    axes.add_collection(LineCollection(points[edges], colors="#bbbbbb", linewidths=0.7, zorder=1))
    size = 230 if len(shown) <= MOST_NAMED else max(8.0, 6000 / len(shown))
    _nodes(axes, datasets, points, shown, predicted[shown], size)
    tested = np.isin(shown, datasets.split["test"])
    wrong = tested & (predicted[shown] != datasets.labels[shown])
    axes.scatter(
        *points[wrong].T, s=1.9 * size, facecolors="none", edgecolors=WRONG, linewidths=2, zorder=3, label="mistake"
    )
    _names(axes, datasets, points, shown)
    axes.set_axis_off()
    _legend(figure, axes)
    return figure


def drawn_nodes(datasets: GraphData) -> np.ndarray:
    """Returns the nodes to draw: all, or of a large graph the known ones and those nearest to them."""
    import numpy as np

    if len(datasets) <= MOST_DRAWN:
        return np.arange(len(datasets))
    chosen = np.zeros(len(datasets), bool)
    chosen[np.concatenate([datasets.split["train"], datasets.split["test"]])[:50]] = True
    order = list(np.flatnonzero(chosen))
    while len(order) < MOST_DRAWN:
        touching = datasets.edges[chosen[datasets.edges].any(axis=1)].ravel()
        new = [node for node in dict.fromkeys(touching.tolist()) if not chosen[node]]
        if not new:
            break
        chosen[new] = True
        order += new
    return np.sort(np.array(order[:MOST_DRAWN]))


def draw_embedding(datasets: GraphData, predicted: np.ndarray, hidden: np.ndarray) -> matplotlib.figure.Figure:
    """Draws two numbers per node, coloured by the true class."""
    import numpy as np
    from matplotlib.figure import Figure as Canvas

    from applications.core.figures import WRONG

    known = np.flatnonzero(datasets.labels >= 0)
    figure = Canvas(figsize=(6.5, 4.6), layout="constrained")
    axes = figure.add_subplot()
    size = 60 if len(known) <= 500 else 10
    _nodes(axes, datasets, hidden[known], known, datasets.labels[known], size)
    wrong = np.isin(known, datasets.split["test"]) & (predicted[known] != datasets.labels[known])
    axes.scatter(
        *hidden[known][wrong].T,
        s=2.5 * size,
        facecolors="none",
        edgecolors=WRONG,
        linewidths=1.5,
        zorder=3,
        label="mistake",
    )
    axes.set_xlabel("first component")
    axes.set_ylabel("second component")
    axes.grid(alpha=0.25)
    _legend(figure, axes)
    return figure


def _nodes(axes: Any, datasets: GraphData, points: Any, shown: np.ndarray, classes: np.ndarray, size: float) -> None:
    """Draws the nodes of each class in its colour, the given ones as squares."""
    import numpy as np

    from applications.core.figures import class_colours, short

    colours = class_colours(len(datasets.class_names) + 1)[1:] / 255  # without the black of a background
    given = np.isin(shown, datasets.split["train"])
    for index, name in enumerate(datasets.class_names):
        for mark, chosen in (("o", ~given), ("s", given)):
            here = chosen & (classes == index)
            label = short(name, 24) if mark == "o" else None
            axes.scatter(
                *points[here].T, s=size, color=colours[index], marker=mark, edgecolors="white", zorder=2, label=label
            )


def _names(axes: Any, datasets: GraphData, points: Any, shown: np.ndarray) -> None:
    if len(shown) <= MOST_NAMED and max(map(len, datasets.ids)) <= 6:
        for node, point in zip(shown, points, strict=True):
            axes.text(*point, datasets.ids[node], ha="center", va="center", fontsize=7, parse_math=False, zorder=4)


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    for handle in legend.legend_handles:
        handle.set_sizes([60])
    for text in legend.get_texts():
        text.set_parse_math(False)
