"""What is special in networks whose tokens are patches of an image."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.layers import GridPositions, resize_positions


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_for_images_of_another_size(suffix: str, tmp_path: Path) -> None:
    """The table of positions is resized, the one of a grid that is no square, too, and nothing else is changed."""
    path = tmp_path / f"small{suffix}"
    small = zoo.fresh("vit_base_16", input_shape=(48, 32, 3))
    zoo.perturb(small)
    small.save(path) if suffix == ".keras" else small.save_weights(path)
    large = zoo.fresh("vit_base_16", input_shape=(80, 64, 3), weights=str(path))
    for old, new in zip(small.weights, large.weights, strict=True):
        if "positions" in old.path:
            assert np.array_equal(new, resize_positions(zoo.value(old), (5, 4), (3, 2)))
        elif "seed" not in old.path:
            assert np.array_equal(old, new), old.path
    with pytest.raises(ValueError, match="does not fit"):
        zoo.fresh("vit_base_16", input_shape=(80, 64, 3), hidden_dim=10, weights=str(path))


def test_resized_positions() -> None:
    random = np.random.default_rng(0)
    table = random.normal(size=(1 + 12, 4)).astype("float32")
    assert np.array_equal(resize_positions(table, (3, 4), (3, 4)), table)
    found = resize_positions(table, (6, 9), (3, 4))
    assert found.shape == (55, 4)
    assert np.array_equal(found[0], table[0]), "the class token has no place"
    flat = np.concatenate([table[:1], np.full((12, 4), 2.5, "float32")])
    np.testing.assert_allclose(resize_positions(flat, (5, 7), (3, 4))[1:], 2.5, rtol=1e-6)
    with pytest.raises(ValueError, match="none of a class token and 3 x 3"):
        resize_positions(table, (5, 5))


def test_resized_positions_of_pytorch() -> None:
    """torch.nn.functional.interpolate(torch.arange(4.) ** 2, 7 and 3 long, mode="bicubic", align_corners=False)."""
    table = np.array([0, 0, 1, 4, 9], "float32")[:, None]
    expected = {
        7: [-0.09921646, 0.15624869, 0.80420822, 2.12500048, 4.42465782, 7.48077536, 9.49608231],
        3: [0.09143502, 2.125, 8.33449173],
    }
    for size, values in expected.items():
        np.testing.assert_allclose(resize_positions(table, (1, size), (1, 4))[1:, 0], values, atol=1e-5)


def test_patches_lie_row_by_row() -> None:
    model = zoo.fresh("vit_base_16", input_shape=(32, 48, 3))
    image = np.zeros((1, 32, 48, 3), "float32")
    image[0, 16:, 32:] = 1.0  # the last patch of six
    patches = keras.Model(model.input, model.get_layer("patches").output)
    changed = np.any(zoo.value(patches(image)) != zoo.value(patches(0 * image)), axis=-1)[0]
    assert changed.tolist() == [False] * 5 + [True]
    assert model.get_layer("positions").grid == (2, 3)
    tokens = keras.Model(model.input, model.get_layer("with_class_token").output)
    model.get_layer("with_class_token").token.assign(np.full((1, 1, 8), 7.0))
    assert np.all(zoo.value(tokens(image))[:, 0] == 7)


def test_the_map_is_the_patches() -> None:
    with zoo.cheap_weights():
        model = zoo.fresh("vit_base_16", input_shape=(32, 48, 3), include_top=False)
    assert model.output_shape == (None, 2, 3, 8)
    zoo.perturb(model)
    tokens = keras.Model(model.input, model.get_layer("final_norm").output)
    x = np.random.default_rng(0).normal(size=(1, 32, 48, 3)).astype("float32")
    assert np.allclose(zoo.value(model(x)).reshape(6, 8), zoo.value(tokens(x))[0, 1:])


@pytest.mark.parametrize(
    ("variant", "epsilon", "activation"), [("paper", 1e-6, "gelu"), ("hf", 1e-12, "gelu"), ("jax", 1e-6, "gelu_tanh")]
)
def test_variants(variant: str, epsilon: float, activation: str) -> None:
    model = zoo.fresh("vit_base_16", variant=variant)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.LayerNormalization)]
    assert len(norms) == 5
    assert all(layer.epsilon == epsilon for layer in norms)
    acts = [layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    assert acts == [activation] * 2


def test_dropout_of_the_paper() -> None:
    """Behind the embedding and every dense layer but query, key and value: one and three per block."""
    rates = [layer.rate for layer in zoo.fresh("vit_base_16").layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.1] * (1 + 3 * 2 + 1)


def test_first_weights() -> None:
    model = kerazoo.vit_tiny_16((32, 32, 3), 10, patch_size=4, num_layers=2)
    assert not np.any(model.get_layer("predictions").kernel)
    assert not np.any(model.get_layer("with_class_token").token)
    assert abs(np.std(model.get_layer("positions").embeddings) / 0.02 - 1) < 0.05
    width = model.get_layer("positions").embeddings.shape[-1]
    for dense in ("query_dense", "key_dense", "value_dense", "output_dense"):
        kernel = keras.ops.convert_to_numpy(getattr(model.get_layer("block1_attention"), dense).kernel)
        assert abs(np.std(kernel) * width**0.5 - 1) < 0.05, "Glorot's rule for a square matrix, uniform"


def test_sizes_that_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of patch_size=16; the next size that works is 48"):
        zoo.fresh("vit_base_16", input_shape=(33, 32, 3))
    assert GridPositions((2, 2)).max_length == 5
