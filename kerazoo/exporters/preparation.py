"""What every export needs first: the TensorFlow backend, a float32 model, readable input names."""

import re
from typing import Any

import numpy as np

from kerazoo.exporters.parity import input_structure, reference

HALF_POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def require_tensorflow() -> None:
    """Raises `ValueError` unless Keras runs on TensorFlow, whose graph all converters start from."""
    import keras

    backend = keras.config.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"Export works on the TensorFlow backend of Keras, this process runs on {backend!r}: "
            "save the model as .keras and export it in a process started with KERAS_BACKEND=tensorflow."
        )


def float32_clone(model: Any) -> tuple[Any, list[str]]:
    """Returns the model itself, or for reduced precision a clone that computes in float32, with a note.

    The converters write half-precision graphs that LiteRT and ONNX Runtime do not load; the variables of a
    mixed-precision model are float32 anyway, so the clone loses nothing.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, received {type(model).__name__}.")
    policies = {layer.dtype_policy.name for layer in model._flatten_layers() if layer.dtype_policy}
    half = sorted(policies.intersection(HALF_POLICIES))
    if not half:
        return model, []
    if isinstance(model, keras.Sequential) or hasattr(model, "operations"):
        clone = keras.models.clone_model(model, clone_function=_float32_layer, recursive=True)
    else:
        clone = type(model).from_config(_float32_config(model.get_config()))
    if not clone.built and model.built:
        clone.build_from_config(model.get_build_config())
    clone.set_weights(model.get_weights())
    return clone, [f"Exported as a float32 clone of a {' and '.join(half)} model."]


def clone_notes(model: Any, clone: Any, batch: Any, expected: list[np.ndarray]) -> list[str]:
    """Says how far the reduced-precision model is from its float32 clone; nothing where they are one."""
    if clone is model:
        return []
    pairs = zip(reference(model, batch), expected, strict=True)
    diff = max(float(np.abs(half.astype("float64") - full).max()) for half, full in pairs)
    return [f"Differences are to the float32 clone, from which the model in use differs by up to {diff:.2g}."]


def plainly_named(model: Any, inputs: list[str]) -> tuple[Any, list[str]]:
    """Returns the model itself, or around the same layers one with names that every format can take, with a note.

    TensorFlow takes no space in the name of a model; nested outputs have no names in a file, and ONNX cannot
    tell an output from an input of the same name.
    """
    import keras

    if not (isinstance(model, keras.Sequential) or hasattr(model, "operations")):
        return model, []
    name = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", model.name)
    name = name if name[0].isalnum() else f"model{name}"
    outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    parts = outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, list | tuple) else []
    nested = any(isinstance(part, dict | list | tuple) for part in parts)
    keys = outputs if isinstance(outputs, dict) else ()
    clash = {re.sub(r"\W", "_", str(key), flags=re.ASCII) for key in keys}.intersection(inputs)
    if name == model.name and not nested and not clash:
        return model, []
    if not nested and not clash:
        return keras.Model(model.input, outputs, name=name), []
    why = "nested" if nested else "named like inputs"
    plain = keras.Model(model.input, keras.tree.flatten(outputs), name=name)
    return plain, [f"The model's outputs are {why}; in the file they are output_0, output_1, ... in its order."]


def _float32_layer(layer: Any) -> Any:
    return type(layer).from_config(_float32_config(layer.get_config()))


def _float32_config(config: Any) -> Any:
    """Replaces every reduced-precision policy in a layer's configuration, also those of wrapped layers."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy" and config["config"].get("name") in HALF_POLICIES:
            return {**config, "config": {**config["config"], "name": "float32"}}
        return {
            key: "float32" if key == "dtype" and value in HALF_POLICIES else _float32_config(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_float32_config(value) for value in config)
    return config


def input_specs(model: Any, batch: Any) -> Any:
    """Returns the inputs as Keras' exporters want them: free batch size, names a reader understands.

    Args:
        model: The model to export.
        batch: Samples in the structure of the inputs, used where the model has no symbolic inputs.

    Returns:
        `keras.InputSpec` in the structure of the model's inputs.
    """
    import keras

    struct = input_structure(model)
    tensors = keras.tree.flatten(batch if struct is None else struct)
    specs: list[Any] = []
    for index, tensor in enumerate(tensors):
        name = getattr(tensor, "name", "")
        if not name or name.startswith("keras_tensor"):
            name = "input" if len(tensors) == 1 else f"input_{index}"
        name = re.sub(r"\W", "_", name, flags=re.ASCII)
        while re.fullmatch(r"output_\d+", name) or name in [spec.name for spec in specs]:
            name += "_in"  # the name of an output, or of another input once its special characters are gone
        shape = (None, *tensor.shape[1:])
        specs.append(keras.InputSpec(shape=shape, dtype=str(tensor.dtype), name=name))
    return keras.tree.pack_sequence_as(batch if struct is None else struct, specs)


def input_names(specs: Any) -> list[str]:
    """Returns the names of the inputs in the order in which the model's structure is flattened."""
    import keras

    return [spec.name for spec in keras.tree.flatten(specs)]


def with_batch(specs: Any, batch: int) -> Any:
    """Returns the inputs with a fixed number of samples."""
    import keras

    return keras.tree.map_structure(
        lambda spec: keras.InputSpec(shape=(batch, *spec.shape[1:]), dtype=spec.dtype, name=spec.name), specs
    )


def with_lengths(specs: Any, batch: Any) -> tuple[Any, list[str]]:
    """Returns the inputs with the sizes of some samples where they are open, and a note where that changes any."""
    import keras

    flat, arrays = keras.tree.flatten(specs), keras.tree.flatten(batch)
    fixed = [
        keras.InputSpec(shape=(spec.shape[0], *array.shape[1:]), dtype=spec.dtype, name=spec.name)
        for spec, array in zip(flat, arrays, strict=True)
    ]
    changed = [f"{spec.name} {spec.shape[1:]}" for spec, old in zip(fixed, flat, strict=True) if None in old.shape[1:]]
    notes = [f"For 8 bits the loops are written out, for the sizes of calibration: {', '.join(changed)}."]
    return keras.tree.pack_sequence_as(specs, fixed), notes if changed else []


def unrolled_clone(model: Any, specs: Any) -> tuple[Any, list[str]]:
    """Returns the model with every recurrent layer written out step by step: a loop cannot be computed in 8 bits.

    Args:
        model: A functional or sequential model.
        specs: Its inputs; a length that is open in the model has to be fixed in them.

    Returns:
        The model with inputs of these sizes, and notes.

    Raises:
        ValueError: If a layer cannot be written out.
    """
    import keras

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.ConvLSTM1D | keras.layers.ConvLSTM2D | keras.layers.ConvLSTM3D):
            raise ValueError(f"Layer {layer.name!r} has a loop that cannot be unrolled, which 8-bit arithmetic needs.")

    def unrolled(layer: Any) -> Any:
        return type(layer).from_config(_unrolled(layer.get_config()))

    if all(None not in tensor.shape[1:] for tensor in model.inputs):
        clone = keras.models.clone_model(model, clone_function=unrolled)
    else:
        fixed = keras.tree.map_structure(
            lambda spec: keras.Input(spec.shape[1:], dtype=spec.dtype, name=spec.name), specs
        )
        clone = keras.models.clone_model(model, input_tensors=fixed, clone_function=unrolled)
    clone.set_weights(model.get_weights())
    return clone


def _unrolled(config: Any) -> Any:
    """Sets `unroll` in the configuration of a layer and of those it wraps."""
    if isinstance(config, dict):
        return {key: True if key == "unroll" else _unrolled(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_unrolled(value) for value in config)
    return config
