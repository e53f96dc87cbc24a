"""What the tests of the catalogue share: models by promise, built models, sample batches, fresh interpreters.

A newly registered model needs no new test: its card says its kind, a small configuration and a sample batch,
and the promises it has to keep follow from these.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kerazoo
from kerazoo.card import ModelCard, Tensor

ROOT = Path(__file__).parents[2]
IMAGE_KINDS = ("image_classifier", "dense_prediction", "image_to_image", "detector", "instance_segmentation")


def models(promise: Callable[[ModelCard], Any] = lambda card: True) -> list[str]:
    """Returns the models that give a promise; the others are not collected."""
    return [name for name in kerazoo.list_models() if promise(kerazoo.model_card(name))]


# Rows of one spec table that only differ in numbers from another row: the code is the same, and what is slow is tested
# once. Their counts, figures, arguments and names are tested as those of all others.
SAME_CODE = {
    **{"resnet34": "resnet18", "resnet101": "resnet50", "resnet152": "resnet50"},
    **{"resnet34_v2": "resnet18_v2", "resnet101_v2": "resnet50_v2", "resnet152_v2": "resnet50_v2"},
    **{"resnet101_v2_keras": "resnet50_v2_keras", "resnet152_v2_keras": "resnet50_v2_keras"},
    **{"resnet32": "resnet20", "resnet56": "resnet20", "resnet110": "resnet20"},
    **{
        "vgg13": "vgg11",
        "vgg16": "vgg11",
        "vgg19": "vgg11",
        "densenet169": "densenet121",
        "densenet201": "densenet121",
    },
    **{"transformer_base": "transformer_small", "transformer_big": "transformer_small"},
    **dict.fromkeys(("bert_mini", "bert_small", "bert_medium", "bert_base", "bert_large"), "bert_tiny"),
    **{"gpt2_tiny": "gpt2", "gpt2_medium": "gpt2", "gpt2_large": "gpt2", "gpt2_xl": "gpt2"},
    **{"clip_vit_b_16": "clip_vit_b_32", "clip_vit_l_14": "clip_vit_b_32", "clip_tiny": "clip_vit_b_32"},
    **{"ddpm_256": "ddpm", "ddpm_small": "ddpm"},
    **{"vit_tiny_16": "vit_base_16", "vit_small_16": "vit_base_16"},
    **{"pix2pix_small": "pix2pix", "cyclegan_small": "cyclegan"},
    **{"srresnet_small": "srresnet", "srgan_small": "srgan"},
}


def distinct(promise: Callable[[ModelCard], Any] = lambda card: True) -> list[str]:
    """Returns the models that give a promise, one for each piece of code."""
    return [name for name in models(promise) if name not in SAME_CODE]


def one_of_each_family() -> list[str]:
    """Returns the first model of each family."""
    return list({kerazoo.model_card(name).family: name for name in reversed(kerazoo.list_models())}.values())


def fresh(name: str, **options: Any) -> keras.Model:
    """Builds a model with its card's test configuration, the same weights every time."""
    keras.utils.set_random_seed(0)
    return kerazoo.create_model(name, **{**kerazoo.model_card(name).test_config, **options})


_FIRST_WEIGHTS: dict[str, list[str]] = {}


@functools.cache
def built(name: str) -> keras.Model:
    """Returns a shared model with perturbed weights and settled statistics. Do not change it."""
    return settled(name)


def settled(name: str) -> keras.Model:
    """Returns a model of its own with perturbed weights and settled statistics."""
    model = fresh(name)
    _FIRST_WEIGHTS[name] = digests(model)
    perturb(model)
    settle(model, batch(name)[0])
    return model


def digests(model: keras.Model) -> list[str]:
    """Returns a digest of every weight."""
    return [hashlib.sha256(np.ascontiguousarray(weight)).hexdigest() for weight in model.get_weights()]


def first_digests(name: str) -> list[str]:
    """Returns the digests of the weights `built(name)` started from."""
    built(name)
    return _FIRST_WEIGHTS[name]


@contextmanager
def cheap_weights() -> Iterator[None]:
    """Initialises weights with zeros, for tests that only look at shapes."""
    original = keras.layers.Layer.add_weight

    def add_weight(self: Any, shape: Any = None, initializer: Any = None, **options: Any) -> Any:
        return original(self, shape=shape, initializer="zeros", **options)

    keras.layers.Layer.add_weight = add_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = original


@contextmanager
def weightless() -> Iterator[None]:
    """Builds models whose weights have shapes and no values, however many; nothing can be computed with them."""
    original = keras.Variable.assign
    keras.Variable.assign = lambda self, value: None
    try:
        with cheap_weights(), keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        keras.Variable.assign = original
        # Keras remembers variables without a value, and would make all of them at the end of the next such scope.
        keras.utils.clear_session(free_memory=False)


def full_sizes(model: keras.Model, name: str) -> list[tuple[int, ...]]:
    """Returns the shapes of a model's inputs, sequences of open length as long as they may be, or of 32 steps."""
    longest = kerazoo.catalog.builder_parameters(name).get("max_length", 32)
    return [tuple(longest if size is None else size for size in tensor.shape[1:]) for tensor in model.inputs]


def loss(name: str) -> Any:
    """Returns the loss of a card for `compile`."""
    wanted = kerazoo.model_card(name).sample.loss
    return keras.losses.get(dict(wanted)) if isinstance(wanted, Mapping) else wanted


def mutated(model: keras.Model, change: Mapping[str, Mapping[str, Any]]) -> keras.Model:
    """Returns the model with other settings of some layers and the same weights."""
    config = model.get_config()
    names = {layer["config"]["name"] for layer in config["layers"]}
    assert set(change) <= names, "no such layer"
    for layer in config["layers"]:
        layer["config"].update(change.get(layer["config"]["name"], {}))
    with cheap_weights():
        twin = type(model).from_config(config)
    twin.set_weights(model.get_weights())
    return twin


def value(weight: keras.Variable) -> np.ndarray:
    """Returns the value of a weight."""
    return keras.ops.convert_to_numpy(weight)


def perturb(model: keras.Model, seed: int = 1, spread: float = 0.02) -> None:
    """Moves every weight, so that a zero or a one that was put back is seen. Variances stay positive."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        before = value(weight)
        if np.issubdtype(before.dtype, np.floating):
            moved = before * random.uniform(0.9, 1.1, before.shape)
            weight.assign(moved if "variance" in weight.path else moved + random.normal(0, spread, before.shape))


def speak_up(model: keras.Model, inputs: Any, deviation: float = 2.0) -> None:
    """Gives outputs that are probabilities the range those of a trained model have.

    Untrained, they are all about equal, and what 8 bits make of them is the rounding of the output alone.
    """
    for part in functional_parts(model):
        for layer in part.layers:
            ends = any(getattr(layer, "output", None) is output for output in part.outputs)
            kind = getattr(getattr(layer, "activation", None), "__name__", "")
            if ends and kind in ("softmax", "sigmoid") and hasattr(layer, "kernel"):
                likely = np.clip(outputs(keras.Model(part.inputs, layer.output), inputs)[0], 1e-7, 1 - 1e-7)
                logits = np.log(likely) - (np.log1p(-likely) if kind == "sigmoid" else 0.0)
                spread = float((logits if kind == "sigmoid" else logits - logits.mean(-1, keepdims=True)).std())
                for weight in (layer.kernel, layer.bias):
                    if isinstance(weight, keras.Variable):
                        weight.assign(weight * (deviation / max(spread, 1e-6)))


def settle(model: keras.Model, inputs: Any) -> None:
    """Gives batch normalisation the statistics of some inputs.

    With those it starts from, the signal of a deep residual network doubles in every block and leaves the
    range of float32; no test of outputs would mean anything.
    """
    norms = [layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(inputs, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def calm(model: keras.Model, shift: float = 2.0) -> None:
    """Raises the shift of every batch normalisation and the class tokens, as training does.

    With random weights and no shift, deep networks with batch normalisation are chaotic: what rounding changes grows in
    every layer (Yang et al. 2019, https://arxiv.org/abs/1902.08129), and half precision would say nothing. A class
    token that starts at zero is lost beside the patches when all of them share one scale of 8 bits.
    """
    for layer in leaf_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.beta is not None:
            layer.beta.assign(layer.beta + shift)
        elif isinstance(layer, kerazoo.layers.ClassToken):
            layer.token.assign(layer.token * (0.5 / float(np.std(value(layer.token)))))


def _draw(tensor: Tensor | Mapping[str, Tensor] | None, count: int, random: np.random.Generator) -> Any:
    if tensor is None:
        return None
    if isinstance(tensor, Mapping):
        return {name: _draw(part, count, random) for name, part in tensor.items()}
    shape = (count, *tensor.shape)
    if np.issubdtype(np.dtype(tensor.dtype), np.integer):
        return random.integers(int(tensor.low), int(tensor.high), shape).astype(tensor.dtype)
    return random.uniform(tensor.low, tensor.high, shape).astype(tensor.dtype)


def batch(name: str, seed: int = 0, count: int | None = None) -> tuple[Any, Any]:
    """Draws inputs and targets for `fresh(name)`."""
    sample, random = kerazoo.model_card(name).sample, np.random.default_rng(seed)
    count = count or sample.batch_size
    return _draw(sample.inputs, count, random), _draw(sample.targets, count, random)


def training_batch(name: str, seed: int = 0) -> tuple[Any, Any]:
    """Draws what `fit` takes, which for a generator is not what the model is called with."""
    sample, random = kerazoo.model_card(name).sample, np.random.default_rng(seed)
    inputs = sample.inputs if sample.training is None else sample.training
    return _draw(inputs, sample.batch_size, random), _draw(sample.targets, sample.batch_size, random)


def long_epoch(data: Any, epochs: int, batch_size: int) -> Any:
    """Returns data for `fit` in one epoch as long as several; beginning and ending one costs more than a small step."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(data)
    return dataset.shuffle(dataset.cardinality(), seed=0).batch(batch_size).repeat(epochs)


def outputs(model: keras.Model, inputs: Any, training: bool = False) -> list[np.ndarray]:
    """Runs a model once and returns all its outputs."""
    return [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(model(inputs, training=training))]


def leaf_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns every layer, those of models inside a model included."""
    found = []
    for layer in model.layers:
        found += leaf_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return found


def functional_parts(model: keras.Model) -> list[keras.Model]:
    """Returns the model itself, or the functional models inside one that has no graph of its own (a trained pair).

    A network that is never trained there, the average of another one, is none of them.
    """
    if getattr(model, "inputs", None):
        return [model]
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model) and layer.trainable]
    return [part for layer in inner for part in functional_parts(layer)]


def head(model: keras.Model) -> set[str]:
    """Returns the names of the last layers with trainable weights in front of the outputs, and of those behind them."""
    from kerazoo import _graph

    producers = {id(out): node for node in _graph.nodes(model) for out in node.outputs}
    found, waiting = set(), list(model.outputs)
    while waiting:
        node = producers[id(waiting.pop())]
        found.add(node.operation.name)
        if not getattr(node.operation, "trainable_weights", None):
            waiting += node.arguments.keras_tensors
    return found


def first_input(name: str, model: keras.Model) -> keras.KerasTensor:
    """Returns the input whose shape a card gives: where there are several, that which the card's sample names first.

    In a model of several networks it is the first one named `image`: the discriminator's behind a generator of noise.
    """
    images = [tensor for part in functional_parts(model) for tensor in part.inputs if tensor.name == "image"]
    if images and len(functional_parts(model)) > 1:
        return images[0]
    inputs, sample = functional_parts(model)[0].inputs, kerazoo.model_card(name).sample.inputs
    first = next(iter(sample)) if isinstance(sample, Mapping) else inputs[0].name
    return next(tensor for tensor in inputs if tensor.name == first)


def normalized_biases(model: keras.Model) -> set[int]:
    """Returns the ids of biases that a normalisation takes away: their gradient is zero up to rounding."""
    from kerazoo import _graph

    norms = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization)
    nodes = [node for part in functional_parts(model) for node in _graph.nodes(part)]
    producers = {id(out): node.operation for node in nodes for out in node.outputs}
    return {
        id(producers[id(tensor)].bias)
        for node in nodes
        if isinstance(node.operation, norms)
        for tensor in node.arguments.keras_tensors
        if getattr(producers[id(tensor)], "bias", None) is not None
    }


def run_forked(code: str, *arguments: str) -> str:
    """Runs code where Keras has been imported and nothing else, and returns what it printed last."""
    from tests import processes

    done = processes.run("-c", code, *arguments, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def run_python(code: str, *arguments: str) -> str:
    """Runs code in a fresh interpreter and returns what it printed last."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)  # what is run here has been counted; importing takes half as long
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def once(folder: Path, name: str, compute: Callable[[Path], Any]) -> Any:
    """Computes something once for all test processes of this run.

    Args:
        folder: A folder that belongs to one process; its parent is shared where there are several.
        name: Name of the result.
        compute: Called with a folder to work in; returns something for JSON.
    """
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    place, result = shared / name, shared / f"{name}.json"
    try:
        place.mkdir()
    except FileExistsError:
        for _ in range(3000):
            if result.exists():
                return json.loads(result.read_text())
            time.sleep(0.1)
        raise TimeoutError(f"{name} was not computed by the other test process") from None
    partial = place / "result.json"
    try:
        partial.write_text(json.dumps(compute(place)))
    except BaseException:
        partial.write_text("{}")
        raise
    finally:
        partial.rename(result)
    return json.loads(result.read_text())
