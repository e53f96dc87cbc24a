"""What a file says about itself: labels, normalisation, version; to be read without kerazoo.

* SavedModel: `assets.extra/metadata.json` in the folder.
* LiteRT: `metadata.json`, and `labels.txt` where there are any, in a ZIP archive at the end of the file, where
  TensorFlow's own tools keep such files; Python's `zipfile` reads it, interpreters pass over it.
* ONNX: one `metadata_props` entry per fact, texts as they are, all else as JSON.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path("assets.extra") / "metadata.json"


def about(model: Any, given: Mapping[str, Any] | None, format: str, quantize: str) -> dict[str, Any]:
    """Returns what is written into a file: what the caller gives, and what the model knows.

    Raises:
        ValueError: If it is no plain data.
    """
    import kerazoo

    facts = {"model": model.name, "exported_by": f"kerazoo {kerazoo.__version__}", "format": format}
    facts |= {"quantize": quantize, "normalisation": _normalisation(model), **(given or {})}
    try:
        return json.loads(json.dumps(facts))
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be plain data (texts, numbers, lists, dictionaries): {error}.") from error


def _normalisation(model: Any) -> dict[str, Any]:
    """Returns what the model itself does to its input first."""
    import numpy as np

    layer = next((layer for layer in getattr(model, "layers", ()) if layer.name == "preprocess"), None)
    if layer is None:
        return {"inside": False}
    return {"inside": True, "scale": np.asarray(layer.scale).tolist(), "offset": np.asarray(layer.offset).tolist()}


def add_to_saved_model(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes into the folder of a SavedModel."""
    (path / FILE).parent.mkdir(exist_ok=True)
    (path / FILE).write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")


def add_to_litert(path: Path, facts: Mapping[str, Any]) -> None:
    """Appends to a LiteRT file."""
    files = {"metadata.json": json.dumps(facts, indent=1, ensure_ascii=False)}
    if facts.get("labels"):
        files["labels.txt"] = "".join(f"{label}\n" for label in facts["labels"])
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # with a fixed date: equal exports are equal files


def add_to_onnx(proto: Any, facts: Mapping[str, Any]) -> None:
    """Writes into an ONNX model."""
    for name, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        proto.metadata_props.add(key=name, value=text)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what an exported file says about itself.

    Args:
        path: A file or folder that `kerazoo.export` wrote.

    Returns:
        `model`, `format`, `quantize`, `exported_by`, `normalisation` (scale and offset, where the model applies them
        itself), and what `metadata=` gave, such as `labels`. Empty where the file says nothing.

    Raises:
        FileNotFoundError: If there is no such file.

    Example:
        ```python
        kerazoo.exporters.read_metadata("digits.tflite")["labels"]
        ```
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise FileNotFoundError(f"There is no exported file at {str(source)!r}.")
    if source.is_dir():
        return json.loads((source / FILE).read_text(encoding="utf-8")) if (source / FILE).is_file() else {}
    if source.suffix == ".onnx":
        return _of_onnx(source)
    if not zipfile.is_zipfile(source):
        return {}
    with zipfile.ZipFile(source) as archive:
        return json.loads(archive.read("metadata.json"))


def _of_onnx(path: Path) -> dict[str, Any]:
    import onnx

    found: dict[str, Any] = {}
    for entry in onnx.load(str(path), load_external_data=False).metadata_props:
        try:
            found[entry.key] = json.loads(entry.value)
        except ValueError:
            found[entry.key] = entry.value
    return found
