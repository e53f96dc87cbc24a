"""One graph whose nodes have classes: the karate club, and the user's own nodes and edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.csv_files import CsvFile, number, read_csv
from applications.datasets.data import GRAPH_NAMES
from applications.datasets.readers import natural_key

if TYPE_CHECKING:
    import numpy as np

PARTS = ("train", "val", "test")
FILES = ("nodes.csv", "edges.csv")
PER_CLASS = 20  # known nodes of each class where nothing else is asked for, as in the papers


@dataclass(frozen=True, eq=False)
class GraphData:
    """A graph, checked and split; the counterpart of `Datasets`. Its samples are the nodes.

    Attributes:
        name, description, split, ids, skipped, warnings, fingerprint: as in `Datasets`; nodes without a known class are
            in no part of the split.
        features: `(N, F)` float32.
        feature_names: one per feature; none where a node's only feature is which one it is.
        edges: `(E, 2)` int64 node numbers, each undirected edge once, the smaller number first.
        labels: `(N,)` int64 class numbers, -1 where unknown.
        class_names: one per class.
    """

    name: str
    description: str
    features: np.ndarray
    feature_names: tuple[str, ...]
    edges: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    split: dict[str, np.ndarray]
    ids: tuple[str, ...]
    groups: None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when nodes, features, edges or classes change (not with the split)."""
        import hashlib

        digest = hashlib.sha256(repr((self.ids, self.feature_names, self.class_names)).encode())
        for array in (self.features, self.edges, self.labels):
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": list(self.class_names),
            "features": list(self.feature_names),
            "nodes": [] if self.feature_names else list(self.ids),
            "splits": {name: len(indices) for name, indices in self.split.items()},
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [list(entry) for entry in self.skipped],
        }


def load_graph(
    data: str,
    *,
    target: str = "label",
    labelled_per_class: int | None = None,
    validation_per_class: int | None = None,
    seed: int = 0,
    separator: str = "auto",
    labels_needed: bool = True,
) -> GraphData:
    """Loads a graph.

    Args:
        data: `karate` (embedded), or a folder with `nodes.csv` (first column: the node; further columns: numbers;
            `label`: its class or nothing; `split`, if there is one: train, val, test or nothing) and `edges.csv` (first
            two columns: the nodes it joins).
        target: Name of the column of classes.
        labelled_per_class: Known nodes of each class for training, drawn at random; None: the division that comes with
            the data, or 20, but at most half of a class.
        validation_per_class: Further nodes of each class for validation; None: as many as for training, but none where
            a class has a single known node.
        seed: Fixes the division.
        separator: As in `read_csv`.
        labels_needed: Whether classes are needed; without them all nodes are there to be predicted.

    Returns:
        The graph.

    Raises:
        UserError: One sentence for the user.

    Example:
        >>> graph = load_graph("karate")
        >>> len(graph), len(graph.edges), len(graph.split["train"])
        (34, 78, 2)
    """
    graph = karate_club() if data in GRAPH_NAMES else read_graph(_folder(data), target, separator, labels_needed)
    if not labels_needed:
        return graph
    if labelled_per_class is None and validation_per_class is None and graph.split:
        return graph
    return _with(graph, split=divided(graph, labelled_per_class, validation_per_class, seed))


def _with(graph: GraphData, **changes: Any) -> GraphData:
    import dataclasses

    return dataclasses.replace(graph, **changes)


def networkx() -> Any:
    """Returns networkx, or says how to get it."""
    try:
        import networkx
    except ImportError:
        raise UserError("Graphs need the package networkx: pip install 'kerazoo[graphs]'.") from None
    return networkx


def karate_club() -> GraphData:
    """Zachary's karate club: who met whom, and which of two clubs everybody joined after the quarrel.

    The classes of the two whose quarrel it was are known, those of the other 32 members are to be found.
    """
    import numpy as np

    graph = networkx().karate_club_graph()
    clubs = [graph.nodes[node]["club"] for node in graph]
    names = ("Mr. Hi", "Officer")
    labels = np.array([names.index(club) for club in clubs], np.int64)
    count = len(labels)
    leaders = np.array([0, 33])
    return GraphData(
        name="karate",
        description="Zachary's karate club (real, from networkx): 34 members, 78 ties, two leaders with known clubs",
        features=np.eye(count, dtype=np.float32),
        feature_names=(),
        edges=np.array(sorted(tuple(sorted(edge)) for edge in graph.edges), np.int64),
        labels=labels,
        class_names=names,
        split={"train": leaders, "val": leaders[:0], "test": np.setdiff1d(np.arange(count), leaders)},
        ids=tuple(str(node) for node in graph),
    )


def _folder(data: str) -> Path:
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"Unknown data {data!r}: neither an embedded graph ({', '.join(GRAPH_NAMES)}) nor a folder with "
            f"{' and '.join(FILES)}.{nearest(data, GRAPH_NAMES)}"
        )
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"Folder {data!r} has no file {name}; a graph is {' and '.join(FILES)}.")
    return folder


def read_graph(folder: Path, target: str, separator: str, labels_needed: bool) -> GraphData:
    """Reads the graph of a folder; its split is empty where `nodes.csv` has no column `split`."""
    import numpy as np

    nodes, links = (read_csv(folder / name, separator) for name in FILES)
    ids = _ids(nodes)
    if labels_needed and target not in nodes.names:
        raise UserError(
            f"File {str(nodes.path)!r} has no column {target!r}, where the known classes stand; it has "
            f"{', '.join(nodes.names)}. Another name is given by --target."
        )
    special = {nodes.names[0], target, "split"}
    names = tuple(name for name in nodes.names if name not in special)
    features = np.eye(len(ids), dtype=np.float32)
    if names:
        features = np.array([_numbers(nodes, name) for name in names], np.float32).T
    cells = nodes.column(target) if target in nodes.names else [None] * len(ids)
    class_names = tuple(sorted({cell for cell in cells if cell is not None}, key=natural_key))
    if labels_needed and len(class_names) < 2:
        raise UserError(
            f"Column {target!r} of {str(nodes.path)!r} knows {len(class_names)} classes; at least two are needed."
        )
    labels = np.array([-1 if cell is None else class_names.index(cell) for cell in cells], np.int64)
    edges, remarks = _edges(links, ids)
    alone = len(ids) - len(np.unique(edges))
    warnings = [*nodes.warnings, *links.warnings, *remarks]
    if alone:
        warnings.append(f"{alone} nodes have no edge and are known by their features alone.")
    if not names:
        warnings.append("Nodes have no features, so each is known by its number and the model fits this graph only.")
    known = int((labels >= 0).sum())
    return GraphData(
        name=folder.name,
        description=f"graph in {str(folder)!r}: {len(ids)} nodes, {len(edges)} edges, {known} nodes with a known class",
        features=features,
        feature_names=names,
        edges=edges,
        labels=labels,
        class_names=class_names,
        split=_given_split(nodes, labels) if "split" in nodes.names and labels_needed else {},
        ids=ids,
        warnings=tuple(warnings),
    )


def _ids(nodes: CsvFile) -> tuple[str, ...]:
    """Returns the names of the nodes, each there and each once."""
    seen: dict[str, int] = {}
    for cell, line in zip(nodes.columns[0], nodes.lines, strict=True):
        if cell is None:
            raise UserError(
                f"File {str(nodes.path)!r}, line {line}: the node has no name ({nodes.names[0]!r} is empty)."
            )
        if cell in seen:
            raise UserError(
                f"File {str(nodes.path)!r}: node {cell!r} stands in line {seen[cell]} and again in line {line}; each "
                "may stand there once."
            )
        seen[cell] = line
    return tuple(seen)


def _numbers(nodes: CsvFile, name: str) -> list[float]:
    """Returns one column of features."""
    values = []
    for cell, line in zip(nodes.column(name), nodes.lines, strict=True):
        value = None if cell is None else number(cell, nodes.decimal)
        if value is None:
            what = "is missing" if cell is None else f"is no number ({cell!r})"
            raise UserError(f"File {str(nodes.path)!r}, line {line}: feature {name!r} {what}.")
        values.append(value)
    return values


def _edges(links: CsvFile, ids: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Returns each edge once, and sentences about those left out."""
    import numpy as np

    if len(links.names) < 2:
        raise UserError(f"File {str(links.path)!r} has one column; each line names the two nodes that an edge joins.")
    numbers = {node: index for index, node in enumerate(ids)}
    found, loops, count = set(), 0, 0
    for first, second, line in zip(links.columns[0], links.columns[1], links.lines, strict=True):
        for node in (first, second):
            if node not in numbers:
                what = "one of the two nodes is missing" if node is None else f"node {node!r} is not in {FILES[0]}"
                raise UserError(f"File {str(links.path)!r}, line {line}: {what}.{nearest(node or '', list(numbers))}")
        a, b = sorted((numbers[str(first)], numbers[str(second)]))
        loops += a == b
        count += a != b
        if a != b:
            found.add((a, b))
    remarks = [f"{loops} edges from a node to itself were left out; the layers add them."] if loops else []
    if count > len(found):
        remarks.append(
            f"{count - len(found)} edges stand in {links.path.name} twice (in either direction) and count once."
        )
    return np.array(sorted(found), np.int64).reshape(-1, 2), remarks


def _given_split(nodes: CsvFile, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the division that a column `split` makes; nodes without a class take no part."""
    import numpy as np

    cells = nodes.column("split")
    for cell, label, line in zip(cells, labels, nodes.lines, strict=True):
        if cell is not None and cell not in PARTS:
            raise UserError(
                f"File {str(nodes.path)!r}, line {line}: split must be {', '.join(PARTS)} or empty, not {cell!r}."
            )
        if cell is not None and label < 0:
            raise UserError(f"File {str(nodes.path)!r}, line {line}: the node is for {cell}, but its class is missing.")
    split = {part: np.array([i for i, cell in enumerate(cells) if cell == part], np.int64) for part in PARTS}
    for part in ("train", "test"):
        if not len(split[part]):
            raise UserError(f"Column 'split' of {str(nodes.path)!r} gives no node to {part!r}.")
    return split


def divided(graph: GraphData, labelled: int | None, validation: int | None, seed: int) -> dict[str, np.ndarray]:
    """Draws the known nodes of each class; all other nodes with a class are for testing."""
    import numpy as np

    random = np.random.default_rng(seed)
    parts: dict[str, list[Any]] = {part: [] for part in PARTS}
    for index, name in enumerate(graph.class_names):
        nodes = random.permutation(np.flatnonzero(graph.labels == index))
        known = min(PER_CLASS, len(nodes) // 2) or 1 if labelled is None else labelled
        held = min(known if known > 1 else 0, (len(nodes) - known) // 2) if validation is None else validation
        if known + held >= len(nodes):
            raise UserError(
                f"Class {name!r} has {len(nodes)} nodes, {known} for training and {held} for validation leave none for "
                "testing; ask for fewer by --labelled-per-class and --validation-per-class."
            )
        for part, chosen in zip(PARTS, np.split(nodes, [known, known + held]), strict=True):
            parts[part].append(chosen)
    return {part: np.sort(np.concatenate(chosen)).astype(np.int64) for part, chosen in parts.items()}


def as_trained(graph: GraphData, known: dict[str, Any]) -> GraphData:
    """Returns another graph with the features and classes of a run; all nodes with a class are in the test split."""
    import numpy as np

    graph = with_features_of(graph, known)
    names = tuple(known["class_names"])
    strangers = [name for name in graph.class_names if name not in names]
    if strangers:
        raise UserError(f"The graph has the class {strangers[0]!r}, the run was trained on {', '.join(names)}.")
    order = np.array([names.index(name) for name in graph.class_names] + [-1])
    labels = order[graph.labels]
    empty = np.zeros(0, np.int64)
    return _with(
        graph,
        labels=labels,
        class_names=names,
        split={"train": empty, "val": empty, "test": np.flatnonzero(labels >= 0)},
    )


def with_features_of(graph: GraphData, known: dict[str, Any]) -> GraphData:
    """Returns a graph with the features of a run in their order.

    Raises:
        UserError: One is missing, or the run knows its nodes by their numbers and this graph has others.
    """
    if not known["features"]:
        if list(graph.ids) != known["nodes"]:
            raise UserError(
                f"The run knows its {len(known['nodes'])} nodes by their numbers alone, so it cannot be used on "
                "another graph; train on nodes with features for that."
            )
        return graph
    missing = [name for name in known["features"] if name not in graph.feature_names]
    if missing:
        raise UserError(f"The graph lacks the feature {missing[0]!r} that the run was trained on.")
    columns = [graph.feature_names.index(name) for name in known["features"]]
    return _with(graph, features=graph.features[:, columns], feature_names=tuple(known["features"]))
