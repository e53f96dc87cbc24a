"""Reading safetensors files: shapes from the header first, tensors one by one, never pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class Tensors(Mapping[str, tuple[int, ...]]):
    """The tensors of a file, or of the files of a folder: name -> shape, from the headers alone.

    Args:
        path: A `.safetensors` file; the `.index.json` of a model in several files; or the folder that
            `save_pretrained` wrote.

    Raises:
        ImportError: If the package `safetensors` is not installed.
        FileNotFoundError: If a file does not exist.
        ValueError: If a file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, Path] = {}
        for file in _files(self.path):
            with _opened(file) as tensors:
                for name in tensors.keys():  # noqa: SIM118  an object of the package, no dictionary
                    self._shapes[name] = tuple(tensors.get_slice(name).get_shape())
                    self._files[name] = file

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def read(self, name: str) -> np.ndarray:
        """Returns one tensor in float32."""
        with _opened(self._files[name]) as tensors:
            return np.asarray(tensors.get_tensor(name)).astype("float32")


def _files(path: Path) -> list[Path]:
    """Returns the files that hold the tensors."""
    if path.is_dir():
        found = [path / name for name in (SINGLE, INDEX) if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(f"weights: there is neither {SINGLE!r} nor {INDEX!r} in the folder {str(path)!r}")
        path = found[0]
    if not path.is_file():
        raise FileNotFoundError(f"weights: there is no file {str(path)!r}")
    if path.name.endswith(".index.json"):
        return _parts(path)
    if path.suffix != ".safetensors":
        raise ValueError(
            f"weights must be a .safetensors file, its .index.json or the folder with it. Received: {str(path)!r}"
        )
    return [path]


def _parts(index: Path) -> list[Path]:
    """Returns the files a model in several parts lies in, which stand beside its index."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"weights: {str(index)!r} is no index of safetensors files") from error
    parts = [index.parent / Path(str(name)).name for name in names]
    for part in parts:
        if not part.is_file():
            raise FileNotFoundError(f"weights: {str(index)!r} speaks of the file {part.name!r}, which is not there")
    return parts


def _opened(path: Path) -> Any:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(
            "Reading .safetensors files needs safetensors, not installed here: pip install 'kerazoo[text]' brings it."
        ) from error
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"weights: {str(path)!r} is no readable safetensors file ({error})") from error
