"""What applications need to begin with the weights of another training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras

    from applications.core.application import Application
    from applications.datasets.data import Datasets

SLOW = 0.1
"""Learning rate of layers that were frozen at first, relative to the others."""


def pretrained(
    application: Application, weights: str, datasets: Datasets, scaling: Any, dtype: str | None
) -> keras.Model:
    """Builds the model with given weights and a head for the classes of the data.

    Args:
        application: The task.
        weights: `"imagenet"`, a weights file, or a whole model, whose own preprocessing then stays.
        datasets: The data.
        scaling: Preprocessing of the pixels where the weights do not ask for another one.
        dtype: Precision policy.

    Raises:
        UserError: If weights and data or model do not belong together.
    """
    shape = tuple(int(n) for n in datasets.images.max_shape)
    if weights.endswith(".keras"):
        return _with_new_head(application, weights, shape, datasets.num_classes, dtype)
    if weights == "imagenet":
        scaling = _imagenet_scaling(application.model, datasets.value_range)
    return application.create(shape, datasets.num_classes, weights=weights, include_preprocessing=scaling, dtype=dtype)


def _imagenet_scaling(model: str, value_range: tuple[float, float]) -> Any:
    """Returns scale and offset from the pixels' own range to what the ImageNet weights were trained with."""
    from kerazoo.weights import imagenet

    if model not in imagenet.PUBLISHED:
        return True  # the builder will say why there are none
    low, high = value_range
    stretch = 255 / (high - low)
    pair = imagenet.SCALES[imagenet.PUBLISHED[model].scaling]
    scale, offset = ((part,) * 3 if isinstance(part, float) else part for part in pair)
    return (
        tuple(s * stretch for s in scale),
        tuple(o - s * stretch * low for s, o in zip(scale, offset, strict=True)),
    )


def _with_new_head(
    application: Application, path: str, shape: tuple[int, ...], num_classes: int, dtype: str | None
) -> keras.Model:
    """Loads a whole model and gives it a new `predictions` layer where the number of classes is another one."""
    import kerazoo

    if not Path(path).expanduser().is_file():
        raise UserError(f"weights: there is no file '{path}'.")
    try:
        model = kerazoo.load_model(Path(path).expanduser())
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"weights: '{path}' cannot be loaded ({str(error).splitlines()[0]}).") from error
    if model.name != application.model:
        raise UserError(f"weights: '{path}' holds the model {model.name!r}; give --model {model.name}.")
    if dtype not in (None, "float32"):
        raise UserError(f"weights: a whole model has its own precision, float32; received --precision {dtype}.")
    if any(known not in (None, size) for known, size in zip(model.input_shape[1:], shape, strict=True)):
        raise UserError(f"weights: '{path}' takes images of shape {model.input_shape[1:]}, these have {shape}.")
    if model.output_shape[-1] == num_classes:
        return model
    try:
        return kerazoo.replace_head(model, num_classes)
    except ValueError as error:
        raise UserError(f"weights: '{path}': {error}") from error


def freeze(model: keras.Model, until: str | None, *, for_good: bool) -> keras.Model:
    """Freezes layers for good, or only their batch normalisations, where the others are to learn later.

    A batch normalisation that is frozen keeps its statistics and works as in inference; that does not change when the
    layers around it begin to learn, since a network fine-tuned on few samples would lose good statistics for bad ones.
    """
    import keras

    import kerazoo

    if until is None:
        return model
    kept = {layer.name for layer in model.layers if not layer.trainable}
    try:
        kerazoo.freeze(model, until)
    except ValueError as error:
        raise UserError(f"freeze_until: {str(error).removeprefix('until: ')}") from error
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        if not for_good and not norm and layer.name not in kept:
            layer.trainable = True
    return model


def slow_and_late(optimizer: keras.Optimizer, model: keras.Model, until: str, steps: int) -> keras.Optimizer:
    """Lets the layers up to `until` wait for some steps, and then learn more slowly than the others."""
    import keras

    from kerazoo import finetuning

    layers = keras.Model(model.inputs, model.get_layer(until).output).layers
    held = [layer.name for layer in layers if layer.trainable_weights]
    late = finetuning.layerwise(optimizer, dict.fromkeys(held, SLOW), held=held, held_steps=steps)
    if optimizer.weight_decay:
        late.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return late
