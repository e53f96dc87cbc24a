"""Taking models apart: feature maps by pyramid level, frozen layers, another head.

Everything works from the names of the layers in the graph, so a freshly built, a fine-tuned and a reloaded
model are treated alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras

from kerazoo import _graph, checks
from kerazoo._words import nearest

_STAGE_END = re.compile(r"(stem|stage\d+)_out")
_PROBE_BITS = 16  # a probe is about 2**16 long: enough for a dozen halvings, whatever the paddings take away


def _stage_ends(model: keras.Model) -> dict[int, str]:
    """Returns pyramid level -> layer name for the stage ends of a model, finest first.

    The stride of a stage is by how much its map grows when the input does, on large probes: neither several
    stages of one pixel on a small image nor what unpadded convolutions cut off can hide it. A stage whose
    stride is no power of two has no level.
    """
    names = [layer.name for layer in model.layers if _STAGE_END.fullmatch(layer.name)]
    if not names:
        raise ValueError(
            f"{model.name!r} has no feature levels: no layer is named stem_out or stage1_out, stage2_out, ..."
        )
    tensors = _graph.tensors(model)
    trunk = keras.Model(model.inputs, [tensors[name][0] for name in names])
    probes, larger = (_probes(trunk, factor) for factor in (1, 2))
    try:
        runs = [_lengths(trunk, inputs, names) for inputs in (probes, larger)]
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{model.name!r} has no feature levels: its stages cannot run on images of any size"
        ) from error
    growth = max(b.shape[1] - a.shape[1] for a, b in zip(probes, larger, strict=True) if len(a.shape) > 2)
    levels: dict[int, str] = {}
    for name, small in runs[0].items():
        stride, rest = divmod(growth, max(runs[1][name] - small, 1))
        if not rest and stride.bit_count() == 1:
            levels[stride.bit_length() - 1] = name
    return dict(sorted(levels.items()))


def _probes(model: keras.Model, factor: int) -> list[keras.KerasTensor]:
    """Returns inputs with height and width made larger by one power of two for all, so that they still fit together."""
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    longest = max((size or 1 for shape in shapes for size in shape[:-1]), default=1)
    scale = factor * 2 ** max(_PROBE_BITS - longest.bit_length(), 0)
    return [
        keras.KerasTensor((1, *((size or longest) * scale for size in shape[:-1]), shape[-1]), dtype=tensor.dtype)
        for shape, tensor in zip(shapes, model.inputs, strict=True)
    ]


def _lengths(model: keras.Model, inputs: Sequence[keras.KerasTensor], names: Sequence[str]) -> dict[str, int]:
    """Returns name -> length of the first axis of the map, for some layers in the order of the graph."""
    calls = _graph.output_specs(model, inputs)
    return {call.operation.name: call.outputs[0].shape[1] for call in calls if call.operation.name in names}


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


def graft(encoder: keras.Model, x: keras.KerasTensor, output_stride: int | None = None) -> dict[int, keras.KerasTensor]:
    """Runs copies of an encoder's layers on `x`, one by one, so that they become part of a flat graph.

    Args:
        encoder: A functional model with one input and stage ends; the copies have its weights.
        x: The tensor to start from, of the encoder's input shape.
        output_stride: Largest stride. Convolutions that would exceed it lose their stride, and those behind them are
            dilated instead, so that the weights see what they saw before. `None` leaves the encoder as it is.

    Returns:
        Pyramid level of the encoder as it was -> feature map.
    """
    ends = {name: level for level, name in _stage_ends(encoder).items()}
    reached: dict[int, tuple[int, int]] = {}  # tensor -> its stride and the dilation of what follows

    def copy(layer: Any, args: Any, kwargs: Any) -> Any:
        before = [reached.get(id(tensor), (1, 1)) for tensor in keras.tree.flatten(args)]
        stride, dilation = max((pair[0] for pair in before), default=1), max((pair[1] for pair in before), default=1)
        if isinstance(layer, keras.layers.Layer):
            config = layer.get_config()
            if output_stride is not None:
                stride, dilation = _dilated(layer, config, stride, dilation, output_stride)
            twin = type(layer).from_config(config)
            y = twin(*args, **kwargs)
            twin.set_weights(layer.get_weights())
        else:
            y = layer(*args, **kwargs)  # a function of keras.ops has no weights to share
        reached.update({id(tensor): (stride, dilation) for tensor in keras.tree.flatten(y)})
        return y

    run = _graph.replay(encoder, [x], copy)
    return {ends[call.operation.name]: call.outputs[0] for call in run if call.operation.name in ends}


def _dilated(layer: Any, config: dict[str, Any], stride: int, dilation: int, largest: int) -> tuple[int, int]:
    """Changes a layer's configuration so that the stride stays within `largest`.

    Returns:
        Stride and dilation behind the layer.
    """
    if isinstance(layer, keras.layers.ZeroPadding2D):
        config["padding"] = [[dilation * size for size in pair] for pair in config["padding"]]
    step = max(config.get("strides", (1,)))
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)) and max(config["kernel_size"]) > 1:
        config["dilation_rate"] = [dilation * rate for rate in config["dilation_rate"]]
    if step == 1 or stride * step <= largest:
        return stride * step, dilation
    if not isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        raise ValueError(
            f"output_stride={largest} needs a backbone that halves its maps by strided convolutions. "
            f"Received: {layer.name!r} of class {type(layer).__name__}"
        )
    config["strides"] = [1, 1]
    return stride, dilation * step


def freeze(model: keras.Model, until: str | None = None, batch_norm: str = "frozen") -> keras.Model:
    """Stops layers from being trained, in place, from the input up to and including one layer.

    Args:
        model: The model.
        until: Name of the last layer to freeze, e.g. `"stage3_out"`. Defaults to every layer but
            the one with an output per class.
        batch_norm: `"frozen"`: batch normalisation in the frozen part keeps its statistics, scale and shift
            and runs in inference mode even while training, which is what fine-tuning on few samples needs.
            `"train"`: those layers go on learning, those of models inside the model included.

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
        _freeze_layer(layer, batch_norm)
    return model


def _freeze_layer(layer: Any, batch_norm: str) -> None:
    if batch_norm == "train" and isinstance(layer, keras.Model):
        layer.trainable = True  # else nothing in it is trained, whatever its layers say
        for part in layer.layers:
            _freeze_layer(part, batch_norm)
    else:
        layer.trainable = batch_norm == "train" and isinstance(layer, keras.layers.BatchNormalization)


def _up_to(model: keras.Model, until: str | None) -> list[Any]:
    """Returns the layers `until` depends on and itself; without a name all but the head."""
    if until is None:
        head = [node.operation for node in _head(model)]
        return [layer for layer in model.layers if not any(layer is part for part in head)]
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

    It is the layer named `predictions`, or the one `predictions` only activates, averages or resizes.

    Args:
        model: A model that ends in a layer named `predictions`, its only output.
        num_classes: Number of classes of the new head.
        activation: Its activation; `None` for logits. Defaults to that of the old head, but a softmax becomes a
            sigmoid where one class is left, and the sigmoid of a single class a softmax where there are more.
        name: Name of the new model. Defaults to the old one's.

    Returns:
        A new model of the same class, not compiled.

    Raises:
        ValueError: If the model has no `predictions` layer with a number of outputs that can be changed, or
            more than its output comes out of the model.

    Example:
        >>> model = kerazoo.replace_head(kerazoo.load_model("run/model.keras"), 7)
    """
    num_classes = checks.positive_int("num_classes", num_classes)
    head = _head(model)
    if not head:
        raise ValueError(f"{model.name!r} has no layer named predictions whose number of outputs can be changed")
    if len(model.outputs) != 1 or model.outputs[0] is not head[-1].outputs[0]:
        raise ValueError(
            f"the output of layer predictions must be all that {model.name!r} returns; cut off the rest with "
            'keras.Model(model.inputs, model.get_layer("predictions").output)'
        )
    scores, last = head[0].operation, [node.operation for node in head if "activation" in _config(node.operation)][-1]
    units = _units(scores)
    changes: dict[int, dict[str, Any]] = {id(scores): {units: num_classes, "trainable": True}}
    changes.setdefault(id(last), {})["activation"] = _activation(
        activation, _config(last)["activation"], _config(scores)[units], num_classes
    )
    values = {id(tensor): tensor for tensor in head[0].arguments.keras_tensors}
    for node in head:
        operation = node.operation
        if id(operation) in changes:
            config = _config(operation) | changes[id(operation)]
            config.pop("codes", None)  # the targets of a LeNet-5 output belong to its old classes
            operation = type(operation).from_config(config)
        args, kwargs = node.arguments.fill_in(values)
        y = operation(*args, **kwargs)
        values[id(node.outputs[0])] = y
    kind = keras.Model if isinstance(model, keras.Sequential) else type(model)
    return kind(_graph.inputs(model), y, name=name or model.name)


def _activation(wanted: Any, old: Any, old_classes: int, num_classes: int) -> Any:
    """Returns the activation of a new head."""
    if wanted != "same":
        checks.activation("activation", wanted)
        checks.several_for_softmax("activation", wanted, "num_classes", num_classes)
        return wanted or "linear"
    if num_classes == 1 and old == "softmax":
        return "sigmoid"
    return "softmax" if old_classes == 1 < num_classes and old == "sigmoid" else old


def _config(operation: Any) -> dict[str, Any]:
    return operation.get_config() if isinstance(operation, keras.layers.Layer) else {}


def _units(operation: Any) -> str:
    """Returns what a layer calls its number of outputs, "" if it has no such number."""
    return next((word for word in ("units", "filters") if word in _config(operation)), "")


def _head(model: keras.Model) -> list[Any]:
    """Returns the calls from the layer with one output per class to the output; mostly it is one call.

    In a network without a dense layer `predictions` only activates the averaged maps of a convolution, and a map of
    scores may be resized behind it.
    """
    calls = list(_graph.nodes(model))
    producers = {id(out): node for node in calls for out in node.outputs}
    named = next((node for node in calls if node.operation.name == "predictions"), None)
    if named is None:
        return []
    head: list[Any] = []
    node = named if len(model.outputs) != 1 else producers[id(model.outputs[0])]
    while node is not None:
        head.insert(0, node)
        if _units(node.operation):
            return head if any(call is named for call in head) else []
        weights = getattr(node.operation, "weights", [])
        parents = [] if weights else node.arguments.keras_tensors
        node = producers.get(id(parents[0])) if len(parents) == 1 else None
    return []
