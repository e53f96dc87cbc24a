"""The networks are those of the papers: independent counts, and outputs of independent implementations."""

from __future__ import annotations

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
SMP = "segmentation_models_pytorch.Unet"
LEEJUNHYUN = "LeeJunHyun/Image_Segmentation, by hand"
ATOMAI = "pycroscopy/atomai, run"
BONLIME = "bonlime/keras-deeplab-v3-plus, run"
CAFFE = "the authors' Caffe definition, run"
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
    ("fcn32s", {}, 134_346_581, 136_152_917, CAFFE),
    ("fcn16s", {}, 134_357_354, 134_815_994, CAFFE),
    ("fcn8s", {}, 134_362_751, 134_489_759, CAFFE),
    ("fcn8s", {"paper_padding": True}, 134_362_751, 134_489_759, CAFFE),
    ("fcn8s", {"trainable_upsampling": True}, 134_489_759, 134_489_759, CAFFE),
    ("deconvnet", {}, 251_805_653, 251_839_061, CAFFE),
    ("segnet", {}, 29_449_355, 29_465_227, CAFFE),
    ("segnet", {"num_classes": 21}, 29_455_125, 29_470_997, CAFFE),
    ("attention_unet", {"num_classes": 1}, 34_877_421, 34_893_045, LEEJUNHYUN),
    ("attention_unet", {"input_shape": (64, 64, 3), "num_classes": 1}, 34_878_573, 34_894_197, LEEJUNHYUN),
    ("unet_plus_plus", {}, 9_041_601, 9_041_601, "stated in the authors' code"),
    ("unet_plus_plus", {"deep_supervision": True}, 9_041_700, 9_041_700, PAPER),
    ("unet_plus_plus", {"input_shape": (96, 96, 3)}, 9_042_177, 9_042_177, PAPER),
    ("resunet", {}, 8_223_809, 8_233_025, PAPER),
    ("unet3d", {}, 19_074_627, 19_079_299, PAPER),
    ("deeplab_v3_plus", {}, 41_055_413, 41_258_213, BONLIME),
    ("deeplab_v3_plus", {"num_classes": 19, "output_stride": 8}, 41_054_899, 41_257_699, BONLIME),
    ("deeplab_v3_plus", {"input_shape": (64, 64, 3), "backbone": "resnet50"}, 26_696_133, None, PAPER),
    ("hed", {}, 14_716_171, 14_716_171, CAFFE),
    ("hed", {"side_outputs": True}, 14_716_171, 14_716_171, CAFFE),
    ("reshednet", {}, 7_673_933, 7_681_875, ATOMAI),
    ("reshednet", {"num_classes": 3}, 7_674_873, 7_682_827, ATOMAI),
]


@pytest.mark.parametrize(("name", "options", "trainable", "total", "source"), COUNTS)
def test_counts(name: str, options: dict, trainable: int, total: int | None, source: str) -> None:
    with zoo.cheap_weights():
        model = kerazoo.create_model(name, **options)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == trainable, source
    assert total is None or model.count_params() == total, source


@pytest.mark.parametrize(
    ("name", "published"),
    [("unet3d", 19_069_955), ("resunet", 7_782_913)],
)
def test_published_counts_of_the_convolutions(name: str, published: int) -> None:
    """Both papers count the convolutions of the figure, without normalisation and shortcuts."""
    with zoo.cheap_weights():
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
    found = zoo.value(seeded.fill(model)(seeded.image(name, (2, *case["shape"]))))
    assert found.shape == expected(group, name).shape
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
