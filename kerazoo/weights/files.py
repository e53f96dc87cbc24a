"""Weights from a file: compared name by name and shape by shape first, then loaded."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras

from kerazoo.card import ModelCard
from kerazoo.weights import imagenet, layouts, transplant
from kerazoo.weights.huggingface.loading import layout_of, load_safetensors

_SUFFIXES = (".h5", ".keras", ".safetensors")
Shapes = dict[str, tuple[tuple[int, ...], str]]


def check_weights(weights: str | os.PathLike[str] | None, card: ModelCard) -> None:
    """Refuses, before anything is built, a `weights=` argument that names no file.

    Args:
        weights: The argument as received.
        card: The card whose `weights` are the words understood besides a path.

    Raises:
        ValueError: If the argument is neither `None` nor the path of a weights file.
        FileNotFoundError: If the file does not exist.
    """
    if weights is None or weights in card.weights:
        return
    if weights == "imagenet":
        why = imagenet.OTHERS.get(card.name, "keras.applications has no such network")
        raise ValueError(f"weights: there are no ImageNet weights of {card.name!r}: {why}")
    known = f"one of {', '.join(map(repr, card.weights))} or " if card.weights else ""
    if not isinstance(weights, (str, os.PathLike)) or not str(weights).endswith(_SUFFIXES):
        raise ValueError(
            f"weights must be None, {known}the path of a .weights.h5, .h5, .keras or .safetensors file. "
            f"Received: weights={weights!r}"
        )
    if not Path(weights).is_file():
        raise FileNotFoundError(f"weights: there is no file {os.fspath(weights)!r}")
    if Path(weights).suffix == ".safetensors":
        layout_of(card.name)


def load_weights(model: keras.Model, path: str | os.PathLike[str], *, builder: str | None = None) -> None:
    """Loads weights into a model after checking that every tensor of the file fits; else nothing is changed.

    Besides files of models of kerazoo, in either layout of Keras, it loads those of the same networks in
    keras.applications; which one it is, the content says. If only the number of classes is another one there,
    everything but `predictions` is loaded, with a warning.

    Args:
        model: A built model.
        path: A `.weights.h5` or `.h5` file, or the `.keras` file of a whole model of the same architecture; a
            `.safetensors` file goes to `load_safetensors`.
        builder: Name of the builder that made the model. Defaults to the model's name.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file cannot be read or a tensor does not fit; the message names the first one.

    Example:
        >>> kerazoo.load_weights(model, "run/model.keras")
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights: there is no file {str(path)!r}")
    if not path.name.endswith(_SUFFIXES):
        raise ValueError(f"weights must be a .weights.h5, .h5, .keras or .safetensors file. Received: {str(path)!r}")
    if path.suffix == ".safetensors":
        load_safetensors(model, path, builder=builder)
        return
    try:
        file = layouts.read(path)
        found = {} if file.ordered else _read_shapes(path)
    except Exception as error:  # a damaged file can fail anywhere in h5py, with any class of error
        raise _unreadable(path, error) from error
    if transplant.load_file(model, file, path, builder or model.name):
        return
    with tempfile.TemporaryDirectory() as folder:
        # Keras derives the names in a file from the model's structure: writing one shows what is expected.
        own = Path(folder) / "own.weights.h5"
        model.save_weights(own)
        expected = _read_shapes(own)
    _compare(expected, found, model, path)
    seeds_missing = not set(expected) <= set(found)
    before = model.get_weights()
    try:
        with warnings.catch_warnings():
            if seeds_missing:
                warnings.simplefilter("ignore")
            model.load_weights(path, skip_mismatch=seeds_missing)
    except Exception as error:  # the headers were sound, a tensor is not
        model.set_weights(before)
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())
    return ValueError(f"weights: {str(path)!r} is no readable weights file ({reason[:300]})")


def _read_shapes(path: Path) -> Shapes:
    """Returns path inside the file -> (shape, name of the layer) for every weight of the model."""
    source: Any = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read("model.weights.h5"))
    shapes: Shapes = {}

    def visit(name: str, item: Any) -> None:
        first = name.split("/")[0]
        if isinstance(item, h5py.Dataset) and "optimizer" not in first and "metric" not in first:
            shapes[name] = (tuple(item.shape), _layer_name(item))

    with h5py.File(source, "r") as file:
        file.visititems(visit)
    return shapes


def _layer_name(dataset: h5py.Dataset) -> str:
    """Returns the layer's name as Keras wrote it, or "" in files that do not have it."""
    group = dataset.parent
    for candidate in (group, group.parent):
        if "name" in candidate.attrs:
            return str(candidate.attrs["name"])
    return ""


def _is_seed(name: str) -> bool:
    """The state of a dropout's random generator is no weight: files with and without it fit each other."""
    return "seed_generator" in name


def _compare(expected: Shapes, found: Shapes, model: keras.Model, path: Path) -> None:
    advice = "Build the model with the arguments it was saved with, or use kerazoo.replace_head for other classes"
    for name, (shape, layer) in expected.items():
        if _is_seed(name):
            continue
        what = f"weights: {str(path)!r} does not fit {model.name!r}: tensor {name!r} of layer {layer!r}"
        if name not in found:
            raise ValueError(f"{what} with shape {shape} is not in the file. {advice}")
        if found[name][0] != shape:
            raise ValueError(f"{what} needs shape {shape}. Received: {found[name][0]}. {advice}")
        if layer and found[name][1] and found[name][1] != layer:
            raise ValueError(f"{what} belongs to layer {found[name][1]!r} in the file. {advice}")
    for name, (shape, layer) in found.items():
        if name not in expected and not _is_seed(name):
            raise ValueError(
                f"weights: {str(path)!r} does not fit {model.name!r}: there is no place for tensor {name!r} "
                f"of layer {layer!r} with shape {shape}. {advice}"
            )
