"""Tables that need no network: three real ones of scikit-learn, and the XOR problem of every lecture."""

from __future__ import annotations

from applications.datasets.splits import split_indices
from applications.datasets.tables import Column, TableData

_DESCRIPTIONS = {
    "breast_cancer": "Real cell nuclei of 569 breast biopsies, malignant or benign (Wisconsin, from scikit-learn).",
    "wine": "Real chemical analyses of 178 Italian wines of three cultivars (UCI, from scikit-learn).",
    "diabetes": "Real measurements of 442 diabetes patients and their disease a year later (Efron et al. 2004, from "
    "scikit-learn).",
    "xor": "The XOR problem, made up: clouds of points around the corners of a square, opposite ones of one class.",
}
_TARGETS = {"breast_cancer": "diagnosis", "wine": "cultivar", "diabetes": "progression", "xor": "xor"}
XOR_ROWS, XOR_SPREAD = 400, 0.2


def embedded_table(name: str, *, fractions, seed: int) -> TableData:
    """Returns one of `breast_cancer`, `wine`, `diabetes`, `xor`, see `load_table`."""
    import numpy as np

    if name == "xor":
        features, labels, names, class_names = _xor()
    else:
        import sklearn.datasets

        load = getattr(sklearn.datasets, f"load_{name}")
        table = load(scaled=False) if name == "diabetes" else load()
        features, labels, names = table.data, table.target, table.feature_names
        class_names = tuple(map(str, getattr(table, "target_names", ())))
    continuous = not class_names
    return TableData(
        name=name,
        description=_DESCRIPTIONS[name],
        columns=tuple(
            Column(str(word), "number", np.asarray(column, np.float64))
            for word, column in zip(names, features.T, strict=True)
        ),
        target=_TARGETS[name],
        split=split_indices(len(labels) if continuous else labels, fractions=fractions, seed=seed),
        ids=tuple(map(str, range(len(labels)))),
        labels=None if continuous else np.asarray(labels, np.int64),
        values=np.asarray(labels, np.float64) if continuous else None,
        class_names=class_names,
    )


def _xor():
    """Returns features, labels, names of the columns and of the classes; the same on every call."""
    import numpy as np

    random = np.random.default_rng(1969)
    corners = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (XOR_ROWS // 4, 1))
    features = corners + random.normal(0, XOR_SPREAD, corners.shape)
    return features, corners[:, 0] ^ corners[:, 1], ("a", "b"), ("false", "true")
