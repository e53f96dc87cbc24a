"""Weights of keras.applications for kerazoo's networks: same arithmetic, other layers here and there.

A tensor finds its place by the order of the layers, and every shape on the way is checked before anything is changed.
What the two networks do not share is folded in exactly: a bias in front of a batch normalisation is subtracted from its
moving mean, another epsilon is added to its variance, and kernels change their shape where a 1 x 1 convolution stands
for a dense layer.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from kerazoo.weights import imagenet, layouts
from kerazoo.weights.layouts import Stored, WeightsFile

Values = dict[str, list[np.ndarray]]


def weighted_layers(model: keras.Model) -> list[Any]:
    """Returns the layers with weights in the order of keras.applications' files.

    Two layers of a block's projection stand beside its last convolution and batch norm, and either could come first
    in a list of a graph; in the files they come in front of them.
    """
    found = [layer for layer in model.layers if layer.weights and not isinstance(layer, layers.Dropout)]
    ordered = [layer for layer in found if "_shortcut_" not in layer.name]
    for shortcut in (layer for layer in found if "_shortcut_" in layer.name):
        block, kind = shortcut.name.split("_shortcut_")
        names = [layer.name for layer in ordered]
        ordered.insert(names.index(f"{block}_{kind}3"), shortcut)
    return ordered


def is_own(file: WeightsFile, model: keras.Model) -> bool:
    """Says whether the layers in a file have the names of the model's, or no names at all."""
    names = {tensor.layer for tensor in file.tensors} - {""}
    own = {layer.name for layer in model.layers}
    return not names or 2 * len(names & own) >= len(names)


def own_values(file: WeightsFile, model: keras.Model, what: str) -> Values:
    """Returns layer name -> values from a file in the legacy layout that a model of kerazoo was saved to."""
    by_layer: dict[str, list[Stored]] = {}
    for tensor in file.tensors:
        by_layer.setdefault(tensor.layer, []).append(tensor)
    values: Values = {}
    for layer in weighted_layers(model):
        stored = by_layer.pop(layer.name, [])
        for index, weight in enumerate(layer.weights):
            if index >= len(stored):
                raise ValueError(f"{what}: tensor {weight.path!r} with shape {tuple(weight.shape)} is not in the file")
            _fits(stored[index], [tuple(weight.shape)], layer.name, what)
        if len(stored) > len(layer.weights):
            raise ValueError(f"{what}: there is no place for tensor {stored[len(layer.weights)].path!r}")
        values[layer.name] = [tensor.values for tensor in stored]
    for stored in by_layer.values():
        raise ValueError(f"{what}: there is no place for tensor {stored[0].path!r}")
    return values


def _fits(tensor: Stored, shapes: list[tuple[int, ...]], layer: str, what: str) -> None:
    if tensor.values.shape not in shapes:
        raise ValueError(
            f"{what}: layer {layer!r} needs shape {' or '.join(map(str, shapes))}. "
            f"Received: {tensor.values.shape} in tensor {tensor.path!r}"
        )


class _Taker:
    """Takes the tensors of a file one by one and checks each of them."""

    def __init__(self, file: WeightsFile, row: imagenet.Published, what: str) -> None:
        self.file, self.row, self.what = file, row, what
        self.biases: dict[str, np.ndarray] = {}

    def kind(self, layer: Any) -> str:
        """Class of the file's layer, as Keras writes it."""
        for ending, kind in self.row.kinds.items():
            if layer.name.endswith(ending):
                return kind
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", type(layer).__name__).lower()

    def take(self, layer: Any, *shapes: tuple[int, ...]) -> np.ndarray:
        """Returns the next tensor, which has one of these shapes."""
        tensor = self.file.take(self.kind(layer))
        if tensor is None:
            raise ValueError(f"{self.what}: the file ends before layer {layer.name!r}, which needs shape {shapes[0]}")
        _fits(tensor, list(shapes), layer.name, self.what)
        return tensor.values

    def layer(self, layer: Any) -> list[np.ndarray]:
        """Returns the new values of a layer's weights."""
        if isinstance(layer, layers.BatchNormalization):
            return self._batch_norm(layer)
        shapes = [tuple(weight.shape) for weight in layer.weights]
        kind = self.kind(layer)
        if kind == "conv2d" and isinstance(layer, layers.Dense):
            values = [self.take(layer, (1, 1, *shapes[0]))[0, 0]]
        elif kind == "conv2d" and isinstance(layer, layers.DepthwiseConv2D):  # a convolution in as many groups
            height, width, channels, _ = shapes[0]
            values = [self.take(layer, (height, width, 1, channels)).swapaxes(2, 3)]
        elif kind == "layer_scale":
            values = [self.take(layer, shapes[0][2:3]).reshape(shapes[0])]
        else:
            values = [self.take(layer, shapes[0])]
        if self.row.biased and isinstance(layer, layers.Conv2D) and not layer.use_bias:
            self.biases[layer.name.replace("conv", "bn")] = self.take(layer, (layer.filters,))
        return values + [self.take(layer, shape) for shape in shapes[1:]]

    def _batch_norm(self, layer: Any) -> list[np.ndarray]:
        gamma, beta, mean, variance = (self.take(layer, tuple(weight.shape)) for weight in layer.weights)
        epsilon = layer.epsilon if self.row.epsilon is None else self.row.epsilon
        return [gamma, beta, mean - self.biases.pop(layer.name, 0), variance + (epsilon - layer.epsilon)]


def foreign_values(file: WeightsFile, model: keras.Model, row: imagenet.Published, what: str) -> Values:
    """Returns layer name -> values from a file of keras.applications.

    Args:
        file: The file.
        model: One of kerazoo's networks, with 1000 classes or any other number.
        row: What is special about its files.
        what: How a message begins.

    Returns:
        The values; without those of `predictions` where the file has another number of classes.

    Raises:
        ValueError: If a tensor does not fit; the message names the first one.
    """
    check_arrangement(model, row, what)
    taker = _Taker(file, row, what)
    values: Values = {}
    skipped = sum(tensor.kind == row.skipped or _is_normalization(tensor) for tensor in file.tensors)
    for _ in range(skipped if row.skipped else 0):
        file.take(row.skipped or "")
    for layer in weighted_layers(model):
        if layer.name == "predictions" and _other_classes(file.left(), layer):
            warnings.warn(
                f"{what}: everything is loaded but the classifier, which has {layer.units} classes here and "
                f"{file.left()[-1].values.shape[0]} in the file; 'predictions' stays random",
                stacklevel=5,
            )
            return values
        values[layer.name] = taker.layer(layer)
    left = file.left()
    with_top = any(layer.name == "predictions" for layer in model.layers)
    if len(left) not in ((0,) if with_top else row.head):
        raise ValueError(f"{what}: there is no place for tensor {left[0].path!r} with shape {left[0].values.shape}")
    return values


def _is_normalization(tensor: Stored) -> bool:
    return tensor.layer.startswith("normalization")


def _other_classes(left: list[Stored], layer: Any) -> bool:
    """Says whether a kernel and a bias are left that differ from the classifier's in the number of classes only."""
    if len(left) != 2:
        return False
    kernel, bias = (tensor.values.shape for tensor in left)
    return kernel[-2:-1] == (layer.kernel.shape[0],) and bias == kernel[-1:] and bias != (layer.units,)


def check_arrangement(model: keras.Model, row: imagenet.Published, what: str) -> None:
    """Refuses a network of the same shapes that computes something else."""
    if row.requires is None:
        return
    name, strides = row.requires
    if tuple(model.get_layer(name).strides) != strides:
        raise ValueError(
            f"{what}: the weights belong to a network with the stride in the first 1 x 1 convolution of a block; "
            "build it with stride_in='1x1'"
        )


def load_file(model: keras.Model, file: WeightsFile, path: Path, builder: str) -> bool:
    """Loads a file that `Model.load_weights` cannot load into this model; nothing is changed if it does not fit.

    Args:
        model: A built model.
        file: What was read from it.
        path: Where it lies.
        builder: Name of the builder it was made by.

    Returns:
        Whether it did: `False` for a file in the newer layout that is not one of keras.applications.

    Raises:
        ValueError: If a tensor does not fit.
    """
    row = None if is_own(file, model) else imagenet.PUBLISHED.get(builder)
    if row is None and not file.ordered:
        return False
    what = f"weights: {str(path)!r} does not fit {model.name!r}"
    assign(model, own_values(file, model, what) if row is None else foreign_values(file, model, row, what))
    return True


def load_imagenet(model: keras.Model, builder: str, options: Mapping[str, Any]) -> None:
    """Downloads the ImageNet weights of a network, once, and loads them; its input is RGB in any case."""
    row = imagenet_row(builder, options)
    what = f"weights='imagenet' of {model.name!r}"
    check_arrangement(model, row, what)
    path = download(row, bool(options["include_top"]))
    try:
        file = layouts.read(path)
    except layouts.UNREADABLE as error:
        raise ValueError(f"{what}: {str(path)!r} is no readable weights file ({error})") from None
    values = foreign_values(file, model, row, what)
    if row.scaling == "caffe":
        turn_to_rgb(values, model)
    assign(model, values)


def turn_to_rgb(values: Values, model: keras.Model) -> None:
    """Turns the input channels of the first kernel round: a network for BGR becomes one for RGB, exactly."""
    first = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    values[first.name][0] = values[first.name][0][:, :, ::-1]


def assign(model: keras.Model, values: Values) -> None:
    """Sets the weights."""
    for name, arrays in values.items():
        model.get_layer(name).set_weights(arrays)


def download(row: imagenet.Published, include_top: bool) -> Path:
    """Downloads a published file once, checks its hash, and returns where it lies (`~/.keras/models`)."""
    index = 0 if include_top else 1
    url = row.url + row.endings[index]
    (hashes,) = row.hashes.values()
    found = keras.utils.get_file(url.rpartition("/")[2], url, cache_subdir="models", file_hash=hashes[index])
    return Path(found)


def imagenet_row(name: str, options: Mapping[str, Any]) -> imagenet.Published:
    """Returns the row for `weights="imagenet"`, or refuses the combination with the reason.

    Args:
        name: Name of the builder.
        options: Its arguments.

    Raises:
        ValueError: If there are no weights for this network.
    """
    row = imagenet.variant(name, options)
    if tuple(options["input_shape"])[-1] != 3:
        raise ValueError(
            "weights='imagenet' needs an input_shape with 3 channels, red, green and blue. "
            f"Received: input_shape={options['input_shape']!r}"
        )
    return row
