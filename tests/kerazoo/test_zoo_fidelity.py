"""The networks are those of the papers: independent counts, and outputs of independent implementations."""

from __future__ import annotations

import gc
import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import seeded
import zoo
from recorded import CASES, expected

import kerazoo
from kerazoo import _graph
from kerazoo.catalog import builder_parameters

_REFERENCES = Path(__file__).parent / "references"
COUNTS = [row for path in sorted(_REFERENCES.glob("counts*.json")) for row in json.loads(path.read_text())]
"""Builder, its arguments, trainable parameters, all of them (null where the source does not say), the source."""


@pytest.mark.parametrize("row", COUNTS, ids=lambda row: f"{row['builder']} {[*row['arguments'].values()]}")
def test_counts(row: dict[str, Any]) -> None:
    with zoo.weightless():
        model = kerazoo.create_model(row["builder"], **row["arguments"])
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == row["trainable"], row["source"]
    assert row["total"] in (None, model.count_params()), row["source"]


def test_every_network_of_a_paper_has_an_independent_count() -> None:
    """The others are general: their widths are arguments."""
    assert set(kerazoo.list_models()) - {row["builder"] for row in COUNTS} == {"cnn", "unet_small"}


@pytest.mark.parametrize(
    ("name", "published"),
    [("unet3d", 19_069_955), ("resunet", 7_782_913)],
)
def test_published_counts_of_the_convolutions(name: str, published: int) -> None:
    """Both papers count the convolutions of the figure, without normalisation and shortcuts."""
    with zoo.weightless():
        model = kerazoo.create_model(name)
    norms = keras.layers.BatchNormalization
    counted = [layer for layer in model.layers if not isinstance(layer, norms) and "shortcut" not in layer.name]
    assert sum(layer.count_params() for layer in counted) == published


@pytest.mark.parametrize(("group", "name"), CASES)
def test_recorded_outputs_of_pytorch(group: str, name: str) -> None:
    """The logits that an implementation of our own in PyTorch gave for the same seeded weights and images."""
    case = CASES[group, name]
    with zoo.cheap_weights():
        model = kerazoo.create_model(case["builder"], case["shape"], 10, classifier_activation=None, **case["options"])
    found = seeded.fill(model)(seeded.image(name, (2, *case["shape"])))
    assert seeded.difference(found, expected(group, name)) < 5e-6


def _our_name(theirs: str) -> str:
    """keras.applications' layer name -> ours: conv3_block1_0_conv -> stage2_block1_shortcut_conv."""
    if theirs.startswith("conv1_"):
        return theirs.replace("conv1", "stem")
    if theirs == "predictions":
        return theirs
    stage, block, index, kind = theirs.removeprefix("conv").split("_")
    own = f"shortcut_{kind}" if index == "0" else f"{kind}{index}"
    return f"stage{int(stage) - 1}_{block}_{own}"


@pytest.fixture(scope="module")
def resnet50_of_keras() -> keras.Model:
    with zoo.cheap_weights():
        theirs = keras.applications.ResNet50(weights=None, input_shape=(97, 97, 3), classifier_activation=None)
    return seeded.fill(theirs)


def _transplant(theirs: keras.Model, ours: keras.Model) -> None:
    """Copies all weights by name; a bias in front of a batch normalisation goes into its moving mean."""
    done = set()
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            ours.get_layer(_our_name(layer.name)).set_weights([kernel])
            norm = theirs.get_layer(f"{layer.name[:-5]}_bn")
            gamma, beta, mean, variance = norm.get_weights()
            ours.get_layer(_our_name(norm.name)).set_weights([gamma, beta, mean - bias, variance])
            done |= {_our_name(layer.name), _our_name(norm.name)}
        elif isinstance(layer, keras.layers.Dense):
            ours.get_layer("predictions").set_weights(layer.get_weights())
            done.add("predictions")
    assert done == {layer.name for layer in ours.layers if layer.weights}


def test_resnet50_of_keras_applications(resnet50_of_keras: keras.Model) -> None:
    with zoo.cheap_weights():
        ours = kerazoo.resnet50((97, 97, 3), classifier_activation=None)
    _transplant(resnet50_of_keras, ours)
    x = seeded.image("resnet50", (1, 97, 97, 3))
    theirs = zoo.value(resnet50_of_keras(x))
    assert np.ptp(theirs) > 1e-2
    assert seeded.difference(zoo.value(ours(x)), theirs) < 1e-5

    wrong = {
        "padding side": {"stem_conv_pad": {"padding": ((4, 2), (4, 2))}},
        "pool padding": {"stem_pool_pad": {"padding": ((0, 2), (0, 2))}},
        "one epsilon": {"stage3_block2_bn2": {"epsilon": 1e-3}},
        "one activation": {"stage2_block3_relu2": {"activation": "gelu"}},
    }
    for name, change in wrong.items():
        assert seeded.difference(zoo.value(zoo.mutated(ours, change)(x)), theirs) > 1e-5, f"{name} was not noticed"
    with zoo.cheap_weights():
        other = kerazoo.resnet50((97, 97, 3), classifier_activation=None, stride_in="3x3")
    other.set_weights(ours.get_weights())
    assert seeded.difference(zoo.value(other(x)), theirs) > 1e-2


def test_the_difference_of_keras_resnet50_is_its_biases(resnet50_of_keras: keras.Model) -> None:
    biases = sum(math.prod(w.shape) for w in resnet50_of_keras.weights if "conv" in w.path and w.path.endswith("bias"))
    assert biases == 26_560
    assert resnet50_of_keras.count_params() == 25_610_152 + biases


# Table I of LeCun et al. (1998): the maps of S2 (rows) that the maps of C3 (columns) see.
_TABLE_I = [
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
]
_C3_SEES = [[row for row in range(6) if _TABLE_I[row][column] == "X"] for column in range(16)]


def _squash(a: np.ndarray) -> np.ndarray:
    return 1.7159 * np.tanh(2 * a / 3)


def _convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.einsum("nhwcij,ijco->nhwo", windows, kernel)


def _lenet5_by_hand(x: np.ndarray, weights: dict[str, list[np.ndarray]]) -> np.ndarray:
    """Section II.B of the paper in NumPy: minus the squared distances to the codes."""

    def subsample(x: np.ndarray, name: str) -> np.ndarray:
        kernel, bias = weights[name]
        four = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
        return _squash(four * kernel.reshape(-1) + bias)

    c1 = _squash(_convolve(x, weights["c1"][0]) + weights["c1"][1])
    s2 = subsample(c1, "s2")
    links, bias = weights["c3"]
    kernel, link = np.zeros((5, 5, 6, 16)), 0
    for column, rows in enumerate(_C3_SEES):
        for row in rows:
            kernel[:, :, row, column] = links[:, :, link]
            link += 1
    assert link == links.shape[-1] == 60
    s4 = subsample(_squash(_convolve(s2, kernel) + bias), "s4")
    c5 = _squash(_convolve(s4, weights["c5"][0]) + weights["c5"][1])
    f6 = _squash(c5.reshape(len(x), 120) @ weights["f6"][0] + weights["f6"][1])
    return -((f6[:, None] - weights["predictions"][0]) ** 2).sum(-1)


def test_lenet5_by_hand() -> None:
    model = kerazoo.lenet5(classifier_activation=None)
    zoo.perturb(model)
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    x = np.random.default_rng(0).uniform(-0.1, 1.175, (3, 32, 32, 1)).astype("float32")
    assert seeded.difference(zoo.value(model(x)), _lenet5_by_hand(x, weights)) < 1e-5


def test_lenet5_starts_within_the_papers_bounds() -> None:
    """Uniform between -2.4 / F and 2.4 / F, where F is the number of inputs of the unit."""
    fan_in = {"c1": 25, "s2": 4, "c3": np.repeat([25 * len(s) for s in _C3_SEES], [len(s) for s in _C3_SEES])}
    fan_in |= {"s4": 4, "c5": 400, "f6": 120}
    builds = [kerazoo.lenet5() for _ in range(10)]
    for name, incoming in fan_in.items():
        relative = np.stack([build.get_layer(name).get_weights()[0] for build in builds]) * incoming / 2.4
        assert 0.85 < np.abs(relative).max() < 1 + 1e-6, name
        assert abs(relative.std() * math.sqrt(3) - 1) < 3 / math.sqrt(relative.size), name
        if name == "c3":
            assert np.all(np.abs(relative).max(axis=(0, 1, 2)) > 0.85)


_NORMALIZED = ("resnet", "resnet_cifar", "unet", "cnn", "mlp")


@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.family in _NORMALIZED))
def test_batch_normalisation_of_the_papers_code(name: str) -> None:
    """Momentum 0.9 (PyTorch's 0.1) and epsilon 1e-5, not Keras's 0.99 and 1e-3."""
    options = {"normalization": "batch"} if "normalization" in builder_parameters(name) else {}
    with zoo.cheap_weights():
        layers = zoo.fresh(name, **options).layers
    found = {(n.momentum, n.epsilon) for n in layers if isinstance(n, keras.layers.BatchNormalization)}
    assert found == {(0.9, 1e-5)}


@pytest.mark.parametrize(("name", "kind"), [("cnn", "layer"), ("cnn", "group"), ("mlp", "layer")])
def test_other_normalisations(name: str, kind: str) -> None:
    layers = zoo.fresh(name, normalization=kind).layers
    assert {layer.epsilon for layer in layers if "Normalization" in type(layer).__name__} == {1e-5}


_UNET_DROPOUT = {"stage2_out": ("stage2_relu2", 0.5), "stage3_out": ("stage3_relu2", 0.5)}
DROPOUTS: list[tuple[str, dict[str, Any], dict[str, tuple[str, float]]]] = [
    # builder, arguments, dropout layer -> the layer before it and its rate
    ("unet", {"depth": 2}, _UNET_DROPOUT),
    ("unet_small", {"depth": 2}, _UNET_DROPOUT),
    ("unet", {"depth": 2, "dropout_rate": 0.0}, {}),
    ("resnet18", {}, {"head_dropout": ("avg_pool", 0.0)}),
    ("resnet50", {"dropout_rate": 0.2}, {"head_dropout": ("avg_pool", 0.2)}),
    ("resnet20", {"dropout_rate": 0.2}, {"head_dropout": ("avg_pool", 0.2)}),
    ("lenet5", {}, {"head_dropout": ("f6_tanh", 0.0)}),
    ("lenet5", {"variant": "common", "dropout_rate": 0.2}, {"head_dropout": ("f6_tanh", 0.2)}),
    ("mlp", {}, {}),
    (
        "mlp",
        {"dropout_rate": 0.2},
        {"hidden1_dropout": ("hidden1_act", 0.2), "hidden2_dropout": ("hidden2_act", 0.2)},
    ),
    (
        "cnn",
        {"filters": (4, 4), "spatial_dropout_rate": 0.1, "dropout_rate": 0.3},
        {
            "stage1_dropout": ("stage1_act1", 0.1),
            "stage2_dropout": ("stage2_act1", 0.1),
            "head_dropout": ("avg_pool", 0.3),
        },
    ),
]


@pytest.mark.parametrize(("name", "options", "places"), DROPOUTS)
def test_dropout(name: str, options: dict, places: dict[str, tuple[str, float]]) -> None:
    with zoo.cheap_weights():
        model = zoo.fresh(name, **options)
    kinds = (keras.layers.Dropout, keras.layers.SpatialDropout2D)
    found = {}
    for node in _graph.nodes(model):
        if isinstance(node.operation, kinds):
            (tensor,) = node.arguments.keras_tensors
            before = next(other for other in _graph.nodes(model) if any(tensor is out for out in other.outputs))
            found[node.operation.name] = (before.operation.name, node.operation.rate)
    assert found == places


_CLASSIFIER = {"include_top": True, "pooling": None, "classifier_activation": "softmax", "dropout_rate": 0.0}
_COMMON = {"include_preprocessing": False, "weights": None, "dtype": None}
_RESNET = {"stride_in": "1x1", **_CLASSIFIER}
_CIFAR = {"shortcut": "A", "pad": "end", **_CLASSIFIER}
_UNET = {"padding": "same", "backbone": None, "classifier_activation": "auto", "dropout_rate": 0.5}
_PENALTIES = {"l1": 0.0, "l2": 0.0}
_CNN = {
    **{"filters": (32, 64, 128), "kernel_size": 3, "strides": 1, "convs_per_stage": 1, "downsampling": "max"},
    **{"pool_size": 2, "normalization": "batch", "groups": 8, "activation": "relu", "kernel_initializer": "he_normal"},
    **{"spatial_dropout_rate": 0.0, **_PENALTIES, **_CLASSIFIER},
}
_MLP = {
    **{"hidden_units": (300, 100), "activation": "sigmoid", "normalization": None, "dropout_rate": 0.0},
    **{"kernel_initializer": "glorot_uniform", "output_activation": "softmax", **_PENALTIES},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), _RESNET),
    **dict.fromkeys(("resnet20", "resnet32", "resnet56", "resnet110"), _CIFAR),
    "lenet5": {"variant": "original", "codes": None, **_CLASSIFIER},
    "cnn": _CNN,
    "mlp": _MLP,
    "perceptron": {"output_activation": "step"},
    "unet": {"filters": 64, "depth": 4, "normalization": None, **_UNET},
    "unet_small": {"filters": 16, "depth": 3, "normalization": "batch", **_UNET},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_arguments(name: str) -> None:
    """Those of the papers; the two positional ones are the card's (test_zoo_cards)."""
    own = dict(list(builder_parameters(name).items())[2:])
    assert own == {**DEFAULTS[name], **_COMMON, "name": name}


_GELU = {"activation": "gelu"}
_DENSENET_MUTATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "padding side": {"stem_conv_pad": {"padding": ((4, 2), (4, 2))}},
    "pool padding": {"stem_pool_pad": {"padding": ((0, 2), (0, 2))}},
    "one epsilon": {"stage3_layer2_bn2": {"epsilon": 1e-3}},
    "one activation": {"stage4_layer3_relu1": _GELU},
}
IN_ORDER: list[tuple[str, str, dict[str, Any], tuple[int, int], dict[str, dict[str, dict[str, Any]]]]] = [
    # builder, that of keras.applications, arguments of both, size, what must be noticed
    ("vgg16", "VGG16", {}, (65, 97), {"one activation": {"stage4_relu2": _GELU}, "head": {"fc1_relu": _GELU}}),
    ("vgg19", "VGG19", {"include_top": False}, (97, 65), {"one activation": {"stage5_relu1": _GELU}}),
    ("densenet121", "DenseNet121", {}, (97, 97), _DENSENET_MUTATIONS),
    ("densenet169", "DenseNet169", {}, (97, 65), {}),
    ("densenet201", "DenseNet201", {}, (65, 97), {}),
]


@pytest.mark.parametrize(("name", "theirs", "options", "size", "wrong"), IN_ORDER, ids=[row[0] for row in IN_ORDER])
def test_keras_applications_in_order(name: str, theirs: str, options: dict, size: tuple, wrong: dict) -> None:
    """The same random weights, layer by layer, give the same logits, and those of a changed network differ."""
    shape = (*size, 3)
    options = {**options, "classifier_activation": None}
    gc.collect()
    with zoo.cheap_weights():
        reference = getattr(keras.applications, theirs)(weights=None, input_shape=shape, classes=10, **options)
        ours = kerazoo.create_model(name, shape, 10, **options)
    seeded.fill(reference)
    pairs = zip(*([layer for layer in model.layers if layer.weights] for model in (reference, ours)), strict=True)
    for source, target in pairs:
        assert type(source) is type(target)
        target.set_weights(source.get_weights())
    x = seeded.image(name, (1, *shape))
    expected = zoo.value(reference(x))
    assert np.ptp(expected) > 1e-2
    assert seeded.difference(ours(x), expected) < 1e-5
    for what, change in wrong.items():
        assert seeded.difference(zoo.mutated(ours, change)(x), expected) > 1e-5, f"{what} was not noticed"
