"""Safetensors files of Hugging Face: read without pickle, checked completely before a weight is changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import kerazoo
from kerazoo.weights.huggingface.files import Tensors
from kerazoo.weights.huggingface.loading import layout_of


def test_shapes_and_values(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tensors = {"b": random.normal(size=(2, 3)).astype("float32"), "a": np.array(1.5, "float16")}
    save_file(tensors, tmp_path / "x.safetensors")
    found = Tensors(tmp_path / "x.safetensors")
    assert dict(found) == {"a": (), "b": (2, 3)}
    assert found.read("a").dtype == "float32"
    assert all(np.array_equal(found.read(name), value) for name, value in tensors.items())


def test_brain_floats(tmp_path: Path) -> None:
    """bfloat16, in which most files of today are written: 1.5 is 0x3fc0."""
    header = json.dumps({"x": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\xc0\x3f")
    assert Tensors(tmp_path / "x.safetensors").read("x").tolist() == [1.5]


def _in_parts(folder: Path) -> None:
    save_file({"a": np.ones(2, "float32")}, folder / "model-1.safetensors")
    save_file({"b": np.zeros(3, "float32")}, folder / "model-2.safetensors")
    names = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def test_folders(tmp_path: Path) -> None:
    """What `save_pretrained` writes: one file, or an index and several."""
    with pytest.raises(FileNotFoundError, match=r"neither 'model\.safetensors' nor"):
        Tensors(tmp_path)
    _in_parts(tmp_path)
    for path in (tmp_path, tmp_path / "model.safetensors.index.json"):
        found = Tensors(path)
        assert dict(found) == {"a": (2,), "b": (3,)}
        assert found.read("b").tolist() == [0, 0, 0]
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"speaks of the file 'model-2\.safetensors'"):
        Tensors(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("[1]")
    with pytest.raises(ValueError, match="no index of safetensors files"):
        Tensors(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no header at all", (10**9).to_bytes(8, "little") + b"{}"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="no readable safetensors file") as caught:
        Tensors(tmp_path / "x.safetensors")
    assert "\n" not in str(caught.value)


def test_other_paths(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Tensors(tmp_path / "x.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be a \.safetensors file"):
        Tensors(tmp_path / "pytorch_model.bin")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": np.ones(2, "float32")}, tmp_path / "x.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'kerazoo\[text\]' brings it"):
        Tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("builder", ["resnet18", "digits"])
def test_models_without_a_table(builder: str) -> None:
    with pytest.raises(ValueError, match=f"builder= says which of them made it. Received: '{builder}'"):
        layout_of(builder)


def test_it_is_public() -> None:
    assert kerazoo.load_safetensors is kerazoo.weights.load_safetensors
