"""Weights of keras.applications: equal outputs, from files of both layouts, and refused as a whole or not at all.

There is no network here: the files are written by keras.applications itself with seeded weights, and the table of
addresses points to them. The images have an odd height and an even width, so that every rule of padding shows.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import seeded
import zoo

import kerazoo
from kerazoo.weights import imagenet

SHAPE = (97, 96, 3)
_APPS = keras.applications
# builder -> the class in keras.applications, its preprocessing, and settings of ours that must change the output
CASES: dict[str, tuple[Callable[..., keras.Model], Callable[[np.ndarray], np.ndarray], dict[str, dict[str, Any]]]] = {
    "resnet50": (_APPS.ResNet50, _APPS.resnet.preprocess_input, {"preprocess": {"offset": [-103.9, -116.8, -123.7]}}),
    "resnet50_v2_keras": (
        _APPS.ResNet50V2,
        _APPS.resnet_v2.preprocess_input,
        {
            "stage2_block1_bn0": {"epsilon": 1e-3},
            "stem_pool_pad": {"padding": ((0, 2), (0, 2))},
            "stage2_block1_relu2": {"activation": "gelu"},
        },
    ),
    "vgg16": (_APPS.VGG16, _APPS.vgg16.preprocess_input, {"stage4_relu2": {"activation": "gelu"}}),
    "densenet121": (
        _APPS.DenseNet121,
        _APPS.densenet.preprocess_input,
        {"stage3_layer2_bn2": {"epsilon": 1e-3}, "stem_pool_pad": {"padding": ((0, 2), (0, 2))}},
    ),
    "mobilenet": (
        _APPS.MobileNet,
        _APPS.mobilenet.preprocess_input,
        {
            "stage2_block1_pad": {"padding": ((1, 0), (1, 0))},
            "stage3_block1_depthwise_bn": {"epsilon": 1e-5},
            "stage4_block2_depthwise_act": {"activation": "relu"},
        },
    ),
    "mobilenet_v2": (
        _APPS.MobileNetV2,
        _APPS.mobilenet_v2.preprocess_input,
        {"stage3_block1_project_bn": {"epsilon": 1e-5}, "stage4_block2_expand_act": {"activation": "relu"}},
    ),
    "mobilenet_v3_small": (
        _APPS.MobileNetV3Small,
        np.asarray,
        {
            "stage3_block1_se_expand": {"activation": "sigmoid"},
            "stage3_block2_depthwise_act": {"activation": "swish"},
            "head_dense": {"activation": "swish"},
        },
    ),
    "mobilenet_v3_large": (_APPS.MobileNetV3Large, np.asarray, {"stage4_block1_depthwise_bn": {"epsilon": 1e-5}}),
    "efficientnet_b0": (
        _APPS.EfficientNetB0,
        lambda x: 255 * (seeded_mean() + (x / 255 - seeded_mean()) / np.sqrt(_STD)),
        {"stage2_block1_se_reduce": {"activation": "relu"}, "stage2_block1_depthwise_bn": {"epsilon": 1e-5}},
    ),
    "convnext_tiny": (
        _APPS.ConvNeXtTiny,
        np.asarray,
        {
            "stage1_block1_norm": {"epsilon": 1e-3},
            "stage2_block1_gelu": {"activation": "relu"},
            "head_norm": {"epsilon": 1e-3},
        },
    ),
}
_STD = np.array([0.229, 0.224, 0.225], "float32")


def seeded_mean() -> np.ndarray:
    return np.array([0.485, 0.456, 0.406], "float32")


def _theirs(build: Callable[..., keras.Model], **options: Any) -> keras.Model:
    """A network of keras.applications with seeded weights; its input normalisation is the published one."""
    with zoo.cheap_weights():
        model = build(weights=None, **{"input_shape": SHAPE, "classifier_activation": None, **options})
    seeded.fill(model)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([seeded_mean(), _STD, np.float32(0)])
            layer.finalize_state()
    return model


def _write(model: keras.Model, path: Path, bare: bool = False) -> Path:
    """Writes the layered layout; `bare` as the published files are, without the group around it."""
    model.save(path)
    if bare:
        with h5py.File(path, "r") as whole, h5py.File(path.with_suffix(".bare.h5"), "w") as file:
            group = whole["model_weights"]
            for key, value in group.attrs.items():
                file.attrs[key] = value
            for name in group:
                whole.copy(group[name], file)
        path.with_suffix(".bare.h5").replace(path)
    return path


def _publish(monkeypatch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    """Makes `weights="imagenet"` of a builder download this file, whatever the arguments."""
    row = imagenet.PUBLISHED[name]
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    hashes = dict.fromkeys(row.hashes, (digest, digest))
    changed = dataclasses.replace(row, url=path.with_suffix("").as_uri(), hashes=hashes, endings=(".h5", ".h5"))
    monkeypatch.setitem(imagenet.PUBLISHED, name, changed)
    (path.parent / "cache").mkdir()  # else Keras takes a folder that all users share
    cached = functools.partial(keras.utils.get_file, cache_dir=str(path.parent / "cache"))
    monkeypatch.setattr(keras.utils, "get_file", cached)


@pytest.mark.parametrize("name", CASES)
def test_imagenet_weights_of_keras_applications(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, preprocess, wrong = CASES[name]
    theirs = _theirs(build)
    _publish(monkeypatch, name, _write(theirs, tmp_path / "published.h5", bare=True))
    options: dict[str, Any] = {"classifier_activation": None, "include_preprocessing": True}
    with zoo.cheap_weights():
        ours = kerazoo.create_model(name, SHAPE, weights="imagenet", **options)
    x = np.random.default_rng(0).uniform(0, 255, (1, *SHAPE)).astype("float32")
    expected = zoo.value(theirs(preprocess(x.copy())))
    assert np.ptp(expected) > 1e-2
    assert seeded.difference(zoo.value(ours(x)), expected) < 1e-5
    for layer, change in wrong.items():
        found = zoo.value(zoo.mutated(ours, {layer: change})(x))
        assert seeded.difference(found, expected) > 1e-5, f"{layer} was not noticed"

    loaded = ours.get_weights()
    if imagenet.PUBLISHED[name].scaling == "caffe":
        loaded[0] = loaded[0][:, :, ::-1]  # a file given by its path is taken as it is
    theirs.save_weights(tmp_path / "a.weights.h5")
    for path in (_write(theirs, tmp_path / "whole.h5"), tmp_path / "a.weights.h5"):
        zoo.perturb(ours)
        kerazoo.load_weights(ours, path)
        assert all(np.array_equal(a, b) for a, b in zip(loaded, ours.get_weights(), strict=True)), path.name


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path, Path]:
    """The smallest published network, in both layouts."""
    folder = tmp_path_factory.mktemp("small")
    theirs = _theirs(_APPS.MobileNet, alpha=0.25)
    theirs.save_weights(folder / "a.weights.h5")
    return theirs, _write(theirs, folder / "a.h5"), folder / "a.weights.h5"


def _mobilenet(**options: Any) -> keras.Model:
    return kerazoo.mobilenet(**{"input_shape": SHAPE, "alpha": 0.25, **options})


@pytest.mark.parametrize("layout", [1, 2], ids=["legacy", "weights.h5"])
def test_another_number_of_classes(layout: int, small: tuple) -> None:
    with pytest.warns(UserWarning, match=r"everything is loaded but the classifier, which has 7 .* and 1000 in the"):
        model = _mobilenet(num_classes=7, weights=small[layout], name="mine")
    whole = _mobilenet(weights=small[layout])
    for a, b in zip(model.get_weights()[:-2], whole.get_weights()[:-2], strict=True):
        assert np.array_equal(a, b)
    assert model.output_shape == (None, 7)


@pytest.mark.parametrize("layout", [1, 2], ids=["legacy", "weights.h5"])
@pytest.mark.parametrize("top", [True, False])
def test_without_classifier(top: bool, layout: int, small: tuple, tmp_path: Path) -> None:
    theirs, path = small[0], small[layout]
    if not top:
        theirs = keras.Model(theirs.input, theirs.get_layer("conv_pw_13_relu").output)
        path = tmp_path / path.name
        _write(theirs, path) if layout == 1 else theirs.save_weights(path)
    model = _mobilenet(include_top=False, weights=path)
    x = seeded.image("x", (1, *SHAPE))
    expected = zoo.value(small[0](x)) if top else zoo.value(theirs(x))
    found = zoo.value(model(x))
    if top:
        whole = _mobilenet(weights=path, classifier_activation=None)
        assert seeded.difference(zoo.value(whole(x)), expected) < 1e-5
        expected = zoo.value(kerazoo.feature_extractor(whole, levels=("P5",))(x)["P5"])
    assert seeded.difference(found, expected) < 1e-5


def test_own_files_in_the_legacy_layout(tmp_path: Path) -> None:
    model = zoo.built("resnet20")
    path = _write(model, tmp_path / "own.h5")
    with zoo.cheap_weights():
        copy = zoo.fresh("resnet20", weights=path)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), copy.get_weights(), strict=True))
    with pytest.raises(ValueError, match=r"does not fit .*layer 'predictions' needs shape \(64, 7\)"):
        zoo.fresh("resnet20", num_classes=7, weights=path)


@pytest.mark.parametrize("layout", [1, 2], ids=["legacy", "weights.h5"])
@pytest.mark.parametrize(
    ("builder", "options", "message"),
    [
        ("mobilenet", {"alpha": 0.5}, r"layer 'stem_conv' needs shape \(3, 3, 3, 16\)\. Received: \(3, 3, 3, 8\)"),
        ("mobilenet", {"input_shape": (97, 96, 1)}, r"layer 'stem_conv' needs shape \(3, 3, 1, 32\)"),
        ("mobilenet_v2", {"alpha": 0.25}, r"does not fit 'mobilenet_v2'.* needs shape"),
        ("resnet50", {}, r"layer 'stem_conv' needs shape \(7, 7, 3, 64\)"),
        ("resnet20", {}, r"does not fit 'resnet20'"),
    ],
)
def test_weights_of_another_architecture(builder: str, options: dict, message: str, layout: int, small: tuple) -> None:
    with zoo.cheap_weights():
        model = kerazoo.create_model(builder, **{"input_shape": SHAPE, **options})
    zoo.perturb(model)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message) as caught:
        kerazoo.load_weights(model, small[layout])
    assert "\n" not in str(caught.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("layout", [1, 2], ids=["legacy", "weights.h5"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.95])
def test_truncated_file(part: float, layout: int, small: tuple, tmp_path: Path) -> None:
    content = small[layout].read_bytes()
    path = tmp_path / small[layout].name
    path.write_bytes(content[: int(part * len(content))])
    with zoo.cheap_weights():
        model = _mobilenet()
    before = model.get_weights()
    with pytest.raises(ValueError, match="no readable weights file"):
        kerazoo.load_weights(model, path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_download_that_is_not_the_published_file(
    small: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "published.h5"
    path.write_bytes(small[1].read_bytes())
    _publish(monkeypatch, "mobilenet", path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"hash|[Cc]orrupted"):
        _mobilenet(weights="imagenet")


@pytest.mark.parametrize(
    ("builder", "options", "message"),
    [
        ("resnet18", {}, "no ImageNet weights of 'resnet18': keras.applications has ResNet 50, 101 and 152 only"),
        ("resnet20", {}, "no ImageNet weights of 'resnet20': keras.applications has no such network"),
        ("resnet50_v2", {}, "another network, kerazoo.resnet50_v2_keras"),
        ("resnet50", {"stride_in": "3x3"}, r"stride_in='1x1'"),
        ("resnet50", {"input_shape": (64, 64, 1)}, "3 channels"),
        ("mobilenet", {"alpha": 0.3}, r"there are those with alpha=0.25, .*Received: alpha=0\.3"),
        ("mobilenet_v2", {"alpha": 2}, "alpha=0.35"),
        ("mobilenet_v3_small", {"minimalistic": True, "alpha": 0.75}, r"minimalistic=True and alpha=1\.0"),
        ("mobilenet", {"weights": "imagenette"}, "must be None, one of 'imagenet' or the path"),
    ],
)
def test_refused_combinations(builder: str, options: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_download(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing must be downloaded")

    monkeypatch.setattr(keras.utils, "get_file", no_download)
    with zoo.cheap_weights(), pytest.raises(ValueError, match=message) as caught:
        kerazoo.create_model(builder, **{"weights": "imagenet", **options})
    assert "\n" not in str(caught.value)


def test_addresses() -> None:
    """The table as keras.applications has it; a wrong word would show only on the day somebody downloads."""
    base = "https://storage.googleapis.com/tensorflow/keras-applications"
    options = {"input_shape": (160, 160, 3), "alpha": 0.5, "minimalistic": False}
    expected = {
        "mobilenet": f"{base}/mobilenet/mobilenet_5_0_160_tf",
        "mobilenet_v2": f"{base}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.5_160",
        "vgg16": f"{base}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels",
    }
    for name, url in expected.items():
        assert imagenet.variant(name, options if name != "vgg16" else {}).url == url
    small = imagenet.variant("mobilenet_v3_small", {**options, "alpha": 1.0, "minimalistic": True})
    assert small.url == f"{base}/mobilenet_v3/weights_mobilenet_v3_small_minimalistic_224_1.0"
    for name in imagenet.PUBLISHED:
        if name in kerazoo.list_models():
            assert kerazoo.model_card(name).weights == ("imagenet",)
