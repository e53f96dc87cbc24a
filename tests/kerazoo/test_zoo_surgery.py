"""Feature extractors, frozen layers and new heads, on built, trained and reloaded models."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import zoo
from keras import layers

import kerazoo
from kerazoo import surgery


def _statistics(model: keras.Model) -> dict[str, np.ndarray]:
    return {w.path: zoo.value(w) for w in model.weights if "moving" in w.path}


def _fit(model: keras.Model) -> None:
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(*zoo.batch("resnet20"), verbose=0)


def test_features_of_a_reloaded_model(tmp_path: Path) -> None:
    model = zoo.built("resnet20")
    x, _ = zoo.batch("resnet20")
    model.save(tmp_path / "a.keras")
    reloaded = kerazoo.load_model(tmp_path / "a.keras")
    expected = kerazoo.feature_extractor(model, levels=("P0", "P2"))(x)
    found = kerazoo.feature_extractor(reloaded, levels=("P0", "P2"))(x)
    assert list(found) == ["P0", "P2"]
    for level in found:
        np.testing.assert_allclose(np.array(found[level]), np.array(expected[level]), atol=1e-6)


def test_levels_are_strides_even_on_a_tiny_image() -> None:
    """At 8 x 8 three stages of ResNet-18 have one pixel each; they are P3, P4 and P5 all the same."""
    features = kerazoo.feature_extractor(kerazoo.resnet18((8, 8, 1)))
    assert {level: tensor.shape[-1] for level, tensor in features.output.items()} == {
        "P1": 64,
        "P2": 64,
        "P3": 128,
        "P4": 256,
        "P5": 512,
    }


def _stages(inputs, x, strides: list[int], padding: str = "same") -> keras.Model:
    for index, step in enumerate(strides, start=1):
        x = layers.Conv2D(2, 3, strides=step, padding=padding, name=f"stage{index}_conv")(x)
        x = layers.Identity(name=f"stage{index}_out")(x)
    return keras.Model(inputs, x)


def _two_sizes() -> keras.Model:
    """A photograph and its half, joined after the first halving."""
    large, small = keras.Input((40, 24, 3)), keras.Input((20, 12, 1))
    x = layers.Concatenate()([layers.MaxPooling2D(2)(large), small])
    return _stages([large, small], x, [1, 2])


def _image_and_number() -> keras.Model:
    image, number = keras.Input((30, 30, 3)), keras.Input((2,))
    x = layers.Multiply()([layers.Conv2D(4, 1)(image), layers.Reshape((1, 1, 4))(layers.Dense(4)(number))])
    return _stages([image, number], x, [1, 2, 2])


def _alone(shape: tuple, *args) -> keras.Model:
    inputs = keras.Input(shape)
    return _stages([inputs], inputs, *args)


@pytest.mark.parametrize(
    ("build", "levels"),
    [
        (
            lambda: kerazoo.unet((188, 188, 1), filters=2, padding="valid"),
            {f"P{i}": f"stage{i + 1}_out" for i in range(5)},
        ),
        (lambda: _alone((300, 300, 1), [1, 2, 2, 2, 2], "valid"), {f"P{i}": f"stage{i + 1}_out" for i in range(5)}),
        (lambda: _alone((None, None, 1), [2] * 11), {f"P{i}": f"stage{i}_out" for i in range(1, 12)}),
        (lambda: _alone((100, 100, 1), [1, 3, 2]), {"P0": "stage1_out"}),
        (lambda: _alone((72, 100, 1), [2, 4]), {"P1": "stage1_out", "P3": "stage2_out"}),
        (lambda: kerazoo.cnn((50, 1), filters=(2, 2), pool_size=4), {"P0": "stage1_out", "P2": "stage2_out"}),
        (_two_sizes, {"P1": "stage1_out", "P2": "stage2_out"}),
        (_image_and_number, {f"P{i}": f"stage{i + 1}_out" for i in range(3)}),
    ],
    ids=["unet valid", "valid", "deep", "thirds", "no square", "signal", "two sizes", "image and number"],
)
def test_levels_are_powers_of_two(build, levels: dict[str, str]) -> None:
    model = build()
    features = kerazoo.feature_extractor(model)
    assert {level: tensor.name for level, tensor in features.output.items()} == {
        level: model.get_layer(name).output.name for level, name in levels.items()
    }


def test_graft_takes_functions_of_keras_ops() -> None:
    inputs = keras.Input((8, 8, 3))
    doubled = keras.ops.concatenate([inputs, -inputs], axis=-1) * 2
    encoder = _stages(inputs, doubled, [1, 2])
    other = keras.Input((8, 8, 3))
    grafted = surgery.graft(encoder, other)
    assert list(grafted) == [0, 1]
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(keras.Model(other, grafted[1])(x), encoder(x), atol=1e-6)


def test_no_levels() -> None:
    with pytest.raises(ValueError, match="'mlp' has no feature levels"):
        kerazoo.feature_extractor(zoo.built("mlp"))


def test_freeze_keeps_batch_norm_statistics() -> None:
    model = zoo.fresh("resnet20")
    kerazoo.freeze(model, until="stage2_out")
    before, weights = _statistics(model), {w.path: zoo.value(w) for w in model.weights}
    _fit(model)
    after = _statistics(model)
    for path in before:
        frozen = path.startswith(("stem", "stage1", "stage2"))
        assert np.array_equal(before[path], after[path]) == frozen, path
    changed = {w.path.split("_")[0] for w in model.weights if np.any(weights[w.path] != zoo.value(w))}
    assert changed <= {"stage3", "predictions", "predictions/kernel", "predictions/bias"}


def test_freeze_with_batch_norm_training() -> None:
    model = zoo.fresh("resnet20")
    kerazoo.freeze(model, batch_norm="train")
    assert {type(layer).__name__ for layer in model.layers if layer.trainable_weights} == {
        "BatchNormalization",
        "Dense",
    }
    before = _statistics(model)
    _fit(model)
    assert all(np.any(before[path] != value) for path, value in _statistics(model).items())


@pytest.mark.parametrize("frozen_before", [False, True])
def test_freeze_reaches_into_models_inside_the_model(frozen_before: bool) -> None:
    inside = kerazoo.resnet20((16, 16, 3), include_top=False, pooling="avg")
    inside.trainable = not frozen_before
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, layers.Dense(5, name="predictions")(inside(inputs)))
    norms = {w.path for layer in inside.layers if "_bn" in layer.name for w in (layer.gamma, layer.beta)}
    head = {w.path for w in model.get_layer("predictions").weights}
    assert {w.path for w in kerazoo.freeze(model, batch_norm="train").trainable_weights} == norms | head
    assert {w.path for w in kerazoo.freeze(model).trainable_weights} == head
    assert len(kerazoo.unfreeze(model).trainable_weights) > len(norms | head)


def test_unfreeze() -> None:
    model = zoo.fresh("resnet20")
    count = len(model.trainable_weights)
    kerazoo.freeze(model)
    assert len(model.trainable_weights) == 2
    kerazoo.unfreeze(model)
    assert len(model.trainable_weights) == count


def test_freeze_refuses() -> None:
    with pytest.raises(ValueError, match=r"no layer 'stage9_out'. Did you mean 'stage"):
        kerazoo.freeze(zoo.fresh("resnet20"), until="stage9_out")
    with pytest.raises(ValueError, match="batch_norm"):
        kerazoo.freeze(zoo.fresh("resnet20"), batch_norm="eval")


@pytest.mark.parametrize(
    "name", zoo.distinct(lambda card: card.kind in ("image_classifier", "dense_prediction", "vector", "sequence"))
)
def test_replace_head(name: str) -> None:
    old = zoo.fresh(name)
    new = kerazoo.replace_head(old, 9)
    assert type(new) is type(old)
    assert new.name == old.name
    assert new.output_shape == (*old.output_shape[:-1], 9)
    assert new.get_layer("predictions").compute_dtype == "float32"
    x, _ = zoo.batch(name)
    assert zoo.outputs(new, x)[0].shape[-1] == 9
    kept = [layer for layer in old.layers if new.get_layer(layer.name) is layer]
    weights = [weight for layer in old.layers if layer not in kept for weight in layer.weights]
    assert {weight.shape[-1] for weight in weights} <= {old.output_shape[-1], 84}  # 84: the codes of LeNet-5
    assert len(kept) >= len(old.layers) - 4


def test_a_head_without_a_dense_layer() -> None:
    """The scores of SqueezeNet are the averaged maps of a convolution."""
    old = zoo.fresh("squeezenet1_1")
    x, _ = zoo.batch("squeezenet1_1")
    logits = kerazoo.replace_head(old, 9, activation=None)
    scores = zoo.outputs(logits, x)[0]
    new = kerazoo.replace_head(logits, 9, activation="softmax")
    new.set_weights(logits.get_weights())
    np.testing.assert_allclose(zoo.outputs(new, x)[0], np.array(keras.ops.softmax(scores)), rtol=1e-5)
    assert logits.get_layer("conv10").kernel.shape[-1] == 9
    assert logits.get_layer("fire9_squeeze") is old.get_layer("fire9_squeeze")
    kerazoo.freeze(old)
    assert [layer.name for layer in old.layers if layer.trainable_weights] == ["conv10"]


def test_replace_head_of_a_model_with_auxiliary_heads() -> None:
    old = zoo.fresh("googlenet", input_shape=(79, 79, 1), auxiliary_heads=True)
    with pytest.raises(ValueError, match=r"cut off the rest with keras.Model\(model.inputs, model.get_layer"):
        kerazoo.replace_head(old, 9)
    trunk = keras.Model(old.inputs, old.get_layer("predictions").output)
    assert kerazoo.replace_head(trunk, 9).output_shape == (None, 9)


@pytest.mark.parametrize(
    ("classes", "activation", "new_classes", "expected"),
    [
        (5, "softmax", 1, "sigmoid"),
        (1, "sigmoid", 5, "softmax"),
        (5, "sigmoid", 3, "sigmoid"),
        (5, "sigmoid", 1, "sigmoid"),
        (1, "sigmoid", 1, "sigmoid"),
        (5, None, 1, "linear"),
    ],
)
def test_new_head_fits_its_number_of_classes(classes: int, activation: str, new_classes: int, expected: str) -> None:
    model = zoo.fresh("mlp", num_outputs=classes, output_activation=activation)
    head = kerazoo.replace_head(model, new_classes).get_layer("predictions")
    assert head.activation.__name__ == expected
    with pytest.raises(ValueError, match="activation cannot be a softmax with num_classes=1"):
        kerazoo.replace_head(model, 1, activation="softmax")


def _auxiliary(x) -> list:
    return [layers.Dense(5, name="predictions")(x), layers.Dense(2, name="auxiliary")(x)]


@pytest.mark.parametrize(
    "ends",
    [_auxiliary, lambda x: _auxiliary(x)[::-1]],
    ids=["two outputs", "not the first"],
)
def test_replace_head_drops_nothing(ends) -> None:
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="predictions must be all that 'm' returns"):
        kerazoo.replace_head(keras.Model(inputs, ends(inputs), name="m"), 3)


def test_replace_head_keeps_what_follows_without_weights() -> None:
    inputs = keras.Input((4,))
    scores = layers.Dense(5, name="predictions")(inputs)
    new = kerazoo.replace_head(keras.Model(inputs, layers.Softmax()(scores)), 3)
    np.testing.assert_allclose(np.sum(zoo.outputs(new, np.ones((2, 4), "float32"))[0], axis=-1), 1.0, rtol=1e-6)
    with pytest.raises(ValueError, match="no layer named predictions"):
        kerazoo.replace_head(keras.Model(inputs, layers.Dense(2)(scores)), 3)


def test_replace_head_of_a_sequential_model() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(5, name="predictions")])
    assert kerazoo.replace_head(model, 7).output_shape == (None, 7)


def test_replace_head_activation_and_errors() -> None:
    logits = kerazoo.replace_head(zoo.fresh("resnet20"), 3, activation=None)
    assert logits.get_layer("predictions").activation is keras.activations.linear
    with pytest.raises(ValueError, match="num_classes"):
        kerazoo.replace_head(zoo.fresh("resnet20"), 0)
    with pytest.raises(ValueError, match="no layer named predictions"):
        kerazoo.replace_head(zoo.fresh("resnet20", include_top=False), 3)
