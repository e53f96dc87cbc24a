"""Gradient penalties and growing networks against cases computed by hand, on one device and on two, and exported."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import zoo
from keras import layers

import kerazoo
from kerazoo.exporters import FORMATS, suffix
from kerazoo.gans._models import WassersteinGAN
from kerazoo.gans.progan import ProgressiveGAN, grown_discriminator, grown_generator

RANDOM = np.random.default_rng(0)


def with_critic(critic: keras.Model) -> WassersteinGAN:
    """A pair with this critic and a generator that gives zeros."""
    latent, size = keras.Input((2,), name="latent"), critic.input_shape[1]
    generator = keras.Model(latent, layers.Dense(size, kernel_initializer="zeros")(latent), name="generator")
    options = {"num_classes": 0, "critic_steps": 1, "penalty_weight": 10.0}
    return WassersteinGAN(generator=generator, discriminator=critic, **options, name="pair")


def linear_critic(weights: list[float]) -> keras.Model:
    """D(x) = w x."""
    image = keras.Input((len(weights),), name="image")
    critic = keras.Model(image, layers.Dense(1, use_bias=False)(image), name="discriminator")
    critic.set_weights([np.array(weights, "float32")[:, None]])
    return critic


@pytest.mark.parametrize(("weights", "penalty"), [([1.0, 2.0, 2.0], 4.0), ([0.6, 0.8], 0.0), ([0.0, 0.0], 1.0)])
def test_losses_of_a_linear_critic(weights: list[float], penalty: float) -> None:
    """Its gradient is w everywhere: the penalty is (|w| - 1)^2, the distance that of the means."""
    model = with_critic(linear_critic(weights))
    x = RANDOM.normal(size=(5, len(weights))).astype("float32")
    batch = model.batch((x,))
    batch |= model.draws(batch, training=True)
    found = {key: float(value) for key, value in model.discriminator_loss(batch, training=True).items()}
    assert found["gradient_penalty"] == pytest.approx(10 * penalty, abs=1e-4)
    assert found["critic"] == pytest.approx(-float((x @ np.array(weights)).mean()), abs=1e-5)
    assert float(model.generator_loss(batch, training=True)) == 0.0


def test_the_penalty_is_taken_between_real_and_made_images() -> None:
    """D(x) = x^2 / 2 has the gradient x: at half of a real image of length 3, made of zeros, it is 1.5."""
    image = keras.Input((1,), name="image")
    model = with_critic(keras.Model(image, image * image / 2, name="discriminator"))
    batch = {"image": keras.ops.full((2, 1), 3.0), "mix": keras.ops.full((2, 1), 0.5)}
    assert float(model.gradient_penalty(batch, keras.ops.zeros((2, 1)), True)) == pytest.approx(0.25, abs=1e-5)


def test_the_critic_takes_its_turns_first() -> None:
    assert zoo.fresh("wgan_gp", critic_steps=3).turns == ("discriminator",) * 3 + ("generator",)


# --- growth ---------------------------------------------------------------------------------------------


def growing(**options: object) -> ProgressiveGAN:
    """Three levels: 4, 8 and 16 pixels, with weights that are all seen."""
    model = zoo.fresh("progan", input_shape=(16, 16, 1), **options)
    zoo.perturb(model)
    return model


def set_level(model: ProgressiveGAN, alphas: tuple[float, ...]) -> None:
    for part in model.PARTS:
        for number, alpha in enumerate(alphas, start=1):
            getattr(model, part).get_layer(f"fade{number}").alpha.assign(alpha)


def enlarged(x: np.ndarray, times: int = 1) -> np.ndarray:
    for _ in range(times):
        x = x.repeat(2, axis=1).repeat(2, axis=2)
    return x


def test_fade_in_is_exact_at_both_ends() -> None:
    old, new = RANDOM.normal(size=(2, 3, 4, 4, 2)).astype("float32")
    layer = kerazoo.layers.FadeIn()
    assert np.array_equal(layer([old, new]), old)
    layer.alpha.assign(1.0)
    assert np.array_equal(layer([old, new]), new)
    layer.alpha.assign(0.25)
    np.testing.assert_allclose(layer([old, new]), 0.75 * old + 0.25 * new, rtol=1e-6)


@pytest.mark.parametrize(("alphas", "stage"), [((0.0, 0.0), 0), ((0.3, 0.0), 1), ((1.0, 0.0), 1)])
def test_a_stage_is_the_whole_network_at_that_level(alphas: tuple[float, ...], stage: int) -> None:
    model = growing()
    set_level(model, alphas)
    z = RANDOM.normal(size=(3, 6)).astype("float32")
    small = zoo.outputs(grown_generator(model.generator, stage), z)[0]
    assert small.shape[1:3] == (4 * 2**stage, 4 * 2**stage)
    np.testing.assert_allclose(zoo.outputs(model.generator, z)[0], enlarged(small, 2 - stage), atol=1e-6)
    found = zoo.outputs(grown_discriminator(model.discriminator, stage), small)[0]
    np.testing.assert_allclose(found, zoo.outputs(model.discriminator, enlarged(small, 2 - stage))[0], atol=1e-5)


def test_the_last_level_is_the_new_path_alone() -> None:
    model = growing()
    set_level(model, (1.0, 1.0))
    z = RANDOM.normal(size=(3, 6)).astype("float32")
    newest = keras.Model(model.generator.input, model.generator.get_layer("to_rgb2").output)
    assert np.array_equal(zoo.outputs(model.generator, z)[0], zoo.outputs(newest, z)[0])
    assert np.ptp(zoo.outputs(newest, z)[0]) > 0.1


def test_real_images_of_a_stage() -> None:
    model = growing()
    x = RANDOM.normal(size=(2, 16, 16, 1)).astype("float32")
    half = x.reshape(2, 8, 2, 8, 2, 1).mean(axis=(2, 4))
    quarter = half.reshape(2, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    for alpha, expected in ((0.0, enlarged(quarter)), (1.0, half), (0.5, (half + enlarged(quarter)) / 2)):
        set_level(model, (alpha, 0.0))
        found = model.real({"image": keras.ops.convert_to_tensor(x), "stage": 1})["image"]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    found = model.real({"image": keras.ops.convert_to_tensor(x), "stage": 0})["image"]
    np.testing.assert_allclose(found, quarter, atol=1e-6)


@pytest.mark.parametrize(
    ("shown", "level", "stage"),
    [(0, 0.0, 0), (10, 0.0, 0), (11, 0.25, 1), (13, 0.75, 1), (14, 1.0, 1), (24, 1.0, 1), (26, 1.5, 2), (999, 2.0, 2)],
)
def test_schedule(shown: int, level: float, stage: int) -> None:
    """10 images to learn a size, 4 to fade in the next one."""
    model = growing(stabilize_images=10, fade_images=4)
    model.images_shown.assign(shown)
    assert float(model.level()) == pytest.approx(level)
    assert int(model.stage()) == stage


def test_training_grows_the_networks_and_only_what_is_there_learns() -> None:
    model = growing(stabilize_images=8, fade_images=8)
    set_level(model, (0.0, 0.0))
    model.compile()
    images = RANDOM.uniform(-1, 1, (4, 16, 16, 1)).astype("float32")
    seen = []
    for _ in range(9):
        before = [zoo.value(model.generator.get_layer(f"level{k}_conv1").kernel) for k in (1, 2)]
        model.fit(images, batch_size=4, verbose=0)
        after = [zoo.value(model.generator.get_layer(f"level{k}_conv1").kernel) for k in (1, 2)]
        moved = [bool(np.any(a != b)) for a, b in zip(before, after, strict=True)]
        alphas = [float(model.discriminator.get_layer(f"fade{k}").alpha) for k in (1, 2)]
        seen.append((int(model.images_shown), *alphas, *moved))
    assert seen[:6] == [
        (4, 0.0, 0.0, False, False),
        (8, 0.0, 0.0, False, False),
        (12, 0.5, 0.0, False, False),
        (16, 1.0, 0.0, True, False),
        (20, 1.0, 0.0, True, False),
        (24, 1.0, 0.0, True, False),
    ]
    assert seen[-1] == (36, 1.0, 1.0, True, True)
    difference = model.averaged_generator.get_weights()[2] - model.generator.get_weights()[2]
    assert np.abs(difference).max() > 0


def test_generator_average() -> None:
    model = growing(averaging=0.9)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), run_eagerly=True)
    mean = zoo.value(model.averaged_generator.get_layer("level0_conv").kernel)
    model.fit(RANDOM.uniform(-1, 1, (4, 16, 16, 1)).astype("float32"), verbose=0)
    new = zoo.value(model.generator.get_layer("level0_conv").kernel)
    found = zoo.value(model.averaged_generator.get_layer("level0_conv").kernel)
    np.testing.assert_allclose(found, 0.9 * mean + 0.1 * new, atol=1e-6)
    assert np.abs(new - mean).max() > 1e-3


# --- layers -----------------------------------------------------------------------------------------------


def test_equalized_layers_scale_their_weights() -> None:
    dense = kerazoo.layers.EqualizedDense(50, gain=2.0)
    x = RANDOM.normal(size=(400, 64)).astype("float32")
    y = np.array(dense(x))
    np.testing.assert_allclose(y, x @ zoo.value(dense.kernel) * 2.0 / 8.0, atol=1e-5)
    assert np.std(zoo.value(dense.kernel)) == pytest.approx(1.0, abs=0.05)
    conv = kerazoo.layers.EqualizedConv2D(3, 3, gain=1.0)
    image = RANDOM.normal(size=(1, 5, 5, 4)).astype("float32")
    middle = np.array(conv(image))[0, 2, 2]
    expected = np.einsum("hwc,hwco->o", image[0, 1:4, 1:4], zoo.value(conv.kernel)) / 6.0
    np.testing.assert_allclose(middle, expected, atol=1e-5)


def test_pixel_norm_and_deviation() -> None:
    x = RANDOM.normal(size=(3, 2, 2, 8)).astype("float32")
    np.testing.assert_allclose((np.array(kerazoo.layers.PixelNorm()(x)) ** 2).mean(-1), 1.0, atol=1e-5)
    found = np.array(kerazoo.layers.MinibatchDeviation()(x))
    assert np.array_equal(found[..., :-1], x)
    np.testing.assert_allclose(found[..., -1], x.std(axis=0).mean(), rtol=1e-5)


# --- devices and exports --------------------------------------------------------------------------------

_MIRRORED = """
import json, sys
import keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
sys.path.insert(0, "tests/kerazoo")
import kerazoo, zoo

def train(name, options):
    keras.utils.set_random_seed(3)
    model = kerazoo.create_model(name, **{**kerazoo.model_card(name).test_config, **options})
    model.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
    x = np.random.default_rng(0).uniform(-1, 1, (12, *kerazoo.model_card(name).sample.training.shape))
    history = model.fit(tf.data.Dataset.from_tensor_slices(x.astype("float32")).batch(4), verbose=0, shuffle=False)
    return model, history.history

found, strategy = {}, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name, options in {"wgan_gp": {"critic_steps": 1}, "progan": {}}.items():
    alone, losses = train(name, options)
    with strategy.scope():
        both, shared = train(name, options)
    pairs = zip(alone.get_weights(), both.get_weights(), strict=True)
    found[name] = {
        "weights": max(float(np.abs(a - b).max()) for a, b in pairs),
        "losses": max(abs(losses[key][0] - shared[key][0]) for key in losses),
        "shown": int(zoo.value(both.images_shown)) if name == "progan" else 0,
    }
print(json.dumps(found))
"""


def test_two_devices_do_what_one_does() -> None:
    """Also their noise is that of one device; only the deviation over the batch (progan) is each device's own."""
    found = json.loads(zoo.run_forked(_MIRRORED))
    assert found["wgan_gp"]["weights"] < 1e-6
    assert found["wgan_gp"]["losses"] < 1e-5
    assert found["progan"]["shown"] == 12
    assert found["progan"]["losses"] < 0.3


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.kind == "generator_discriminator"))
def test_export(name: str, format: str, tmp_path: Path) -> None:
    """The part that draws; the first stands for the discriminators."""
    model = zoo.built(name)
    if isinstance(model, ProgressiveGAN):
        set_level(model, (0.5,))
    report = kerazoo.export(model.sampler(), tmp_path / f"a{suffix(format)}", format, samples=zoo.batch(name)[0])
    assert report.passed
    if isinstance(model, ProgressiveGAN) or name == "dcgan":
        kerazoo.export(model.discriminator, tmp_path / f"b{suffix(format)}", format, input_range=(-1, 1))
