"""What is special about single families."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo import catalog
from kerazoo.segmentation.unet import valid_output_size

GATE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_perceptron_follows_rosenblatts_rule(rate: float) -> None:
    """Plain SGD with a batch of one is w += eta (t - y) x, sample by sample."""
    random = np.random.default_rng(0)
    x, t = random.normal(size=(40, 6)).astype("float32"), random.integers(0, 2, (40, 3)).astype("float32")
    model = kerazoo.perceptron((6,), 3)
    model.compile(keras.optimizers.SGD(rate), run_eagerly=True)
    model.fit(x, t, batch_size=1, shuffle=False, verbose=0)
    w, b = np.zeros((6, 3)), np.zeros(3)
    for sample, target in zip(x, t, strict=True):
        error = target - (sample @ w + b >= 0)
        w, b = w + rate * np.outer(sample, error), b + rate * error
    np.testing.assert_allclose(model.get_weights()[0], w, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], b, atol=1e-5)


@pytest.mark.parametrize(("targets", "learnable"), [([0, 0, 0, 1], True), ([0, 1, 1, 1], True), ([0, 1, 1, 0], False)])
def test_perceptron_gates(targets: list[int], learnable: bool) -> None:
    """AND and OR are linearly separable, XOR is not."""
    model = kerazoo.perceptron((2,), 1)
    model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
    model.fit(GATE, np.array(targets), batch_size=1, epochs=15, verbose=0)
    assert np.array_equal(model.predict(GATE, verbose=0).ravel(), targets) == learnable


def test_perceptron_as_a_classifier() -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 4, 4, 1)) * 3
    y = random.integers(0, 3, 300)
    x = (centres[y] + random.normal(size=(300, 4, 4, 1))).astype("float32")
    model = kerazoo.perceptron((4, 4, 1), 3, output_activation="softmax")
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    history = model.fit(x, y, epochs=3, batch_size=4, verbose=0, sample_weight=np.ones(300))
    assert history.history["accuracy"][-1] > 0.95
    step = kerazoo.perceptron((4, 4, 1), 3)
    step.set_weights(model.get_weights())
    assert set(np.unique(step.predict(x, verbose=0))) == {0.0, 1.0}


def test_lenet5_counts_and_codes() -> None:
    from kerazoo.convnets.lenet import digit_codes

    model = kerazoo.lenet5()
    counts = {layer.name: layer.count_params() for layer in model.layers if layer.weights}
    # the paper, layer by layer
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164, "predictions": 840}
    assert kerazoo.lenet5(variant="common").count_params() == 61_706
    codes = digit_codes()
    assert codes.shape == (10, 84)
    assert set(np.unique(codes)) == {-1.0, 1.0}
    distances = ((codes[:, None] - codes[None]) ** 2).sum(-1) + 1000 * np.eye(10)
    assert distances.min() >= 16, "two digits' bitmaps are too much alike"


def test_lenet5_output_is_the_softmax_of_minus_the_distance() -> None:
    x = np.random.default_rng(0).uniform(-0.1, 1.2, (3, 32, 32, 1)).astype("float32")
    model = kerazoo.lenet5()
    f6 = keras.Model(model.input, model.get_layer("f6_tanh").output)(x)
    from kerazoo.convnets.lenet import digit_codes

    penalty = ((np.array(f6)[:, None, :] - digit_codes()) ** 2).sum(-1)
    expected = np.exp(-penalty) / np.exp(-penalty).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.array(model(x)), expected, rtol=1e-3)
    codes = np.sign(np.random.default_rng(1).normal(size=(3, 84))).tolist()
    own = kerazoo.lenet5(num_classes=3, codes=codes, classifier_activation=None)
    assert np.array_equal(np.array(own.get_layer("predictions").centres), codes)
    with pytest.raises(ValueError, match="codes belong to variant='original'"):
        kerazoo.lenet5(variant="common", codes=codes)


def test_lenet5_partial_connections() -> None:
    """Map 0 of C3 sees maps 0 to 2 of S2 and no other (table I of the paper)."""
    layer = kerazoo.lenet5().get_layer("c3")
    x = np.random.default_rng(0).normal(size=(1, 14, 14, 6)).astype("float32")
    before = np.array(layer(x))
    x[..., 3] += 1
    changed = np.any(before != np.array(layer(x)), axis=(0, 1, 2))
    sees = [3 in sources for sources in layer.connections]
    assert changed.tolist() == sees
    assert sum(sees) == 10


@pytest.mark.parametrize(
    "options",
    [
        {"input_shape": (50, 2), "kernel_size": 5},
        {"input_shape": (None, 2), "downsampling": "average", "normalization": "layer"},
        {"activation": "prelu", "normalization": "group", "groups": 4},
        {"activation": "elu", "normalization": None, "kernel_initializer": "orthogonal"},
        {"activation": "gelu", "kernel_initializer": "glorot_uniform", "l1": 1e-4, "l2": 1e-3},
        {"strides": 2, "downsampling": None, "convs_per_stage": (1, 2, 3)},
        {"spatial_dropout_rate": 0.2, "dropout_rate": 0.3, "kernel_size": (7, 5, 3)},
    ],
    ids=str,
)
def test_cnn_options_train(options: dict) -> None:
    model = zoo.fresh("cnn", **options)
    shape = [16 if size is None else size for size in model.input_shape[1:]]
    random = np.random.default_rng(0)
    x, y = random.normal(size=(4, *shape)).astype("float32"), random.integers(0, 5, 4)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    before = model.get_weights()
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"][0])
    moved = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert np.mean(moved) > 0.9
    assert bool(model.losses) == ("l1" in options)


@pytest.mark.parametrize(
    ("name", "options"), [("cnn", {"filters": (8, 8, 8)}), ("mlp", {"hidden_units": (12, 12)})], ids=["cnn", "mlp"]
)
def test_layers_that_share_an_initializer_differ(name: str, options: dict) -> None:
    model = zoo.fresh(name, **options, kernel_initializer=keras.initializers.HeNormal())
    inner = [layer for layer in model.layers if layer.name.startswith(("stage", "hidden")) and layer.weights]
    *_, first, second = (zoo.value(layer.kernel) for layer in inner if hasattr(layer, "kernel"))
    assert first.shape == second.shape
    assert np.any(first != second)


def test_cnn_refuses_groups_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="groups must divide"):
        zoo.fresh("cnn", normalization="group", groups=3)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_mlp_options_train(normalization: str | None) -> None:
    model = zoo.fresh("mlp", normalization=normalization, dropout_rate=0.2, l2=1e-3, activation="prelu")
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    assert np.isfinite(model.fit(*zoo.batch("mlp"), verbose=0).history["loss"][0])
    assert model.losses


def test_resnet_option_a_drops_pixels_and_adds_zeros() -> None:
    x = np.random.default_rng(0).normal(size=(1, 9, 9, 16)).astype("float32")
    for pad, before in (("end", 0), ("both", 8)):
        model = kerazoo.resnet20((9, 9, 3), pad=pad)
        layer = model.get_layer("stage2_block1_shortcut_width_to_channels")
        trunk = keras.Model(model.get_layer("stage1_out").output, layer.output)
        expected = np.zeros((1, 5, 5, 32), "float32")
        expected[..., before : before + 16] = x[:, ::2, ::2]
        assert np.array_equal(np.array(trunk(x)), expected)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (1, 1), (23, 8), (100, 33)])
@pytest.mark.parametrize(
    ("options", "multiple"),
    [({}, 16), ({"depth": 1}, 2), ({"backbone": "resnet20"}, 4), ({"backbone": "resnet18"}, 32)],
    ids=str,
)
def test_unet_takes_any_size(size: tuple[int, int], options: dict, multiple: int) -> None:
    with zoo.cheap_weights():
        model = zoo.fresh("unet", input_shape=(*size, 2), **options)
    assert model.output_shape == (None, *size, 3)
    assert zoo.outputs(model, np.zeros((1, *size, 2), "float32"))[0].shape == (1, *size, 3)
    crops = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Cropping2D)]
    assert bool(crops) == any(edge % multiple for edge in size)


@pytest.mark.parametrize(
    ("size", "depth", "out"), [(572, 4, 388), (188, 4, 4), (570, 4, None), (20, 1, 4), (12, 2, None)]
)
def test_unet_valid_sizes(size: int, depth: int, out: int | None) -> None:
    assert valid_output_size(size, depth) == out
    with zoo.cheap_weights():
        if out is None:
            with pytest.raises(ValueError, match=r"input_shape: .*next size that works is \d+"):
                zoo.fresh("unet", input_shape=(size, size, 1), padding="valid", depth=depth)
        else:
            model = zoo.fresh("unet", input_shape=(size, size, 1), padding="valid", depth=depth)
            assert model.output_shape == (None, out, out, 3)


def test_unet_starts_from_the_papers_weights() -> None:
    """N(0, sqrt(2 / N)), N the values one unit looks at: 9 maps, one position of them, or one pixel."""
    model = kerazoo.unet((32, 32, 8), 64, filters=64, depth=2)
    found = {layer.name: zoo.value(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")}
    assert len(found) == 6 + 2 + 4 + 1
    for name, kernel in found.items():
        incoming = kernel.shape[3] if name.endswith("_up") else np.prod(kernel.shape[:3])  # (2, 2, out, in) of an "up"
        wanted, count = np.sqrt(2 / incoming), kernel.size
        assert abs(kernel.mean()) < 4 * wanted / np.sqrt(count), name
        assert abs(kernel.std() / wanted - 1) < 4 / np.sqrt(2 * count), name
        assert abs((np.abs(kernel) > 2 * wanted).mean() - 0.0455) < 4 * np.sqrt(0.0455 / count), f"{name} is truncated"


def test_unet_with_a_backbone_of_many_halvings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_foreign_cards", {})
    monkeypatch.setattr(catalog, "_builders", dict(catalog._builders))

    def deep(
        input_shape=(64, 64, 3), num_classes=2, *, include_top=True, weights=None, dtype=None, name="deep"
    ) -> keras.Model:
        """Seven halvings."""
        inputs = x = keras.Input(input_shape)
        for stage in range(1, 8):
            x = keras.layers.Conv2D(2, 3, strides=2, padding="same", name=f"stage{stage}_out")(x)
        return keras.Model(inputs, x, name=name)

    card = dataclasses.replace(kerazoo.model_card("cnn"), name="deep", module=__name__, test_config={})
    kerazoo.register_model(card=card)(deep)
    with zoo.cheap_weights():
        model = kerazoo.unet((200, 136, 3), 2, backbone="deep")
    assert model.output_shape == (None, 200, 136, 2)
    widths = [model.get_layer(f"decoder{level}_conv1").filters for level in range(7, 0, -1)]
    assert widths == [256, 256, 256, 128, 64, 32, 16]


def test_unet_refuses() -> None:
    with pytest.raises(ValueError, match="input_shape must be fixed with padding='valid'"):
        zoo.fresh("unet", input_shape=(None, None, 1), padding="valid")
    with pytest.raises(ValueError, match="cannot have backbone='resnet18'"):
        zoo.fresh("unet", padding="valid", backbone="resnet18")
    with pytest.raises(ValueError, match="backbone 'lenet5' cannot be used"):
        zoo.fresh("unet", input_shape=(64, 64, 1), backbone="lenet5")


def test_unet_activation_follows_the_number_of_classes() -> None:
    names = {
        classes: zoo.fresh("unet", num_classes=classes).get_layer("predictions").activation.__name__
        for classes in (1, 2)
    }
    assert names == {1: "sigmoid", 2: "softmax"}


def test_unet_with_a_backbone_is_flat_and_saves() -> None:
    model = kerazoo.unet((32, 32, 3), 2, backbone="resnet20", include_preprocessing=True)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert set(kerazoo.feature_extractor(model).output) == {"P0", "P1", "P2"}
    restored = type(model).from_config(model.get_config())
    assert [layer.name for layer in restored.layers] == [layer.name for layer in model.layers]


def test_local_response_normalization_is_the_papers_formula() -> None:
    from kerazoo.layers import LocalResponseNormalization

    x = np.random.default_rng(0).normal(0, 5, (2, 3, 4, 7)).astype("float32")
    n, k, alpha, beta = 5, 2.0, 0.03, 0.75
    expected = np.empty_like(x)
    for i in range(7):
        near = x[..., max(0, i - n // 2) : min(6, i + n // 2) + 1]
        expected[..., i] = x[..., i] / (k + alpha * (near**2).sum(-1)) ** beta
    layer = LocalResponseNormalization(n, k, alpha, beta)
    np.testing.assert_allclose(np.array(layer(x)), expected, rtol=1e-5)
    half = LocalResponseNormalization(n, k, alpha, beta, dtype="float16")(x.astype("float16") * 100)
    assert np.all(np.isfinite(np.array(half)))
    with pytest.raises(ValueError, match="size must be an odd number"):
        LocalResponseNormalization(4)


def test_alexnet_towers_meet_in_the_third_convolution_only() -> None:
    model = zoo.built("alexnet")
    assert {i: model.get_layer(f"conv{i}").groups for i in range(1, 6)} == {1: 1, 2: 2, 3: 1, 4: 2, 5: 2}
    one = zoo.fresh("alexnet", variant="one_tower")
    assert all(one.get_layer(f"conv{i}").groups == 1 for i in range(1, 6))
    with pytest.raises(ValueError, match="at least 67 x 67"):
        kerazoo.alexnet((66, 66, 3))


@pytest.mark.parametrize(
    ("name", "layers_and_sizes"),
    [
        ("alexnet", {"stage1_out": 55, "stage2_out": 27, "stage3_out": 13, "pool5": 6}),
        ("zfnet", {"stage1_out": 110, "pool1": 55, "stage2_out": 26, "pool2": 13, "pool5": 6}),
        ("googlenet", {"stem_out": 112, "pool1": 56, "pool2": 28, "stage2_out": 28, "stage3_out": 14, "stage4_out": 7}),
        ("squeezenet1_0", {"stem_out": 109, "pool1": 54, "pool4": 27, "pool8": 13, "conv10": 13}),
    ],
)
def test_map_sizes_of_the_papers(name: str, layers_and_sizes: dict[str, int]) -> None:
    with zoo.cheap_weights():
        model = kerazoo.create_model(name, **({} if name == "googlenet" else {"num_classes": 2}))
    assert {layer: model.get_layer(layer).output.shape[1] for layer in layers_and_sizes} == layers_and_sizes


def test_googlenet_trains_with_three_weighted_losses() -> None:
    from kerazoo.convnets.googlenet import LOSS_WEIGHTS

    model = zoo.fresh("googlenet", input_shape=(79, 79, 1), auxiliary_heads=True)
    assert set(model.output) == set(LOSS_WEIGHTS)
    losses = dict.fromkeys(LOSS_WEIGHTS, "sparse_categorical_crossentropy")
    model.compile("sgd", losses, loss_weights=LOSS_WEIGHTS, run_eagerly=True)
    x, y = np.random.default_rng(0).normal(size=(2, 79, 79, 1)), np.array([0, 3])
    found = model.evaluate(x, dict.fromkeys(LOSS_WEIGHTS, y), verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(sum(w * found[f"{key}_loss"] for key, w in LOSS_WEIGHTS.items()), rel=1e-5)
    before = model.get_weights()
    model.train_on_batch(x, dict.fromkeys(LOSS_WEIGHTS, y))
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    plain = zoo.fresh("googlenet", input_shape=(79, 79, 1))
    assert plain.output_shape == (None, 5)
    for bad, message in (({"include_top": False}, "include_top=True"), ({"input_shape": (78, 79, 1)}, "79 x 79")):
        with pytest.raises(ValueError, match=message):
            zoo.fresh("googlenet", **{"input_shape": (79, 79, 1), "auxiliary_heads": True, **bad})


@pytest.mark.parametrize(("variant", "depth", "nearest"), [("bc", 99, "94 and 100"), ("basic", 41, "40 and 43")])
def test_densenet_depth(variant: str, depth: int, nearest: str) -> None:
    with pytest.raises(ValueError, match=rf"depth must be \d n \+ 4 .* nearest are {nearest}"):
        zoo.fresh("densenet_cifar", variant=variant, depth=depth)


def test_densenet_cifar_dropout_follows_every_convolution_but_the_first() -> None:
    model = zoo.fresh("densenet_cifar", conv_dropout_rate=0.2)
    drops = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.rate == 0.2]
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(drops) == len(convs) - 1


@pytest.mark.parametrize("name", ["alexnet", "zfnet", "vgg11"])
def test_open_size_without_the_head(name: str) -> None:
    """Only the fully connected layers fix the size."""
    with zoo.cheap_weights():
        model = zoo.fresh(name, input_shape=(None, None, 3), include_top=False)
    assert model.output_shape[1:3] == (None, None)
    with pytest.raises(ValueError, match="fc1 is connected to every position"):
        zoo.fresh(name, input_shape=(None, None, 3))
