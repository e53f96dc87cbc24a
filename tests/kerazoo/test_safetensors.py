"""Safetensors files of Hugging Face: read without pickle, checked completely before a weight is changed."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface
import keras
import numpy as np
import pytest
import zoo
from huggingface import CASES
from safetensors.numpy import load_file, save_file

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


def _loaded(name: str, path: Path | None = None, **options: Any) -> keras.Model:
    model = huggingface.build(CASES[name], **options)
    kerazoo.load_safetensors(model, path or huggingface.file(name))
    return model


@pytest.mark.parametrize("name", CASES)
def test_recorded_outputs_of_transformers(name: str, tmp_path: Path) -> None:
    """With large weights, where activations show, and with small ones, where epsilons do."""
    inputs = huggingface.recorded(name, "input")
    for part, path in (("large", huggingface.file(name)), ("small", huggingface.scaled(name, tmp_path))):
        expected = huggingface.recorded(name, part)
        assert huggingface.difference(_loaded(name, path)(inputs), expected) < 1e-5
    assert all(np.ptp(value) > 1e-3 for value in expected.values())


def _heads_the_other_way(model: keras.Model) -> keras.Model:
    """Takes the features of a projection as (features of a head, heads) instead of (heads, features of a head)."""
    kernel = model.get_layer("block2_attention").query_dense.kernel
    inputs, heads, features = kernel.shape
    kernel.assign(zoo.value(kernel).reshape(inputs, features, heads).transpose(0, 2, 1))
    return model


def _norms(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.LayerNormalization)]


def _tanh(model: keras.Model) -> keras.Model:
    other = huggingface.build(CASES["bert"], gelu_approximate=True)
    other.set_weights(model.get_weights())
    return other


WRONG: dict[str, tuple[str, Callable[[keras.Model], keras.Model]]] = {
    "GELU with tanh": ("large", _tanh),
    "epsilon": ("small", lambda model: zoo.mutated(model, {key: {"epsilon": 1e-5} for key in _norms(model)})),
    "no mask": ("large", lambda model: zoo.mutated(model, {"mask": {"pad_id": 99}})),
    "order of the heads": ("large", _heads_the_other_way),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_bert_is_noticed(what: str, tmp_path: Path) -> None:
    part, change = WRONG[what]
    path = huggingface.file("bert") if part == "large" else huggingface.scaled("bert", tmp_path)
    found = change(_loaded("bert", path))(huggingface.recorded("bert", "input"))
    assert huggingface.difference(found, huggingface.recorded("bert", part)) > 1e-5


def test_epsilon_and_activation_of_bert() -> None:
    """What is below the noise of float32 is looked up: 1e-12, and the exact GELU."""
    model = zoo.fresh("bert_tiny", head="pretraining")
    assert {model.get_layer(name).epsilon for name in _norms(model)} == {1e-12}
    names = {layer.name: layer.activation for layer in model.layers if layer.name.endswith("_act")}
    assert set(names.values()) == {keras.activations.gelu}
    assert len(names) == 3


def _old(name: str) -> str:
    """The names of the first release."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def test_other_spellings(tmp_path: Path) -> None:
    """gamma and beta, names without their prefix, a buffer, the tied matrix a second time."""
    tensors = {_old(name).removeprefix("bert."): tensor for name, tensor in load_file(huggingface.file("bert")).items()}
    tensors["embeddings.position_ids"] = np.arange(24)[None]
    tensors["cls.predictions.decoder.weight"] = tensors["embeddings.word_embeddings.weight"]
    tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")
    save_file(tensors, tmp_path / "old.safetensors")
    old, new = _loaded("bert", tmp_path / "old.safetensors"), _loaded("bert")
    assert all(np.array_equal(a, b) for a, b in zip(old.get_weights(), new.get_weights(), strict=True))
    tensors["cls.predictions.decoder.weight"] = tensors["cls.predictions.decoder.weight"] + 1
    save_file(tensors, tmp_path / "untied.safetensors")
    with pytest.raises(ValueError, match=r"'cls\.predictions\.decoder\.weight' and .* one weight here, but differ"):
        _loaded("bert", tmp_path / "untied.safetensors")


def test_other_heads() -> None:
    """What the model lacks stays in the file; what the file lacks keeps its initial values, with a warning."""
    inputs, expected = huggingface.recorded("bert", "input"), huggingface.recorded("bert", "large")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mlm = _loaded("bert", head="masked_lm")
        features = _loaded("bert", head=None)
    assert huggingface.difference(mlm(inputs), {"mlm": expected["mlm"]}) < 1e-5
    with pytest.warns(UserWarning, match="has no classifier: 2 weights of 'bert_tiny' keep their initial values"):
        classifier = _loaded("bert", head="classifier")
    pooled = keras.Model(classifier.input, classifier.get_layer("pooler").output)
    assert np.array_equal(pooled(inputs), features(inputs)["pooled"])
    assert not np.any(classifier.get_layer("predictions").get_weights()[0]), "the zeros it was built with"


def test_the_argument_weights() -> None:
    model = kerazoo.create_model("bert_tiny", **CASES["bert"]["options"], weights=huggingface.file("bert"))
    assert (
        huggingface.difference(model(huggingface.recorded("bert", "input")), huggingface.recorded("bert", "large"))
        < 1e-5
    )
    with pytest.raises(ValueError, match=r"knows the names of bert.* Received: 'resnet18'"):
        kerazoo.resnet18((32, 32, 3), 2, weights=huggingface.file("bert"))


Change = Callable[[dict[str, np.ndarray]], Any]
_KEY = "bert.encoder.layer.1.output.dense.weight"
BROKEN: dict[str, tuple[Change, str]] = {
    "missing": (
        lambda t: t.pop(_KEY),
        r"tensor 'encoder\.layer\.1\.output\.dense\.weight' of shape \(32, 48\) .* not in it",
    ),
    "transposed": (
        lambda t: t.update({_KEY: t[_KEY].T.copy()}),
        rf"'{re.escape(_KEY)}' .* \(32, 48\)\. Received: \(48, 32\)",
    ),
    "one axis": (lambda t: t.update({_KEY: t[_KEY].ravel()}), r"Received: \(1536,\)"),
    "another layer": (
        lambda t: t.update({"bert.encoder.layer.7.x": t[_KEY]}),
        r"no place for tensor 'bert\.encoder\.layer\.7\.x'",
    ),
    "half a head": (lambda t: t.pop("cls.seq_relationship.bias"), r"'cls\.seq_relationship\.bias' .* not in it"),
    "more of a head": (
        lambda t: t.update({"cls.predictions.x": t[_KEY]}),
        r"no place for tensor 'cls\.predictions\.x'",
    ),
    "twice": (lambda t: t.update({_KEY.removeprefix("bert."): t[_KEY]}), "are the same weight"),
    "vocabulary": (
        lambda t: t.update({"bert.embeddings.word_embeddings.weight": np.zeros((54, 32), "float32")}),
        r"word_embeddings.* needs shape \(53, 32\)\. Received: \(54, 32\)",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_file_that_does_not_fit_changes_nothing(what: str, tmp_path: Path) -> None:
    change, message = BROKEN[what]
    tensors = load_file(huggingface.file("bert"))
    change(tensors)
    save_file(tensors, tmp_path / "broken.safetensors")
    model = huggingface.build(CASES["bert"])
    with pytest.raises(ValueError, match=message) as caught:
        kerazoo.load_safetensors(model, tmp_path / "broken.safetensors")
    assert "\n" not in str(caught.value)
    assert not any(np.any(weight) for weight in model.trainable_weights)


def test_a_model_with_another_layer() -> None:
    model = huggingface.build(CASES["bert"], head="masked_lm")
    more = keras.Model(model.input, keras.layers.Dense(2, name="more")(model.output), name="bert_tiny")
    with pytest.raises(ValueError, match="no name for weight 'more/kernel' of 'bert_tiny'"):
        kerazoo.load_safetensors(more, huggingface.file("bert"))


def test_a_model_with_a_name_of_its_own() -> None:
    model = huggingface.build(CASES["bert"], name="mine")
    with pytest.raises(ValueError, match="builder= says which"):
        kerazoo.load_safetensors(model, huggingface.file("bert"))
    kerazoo.load_safetensors(model, huggingface.file("bert"), builder="bert_tiny")
