"""Loading a safetensors file: every name and every shape is checked before the first weight is changed."""

from __future__ import annotations

import importlib
import os
import warnings

import keras
import numpy as np

from kerazoo import catalog
from kerazoo.weights.huggingface.files import Tensors
from kerazoo.weights.huggingface.rules import Layout, Rule

FAMILIES = {family: f"kerazoo.weights.huggingface.{family}" for family in ("bert",)}
"""Family of the catalogue -> the module that holds its `LAYOUT`."""
_ADVICE = "Build the model with the sizes of the file, or use kerazoo.replace_head for other classes"


def load_safetensors(model: keras.Model, path: str | os.PathLike[str], *, builder: str | None = None) -> None:
    """Loads the weights of a Hugging Face model after checking that every tensor fits; else nothing is changed.

    What the file holds beyond the model, a head for another task, is left in it. A head the file does not have keeps
    its initial values, with a warning.

    Args:
        model: A model of kerazoo: BERT.
        path: A `.safetensors` file, the `.index.json` of a model in several files, or the folder `save_pretrained`
            wrote.
        builder: Name of the builder that made the model. Defaults to the model's name.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If `safetensors` is not installed.
        ValueError: If there is no table of names for the model, the file cannot be read, or a tensor is missing, has
            no place in the model or another shape; the message names the first one.

    Example:
        >>> model = kerazoo.bert_base(head="classifier", num_classes=3)
        >>> kerazoo.load_safetensors(model, "bert-base-uncased/model.safetensors")

    References:
        https://huggingface.co/docs/safetensors
    """
    layout = layout_of(builder or model.name)
    tensors = Tensors(path)
    what = f"weights: {str(path)!r} does not fit {model.name!r}:"
    names = _own_names(layout, tensors, what)
    rules = list(layout.rules(model))
    _check_model(model, rules)
    absent = {head for head in layout.heads if not any(layout.head(name) == head for name in names)}
    kept = [rule for rule in rules if layout.head(rule.name) in absent]
    rules = [rule for rule in rules if layout.head(rule.name) not in absent]
    _check(layout, rules, names, tensors, what)
    for rule in rules:
        rule.variable.assign(rule.convert(tensors.read(names[rule.name])))
    if kept:
        warnings.warn(
            f"{str(path)!r} has no {' and '.join(sorted({str(layout.head(rule.name)) for rule in kept}))}: "
            f"{len(kept)} weights of {model.name!r} keep their initial values, the first is {kept[0].variable.path!r}",
            stacklevel=2,
        )


def layout_of(builder: str) -> Layout:
    """Returns the table of names for the models of a builder."""
    family = catalog.model_card(builder).family if builder in catalog.list_models() else None
    if family not in FAMILIES:
        raise ValueError(
            f"load_safetensors knows the names of {', '.join(FAMILIES)}; for a model with a name of its own, builder= "
            f"says which of them made it. Received: {builder!r}"
        )
    layout: Layout = importlib.import_module(FAMILIES[family]).LAYOUT
    return layout


def _own_names(layout: Layout, tensors: Tensors, what: str) -> dict[str, str]:
    """Returns the rules' name -> the file's for every tensor that counts."""
    names: dict[str, str] = {}
    for name in tensors:
        own = layout.own_name(name)
        if own in names:
            raise ValueError(f"{what} tensors {names[own]!r} and {name!r} are the same weight")
        if own is not None:
            names[own] = name
    for copy, original in layout.tied.items():
        if copy not in names:
            continue
        if original in names and not np.array_equal(tensors.read(names[copy]), tensors.read(names[original])):
            raise ValueError(f"{what} tensors {names[copy]!r} and {names[original]!r} are one weight here, but differ")
        names.setdefault(original, names[copy])
        del names[copy]
    return names


def _check_model(model: keras.Model, rules: list[Rule]) -> None:
    """Refuses a model with weights the table does not know, e.g. after layers were added to it."""
    known = {id(rule.variable) for rule in rules}
    for weight in model.weights:
        if id(weight) not in known and "seed_generator" not in weight.path:
            raise ValueError(
                f"load_safetensors has no name for weight {weight.path!r} of {model.name!r}; load the weights before "
                "the model is changed"
            )


def _check(layout: Layout, rules: list[Rule], names: dict[str, str], tensors: Tensors, what: str) -> None:
    for rule in rules:
        weight = f"weight {rule.variable.path!r}"
        if rule.name not in names:
            raise ValueError(f"{what} tensor {rule.name!r} of shape {rule.shape} for {weight} is not in it. {_ADVICE}")
        found = tensors[names[rule.name]]
        same_rank = len(found) == len(rule.shape)
        if not same_rank or any(size not in (None, own) for size, own in zip(rule.shape, found, strict=True)):
            raise ValueError(
                f"{what} tensor {names[rule.name]!r} for {weight} needs shape {rule.shape}. "
                f"Received: {found}. {_ADVICE}"
            )
    wanted = {rule.name for rule in rules}
    heads = {layout.head(name) for name in wanted}
    for own, name in names.items():
        head = layout.head(own)
        if own not in wanted and (head is None or head in heads):
            raise ValueError(f"{what} there is no place for tensor {name!r} of shape {tensors[name]}. {_ADVICE}")
