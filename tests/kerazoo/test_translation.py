"""pix2pix, CycleGAN and SRGAN: patches, losses by hand, the image pool, networks to compare by, bad images."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import seeded
import tensorflow as tf
import zoo

import kerazoo
from kerazoo.exporters import FORMATS, suffix
from kerazoo.gans._image_pool import ImagePool
from kerazoo.gans._patches import patch_discriminator, receptive_field
from kerazoo.gans.schedule import ConstantThenLinear
from kerazoo.layers.doubling import BilinearDoubling

_REFERENCES = Path(__file__).parent / "references"
_CASES: dict[str, dict[str, Any]] = json.loads((_REFERENCES / "translation.json").read_text())
NAMES = ("pix2pix", "cyclegan", "srgan")
LOG2 = math.log(2)


@pytest.mark.parametrize("case", _CASES)
def test_recorded_outputs_of_pytorch(case: str) -> None:
    """What networks written a second time in PyTorch gave for the same seeded weights and images."""
    plan = _CASES[case]
    with zoo.cheap_weights():
        part = getattr(kerazoo.create_model(plan["builder"], **plan["options"]), plan["part"])
    images = {name: seeded.image(f"{case}/{name}", (2, *shape)) for name, shape in plan["inputs"].items()}
    found = seeded.fill(part)(images if len(images) > 1 else next(iter(images.values())))
    with np.load(_REFERENCES / "translation.npz") as recorded:
        assert seeded.difference(zoo.value(found), recorded[case]) < 5e-6


@pytest.mark.parametrize(("num_layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_fields_of_the_paper(num_layers: int, field: int) -> None:
    assert receptive_field(num_layers) == field


@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_logit_sees_a_patch_of_this_size(num_layers: int) -> None:
    field = receptive_field(num_layers)
    image = keras.Input((2 * field + 20, 2 * field + 20, 1), name="image")
    judge = patch_discriminator({"image": image}, filters=1, num_layers=num_layers, normalization="batch", name="judge")
    for weight in judge.trainable_weights:
        weight.assign(np.full(weight.shape, 0.5))  # no weight is zero, no two paths cancel
    x = tf.Variable(np.random.default_rng(0).uniform(0.5, 1.0, (1, *image.shape[1:])).astype("float32"))
    with tf.GradientTape() as tape:
        logits = judge(x)
        middle = logits[0, logits.shape[1] // 2, logits.shape[2] // 2, 0]
    seen = np.any(np.array(tape.gradient(middle, x))[0, :, :, 0] != 0, axis=0)
    assert seen.sum() == field
    assert np.all(np.diff(np.flatnonzero(seen)) == 1)


def test_maps_of_patches() -> None:
    with zoo.cheap_weights():
        model = kerazoo.pix2pix()
    assert model.discriminator.output_shape == (None, 30, 30, 1), "the paper's 256 pixels"


def _silent(name: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A model whose generators draw zeros and whose discriminators say zero, and a batch."""
    model = zoo.fresh(name)
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    model.compile()
    return model, *zoo.training_batch(name)


def test_losses_of_pix2pix() -> None:
    model, x, y = _silent("pix2pix")
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    distance = np.abs(y).mean()
    expected = {"discriminator_loss": LOG2, "adversarial": LOG2, "l1": 100 * distance}
    assert found == pytest.approx({**expected, "generator_loss": LOG2 + 100 * distance}, rel=1e-5)


def test_losses_of_cyclegan() -> None:
    model, a, b = _silent("cyclegan")
    found = model.evaluate(a, b, verbose=0, return_dict=True)
    distance = np.abs(a).mean() + np.abs(b).mean()
    # Two discriminators that say 0: wrong by 1 about every real image and every image that is to pass for one.
    expected = {"discriminator_loss": 1.0, "adversarial": 2.0, "cycle": 10 * distance, "identity": 5 * distance}
    assert found == pytest.approx({**expected, "generator_loss": 2 + 15 * distance}, rel=1e-5)


def test_losses_of_srgan() -> None:
    model, x, y = _silent("srgan")
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    expected = {"discriminator_loss": 2 * LOG2, "adversarial": 1e-3 * LOG2, "content": np.square(y).mean()}
    assert found == pytest.approx({**expected, "generator_loss": np.square(y).mean() + 1e-3 * LOG2}, rel=1e-5)


def _colours(*numbers: int) -> np.ndarray:
    return np.array(numbers, "float32")[:, None, None, None] * np.ones((1, 2, 2, 1), "float32")


def _exchange(pool: ImagePool, numbers: tuple[int, ...], dice: Any) -> list[int]:
    out, kept = pool.exchange(_colours(*numbers), np.array(dice, "float32"))
    pool.keep(kept, len(numbers))
    return [int(image[0, 0, 0]) for image in zoo.value(out)]


def test_image_pool() -> None:
    pool = ImagePool(3, (2, 2, 1), name="pool")

    def content() -> list[int]:
        return [int(image[0, 0, 0]) for image in zoo.value(pool.images)]

    assert _exchange(pool, (1, 2), [[0.9, 0.0], [0.9, 0.0]]) == [1, 2], "while it fills, images come out again"
    assert _exchange(pool, (3, 4), [[0.9, 0.0], [0.9, 0.0]]) == [3, 4]
    assert content() == [1, 2, 3], "the fourth one found no room"
    assert _exchange(pool, (5, 6), [[0.4, 0.9], [0.0, 0.1]]) == [5, 3], "5 comes out again, 6 takes the place of 3"
    assert content() == [1, 2, 6]
    assert int(pool.filled) == 3


def test_every_place_of_the_pool_is_used_and_half_are_exchanged() -> None:
    pool, random = ImagePool(8, (1, 1, 1), name="pool"), np.random.default_rng(0)
    for number in range(8):
        _exchange_one(pool, number, random)
    swapped = [_exchange_one(pool, number, random) != number for number in range(8, 408)]
    assert 0.4 < np.mean(swapped) < 0.6
    assert zoo.value(pool.images).min() > 300, "every place was taken again"


def _exchange_one(pool: ImagePool, number: int, random: np.random.Generator) -> int:
    image = np.full((1, 1, 1, 1), number, "float32")
    out, kept = pool.exchange(image, random.uniform(size=(1, 2)).astype("float32"))
    pool.keep(kept, 1)
    return int(zoo.value(out).item())


def test_the_pool_is_filled_by_training_and_saved(tmp_path: Path) -> None:
    model = zoo.fresh("cyclegan")
    model.compile()
    a, b = zoo.training_batch("cyclegan")
    model.fit(a, b, batch_size=3, epochs=2, verbose=0)
    assert int(model.pool_a.filled) == int(model.pool_b.filled) == 4
    assert np.ptp(zoo.value(model.pool_a.images), axis=0).max() > 0
    model.evaluate(a, b, verbose=0)
    model.save(tmp_path / "m.keras")
    copy = kerazoo.load_model(tmp_path / "m.keras")
    assert np.array_equal(zoo.value(copy.pool_a.images), zoo.value(model.pool_a.images))
    assert int(copy.pool_b.filled) == 4
    assert copy.generator_optimizer.iterations == model.generator_optimizer.iterations


def test_the_way_of_cyclegan() -> None:
    model = zoo.built("cyclegan")
    a, b = zoo.training_batch("cyclegan")
    there, back = model.translate(a), model.translate(b, direction="b_to_a")
    np.testing.assert_allclose(there, zoo.value(model.generator_ab(a)), atol=1e-6)
    np.testing.assert_allclose(back, zoo.value(model.generator_ba(b)), atol=1e-6)
    assert np.abs(there - zoo.value(model.generator_ba(a))).max() > 1e-3
    with pytest.raises(ValueError, match="direction"):
        model.translate(a, direction="there")


def test_linear_decay() -> None:
    rate = ConstantThenLinear(2e-4, constant_steps=100, decay_steps=50)
    expected = {0: 2e-4, 100: 2e-4, 125: 1e-4, 150: 0.0, 200: 0.0}
    assert {step: float(rate(step)) for step in expected} == pytest.approx(expected, abs=1e-9)


def _edges(channels: int = 2) -> keras.Model:
    """A user's own network to compare by."""
    inputs = keras.Input((None, None, channels), name="image")
    return keras.Model(inputs, keras.layers.Conv2D(3, 3, name="edges")(inputs), name="mine")


def test_srgan_compares_by_a_given_network(tmp_path: Path) -> None:
    network = _edges()
    network.save(tmp_path / "mine.keras")
    x, y = zoo.training_batch("srgan")
    found = {}
    for key, given in (("pixels", None), ("model", network), ("file", str(tmp_path / "mine.keras"))):
        model = zoo.fresh("srgan", perceptual_network=given)
        before = [] if given is None else [zoo.value(weight) for weight in model.perceptual.weights]
        model.compile(run_eagerly=True)
        model.fit(x, y, batch_size=3, verbose=0)
        if given is not None:
            assert not model.perceptual.trainable_weights
            after = [zoo.value(weight) for weight in model.perceptual.weights]
            assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        found[key] = model.evaluate(x, y, verbose=0, return_dict=True)["content"]
        made = model.upscale(x)
        expected = made - y if given is None else zoo.value(network(made)) - zoo.value(network(y))
        assert found[key] == pytest.approx(np.square(expected).mean(), rel=1e-4)
    assert found["model"] == pytest.approx(found["file"], rel=1e-5)
    model.save(tmp_path / "srgan.keras")
    copy = kerazoo.load_model(tmp_path / "srgan.keras")
    assert np.array_equal(copy.perceptual.get_weights()[0], network.get_weights()[0])


def test_vgg_features() -> None:
    with zoo.cheap_weights():
        features = kerazoo.gans.vgg19_features(3)
        assert kerazoo.gans.vgg19_features(1).input_shape == (None, None, None, 1)
    assert features.compute_output_shape((1, 96, 96, 3)) == (1, 6, 6, 512)
    assert features.get_layer("stage5_conv4").output.shape[-1] == 512
    scales = [(layer.scale, layer.offset) for layer in features.layers if isinstance(layer, keras.layers.Rescaling)]
    assert scales[0][0] == 127.5
    # Grey, 0 in [-1, 1], is 127.5, from which the means of ImageNet are taken.
    assert scales[0][1] == pytest.approx((127.5 - 123.68, 127.5 - 116.779, 127.5 - 103.939), abs=1e-3)
    assert scales[1][0] == pytest.approx(1 / 12.75)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pix2pix", {"input_shape": (12, 8, 2)}, "multiples of 8, the next one is 16"),
        ("pix2pix", {"input_shape": (8, 8, 2), "discriminator_layers": 3}, "at least 24 x 24.*70 pixels"),
        ("cyclegan", {"input_shape": (10, 8, 2)}, "multiples of 4, the next one is 12"),
        ("cyclegan", {"input_shape": (4, 4, 2)}, "at least 8 x 8"),
        ("cyclegan", {"num_channels": 3}, "identity_weight must be 0 where A has 2 channels and B num_channels=3"),
        ("cyclegan", {"input_shape": (None, None, 2)}, "unless pool_size=0"),
        ("srgan", {"input_shape": (None, None, 2)}, "ends in dense layers"),
        ("srgan", {"perceptual_network": _edges(3)}, "perceptual_network must take"),
    ],
)
def test_images_that_do_not_fit(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        zoo.fresh(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_bad_batches(name: str) -> None:
    model = zoo.fresh(name)
    model.compile(run_eagerly=True)
    x, y = zoo.training_batch(name)
    with pytest.raises(ValueError, match="two images at a time"):
        model.train_step(x)
    with pytest.raises(ValueError, match="built for images of shape"):
        model.train_step((x[:, :-1], y))
    with pytest.raises(ValueError, match="sample_weight"):
        model.train_step((x, y, np.ones(len(x))))


def test_batches_larger_than_the_pool() -> None:
    model = zoo.fresh("cyclegan", pool_size=2)
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="at most pool_size=2 images"):
        model.train_step(zoo.training_batch("cyclegan"))


@pytest.mark.parametrize(("name", "options"), [("pix2pix", {}), ("cyclegan", {"pool_size": 0})])
def test_open_sizes(name: str, options: dict[str, Any]) -> None:
    model = zoo.fresh(name, input_shape=(None, None, 2), **options)
    model.compile()
    random = np.random.default_rng(0)
    for size in (8, 16):
        x, y = random.uniform(-1, 1, (2, 2, size, size, 2)).astype("float32")
        assert np.isfinite(model.fit(x, y, verbose=0).history["generator_loss"][0])
        assert model.translate(x).shape == x.shape


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("name", "part"), [("pix2pix", "generator"), ("cyclegan", "generator_ab"), ("srgan", "generator")]
)
def test_generators_are_exported(name: str, part: str, format: str, tmp_path: Path) -> None:
    network, (x, _) = getattr(zoo.built(name), part), zoo.training_batch(name)
    assert kerazoo.export(network, tmp_path / f"part{suffix(format)}", format, samples=x).passed


def test_a_global_skip_begins_with_interpolation() -> None:
    """In [0, 1] in, in [-1, 1] out: before any training the enlarged image, with a way to learn more."""
    model = zoo.fresh("srresnet", global_skip=True)
    x, y = zoo.batch("srresnet")
    enlarged = keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    np.testing.assert_allclose(zoo.outputs(model, x)[0], 2 * zoo.value(enlarged) - 1, atol=1e-6)
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    model.fit(x, y, verbose=0)
    assert np.abs(zoo.value(model.get_layer("predictions").kernel)).max() > 0
    generator = zoo.fresh("srgan", global_skip=True).generator
    np.testing.assert_allclose(zoo.outputs(generator, x)[0], 2 * zoo.value(enlarged) - 1, atol=1e-6)
    with pytest.raises(ValueError, match="as many channels in as out"):
        zoo.fresh("srresnet", global_skip=True, num_channels=3)


@pytest.mark.parametrize("size", [(5, 6), (1, 3)])
def test_doubling_is_bilinear_and_takes_any_size_in_a_graph(size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    expected = zoo.value(keras.layers.UpSampling2D(2, interpolation="bilinear")(x))
    function = tf.function(BilinearDoubling(), input_signature=[tf.TensorSpec((None, None, None, 3))], autograph=False)
    np.testing.assert_allclose(function(x), expected, atol=1e-6)
