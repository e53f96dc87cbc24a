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
from kerazoo import _graph
from kerazoo.catalog import builder_parameters

TORCHVISION = "torchvision.models, parameters and running statistics"
AKAMASTER = "akamaster/pytorch_resnet_cifar10, run; option B by hand"
TIMM = "timm's resnetv2 code, run"
KERAS = "keras.applications"
PAPER = "the paper's widths by hand"
BVLC = "BVLC reference model, the authors' layers run"
KERAS = "keras.applications, torchvision.models"
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
    ("perceptron", {}, 7_850, 7_850, PAPER),
    ("adaline", {}, 785, 785, PAPER),
    ("rbf", {}, 1_010, 79_510, "M d + M + (M + 1) o by hand"),
    ("rbf", {"trainable_centres": True, "trainable_widths": True}, 79_510, 79_510, "M d + M + (M + 1) o by hand"),
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
    ("resnet18_v2", {}, 11_687_720, 11_695_528, TIMM),
    ("resnet34_v2", {}, 21_795_880, 21_811_112, TIMM),
    ("resnet50_v2", {}, 25_549_352, 25_594_792, TIMM),
    ("resnet101_v2", {}, 44_541_480, 44_639_144, TIMM),
    ("resnet152_v2", {}, 60_185_128, 60_328_872, TIMM),
    ("resnet50_v2_keras", {}, 25_568_360, 25_613_800, KERAS),
    ("resnet50_v2_keras", {"include_top": False}, 23_519_360, 23_564_800, KERAS),
    ("resnet101_v2_keras", {}, 44_577_896, 44_675_560, KERAS),
    ("resnet152_v2_keras", {}, 60_236_904, 60_380_648, KERAS),
    ("mobilenet", {}, 4_231_976, 4_253_864, KERAS),
    ("mobilenet", {"include_top": False}, 3_206_976, 3_228_864, KERAS),
    ("mobilenet", {"alpha": 0.75}, 2_585_560, 2_601_976, KERAS),
    ("mobilenet", {"alpha": 0.5}, 1_331_592, 1_342_536, KERAS),
    ("mobilenet", {"alpha": 0.25}, 470_072, 475_544, KERAS),
    ("mobilenet_v2", {}, 3_504_872, 3_538_984, KERAS),
    ("mobilenet_v2", {"alpha": 0.5}, 1_968_680, 1_987_224, KERAS),
    ("mobilenet_v2", {"alpha": 1.4}, 6_108_776, 6_156_712, KERAS),
    ("mobilenet_v3_small", {}, 2_542_856, 2_554_968, KERAS),
    ("mobilenet_v3_small", {"alpha": 0.75}, 2_041_872, 2_051_552, KERAS),
    ("mobilenet_v3_small", {"minimalistic": True}, 2_044_736, 2_056_848, KERAS),
    ("mobilenet_v3_large", {}, 5_483_032, 5_507_432, KERAS),
    ("mobilenet_v3_large", {"alpha": 0.75}, 3_993_528, 4_012_616, KERAS),
    ("mobilenet_v3_large", {"minimalistic": True}, 3_924_288, 3_948_688, KERAS),
    ("mobilenet_v3_large", {"include_top": False}, 2_971_952, 2_996_352, KERAS),
    ("efficientnet_b0", {}, 5_288_548, 5_330_564, "torchvision.models"),
    ("convnext_tiny", {}, 28_589_128, 28_589_128, KERAS),
    (
        "convnext_tiny",
        {"include_top": False},
        27_818_592,
        27_818_592,
        "keras.applications, less a final norm of 2 * 768",
    ),
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
    gc.collect()  # a VGG takes half a gigabyte, and models are freed by the collector only
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
