"""Pictures out of a trained model: files, the part that is exported, and codes to walk through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from applications.core.application import Serving
from applications.core.errors import UserError
from applications.core.pictures import as_bytes, save_picture, save_sheet

if TYPE_CHECKING:
    import keras

    from applications.core.run_directory import RunDirectory
    from applications.datasets.data import Datasets
    from applications.image_generation import ImageGeneration, PictureRequest


def draw_with_run(application: ImageGeneration, run: RunDirectory, request: PictureRequest) -> str:
    """Draws pictures with the model of a run and writes them, one PNG file each, and a sheet of all.

    Args:
        application: The task of the run.
        run: The run.
        request: What is asked for.

    Returns:
        What is shown on the terminal.

    Raises:
        UserError: The model knows no such class, or what is asked for does not fit it.
    """
    from applications.core.evaluation import known_data, load_run_model

    names = tuple(known_data(run)["class_names"])
    folder = Path(request.out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out: '{folder}' is a file; give the folder for the pictures.")
    label = None if request.label is None else application.label_of(request.label, names)
    model = load_run_model(run)
    told = is_told(model)
    if label is not None and not told:
        raise UserError(f"label: the {application.model} of '{run.path}' is told no classes.")
    classes = None
    if told:
        classes = np.arange(request.count) % len(names) if label is None else np.full(request.count, label)
    how = {} if request.guidance is None else {"guidance_scale": request.guidance}
    try:
        found = application.draw(model, request.count, request.seed, classes, **how)
    except (TypeError, ValueError) as error:
        raise UserError(f"--model {application.model}: {error}") from error
    pictures = as_bytes(found, *application.pixel_range)
    width = max(4, len(str(request.count)))
    for number, picture in enumerate(pictures):
        name = "" if classes is None else f"_class{int(classes[number])}"
        save_picture(folder / f"picture_{number + 1:0{width}d}{name}.png", picture)
    save_sheet(folder / "sheet.png", pictures, columns=len(names) if classes is not None and label is None else 8)
    return f"{len(pictures)} pictures written to {folder}"


def is_told(model: keras.Model) -> bool:
    """Returns whether a model is told the class of what it draws."""
    parts = [getattr(model, name, None) for name in ("generator", "denoiser")] + [model]
    return any(
        tensor.name == "label" for part in parts if part is not None for tensor in getattr(part, "inputs", None) or ()
    )


def sampler_of(model: keras.Model) -> keras.Model | None:
    """Returns the functional part from noise (and class) to a picture; None for a model that draws in many steps."""
    from kerazoo.autoencoders import decoder

    if hasattr(model, "sampler"):
        return model.sampler()
    return decoder(model) if "code" in [layer.name for layer in model.layers] else None


def drawing_part(application: ImageGeneration, model: keras.Model) -> keras.Model:
    """Returns what is exported: noise to pixels in [0, 1]; of diffusion the network that takes noise away."""
    import keras
    from keras import layers

    sampler = sampler_of(model)
    if sampler is None:
        return getattr(model, "average", model)
    low, high = application.pixel_range
    inputs = [keras.Input(t.shape[1:], dtype=t.dtype, name=t.name) for t in sampler.inputs]
    given = keras.tree.pack_sequence_as(sampler.input, inputs)
    back = layers.Rescaling(1 / (high - low), -low / (high - low), dtype="float32", name="pixels")
    return keras.Model(given, back(sampler(given)), name=f"{model.name}_sampler")


def serving(application: ImageGeneration, datasets: Datasets) -> Serving:
    """Returns what an exported sampler needs beside its weights."""
    model = application.build(datasets)
    part, at_once = drawing_part(application, model), sampler_of(model) is not None
    random = np.random.default_rng(0)
    samples = {}
    for tensor in part.inputs:
        if tensor.name == "label" and "int" in str(tensor.dtype):
            samples[tensor.name] = (np.arange(64) % max(1, datasets.num_classes)).astype(np.int32)
        elif tensor.name == "label":
            samples[tensor.name] = np.eye(datasets.num_classes, dtype=np.float32)[np.arange(64) % datasets.num_classes]
        elif "int" in str(tensor.dtype):  # the step of a diffusion
            samples[tensor.name] = random.integers(0, 100, (64, *tensor.shape[1:])).astype(np.int32)
        else:
            samples[tensor.name] = random.normal(size=(64, *tensor.shape[1:])).astype(np.float32)
    described = {
        name: f"{array.dtype}, (batch, {', '.join(map(str, array.shape[1:]))})" for name, array in samples.items()
    }
    shape = ", ".join(map(str, datasets.images.max_shape))
    return Serving(
        samples=samples if len(samples) > 1 else next(iter(samples.values())),
        labels=datasets.class_names if "label" in samples else (),
        signature={
            **described,
            "output": f"pictures, float32, (batch, {shape}), pixels from 0 to 1"
            if at_once
            else "what the network says of one step, float32; the steps from noise to picture are those of `generate`",
        },
    )


def codes_to_pictures(
    application: ImageGeneration, model: keras.Model, datasets: Datasets, walkers: int, corners: int = 4
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray] | None:
    """Returns a function from codes to pictures with pixels in [0, 1], and codes (corners, walkers, size) to pass.

    Each walker keeps its class where the model is told classes. None for a model without a code.
    """
    sampler = sampler_of(model)
    if sampler is None:
        return None
    low, high = application.pixel_range
    code = next(tensor for tensor in sampler.inputs if tensor.name != "label")
    if hasattr(model, "latents"):
        drawn = np.asarray(model.latents(corners * walkers, 0))
    else:
        drawn = np.random.default_rng(0).normal(size=(corners * walkers, code.shape[1]))
    told = next((tensor for tensor in sampler.inputs if tensor.name == "label"), None)
    classes = np.arange(walkers) % max(1, datasets.num_classes)

    def draw(codes: np.ndarray) -> np.ndarray:
        import keras

        given = {code.name: codes.astype(np.float32)}
        if told is not None:
            one_hot = np.eye(datasets.num_classes, dtype=np.float32)[classes]
            given[told.name] = classes.astype(np.int32) if "int" in str(told.dtype) else one_hot
        flat = [given[tensor.name] for tensor in sampler.inputs]
        found = sampler(keras.tree.pack_sequence_as(sampler.input, flat), training=False)
        return (keras.ops.convert_to_numpy(found) - low) / (high - low)

    return draw, drawn.reshape(corners, walkers, -1)
