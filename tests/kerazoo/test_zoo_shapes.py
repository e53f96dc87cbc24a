"""Promise: any number of channels and classes, open sizes where the card says so, heads, feature levels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.card import ModelCard

OBJECT_KINDS = ("detector", "instance_segmentation")  # whose outputs are not one channel per class
IMAGES = zoo.distinct(lambda card: card.kind in zoo.IMAGE_KINDS)


def _same_size_output(card: ModelCard) -> bool:
    return card.kind != "image_classifier"


def _input_shape(name: str) -> tuple[int, ...]:
    card = kerazoo.model_card(name)
    return tuple(card.test_config.get("input_shape", card.input_shape))


def _sized(name: str, first: int | None, others: int | None) -> tuple[int | None, ...]:
    """An input shape whose first axis has one size and whose other spatial axes have another one."""
    shape = _input_shape(name)
    return (first, *[others] * (len(shape) - 2), shape[-1])


def _second(name: str) -> str:
    """Name of the second argument: num_classes, num_outputs or num_channels."""
    return list(kerazoo.catalog.builder_parameters(name))[1]


def _activation(name: str, outputs: int) -> dict[str, str]:
    """A single output needs another activation than the softmax."""
    default = kerazoo.catalog.builder_parameters(name)
    words = [word for word in ("classifier_activation", "output_activation") if default.get(word) == "softmax"]
    return dict.fromkeys(words, "sigmoid") if outputs == 1 else {}


@pytest.mark.parametrize(("channels", "outputs"), [(1, 1), (3, 2), (4, 7)])
@pytest.mark.parametrize("name", [name for name in IMAGES if kerazoo.model_card(name).kind not in OBJECT_KINDS])
def test_channels_and_classes(name: str, channels: int, outputs: int) -> None:
    shape = (*_input_shape(name)[:-1], channels)
    with zoo.weightless():
        model = zoo.fresh(name, input_shape=shape, **{_second(name): outputs}, **_activation(name, outputs))
    factor = kerazoo.model_card(name).test_config.get("scale", 1)  # super-resolution makes larger images
    spatial = tuple(factor * n for n in shape[:-1]) if _same_size_output(kerazoo.model_card(name)) else ()
    assert model.output_shape == (None, *spatial, outputs)
    first = next(layer for layer in model.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv3D)))
    assert first.kernel.shape[-2] == channels


@pytest.mark.parametrize("outputs", [1, 2, 7])
@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.kind == "vector"))
def test_vector_outputs_and_images(name: str, outputs: int) -> None:
    with zoo.weightless():
        for shape in ({}, {"input_shape": (6, 5, 2)}):
            model = zoo.fresh(name, **shape, num_outputs=outputs, **_activation(name, outputs))
            assert model.output_shape == (None, outputs)


@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.kind in zoo.IMAGE_KINDS and card.dynamic_size))
def test_open_size(name: str) -> None:
    """With height and width left open a model gives what the one of fixed size gives."""
    card, static = kerazoo.model_card(name), zoo.built(name)
    with zoo.cheap_weights():
        model = zoo.fresh(name, input_shape=_sized(name, None, None))
    model.set_weights(static.get_weights())
    step = card.size_multiple
    height, width = (
        -(-max(16, card.min_size or 1) // step) * step,
        -(-max(33, card.min_size or 1) // step) * step,
    )
    shape = _sized(name, height, width)
    x = np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype("float32")
    with zoo.cheap_weights():
        fixed = zoo.fresh(name, input_shape=shape)
    fixed.set_weights(static.get_weights())
    for a, b in zip(zoo.outputs(model, x), zoo.outputs(fixed, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.kind in zoo.IMAGE_KINDS and not card.dynamic_size))
def test_open_size_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="input_shape"):
        zoo.fresh(name, input_shape=_sized(name, None, None))


@pytest.mark.parametrize("name", IMAGES)
def test_smallest_size(name: str) -> None:
    smallest = kerazoo.model_card(name).min_size
    assert smallest is not None
    model = zoo.fresh(name, input_shape=_sized(name, smallest, smallest))
    found = zoo.outputs(model, np.ones((2, *model.input_shape[1:]), "float32"))
    assert all(np.all(np.isfinite(output)) for output in found)
    with pytest.raises(ValueError, match=rf"input_shape.*Received.*{smallest - 1}"):
        zoo.fresh(name, input_shape=_sized(name, smallest - 1, smallest))


@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.kind == "image_classifier"))
def test_head_and_pooling(name: str) -> None:
    full = zoo.built(name)
    x, _ = zoo.batch(name)
    assert full.get_layer("predictions") is full.layers[-1]
    assert any(layer.name == "head_dropout" for layer in full.layers)
    weights = full.get_weights()
    with zoo.cheap_weights():
        plain = zoo.fresh(name, include_top=False)
    plain.set_weights(weights[: len(plain.get_weights())])
    (features,) = zoo.outputs(plain, x)
    assert features.ndim == 4
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        with zoo.cheap_weights():
            pooled = zoo.fresh(name, include_top=False, pooling=pooling)
        pooled.set_weights(plain.get_weights())
        np.testing.assert_allclose(zoo.outputs(pooled, x)[0], reduce(features, axis=(1, 2)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", IMAGES)
def test_preprocessing(name: str) -> None:
    """`True` maps [0, 255] to [-1, 1], a pair is scale and offset; weights are the same with and without."""
    plain = zoo.built(name)
    x = np.round(zoo.batch(name)[0] * 64) / 64  # so that the pair below is exact in float32
    with zoo.cheap_weights():
        model = zoo.fresh(name, include_preprocessing=(0.5, -3.0))
    with zoo.weightless():
        pixels = zoo.fresh(name, include_preprocessing=True).get_layer("preprocess")
    model.set_weights(plain.get_weights())
    assert model.layers[1].name == "preprocess"
    for a, b in zip(zoo.outputs(model, (x + 3) * 2), zoo.outputs(plain, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(zoo.value(pixels(np.array([0.0, 127.5, 255.0]))), [-1, 0, 1], atol=1e-6)


@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.feature_levels))
def test_feature_levels(name: str) -> None:
    card, shape = kerazoo.model_card(name), _input_shape(name)
    size = 128 if card.dynamic_size else shape[0]
    with zoo.weightless():
        model = zoo.fresh(name, input_shape=_sized(name, size, size))
        extractor = kerazoo.feature_extractor(model)
        assert set(extractor.output) == set(card.feature_levels)
        small = kerazoo.feature_extractor(zoo.fresh(name))
    assert set(small.output) == set(card.feature_levels)
    for level, layer in card.feature_levels.items():
        feature = extractor.output[level]
        assert feature is model.get_layer(layer).output
        if card.dynamic_size:
            # A network that has a smallest size may lose some pixels at the border, but no factor of two.
            exact = -(-size // 2 ** int(level[1:]))
            assert feature.shape[1] == exact or (card.min_size > 1 and 0.8 * exact < feature.shape[1] < exact)
    with pytest.raises(ValueError, match=r"no level 'P9'; it has P"):
        kerazoo.feature_extractor(model, levels=("P9",))
