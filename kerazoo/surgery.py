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
        if not isinstance(layer, keras.layers.Layer):
            return layer(*args, **kwargs)  # a function of keras.ops has no weights to share
        twin = type(layer).from_config(layer.get_config())
        y = twin(*args, **kwargs)
        twin.set_weights(layer.get_weights())
        return y

    run = _graph.replay(encoder, [x], copy)
    return {ends[call.operation.name]: call.outputs[0] for call in run if call.operation.name in ends}


def freeze(model: keras.Model, until: str | None = None, batch_norm: str = "frozen") -> keras.Model:
    """Stops layers from being trained, in place, from the input up to and including one layer.

    Args:
        model: The model.
        until: Name of the last layer to freeze, e.g. `"stage3_out"`. Defaults to every layer but
            `predictions`.
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
        return [layer for layer in model.layers if layer.name != "predictions"]
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
    """Returns a model with a new, randomly initialised `predictions` layer; all other layers are shared.

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
    old = next((layer for layer in model.layers if layer.name == "predictions"), None)
    config = {} if old is None else old.get_config()
    size = next((key for key in ("units", "filters") if key in config), None)
    if old is None or size is None:
        raise ValueError(f"{model.name!r} has no layer named predictions whose number of outputs can be changed")
    if [id(tensor) for tensor in model.outputs] != [id(_graph.tensors(model)["predictions"][0])]:
        raise ValueError(f"the output of layer predictions must be all that {model.name!r} returns; cut off the rest")
    if activation == "same":
        activation = config["activation"]
        if (num_classes == 1, activation) == (True, "softmax"):
            activation = "sigmoid"
        elif (config[size] == 1 < num_classes, activation) == (True, "sigmoid"):
            activation = "softmax"
    else:
        checks.activation("activation", activation)
        checks.several_for_softmax("activation", activation, "num_classes", num_classes)
    config |= {size: num_classes, "activation": activation, "trainable": True}
    config.pop("codes", None)  # the targets of a LeNet-5 output belong to its old classes
    head = type(old).from_config(config)
    before = next(node.arguments.keras_tensors for node in _graph.nodes(model) if node.operation is old)
    kind = keras.Model if isinstance(model, keras.Sequential) else type(model)
    return kind(_graph.inputs(model), head(before[0]), name=name or model.name)
