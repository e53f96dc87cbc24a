"""FLOPs against published figures and against products written out by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import kerazoo


@pytest.mark.parametrize(
    ("name", "options", "gmacs"),
    # `_ops` of torchvision's weight cards, in units of 10**9 multiply-accumulates
    [
        ("resnet18", {}, 1.814),
        ("resnet34", {}, 3.664),
        ("resnet50", {"stride_in": "3x3"}, 4.089),
        ("resnet101", {"stride_in": "3x3"}, 7.801),
        ("resnet152", {"stride_in": "3x3"}, 11.514),
        ("mobilenet_v2", {}, 0.301),
        ("mobilenet_v3_small", {}, 0.057),
        ("mobilenet_v3_large", {}, 0.217),
        ("efficientnet_b0", {}, 0.386),
        ("convnext_tiny", {}, 4.456),
        ("alexnet", {"input_shape": (224, 224, 3), "variant": "one_tower"}, 0.714),
        ("vgg11", {}, 7.609),
        ("vgg13", {}, 11.308),
        ("vgg16", {}, 15.470),
        ("vgg19", {"normalization": "batch"}, 19.632),
        ("squeezenet1_0", {}, 0.819),
        ("squeezenet1_1", {}, 0.349),
        ("densenet121", {}, 2.834),
        ("densenet169", {}, 3.360),
        ("densenet201", {}, 4.291),
    ],
)
def test_torchvision(name: str, options: dict, gmacs: float) -> None:
    import zoo

    with zoo.cheap_weights():
        assert round(kerazoo.count_flops(kerazoo.create_model(name, **options)) / 2e9, 3) == gmacs


def _model(shape: tuple, *stack: layers.Layer) -> keras.Model:
    inputs = x = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    ("shape", "layer", "macs"),
    [
        ((8, 8, 3), layers.Conv2D(5, 3), 6 * 6 * 9 * 3 * 5),
        ((8, 8, 4), layers.Conv2D(6, 3, padding="same", groups=2), 64 * 9 * 2 * 6),
        ((8, 8, 3), layers.Conv2D(5, 3, strides=2, dilation_rate=1, padding="same"), 16 * 27 * 5),
        ((9, 2), layers.Conv1D(4, 3), 7 * 3 * 2 * 4),
        ((4, 4, 4, 2), layers.Conv3D(3, 2), 27 * 8 * 2 * 3),
        ((8, 8, 3), layers.Conv2DTranspose(5, 2, strides=2), 64 * 4 * 3 * 5),
        ((8, 8, 3), layers.DepthwiseConv2D(3, padding="same"), 64 * 9 * 3),
        ((8, 8, 3), layers.SeparableConv2D(5, 3, padding="same"), 64 * (9 * 3 + 3 * 5)),
        ((7,), layers.Dense(5), 35),
        ((4, 7), layers.Dense(5), 4 * 35),
        ((4, 7), layers.EinsumDense("btd,dhe->bthe", (4, 2, 3)), 4 * 7 * 6),
        ((4, 7), layers.EinsumDense("...d,de->...e", 3), 4 * 7 * 3),
        ((6, 7), layers.LSTM(5), 6 * 4 * 5 * (7 + 5)),
        ((6, 7), layers.GRU(5), 6 * 3 * 5 * (7 + 5)),
        ((6, 7), layers.Bidirectional(layers.SimpleRNN(5)), 2 * 6 * 5 * (7 + 5)),
        ((6, 8, 8, 2), layers.ConvLSTM2D(3, 3, padding="same"), 6 * 64 * 9 * (2 + 3) * 12),
        ((6, 7), layers.TimeDistributed(layers.Dense(5)), 6 * 35),
        ((6, 7), layers.BatchNormalization(), 0),
        ((6, 7), layers.Dropout(0.5), 0),
        ((6,), layers.Embedding(10, 4), 0),
    ],
)
def test_by_hand(shape: tuple, layer: layers.Layer, macs: int) -> None:
    assert kerazoo.count_flops(_model(shape, layer)) == 2 * macs


_OPEN = _model((None, None, 3), layers.Conv2D(4, 1, name="pointwise"))
_KERNEL = np.ones((3, 3, 4, 2), "float32")


@pytest.mark.parametrize(
    ("shapes", "product", "macs"),
    [
        ([(5, 8), (8, 6)], lambda a, b: a @ b, 5 * 8 * 6),
        ([(2, 5, 8), (2, 8, 6)], keras.ops.matmul, 2 * 5 * 8 * 6),
        ([(5, 8)], lambda a: keras.ops.matmul(a, np.ones((8, 6), "float32")), 5 * 8 * 6),
        ([(5, 8)], lambda a: keras.ops.dot(a, np.ones((8, 6), "float32")), 5 * 8 * 6),
        ([(5, 8)], lambda a: keras.ops.tensordot(a, np.ones((8, 6), "float32"), axes=1), 5 * 8 * 6),
        ([(5, 8)], lambda a: keras.ops.tensordot(a, np.ones((5, 8, 6), "float32"), axes=([1, 2], [0, 1])), 5 * 8 * 6),
        ([(5, 8), (6, 8)], lambda a, b: keras.ops.einsum("bqd,bkd->bqk", a, b), 5 * 8 * 6),
        ([(5, 8), (8, 6)], lambda a, b: keras.ops.einsum("...ij,...jk->...ik", a, b), 5 * 8 * 6),
        ([(5, 8), (6, 8)], lambda a, b: layers.Dot(axes=2)([a, b]), 5 * 8 * 6),
        ([(5, 8), (8, 6)], lambda a, b: layers.Dot(axes=(2, 1))([a, b]), 5 * 8 * 6),
        ([(8,), (8,)], lambda a, b: layers.Dot(axes=1)([a, b]), 8),
        ([(9, 9, 4)], lambda a: keras.ops.conv(a, _KERNEL), 49 * 9 * 4 * 2),
        ([(5, 2, 8), (6, 2, 8), (6, 2, 8)], keras.ops.dot_product_attention, 2 * 5 * 6 * 2 * 8),
        ([(5, 8), (5, 8)], lambda a, b: a * b + keras.ops.tanh(a), 0),
    ],
)
def test_products_of_keras_ops(shapes: list, product, macs: int) -> None:
    inputs = [keras.Input(shape) for shape in shapes]
    assert kerazoo.count_flops(keras.Model(inputs, product(*inputs))) == 2 * macs


def test_attention_with_a_mask() -> None:
    """The mask is no key, however it is handed over."""
    x, mask = keras.Input((5, 8)), keras.Input((5, 5), dtype="bool")
    macs = 3 * 5 * 8 * 6 + 2 * 5 * 5 * 6 + 5 * 6 * 8
    for out in (
        layers.MultiHeadAttention(2, 3)(x, x, attention_mask=mask),
        layers.MultiHeadAttention(2, 3)(x, value=x, key=x, attention_mask=mask),
    ):
        assert kerazoo.count_flops(keras.Model([x, mask], out)) == 2 * macs
    rows = keras.Input((4, 5, 8))  # attention along the rows of a map only
    along = layers.MultiHeadAttention(2, 3, attention_axes=(2,))(rows, rows)
    assert kerazoo.count_flops(keras.Model(rows, along)) == 2 * 4 * macs


def test_a_table_of_tokens_is_free_and_its_reverse_is_a_product() -> None:
    tokens, table = keras.Input((5,), dtype="int32"), layers.ReversibleEmbedding(11, 8)
    assert kerazoo.count_flops(keras.Model(tokens, table(tokens))) == 0
    assert kerazoo.count_flops(keras.Model(tokens, table(table(tokens), reverse=True))) == 2 * 5 * 8 * 11


def test_sequential() -> None:
    stack = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    assert kerazoo.count_flops(stack) == 2 * (12 + 6)
    assert kerazoo.count_flops(_model((4,), stack, layers.Dense(5))) == 2 * (12 + 6 + 10)


@pytest.mark.parametrize(
    "shape",
    [
        (32, 32, 1),
        (32, 32),
        (32, 32, 3, 3),
        (0, 32, 3),
        (-8, 8, 3),
        (8.5, 8, 3),
        (),
        [],
        5,
        "32",
        [(8, 8, 3), (8, 8, 3)],
    ],
    ids=repr,
)
def test_shape_that_does_not_fit(shape) -> None:
    with pytest.raises(ValueError, match="input_shape") as caught:
        kerazoo.count_flops(_OPEN, shape)
    assert "\n" not in str(caught.value)


def test_size_that_the_model_fixes_or_cannot_run() -> None:
    with pytest.raises(ValueError, match=r"must fit \(12,\), an input of 'mlp'\. Received: \(13,\)"):
        kerazoo.count_flops(kerazoo.mlp((12,)), (13,))
    with pytest.raises(ValueError, match=r"cannot be run on input_shape=\(4, 4, 1\)"):
        kerazoo.count_flops(_model((None, None, 1), layers.Conv2D(2, 5)), (4, 4, 1))


def test_attention() -> None:
    queries, values = keras.Input((5, 8)), keras.Input((7, 6))
    out = layers.MultiHeadAttention(2, 3, value_dim=4)(queries, values)
    macs = 5 * 8 * 6 + 7 * 6 * 6 + 7 * 6 * 8 + 5 * 7 * 6 + 5 * 7 * 8 + 5 * 8 * 8
    assert kerazoo.count_flops(keras.Model([queries, values], out)) == 2 * macs
    same = keras.Input((7, 8))
    plain = layers.Attention()([queries, same])
    assert kerazoo.count_flops(keras.Model([queries, same], plain)) == 2 * (5 * 7 * 8 * 2)


def test_open_sizes_and_shared_layers() -> None:
    model = kerazoo.resnet20((None, None, 3))
    assert kerazoo.count_flops(model, (32, 32, 3)) == kerazoo.model_card("resnet20").flops
    with pytest.raises(ValueError, match="input_shape must give every size"):
        kerazoo.count_flops(model)
    a, b, dense = keras.Input((4,)), keras.Input((4,)), layers.Dense(3)
    assert kerazoo.count_flops(keras.Model([a, b], [dense(a), dense(b)])) == 2 * 24
    inner = _model((4,), layers.Dense(3))
    assert kerazoo.count_flops(_model((4,), inner)) == 2 * 12


class _Strange(layers.Layer):
    def build(self, input_shape: tuple) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],))

    def call(self, inputs):
        return inputs * self.scale


class _Known(_Strange):
    def flops(self, input_shapes, output_shape) -> int:
        return 2 * output_shape[-1]


def test_unknown_layers_are_not_counted_as_nothing() -> None:
    with pytest.raises(ValueError, match=r"does not know layer .* of class _Strange"):
        kerazoo.count_flops(_model((4,), _Strange()))
    assert kerazoo.count_flops(_model((4,), _Known())) == 8
    with pytest.raises(ValueError, match="no functional model"):
        kerazoo.count_flops(_Strange(name="x"))
