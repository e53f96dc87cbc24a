"""From typed columns to numbers: fitted on the training rows, done alike by NumPy and by layers in the saved model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from applications.datasets.tables import MISSING_CATEGORY, MOST_CATEGORIES, Column

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class ColumnEncoding:
    """How one column becomes numbers.

    Attributes:
        name, kind: of the column.
        mean, scale: of a number: it becomes (x - mean) / scale, a missing one 0.
        categories: of a category: one number each, 1 for the one that is there; an unseen one is 0 in all.
    """

    name: str
    kind: str
    mean: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Returns what there is to say about this kind of column, ready for JSON."""
        if self.kind == "number":
            return {"name": self.name, "kind": self.kind, "mean": self.mean, "scale": self.scale}
        return {"name": self.name, "kind": self.kind, "categories": list(self.categories)}


@dataclass(frozen=True)
class TableEncoding:
    """The encoding of all columns: first the numbers, then the categories, each in the order of the table."""

    columns: tuple[ColumnEncoding, ...]

    @classmethod
    def fit(cls, columns: Sequence[Column], rows: np.ndarray) -> TableEncoding:
        """Takes means, spreads and categories from some rows, those of the training split."""
        return cls(tuple(_fit(column, rows) for column in numbers_first(columns)))

    @property
    def width(self) -> int:
        """Numbers per row."""
        return sum(len(column.categories) if column.kind == "category" else 1 for column in self.columns)

    def apply(self, columns: Sequence[Column]) -> np.ndarray:
        """Returns all rows as an array (rows, width), float32."""
        import numpy as np

        given = {column.name: column.values for column in columns}
        parts = []
        for column in self.columns:
            values = given[column.name]
            if column.kind == "number":
                parts.append(np.nan_to_num((values - column.mean) / column.scale)[:, None])
            else:
                parts.append(values[:, None] == np.array(column.categories)[None])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def layers(self) -> tuple[dict[str, keras.KerasTensor], keras.KerasTensor]:
        """Returns the inputs by name and the numbers made of them, with Keras' own layers and operations only."""
        import keras
        from keras import layers, ops

        def dtype(column: ColumnEncoding) -> str:
            return "float32" if column.kind == "number" else "string"

        inputs = {
            name: keras.Input((1,), dtype=dtype(column), name=name)
            for name, column in zip(input_names(self.columns), self.columns, strict=True)
        }
        tensors = list(inputs.values())
        numeric = [column for column in self.columns if column.kind == "number"]
        parts = []
        if numeric:
            x = tensors[0] if len(numeric) == 1 else layers.Concatenate(name="numbers")(tensors[: len(numeric)])
            x = layers.Normalization(
                mean=[c.mean for c in numeric], variance=[c.scale**2 for c in numeric], name="numbers_standardised"
            )(x)
            parts.append(ops.nan_to_num(x))  # a missing number is the mean
        for index, (column, tensor) in enumerate(zip(self.columns, tensors, strict=True)):
            if column.kind == "category":
                x = layers.StringLookup(
                    vocabulary=list(column.categories), output_mode="one_hot", name=f"category{index}_lookup"
                )(tensor)
                parts.append(ops.cast(x[:, 1:], "float32"))  # the first number says "none of them"
        return inputs, parts[0] if len(parts) == 1 else layers.Concatenate(name="encoded")(parts)


def numbers_first(columns: Sequence[Any]) -> list[Any]:
    """Returns columns in the order of the encoding."""
    return sorted(columns, key=lambda column: column.kind != "number")


def input_names(columns: Sequence[Column] | Sequence[ColumnEncoding]) -> tuple[str, ...]:
    """Names of the inputs of the saved model: those of the columns, as far as Keras takes them."""
    names: list[str] = []
    for column in columns:
        name = column.name.replace("/", "_")
        while name in names or re.fullmatch(r"core|encoded|numbers.*|category\d+.*", name):
            name += "_"
        names.append(name)
    return tuple(names)


def run_table(model: keras.Model, columns: Sequence[Column], rows: np.ndarray | None = None) -> np.ndarray:
    """Returns the outputs of a saved model for rows of a table.

    Args:
        model: A model whose inputs are columns, see `TableEncoding.layers`.
        columns: The columns, in the order of the training.
        rows: Numbers of the rows, or None for all.
    """
    from applications.core.inference import Predictor

    ordered = numbers_first(columns)
    return Predictor(model, batch_size=4096)(
        {
            name: (column.values if rows is None else column.values[rows])[:, None]
            for name, column in zip(input_names(ordered), ordered, strict=True)
        }
    )


def unseen_by(model: keras.Model, columns: Sequence[Column]) -> list[str]:
    """Returns one sentence for each column that holds categories a saved model does not know."""
    remarks = []
    for index, column in enumerate(numbers_first(columns)):
        if column.kind == "category":
            known = set(model.get_layer(f"category{index}_lookup").get_vocabulary()[1:])
            strangers = [value for value in column.values.tolist() if value not in known]
            if strangers:
                remarks.append(
                    f"Column {column.name!r}: {len(strangers)} of {len(column.values)} values, such as "
                    f"{strangers[0]!r}, are no categories of the training rows (or too rare) and count as none of them."
                )
    return remarks


def _fit(column: Column, rows: np.ndarray) -> ColumnEncoding:
    import numpy as np

    values = column.values[rows]
    if column.kind == "number":
        present = values[~np.isnan(values)]
        mean, scale = (float(present.mean()), float(present.std())) if len(present) else (0.0, 0.0)
        return ColumnEncoding(column.name, column.kind, mean, scale if scale > 1e-12 * abs(mean) else 1.0)
    names, counts = np.unique(values, return_counts=True)
    frequent = names[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]
    order = sorted(frequent.tolist(), key=lambda name: (name == MISSING_CATEGORY, name))
    return ColumnEncoding(column.name, column.kind, categories=tuple(order))
