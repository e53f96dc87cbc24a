"""Node classification: the class of every node of a graph, from the few whose class is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import Application, ScheduleName, Serving, Split, StoppingOptions
from applications.core.config import option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.graphs import GraphData

MOST_DENSE = 3000  # nodes; a graph with more is given as a list of edges


class Prediction(NamedTuple):
    """What the model says about the nodes of one graph."""

    graph: GraphData
    labels: list[str]
    probabilities: np.ndarray


@dataclass(frozen=True, kw_only=True)
class NodeClassification(Application):
    """Finds the classes of all nodes of a graph from those of a few.

    The whole graph is one sample, trained on in every step; the loss counts the known nodes alone, and the classes of
    the others are not even handed to the training. Data: `karate` (Zachary's karate club, real, from networkx), or a
    folder with `nodes.csv` (a column of names, columns of numbers, `label`: the class or nothing) and `edges.csv` (the
    two nodes of each edge). Where there are too few known nodes to hold some out for validation, the best epoch is that
    with the lowest loss on the known nodes themselves.

    Example:
        >>> from applications.core.training import start
        >>> from applications.node_classification import NodeClassification
        >>> run = start(NodeClassification(model="gat"))
    """

    task: ClassVar[str] = "node-classification"
    summary: ClassVar[str] = "the class of every node of a graph, from the few that are known"
    kinds: ClassVar[tuple[str, ...]] = ("graph",)
    own_data: ClassVar[str] = "path/to/graph"
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        "num_features",
        "num_nodes",
        "classifier_activation",
    )

    data: str = option("karate", "`karate`, or a folder with nodes.csv and edges.csv.")
    model: str = option("gcn", "`gcn` or `gat`.")
    epochs: int = option(200, "Training steps: each sees the whole graph.", minimum=1)
    batch_size: int = option(1, "Graphs per step: the one there is.", minimum=1)
    learning_rate: float = option(1e-2, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("constant", "How the learning rate changes.")
    early_stopping: StoppingOptions = dataclasses.field(
        default_factory=lambda: StoppingOptions(patience=100), metadata={"help": "Early end."}
    )
    target: str = option("label", "Column of nodes.csv with the classes.")
    labelled_per_class: int | None = option(
        None,
        "Known nodes of each class; none: the division that comes with the data, or 20, at most half of a class.",
        minimum=1,
    )
    validation_per_class: int | None = option(
        None,
        "Nodes of each class held out for validation; none: as many as are known, or 0 where that is one.",
        minimum=0,
    )
    scaling: Literal["auto", "standard", "rows", "none"] = option(
        "auto",
        "Of the features: `standard` to mean 0 and spread 1, `rows` divides each node's by their sum, as the papers do "
        "with words; auto: standard, and none where a node's only feature is which one it is.",
    )
    separator: str = option("auto", "Between the cells of the CSV files: one character, `tab` or auto.")

    # Data -----------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        super().check()
        if self.batch_size != 1:
            raise UserError(f"batch_size: the graph is the only sample, so it must be 1, received {self.batch_size}.")
        if self.k_folds:
            raise UserError("k_folds: the parts of a graph are no samples of their own; repeat with other seeds.")
        if self.split != Split(seed=self.split.seed):
            raise UserError("split: nodes are divided by labelled_per_class and validation_per_class.")
        if self.loss not in ("auto", "sparse_categorical_crossentropy"):
            raise UserError(f"loss: {self.task} has sparse_categorical_crossentropy, received {self.loss!r}.")

    def datasets(self, progress: Callable | None = None) -> GraphData:  # type: ignore[override]
        from applications.datasets.graphs import load_graph, networkx

        networkx()  # layout and baseline need it; better to say so before the training
        return load_graph(
            self.data,
            target=self.target,
            labelled_per_class=self.labelled_per_class,
            validation_per_class=self.validation_per_class,
            seed=self.seed if self.split.seed is None else self.split.seed,
            separator=self.separator,
        )

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return self.replace(data=data, labelled_per_class=None, validation_per_class=None)

    def as_trained(self, datasets: GraphData, known: dict[str, Any]) -> GraphData:  # type: ignore[override]
        from applications.datasets.graphs import as_trained

        return as_trained(datasets, known)

    def adjacency(self, datasets: GraphData) -> str:
        """Returns the form in which the model takes the graph."""
        return self.model_options.get("adjacency", "dense" if len(datasets) <= MOST_DENSE else "edges")

    def samples(self, datasets: GraphData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        """The graph, the classes of this part's nodes, and a weight of zero for all others."""
        import numpy as np
        import tensorflow as tf

        from applications.core.pipeline import Samples, balanced_weights

        nodes = datasets.split[split]
        nodes = datasets.split["train"] if split == "val" and not len(nodes) else nodes
        labels, weights = np.zeros(len(datasets), np.int64), np.zeros(len(datasets), np.float32)
        labels[nodes] = datasets.labels[nodes]
        weights[nodes] = len(datasets) / len(nodes)  # Keras divides by all nodes, known or not
        if training and self.class_weights == "balanced":
            counts = np.bincount(labels[nodes], minlength=datasets.num_classes)
            weights[nodes] *= balanced_weights(counts)[labels[nodes]]
        inputs = {
            name: tf.constant(part[0])
            for name, part in graph_inputs(datasets, self.adjacency(datasets), self.scaled(datasets)).items()
        }
        targets, shares = tf.constant(labels), tf.constant(weights)
        return Samples(1, lambda index, draws: (inputs, targets, shares))

    # Model ----------------------------------------------------------------------------------------------------------

    def scale(self, datasets: GraphData) -> str:
        """Returns how features are scaled."""
        return self.scaling if self.scaling != "auto" else "standard" if datasets.feature_names else "none"

    def scaled(self, datasets: GraphData) -> np.ndarray:
        """Returns the features as the trained model takes them; the saved one scales by itself."""
        import numpy as np

        scale, features = self.scale(datasets), datasets.features
        if scale == "rows":
            return features / np.maximum(features.sum(1, keepdims=True), 1e-7)
        if scale == "standard":
            mean, spread = moments(features)
            return (features - mean) / spread
        return features

    def build(self, datasets: GraphData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        options = {"adjacency": self.adjacency(datasets), "num_nodes": None, "dtype": dtype}
        return self.create(datasets.features.shape[1], datasets.num_classes, **options)

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        model.compile(
            optimizer=optimizer, loss="sparse_categorical_crossentropy", weighted_metrics=["accuracy"], **execution
        )

    def packaged(self, model: keras.Model, datasets: GraphData) -> keras.Model:  # type: ignore[override]
        """Puts the scaling of the features in front of the model."""
        import keras

        inputs = {
            name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name) for name, tensor in model.input.items()
        }
        x, scale = inputs["features"], self.scale(datasets)
        if scale == "rows":
            x = x / keras.ops.maximum(keras.ops.sum(x, -1, keepdims=True), 1e-7)
        elif scale == "standard":
            mean, spread = moments(datasets.features)
            x = keras.layers.Rescaling((1 / spread).tolist(), (-mean / spread).tolist(), name="standardise")(x)
        x = keras.layers.Identity(name="scaled")(x)
        core = keras.Model(model.input, model.output, name="core")
        return keras.Model(inputs, core({**inputs, "features": x}), name=model.name)

    # Results --------------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: GraphData) -> Result:  # type: ignore[override]
        from applications import node_report

        probabilities = run_graph(model, datasets)
        return node_report.result(model, datasets, probabilities)

    def baseline(self, datasets: GraphData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """Label propagation: unknown nodes take the mean of their neighbours until nothing changes."""
        from applications import node_report

        return node_report.baseline(datasets)

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        return [Path(item) for item in inputs]

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.datasets.graphs import load_graph, with_features_of

        found = []
        for path in inputs:
            graph = load_graph(str(path), target=self.target, separator=self.separator, labels_needed=False)
            graph = with_features_of(graph, about)
            probabilities = run_graph(model, graph)
            names = [about["class_names"][index] for index in probabilities.argmax(axis=1)]
            found.append(Prediction(graph, names, probabilities))
        return found

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes one `NAME_predictions.csv` per graph: node, its likeliest class, and the probability of that."""
        import csv
        import io

        from applications.core.inference import unique_stems
        from applications.core.run_directory import write_atomically

        written = []
        names = unique_stems(Path(f"{graph.name}.csv") for graph, _, _ in predictions)
        for (graph, labels, probabilities), name in zip(predictions, names, strict=True):
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(["node", "class", "probability"])
            surest = [f"{value:.6f}" for value in probabilities.max(axis=1)]
            writer.writerows(zip(graph.ids, labels, surest, strict=True))
            written.append(folder / f"{name}_predictions.csv")
            write_atomically(written[-1], text.getvalue())
        return written

    def serving(self, datasets: GraphData) -> Serving:  # type: ignore[override]
        import json

        form = self.adjacency(datasets)
        graph = {
            "dense": "adjacency, float32, (batch, nodes, nodes), 1 where two nodes are joined, without self-loops",
            "edges": "edges, int32, (batch, edges, 2), source and target, both directions of each, -1 is filling",
        }
        about = {
            "features": list(datasets.feature_names),
            "nodes": list(datasets.ids),
            "classes": list(datasets.class_names),
        }
        return Serving(
            samples=graph_inputs(datasets, form, datasets.features),
            labels=datasets.class_names,
            signature={
                "input": f"features, float32, (batch, nodes, {datasets.features.shape[1]}), and {graph[form]}",
                "output": f"probabilities, float32, (batch, nodes, {datasets.num_classes}), in the order of labels.txt",
            },
            files={"graph.json": json.dumps(about, indent=1, ensure_ascii=False) + "\n"},
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real

        widths = {"gcn": Choice([8], [16], [32], [16, 16]), "gat": Choice([4], [8], [16])}
        return {
            "learning_rate": Real(1e-3, 1e-1, log=True),
            "optimizer": Choice("adam", "adamw"),
            "model": Choice(
                "gcn", "gat", children={name: {"model_options.hidden_units": found} for name, found in widths.items()}
            ),
            "model_options.dropout_rate": Real(0.0, 0.7),
        }


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and spread of each feature over all nodes, which are all there in the training."""
    spread = features.std(axis=0)
    spread[spread == 0] = 1
    return features.mean(axis=0), spread


def graph_inputs(datasets: GraphData, form: str, features: np.ndarray) -> dict[str, np.ndarray]:
    """Returns a graph as a batch of one for a model that takes it in this form."""
    import numpy as np

    both = np.concatenate([datasets.edges, datasets.edges[:, ::-1]]).astype(np.int32)
    if form == "edges":
        return {"features": features[None], "edges": both[None]}
    matrix = np.zeros((len(datasets), len(datasets)), np.float32)
    matrix[both[:, 0], both[:, 1]] = 1
    return {"features": features[None], "adjacency": matrix[None]}


def run_graph(model: keras.Model, datasets: GraphData) -> np.ndarray:
    """Returns what a model says about each node, (nodes, outputs)."""
    from applications.core.inference import Predictor

    form = "edges" if "edges" in model.input else "dense"
    return Predictor(model)(graph_inputs(datasets, form, datasets.features))[0]
