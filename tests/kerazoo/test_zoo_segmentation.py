"""What is special about the networks that label pixels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import seeded
import tensorflow as tf
import zoo

import kerazoo
from kerazoo import surgery
from kerazoo.blocks.upsampling import bilinear_kernel

ANY_SIZE = [name for name in zoo.models(lambda card: card.kind == "dense_prediction") if name not in ("unet", "unet3d")]


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (23, 8), (50, 33)])
@pytest.mark.parametrize("name", ANY_SIZE)
def test_any_fixed_size(name: str, size: tuple[int, int]) -> None:
    with zoo.cheap_weights():
        model = zoo.fresh(name, input_shape=(*size, 2))
    assert zoo.outputs(model, np.zeros((1, *size, 2), "float32"))[0].shape == (1, *size, 3)


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 1), (1, 4)])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_pooling_with_switches_and_unpooling(size: tuple[int, int], jit_compile: bool) -> None:
    """Against loops, forward and gradient, with many equal pixels, of which the first one counts."""
    x = np.random.default_rng(0).integers(0, 3, (2, *size, 3)).astype("float32")
    half = tuple(-(-edge // 2) for edge in size)
    pooled, unpooled = np.zeros((2, *half, 3), "float32"), np.zeros((2, 2 * half[0], 2 * half[1], 3), "float32")
    slope, weights = np.zeros_like(x), np.random.default_rng(1).normal(size=(2, *half, 3)).astype("float32")
    for b, i, j, c in np.ndindex(pooled.shape):
        window = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        row, column = np.unravel_index(window.argmax(), window.shape)
        pooled[b, i, j, c] = window[row, column]
        unpooled[b, 2 * i + row, 2 * j + column, c] = weights[b, i, j, c]
        slope[b, 2 * i + row, 2 * j + column, c] = weights[b, i, j, c]
    pool, unpool = kerazoo.layers.MaxPoolWithSwitches2D(), kerazoo.layers.MaxUnpool2D()

    @tf.function(jit_compile=jit_compile)
    def run(x: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(x)
            found, switches = pool(x)
            loss = tf.reduce_sum(found * weights)
        return found, unpool([tf.constant(weights), switches]), tape.gradient(loss, x)

    found = run(tf.constant(x))
    for a, b in zip(found, (pooled, unpooled, slope), strict=True):
        assert np.array_equal(a, b)


def test_switches_in_half_precision_and_open_size() -> None:
    inputs = keras.Input((None, None, 2), dtype="float16")
    pooled, switches = kerazoo.layers.MaxPoolWithSwitches2D(dtype="float16")(inputs)
    restored = kerazoo.layers.MaxUnpool2D(dtype="float16")([pooled, switches])
    assert (pooled.dtype, switches.dtype, restored.dtype) == ("float16", "int32", "float16")
    assert restored.shape == (None, None, None, 2)
    found = keras.Model(inputs, [pooled, restored])(np.arange(16, dtype="float16").reshape(1, 4, 2, 2))
    assert np.array(found[0]).ravel().tolist() == [6, 7, 14, 15]
    assert np.count_nonzero(found[1]) == 4


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_bilinear_transposed_convolution(factor: int) -> None:
    """Inside it is the bilinear resize; at the border zeros are interpolated, not the edge continued."""
    x = np.random.default_rng(0).normal(size=(1, 6, 7, 3)).astype("float32")
    inputs = keras.Input(x.shape[1:])
    outputs = kerazoo.blocks.bilinear_upsampling(inputs, factor, name="up", trainable=False)
    found = zoo.value(keras.Model(inputs, outputs)(x))
    resized = zoo.value(keras.layers.UpSampling2D(factor, interpolation="bilinear")(x))
    inner = (slice(None), slice(factor, -factor), slice(factor, -factor))
    np.testing.assert_allclose(found[inner], resized[inner], atol=1e-5)
    assert np.abs(found - resized).max() > 0.1
    assert bilinear_kernel(4)[1].tolist() == [0.1875, 0.5625, 0.5625, 0.1875]


@pytest.mark.parametrize(("name", "frozen"), [("fcn32s", 1), ("fcn16s", 2), ("fcn8s", 3)])
def test_fcn_upsampling_is_frozen_unless_it_is_learned(name: str, frozen: int) -> None:
    assert len(zoo.fresh(name, dropout_rate=0.0).non_trainable_weights) == frozen
    assert not zoo.fresh(name, dropout_rate=0.0, trainable_upsampling=True).non_trainable_weights


def test_fcn_paper_padding_takes_the_same_weights() -> None:
    padded, plain = (zoo.fresh("fcn16s", paper_padding=value) for value in (True, False))
    for layer in plain.layers:
        if layer.weights:
            padded.get_layer(layer.name).set_weights(layer.get_weights())
    assert padded.output_shape == plain.output_shape
    with pytest.raises(ValueError, match="input_shape of fcn16s cannot be left open"):
        zoo.fresh("fcn16s", paper_padding=True, input_shape=(None, None, 3))


def test_bayesian_segnet_has_six_dropouts() -> None:
    layers = [layer.name for layer in zoo.fresh("segnet", dropout_rate=0.5).layers if "dropout" in layer.name]
    places = ["stage3", "stage4", "stage5", "decoder5", "decoder4", "decoder3"]
    assert layers == [f"{place}_dropout" for place in places]


def test_attention_gates_scale_the_skips() -> None:
    model = zoo.built("attention_unet")
    names = ["stage1_out", "decoder1_gate", "decoder1_gate_product"]
    skip, alpha, product = keras.Model(model.input, [model.get_layer(name).output for name in names])(
        zoo.batch("attention_unet")[0]
    )
    assert alpha.shape[-1] == 1
    assert 0 < np.min(alpha) < np.max(alpha) < 1
    np.testing.assert_allclose(np.array(product), np.array(skip) * np.array(alpha), rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "depth", "out"),
    [((132, 132, 116), 3, (44, 44, 28)), ((20, 22, 24), 1, (4, 6, 8)), ((21, 20, 20), 1, None)],
)
def test_unet3d_valid_sizes(size: tuple[int, ...], depth: int, out: tuple[int, ...] | None) -> None:
    options = {"input_shape": (*size, 1), "depth": depth, "padding": "valid"}
    with zoo.cheap_weights():
        if out is None:
            with pytest.raises(ValueError, match="next size that works is 22"):
                zoo.fresh("unet3d", **options)
        else:
            assert zoo.fresh("unet3d", **options).output_shape == (None, *out, 3)
    assert zoo.fresh("unet3d", input_shape=(7, 5, 9, 1)).output_shape == (None, 7, 5, 9, 3)


@pytest.mark.parametrize(
    ("name", "options", "count"), [("hed", {}, 5), ("reshednet", {}, 3), ("unet_plus_plus", {"dropout_rate": 0.0}, 3)]
)
def test_side_outputs_train_together(name: str, options: dict, count: int) -> None:
    switch = "deep_supervision" if name == "unet_plus_plus" else "side_outputs"
    model = zoo.fresh(name, num_classes=1, **{switch: True}, **options)
    names = ["predictions", *(f"side{index}" for index in range(1, count + 1))]
    x, y = zoo.batch(name)
    y = (y > 0).astype("int32")
    plain = zoo.fresh(name, num_classes=1, **options)
    for layer in plain.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    found = model(x)
    assert list(found) == names
    np.testing.assert_allclose(found["predictions"], plain(x), rtol=1e-5, atol=1e-6)
    assert all(np.all((np.array(map_) >= 0) & (np.array(map_) <= 1)) for map_ in found.values())
    loss = kerazoo.losses.ClassBalancedCrossentropy()
    model.compile("adam", dict.fromkeys(model.output, loss), run_eagerly=True)
    history = model.fit(x, dict.fromkeys(names, y), epochs=3, verbose=0).history
    assert {f"{side}_loss" for side in names} <= set(history)
    assert history["loss"][-1] < history["loss"][0]
    assert all(
        tensor.dtype == "float32" for tensor in zoo.fresh(name, dtype="mixed_float16", **{switch: True})(x).values()
    )


@pytest.mark.parametrize("classes", [1, 3])
def test_hed_starts_with_the_mean_of_its_sides(classes: int) -> None:
    model = zoo.fresh("hed", num_classes=classes, classifier_activation=None, side_outputs=True)
    found = model(zoo.batch("hed")[0])
    sides = np.mean([np.array(found[f"side{stage}"]) for stage in range(1, 6)], axis=0)
    np.testing.assert_allclose(np.array(found["predictions"]), sides, atol=1e-5)


@pytest.mark.parametrize(("name", "output_stride"), [("resnet18", 16), ("resnet18", 8), ("resnet50", 8)])
def test_dilated_backbone_sees_what_it_saw(name: str, output_stride: int) -> None:
    """Without strides and with dilations, every second (fourth) pixel is what it was."""
    with zoo.cheap_weights():
        encoder = kerazoo.create_model(name, (64, 96, 3), include_top=False)
    seeded.fill(encoder)
    x = seeded.image(name, (1, 64, 96, 3))
    inputs = keras.Input((64, 96, 3))
    found = keras.Model(inputs, surgery.graft(encoder, inputs, output_stride=output_stride)[5])(x)
    expected = zoo.value(encoder(x))
    step = 32 // output_stride
    assert found.shape[1:3] == (64 // output_stride, 96 // output_stride)
    assert seeded.difference(np.array(found)[:, ::step, ::step], expected) < 1e-5


def test_deeplab_on_a_backbone() -> None:
    options = {"backbone": "resnet18", "input_shape": (64, 64, 3)}
    model = zoo.fresh("deeplab_v3_plus", **options)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert model.get_layer("stage4_out").output.shape[1:3] == (4, 4)
    assert zoo.fresh("deeplab_v3_plus", output_stride=8, **options).get_layer("stage4_out").output.shape[1:3] == (8, 8)
    with pytest.raises(ValueError, match="backbone 'resnet20' cannot be used with output_stride=16"):
        zoo.fresh("deeplab_v3_plus", backbone="resnet20")
    with pytest.raises(ValueError, match="backbone must name an image classifier"):
        zoo.fresh("deeplab_v3_plus", backbone="resnet5")
    with pytest.raises(ValueError, match="output_stride"):
        zoo.fresh("deeplab_v3_plus", output_stride=4)


def test_new_head_in_front_of_a_resize() -> None:
    model = zoo.fresh("deeplab_v3_plus")
    x, _ = zoo.batch("deeplab_v3_plus")
    new = kerazoo.replace_head(model, 5)
    np.testing.assert_allclose(zoo.outputs(new, x)[0].sum(-1), 1, atol=1e-5)
    logits = kerazoo.replace_head(model, 5, activation=None)
    assert np.abs(zoo.outputs(logits, x)[0].sum(-1) - 1).max() > 1e-3
    assert logits.output_shape == (None, 32, 40, 5)
