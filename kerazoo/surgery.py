"""Taking models apart: feature maps by pyramid level, frozen layers, another head.

Everything works from the names of the layers in the graph, so a freshly built, a fine-tuned and a reloaded
model are treated alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import keras

from kerazoo import _graph, checks
from kerazoo._words import nearest

_STAGE_END = re.compile(r"(stem|stage\d+)_out")
_PROBE = 512  # long enough for nine halvings


def _stage_ends(model: keras.Model) -> dict[int, str]:
    """Returns pyramid level -> layer name for the stage ends of a model, finest first.

    The stride of a stage is measured on a large probe: on a small image several stages can have the same
    size.
    """
    names = [layer.name for layer in model.layers if _STAGE_END.fullmatch(layer.name)]
    if not names:
        raise ValueError(
            f"{model.name!r} has no feature levels: no layer is named stem_out or stage1_out, stage2_out, ..."
        )
    tensors = _graph.tensors(model)
    trunk = keras.Model(model.inputs, [tensors[name][0] for name in names])
    probe = keras.KerasTensor((1, *[_PROBE] * (len(trunk.inputs[0].shape) - 2), trunk.inputs[0].shape[-1]))
    levels: dict[int, str] = {}
    for operation, _, outputs in _graph.output_specs(trunk, [probe]):
        if operation.name in names:
            levels[round(math.log2(_PROBE / outputs[0].shape[1]))] = operation.name
    return dict(sorted(levels.items()))


def feature_extractor(model: keras.Model, levels: Sequence[str] | None = None) -> keras.Model:
    """Returns a model with the feature maps of some pyramid levels as its outputs; the layers are shared.

    Args:
        model: A model with stage ends (`stage1_out`, ...): built, fine-tuned or loaded from a file.
        levels: Levels such as `("P2", "P3")`; `"P3"` is the map of stride 2**3. Defaults to all.

    Returns:
        A functional model whose output is a dictionary level -> (batch, height, width, channels).

    Raises:
        ValueError: If the model has no such level; the message names those it has.

    Example:
        >>> features = kerazoo.feature_extractor(kerazoo.resnet50(), levels=("P3", "P4", "P5"))
    """
    ends = {f"P{level}": name for level, name in _stage_ends(model).items()}
    levels = tuple(ends) if levels is None else levels
    for level in levels:
        if level not in ends:
            raise ValueError(f"levels: {model.name!r} has no level {level!r}; it has {', '.join(ends)}")
    tensors = _graph.tensors(model)
    outputs = {level: tensors[ends[level]][0] for level in levels}
    return keras.Model(_graph.inputs(model), outputs, name=f"{model.name}_features")


def graft(encoder: keras.Model, x: keras.KerasTensor) -> dict[int, keras.KerasTensor]:
    """Runs copies of an encoder's layers on `x`, one by one, so that they become part of a flat graph.

    Args:
        encoder: A functional model with one input and stage ends; the copies have its weights.
        x: The tensor to start from, of the encoder's input shape.

    Returns:
        Pyramid level -> feature map.
    """
    ends = {name: level for level, name in _stage_ends(encoder).items()}

    def copy(layer: Any, args: Any, kwargs: Any) -> Any:
        twin = type(layer).from_config(layer.get_config())
        y = twin(*args, **kwargs)
        twin.set_weights(layer.get_weights())
        return y

    run = _graph.replay(encoder, [x], copy)
    return {ends[operation.name]: outputs[0] for operation, _, outputs in run if operation.name in ends}


def freeze(model: keras.Model, until: str | None = None, batch_norm: str = "frozen") -> keras.Model:
    """Stops layers from being trained, in place, from the input up to and including one layer.

    Args:
        model: The model.
        until: Name of the last layer to freeze, e.g. `"stage3_out"`. Defaults to every layer but
            the one with an output per class.
        batch_norm: `"frozen"`: batch normalisation in the frozen part keeps its statistics, scale and shift
            and runs in inference mode even while training, which is what fine-tuning on few samples needs.
            `"train"`: those layers go on learning.

    Returns:
        The same model. Compile it (again) before training.

    Raises:
        ValueError: If there is no such layer.

    Example:
        >>> kerazoo.freeze(model, until="stage4_out")
    """
    checks.one_of("batch_norm", batch_norm, ("frozen", "train"))
    names = [layer.name for layer in model.layers]
    if until is not None and until not in names:
        raise ValueError(
            f"until: {model.name!r} has no layer {until!r}.{nearest(until, names, plenty='model.summary() lists them')}"
        )
    for layer in _up_to(model, until):
        keep = batch_norm == "train" and isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = keep
    return model


def _up_to(model: keras.Model, until: str | None) -> list[Any]:
    """Returns the layers `until` depends on and itself; without a name all but the head."""
    if until is None:
        head = [node.operation for node in _head(model)]
        return [layer for layer in model.layers if layer not in head]
    part = keras.Model(model.inputs, _graph.tensors(model)[until])
    return list(part.layers)


def unfreeze(model: keras.Model) -> keras.Model:
    """Lets every layer be trained again, in place.

    Args:
        model: The model.

    Returns:
        The same model. Compile it (again) before training.

    Example:
        >>> kerazoo.unfreeze(model)
    """
    model.trainable = True
    for layer in model.layers:
        layer.trainable = True
    return model


def replace_head(
    model: keras.Model, num_classes: int, *, activation: Any = "same", name: str | None = None
) -> keras.Model:
    """Returns a model with a new, randomly initialised layer of class scores; the layers before it are shared.

    Args:
        model: A model that ends in a layer named `predictions`.
        num_classes: Number of classes of the new head.
        activation: Its activation; `None` for logits. Defaults to that of the old head.
        name: Name of the new model. Defaults to the old one's.

    Returns:
        A new model of the same class, not compiled.

    Raises:
        ValueError: If the model has no `predictions` layer with a number of outputs that can be changed.

    Example:
        >>> model = kerazoo.replace_head(kerazoo.load_model("run/model.keras"), 7)
    """
    checks.positive_int("num_classes", num_classes)
    head = _head(model)
    if not head:
        raise ValueError(f"{model.name!r} has no layer named predictions whose number of outputs can be changed")
    y = head[0].arguments.keras_tensors[0]
    for node in head:
        config = node.operation.get_config()
        if node is head[0]:
            config |= {_size_word(node.operation): num_classes, "trainable": True}
            config.pop("codes", None)  # the targets of a LeNet-5 output belong to its old classes
        if node is head[-1] and activation != "same":
            config["activation"] = checks.activation("activation", activation)
        y = type(node.operation).from_config(config)(y)
    return type(model)(_graph.inputs(model), y, name=name or model.name)


def _size_word(layer: Any) -> str | None:
    """Returns what a layer calls its number of outputs, `None` if it has no such number."""
    config = layer.get_config()
    return next((word for word in ("units", "filters") if word in config), None)


def _head(model: keras.Model) -> list[Any]:
    """Returns the calls from the layer with one output per class to `predictions`; mostly these are the same layer.

    In a network without a dense layer `predictions` only activates the averaged maps of a convolution.
    """
    producers = {id(out): node for node in _graph.nodes(model) for out in node.outputs}
    node = next((node for node in producers.values() if node.operation.name == "predictions"), None)
    head: list[Any] = []
    while node is not None:
        head.insert(0, node)
        if _size_word(node.operation):
            return head
        parents = [] if node.operation.weights else node.arguments.keras_tensors
        node = producers.get(id(parents[0])) if len(parents) == 1 else None
    return []
