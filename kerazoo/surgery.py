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
        config = layer.get_config()
        before = [reached.get(id(tensor), (1, 1)) for tensor in keras.tree.flatten(args)]
        stride, dilation = max((pair[0] for pair in before), default=1), max((pair[1] for pair in before), default=1)
        if output_stride is not None:
            stride, dilation = _dilated(layer, config, stride, dilation, output_stride)
        twin = type(layer).from_config(config)
        y = twin(*args, **kwargs)
        twin.set_weights(layer.get_weights())
        reached.update({id(tensor): (stride, dilation) for tensor in keras.tree.flatten(y)})
        return y

    run = _graph.replay(encoder, [x], copy)
    return {ends[operation.name]: outputs[0] for operation, _, outputs in run if operation.name in ends}


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
            `predictions`.
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
    old = next((layer for layer in model.layers if layer.name == "predictions"), None)
    config = {} if old is None else old.get_config()
    size = next((key for key in ("units", "filters") if key in config), None)
    if old is None or size is None:
        raise ValueError(f"{model.name!r} has no layer named predictions whose number of outputs can be changed")
    config |= {size: num_classes, "trainable": True}
    config.pop("codes", None)  # the targets of a LeNet-5 output belong to its old classes
    last = next((layer for layer in model.layers if layer.name == "probabilities"), None)
    if activation != "same":
        checks.activation("activation", activation)
        config["activation"] = activation if last is None else None
    place = next(node for node in _graph.nodes(model) if node.operation is old)
    outputs = type(old).from_config(config)(place.arguments.keras_tensors[0])
    if model.outputs[0] is not place.outputs[0]:  # what stands behind the head, e.g. a resize, has no weights

        def call(layer: Any, args: Any, kwargs: Any) -> Any:
            if layer is last and activation != "same":
                layer = keras.layers.Activation(activation or "linear", dtype="float32", name="probabilities")
            return layer(*args, **kwargs)

        tail = keras.Model(place.outputs, model.outputs[0])
        *_, (_, _, (outputs,)) = _graph.replay(tail, [outputs], call)
    return type(model)(_graph.inputs(model), outputs, name=name or model.name)
