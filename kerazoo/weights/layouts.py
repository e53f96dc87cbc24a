"""Reads weights files of Keras, of both layouts, as tensors in the order of the layers.

The legacy layout (`model.save("x.h5")`, and the published files of keras.applications) lists its layers in order. The
layout of `.weights.h5` and `.keras` counts the layers of each class in order, so the order is known within a class.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile)
"""What h5py and zipfile raise on files that are none, or cut short."""


@dataclass(frozen=True)
class Stored:
    """One tensor of a file: its path there, the name of its layer, the class of its layer if known, its values."""

    path: str
    layer: str
    kind: str
    values: np.ndarray


class WeightsFile:
    """The tensors of a file, to be taken one by one in the order of the layers.

    Attributes:
        ordered: Whether the file has one order for all layers, and not one per class.
        tensors: All tensors.
    """

    def __init__(self, tensors: Iterable[Stored], ordered: bool) -> None:
        self.tensors, self.ordered = list(tensors), ordered
        self._queues: dict[str, deque[Stored]] = {}
        for tensor in self.tensors:
            self._queues.setdefault("" if ordered else tensor.kind, deque()).append(tensor)

    def take(self, kind: str) -> Stored | None:
        """Returns the next tensor of a class of layers, or `None` if there is none left."""
        queue = self._queues.get("" if self.ordered else kind)
        return queue.popleft() if queue else None

    def left(self) -> list[Stored]:
        """Returns what has not been taken."""
        return [tensor for queue in self._queues.values() for tensor in queue]


def read(path: Path) -> WeightsFile:
    """Reads a weights file; its content says which layout it has.

    Raises:
        OSError: If it is no HDF5 file or cut short.
        KeyError: If it has neither layout.
    """
    source: Any = path
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(source, "r") as file:
        group = file.get("model_weights", file)
        names = _listed(group, "layer_names")
        if names:
            return WeightsFile(_legacy(group, names), ordered=True)
        return WeightsFile(_counted(file), ordered=False)


def _listed(group: Any, name: str) -> list[str]:
    """Reads a list of names, which Keras splits over several attributes where it is long."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [item.decode() if isinstance(item, bytes) else str(item) for part in parts for item in part]


def _legacy(group: Any, layers: list[str]) -> Iterable[Stored]:
    for layer in layers:
        for weight in _listed(group[layer], "weight_names"):
            if "seed_generator" not in weight:
                yield Stored(weight, layer, "", np.asarray(group[layer][weight]))


def _counted(file: Any) -> list[Stored]:
    """Puts `layers/conv2d_1/vars/0` and the like in order: by the counters on the way, numbers as numbers."""
    found: list[tuple[tuple[int, ...], Stored]] = []

    def visit(path: str, item: Any) -> None:
        *folders, vars_, index = f"/{path}".split("/")
        if not isinstance(item, h5py.Dataset) or vars_ != "vars" or "optimizer" in path or "seed_generator" in path:
            return
        words = [re.fullmatch(r"(.*?)(?:_(\d+))?", word) for word in folders if word not in ("", "layers")]
        counters = [int(word[2] or 0) for word in words if word]
        kind = "/".join(word[1] for word in words if word)
        layer = str(item.parent.attrs.get("name", ""))
        found.append(((*counters, int(index)), Stored(path, layer, kind, np.asarray(item))))

    file.visititems(visit)
    if not found:
        raise KeyError("it holds no weights of a Keras model")
    return [stored for _, stored in sorted(found, key=lambda pair: pair[0])]
