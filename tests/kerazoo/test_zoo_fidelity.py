"""The networks are those of the papers: independent counts, and outputs of independent implementations."""

from __future__ import annotations

import gc
import math
from typing import Any

import keras
import numpy as np
import pytest
import seeded
import zoo
from recorded import CASES, expected

import kerazoo

TORCHVISION = "torchvision.models, parameters and running statistics"
AKAMASTER = "akamaster/pytorch_resnet_cifar10, run; option B by hand"
PAPER = "the paper's widths by hand"
BVLC = "BVLC reference model, the authors' layers run"
KERAS = "keras.applications, torchvision.models"
SMP = "segmentation_models_pytorch.Unet"
COUNTS: list[tuple[str, dict[str, Any], int, int | None, str]] = [
    # builder, arguments, trainable, total (None where the source does not give it), source
    ("mlp", {}, 266_610, 266_610, PAPER),
    ("mlp", {"hidden_units": (300,)}, 238_510, 238_510, PAPER),
    ("mlp", {"hidden_units": (512, 512)}, 669_706, 669_706, PAPER),
    ("perceptron", {"input_shape": (2,), "num_outputs": 1}, 3, 3, PAPER),
    ("lenet5", {}, 60_000, 60_840, "LeCun et al. 1998"),
    ("lenet5", {"variant": "common"}, 61_706, 61_706, PAPER),
    ("resnet18", {}, 11_689_512, 11_699_112, TORCHVISION),
    ("resnet34", {}, 21_797_672, 21_814_696, TORCHVISION),
    ("resnet50", {}, 25_557_032, 25_610_152, TORCHVISION),
    ("resnet50", {"include_top": False}, 23_508_032, 23_561_152, "TensorFlow Model Garden, KerasHub"),
    ("resnet50", {"stride_in": "3x3"}, 25_557_032, 25_610_152, TORCHVISION),
    ("resnet101", {}, 44_549_160, 44_654_504, TORCHVISION),
    ("resnet152", {}, 60_192_808, 60_344_232, TORCHVISION),
    ("resnet20", {}, 269_722, 271_098, AKAMASTER),
    ("resnet32", {}, 464_154, 466_426, AKAMASTER),
    ("resnet56", {}, 853_018, 857_082, AKAMASTER),
    ("resnet110", {}, 1_727_962, 1_736_058, AKAMASTER),
    ("resnet20", {"shortcut": "B"}, 272_474, 274_042, AKAMASTER),
    ("resnet32", {"shortcut": "B"}, 466_906, 469_370, AKAMASTER),
    ("resnet56", {"shortcut": "B"}, 855_770, 860_026, AKAMASTER),
    ("resnet110", {"shortcut": "B"}, 1_730_714, 1_739_002, AKAMASTER),
    ("alexnet", {}, 60_965_224, 60_965_224, BVLC),
    (
        "alexnet",
        {"input_shape": (224, 224, 3), "variant": "one_tower"},
        61_100_840,
        61_100_840,
        TORCHVISION,
    ),
    ("zfnet", {}, 62_357_608, 62_357_608, PAPER),
    ("vgg11", {}, 132_863_336, 132_863_336, TORCHVISION),
    ("vgg13", {}, 133_047_848, 133_047_848, TORCHVISION),
    ("vgg16", {}, 138_357_544, 138_357_544, KERAS),
    ("vgg19", {}, 143_667_240, 143_667_240, KERAS),
    ("vgg16", {"include_top": False}, 14_714_688, 14_714_688, KERAS),
    ("vgg19", {"include_top": False}, 20_024_384, 20_024_384, KERAS),
    ("vgg11", {"normalization": "batch"}, 132_868_840, 132_874_344, TORCHVISION),
    ("vgg13", {"normalization": "batch"}, 133_053_736, 133_059_624, TORCHVISION),
    ("vgg16", {"normalization": "batch"}, 138_365_992, 138_374_440, TORCHVISION),
    ("vgg19", {"normalization": "batch"}, 143_678_248, 143_689_256, TORCHVISION),
    ("googlenet", {}, 6_998_552, 6_998_552, BVLC),
    ("googlenet", {"auxiliary_heads": True}, 13_378_280, 13_378_280, BVLC),
    ("squeezenet1_0", {}, 1_248_424, 1_248_424, "the authors' release, torchvision.models"),
    ("squeezenet1_1", {}, 1_235_496, 1_235_496, "the authors' release, torchvision.models"),
    ("densenet121", {}, 7_978_856, 8_062_504, KERAS),
    ("densenet169", {}, 14_149_480, 14_307_880, KERAS),
    ("densenet201", {}, 20_013_928, 20_242_984, KERAS),
    ("densenet121", {"include_top": False}, 6_953_856, 7_037_504, KERAS),
    ("densenet_cifar", {"variant": "basic", "depth": 40}, 1_019_722, 1_037_818, PAPER),
    ("densenet_cifar", {}, 769_162, 793_150, PAPER),
    ("densenet_cifar", {"depth": 250, "growth_rate": 24}, 15_324_406, 15_582_382, PAPER),
    ("densenet_cifar", {"depth": 190, "growth_rate": 40}, 25_624_430, 25_881_390, PAPER),
    ("unet", {}, 31_030_658, 31_030_658, PAPER),
    ("unet", {"input_shape": (572, 572, 1), "padding": "valid"}, 31_030_658, 31_030_658, PAPER),
    ("unet", {"num_classes": 1}, 31_030_593, 31_030_593, PAPER),
    ("unet", {"input_shape": (256, 256, 3), "num_classes": 21}, 31_033_045, 31_033_045, PAPER),
    ("unet", {"num_classes": 1, "normalization": "batch"}, 31_042_369, 31_054_145, PAPER),
    (
        "unet",
        {"input_shape": (64, 64, 1), "num_classes": 1, "filters": 32},
        7_759_521,
        7_759_521,
        "U-Net++ code",
    ),
    ("unet", {"input_shape": (64, 64, 3), "num_classes": 1, "backbone": "resnet50"}, 32_521_105, None, SMP),
    ("unet", {"input_shape": (64, 64, 3), "num_classes": 1, "backbone": "resnet34"}, 24_436_369, None, SMP),
]


@pytest.mark.parametrize(("name", "options", "trainable", "total", "source"), COUNTS)
def test_counts(name: str, options: dict, trainable: int, total: int | None, source: str) -> None:
    gc.collect()  # a VGG takes half a gigabyte, and models are freed by the collector only
    with zoo.cheap_weights():
        model = kerazoo.create_model(name, **options)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == trainable, source
    assert total is None or model.count_params() == total, source


@pytest.mark.parametrize(("group", "name"), CASES)
def test_recorded_outputs_of_pytorch(group: str, name: str) -> None:
    """The logits that an implementation of our own in PyTorch gave for the same seeded weights and images."""
    case = CASES[group, name]
    with zoo.cheap_weights():
        model = kerazoo.create_model(case["builder"], case["shape"], 10, classifier_activation=None, **case["options"])
    found = seeded.fill(model)(seeded.image(name, (2, *case["shape"])))
    assert seeded.difference(found, expected(group, name)) < 1e-5


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


def _mutated(model: keras.Model, change: dict[str, dict[str, Any]]) -> keras.Model:
    """Returns the model with other settings of some layers and the same weights."""
    config = model.get_config()
    for layer in config["layers"]:
        layer["config"].update(change.get(layer["config"]["name"], {}))
    with zoo.cheap_weights():
        twin = type(model).from_config(config)
    twin.set_weights(model.get_weights())
    return twin


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
        assert seeded.difference(zoo.value(_mutated(ours, change)(x)), theirs) > 1e-5, f"{name} was not noticed"
    with zoo.cheap_weights():
        other = kerazoo.resnet50((97, 97, 3), classifier_activation=None, stride_in="3x3")
    other.set_weights(ours.get_weights())
    assert seeded.difference(zoo.value(other(x)), theirs) > 1e-2


def test_the_difference_of_keras_resnet50_is_its_biases(resnet50_of_keras: keras.Model) -> None:
    biases = sum(math.prod(w.shape) for w in resnet50_of_keras.weights if "conv" in w.path and w.path.endswith("bias"))
    assert biases == 26_560
    assert resnet50_of_keras.count_params() == 25_610_152 + biases


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
        assert seeded.difference(_mutated(ours, change)(x), expected) > 1e-5, f"{what} was not noticed"
