"""Feature extractors, frozen layers and new heads, on built, trained and reloaded models."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import zoo

import kerazoo


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
    "name", zoo.models(lambda card: card.kind in ("image_classifier", "dense_prediction", "vector"))
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


def test_replace_head_drops_auxiliary_heads() -> None:
    old = zoo.fresh("googlenet", input_shape=(79, 79, 1), auxiliary_heads=True)
    assert kerazoo.replace_head(old, 9).output_shape == (None, 9)


def test_replace_head_activation_and_errors() -> None:
    logits = kerazoo.replace_head(zoo.fresh("resnet20"), 3, activation=None)
    assert logits.get_layer("predictions").activation is keras.activations.linear
    with pytest.raises(ValueError, match="num_classes"):
        kerazoo.replace_head(zoo.fresh("resnet20"), 0)
    with pytest.raises(ValueError, match="no layer named predictions"):
        kerazoo.replace_head(zoo.fresh("resnet20", include_top=False), 3)
