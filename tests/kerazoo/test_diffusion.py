"""Diffusion: the noise of the steps and the samplers by hand, the average of the weights, guidance, exact resume."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import seeded
import zoo
from keras import ops

import kerazoo
from kerazoo.diffusion import Schedule
from kerazoo.layers import StepEmbedding

_CASES = json.loads((Path(__file__).parent / "references" / "diffusers_unet.json").read_text())


# Schedules and samplers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "step", "left"),
    [
        ("linear", 0, 0.9999),
        ("linear", 499, 0.0785872),
        ("linear", 999, 4.03583e-5),
        ("cosine", 0, 1 - 4.128422e-5),
        ("cosine", 499, 0.4938436),
        ("cosine", 999, 2.42877e-9),
    ],
)
def test_signal_that_is_left(kind: str, step: int, left: float) -> None:
    assert Schedule(kind, 1000).alpha_bars[step] == pytest.approx(left, rel=2e-6)


def test_a_short_schedule_destroys_as_much() -> None:
    for kind in ("linear", "cosine"):
        assert Schedule(kind, 50).alpha_bars[-1] < 1e-3
        assert Schedule(kind, 50).betas.max() < 1


def test_posterior_by_hand() -> None:
    """Of the step 1 of Ho et al.: variance 5.453188e-5, and what its mean takes of the picture and of what is known."""
    schedule = Schedule("linear", 1000)
    of_clean, spread = schedule.posterior(0.0, 1.0, 1, 0)
    of_noisy, _ = schedule.posterior(1.0, 0.0, 1, 0)
    assert (of_clean, of_noisy) == (pytest.approx(0.5452915, rel=1e-6), pytest.approx(0.4547085, rel=1e-6))
    assert spread**2 == pytest.approx(5.453188e-5, rel=1e-6)
    assert schedule.posterior(1.0, 0.0, 1, 0, "large")[1] ** 2 == pytest.approx(schedule.betas[1])
    mean, spread = schedule.posterior(0.3, 0.7, 0, -1, "large")
    assert (mean, spread) == (pytest.approx(0.7), 0.0)


@pytest.mark.parametrize(("step", "less"), [(999, 998), (500, 499), (500, 300), (1, 0), (0, -1)])
def test_ddim_with_eta_1_is_ddpm(step: int, less: int) -> None:
    schedule = Schedule("cosine", 1000)
    ours, theirs = schedule.implicit(0.4, -0.8, step, less, eta=1.0), schedule.posterior(0.4, -0.8, step, less)
    assert ours == (pytest.approx(theirs[0], rel=1e-9), pytest.approx(theirs[1], rel=1e-9))


def test_ddim_goes_straight_to_the_picture() -> None:
    """With the true noise every step stays on the line between picture and noise."""
    schedule, clean, noise = Schedule("linear", 100), 0.6, -1.3
    x = math.sqrt(schedule.alpha_bars[80]) * clean + math.sqrt(1 - schedule.alpha_bars[80]) * noise
    assert schedule.clean(x, noise, 80) == pytest.approx(clean)
    assert schedule.noise(x, clean, 80) == pytest.approx(noise)
    mean, spread = schedule.implicit(x, clean, 80, 30)
    a = schedule.alpha_bars[30]
    assert (mean, spread) == (pytest.approx(math.sqrt(a) * clean + math.sqrt(1 - a) * noise), 0.0)


def test_steps_from_the_last_to_the_first() -> None:
    assert Schedule("linear", 10).steps(4).tolist() == [9, 6, 3, 0]
    assert Schedule("linear", 10).steps(10).tolist() == list(range(9, -1, -1))
    with pytest.raises(ValueError, match=r"at most timesteps=10\. Received: steps=11"):
        Schedule("linear", 10).steps(11)


def test_embedded_steps_by_hand() -> None:
    found = np.array(StepEmbedding(4)(ops.array([3])))[0]
    expected = [math.sin(3), math.sin(3e-4), math.cos(3), math.cos(3e-4)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# The network ---------------------------------------------------------------------------------------------------------


def _network(name: str, **options: Any) -> tuple[keras.Model, dict[str, np.ndarray]]:
    case = _CASES[name]
    with zoo.cheap_weights():
        model = kerazoo.ddpm(**{**case, **options}).denoiser
    inputs = {"input": seeded.image(name, (2, *case["input_shape"])), "step": np.array([3, 871], "int32")}
    return seeded.fill(model), inputs | ({"label": np.array([0, 2], "int32")} if "num_classes" in case else {})


@pytest.mark.parametrize("name", _CASES)
def test_recorded_outputs_of_diffusers(name: str) -> None:
    """Its UNet2DModel with the same seeded weights."""
    model, inputs = _network(name)
    with np.load(Path(__file__).parent / "references" / "diffusers_unet.npz") as recorded:
        theirs = recorded[name]
    assert np.ptp(theirs) > 0.1
    assert seeded.difference(zoo.value(model(inputs)), theirs) < 1e-5
    wrong: dict[str, dict[str, dict[str, Any]]] = {
        "epsilon": {layer.name: {"epsilon": 1e-3} for layer in model.layers if "norm" in layer.name},
        "one activation": {"stage1_block1_act2": {"activation": "gelu"}},
        "groups": {"head_norm": {"groups": 2}},
    }
    for what, change in wrong.items():
        assert seeded.difference(zoo.value(zoo.mutated(model, change)(inputs)), theirs) > 1e-5, what


def test_it_starts_by_seeing_no_noise() -> None:
    model = zoo.fresh("ddpm")
    x, _ = zoo.batch("ddpm")
    told = {"input": x["input"], "step": np.zeros(4, "int32"), "label": x["label"]}
    assert not np.any(zoo.value(model.denoiser(told)))


# Training ------------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_mean_square_of_the_noise_at_the_start() -> None:
    model, (x, _) = zoo.fresh("ddpm"), zoo.batch("ddpm")
    model.compile(jit_compile=False)
    noise = np.array(keras.random.normal((4, 8, 8, 2), seed=0))
    assert model.evaluate(x, batch_size=4, verbose=0) == pytest.approx(np.square(noise).mean(), rel=1e-5)
    assert model.evaluate(x, batch_size=4, verbose=0) == model.evaluate(x, batch_size=4, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-4)


def test_what_the_network_sees_in_evaluation() -> None:
    """Steps spread evenly, and signal and noise in the shares of the schedule."""
    model, (x, _) = zoo.built("ddpm"), zoo.batch("ddpm")
    noise = np.array(keras.random.normal((4, 8, 8, 2), seed=0))
    steps = np.array([6, 18, 31, 43])
    a = model.schedule.alpha_bars[steps].reshape(-1, 1, 1, 1)
    noisy = (np.sqrt(a) * x["input"] + np.sqrt(1 - a) * noise).astype("float32")
    estimate = zoo.value(model.average({"input": noisy, "step": steps.astype("int32"), "label": x["label"]}))
    np.testing.assert_allclose(zoo.value(model(x)), estimate - noise, atol=1e-5)


def test_the_average_of_the_weights() -> None:
    """0.1 and 2/11 of it are kept by the first two steps, whose weights are those they begin with."""
    model, (x, _) = zoo.fresh("ddpm"), zoo.batch("ddpm")
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    kept = [zoo.value(weight) for weight in model.average.weights]
    for decay in (0.1, 2 / 11, 3 / 12):
        begin = [zoo.value(weight) for weight in model.denoiser.weights]
        model.train_on_batch(x)
        kept = [decay * old + (1 - decay) * new for old, new in zip(kept, begin, strict=True)]
    for found, expected in zip(model.average.weights, kept, strict=True):
        np.testing.assert_allclose(zoo.value(found), expected, atol=1e-6)
    pairs = zip(model.average.weights, model.denoiser.weights, strict=True)
    assert any(np.any(zoo.value(average) != zoo.value(weight)) for average, weight in pairs)
    assert float(model.updates) == 3
    model.trainable = False
    model.trainable = True
    assert len(model.trainable_weights) == len(model.denoiser.weights), "the average never learns"


def test_labels_are_dropped_now_and_then() -> None:
    model = zoo.fresh("ddpm", label_dropout=0.25)
    told = np.array(model._drop({"label": ops.ones((4000,), "int32")}, 4000)["label"])
    assert set(told) == {1, 3}
    assert (told == 3).mean() == pytest.approx(0.25, abs=0.03)


def _train(model: keras.Model, epochs: range) -> None:
    x, _ = zoo.batch("ddpm", count=8)
    for _ in epochs:
        model.fit(x, batch_size=4, shuffle=False, verbose=0)


def test_a_reloaded_model_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    model = zoo.fresh("ddpm", multipliers=(1,), attention_sizes=())
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    _train(model, range(2))
    model.save(tmp_path / "half.keras")
    state = zoo.value(model.seed_generator.state)  # not in the file, as that of Dropout; checkpoints have it
    _train(model, range(2))
    again = kerazoo.load_model(tmp_path / "half.keras")
    again.seed_generator.state.assign(state)
    _train(again, range(2))
    assert len(model.variables) == len(again.variables)
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(zoo.value(ours), zoo.value(theirs))


# Drawing -------------------------------------------------------------------------------------------------------------


class _Oracle:
    """Stands for the averaged network: knows that all data are one number."""

    jit_compile = False

    def __init__(self, model: keras.Model, value: float) -> None:
        self.schedule, self.value = model.schedule, value

    def predict_on_batch(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        return self.schedule.noise(batch["input"], self.value, int(batch["step"][0]))


@pytest.mark.parametrize(
    "options", [{}, {"steps": 7}, {"sampler": "ddpm"}, {"sampler": "ddpm", "steps": 7}, {"eta": 0.5}]
)
def test_a_perfect_network_draws_the_data(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.fresh("ddpm")
    monkeypatch.setitem(vars(model), "average", _Oracle(model, 0.25))
    np.testing.assert_allclose(model.generate(2, seed=0, **options), np.full((2, 8, 8, 2), 0.25), atol=1e-4)


def test_draws_are_seeded_one_by_one() -> None:
    model = zoo.built("ddpm")
    many = model.generate(5, labels=[0, 1, 2, 0, 1], steps=4, eta=1.0, seed=3)
    assert many.shape == (5, 8, 8, 2)
    assert many.dtype == np.float32
    np.testing.assert_allclose(
        model.generate(5, labels=[0, 1, 2, 0, 1], steps=4, eta=1.0, seed=3, batch_size=2), many, atol=1e-5
    )
    np.testing.assert_allclose(model.generate(2, labels=[0, 1], steps=4, eta=1.0, seed=3), many[:2], atol=1e-5)
    assert np.abs(model.generate(5, labels=[0, 1, 2, 0, 1], steps=4, eta=1.0, seed=4) - many).max() > 0.1
    assert np.abs(model.generate(5, steps=4, seed=None) - model.generate(5, steps=4, seed=None)).max() > 0.1
    noise = np.zeros((2, 8, 8, 2), "float32")
    np.testing.assert_array_equal(
        model.generate(2, steps=4, noise=noise, seed=1), model.generate(2, steps=4, noise=noise)
    )


def test_guidance() -> None:
    """Scale 0 is the network without a label, 1 the one with it, and 2 as far again; one run for both equals two."""
    model, x = zoo.built("ddpm"), seeded.image("guidance", (3, 8, 8, 2))
    told = {"label": np.array([0, 1, 2], "int32")}
    steps = np.full(3, 40, "int32")

    def noise(label: Any) -> np.ndarray:
        return zoo.value(model.average({"input": x, "step": steps, "label": np.asarray(label, "int32")}))

    silent, heard = noise([3, 3, 3]), noise(told["label"])
    assert np.abs(heard - silent).max() > 1e-4
    for scale, expected in ((0, silent), (1, heard), (2, 2 * heard - silent), (0.5, (heard + silent) / 2)):
        clean = np.clip(model.schedule.clean(x, expected, 40), -1, 1)
        np.testing.assert_allclose(model.estimate(x, 40, told, scale), clean, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labels": 3}, "labels must be whole numbers from 0 to 2"),
        ({"labels": [0.5, 1.0]}, "labels must be whole numbers"),
        ({"labels": [0]}, r"label must have the shape \(2,\)"),
        ({"steps": 51}, "steps must be at most timesteps=50"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"sampler": "euler"}, "sampler must be one of 'ddim', 'ddpm'"),
        ({"eta": 2.0}, "eta must be from 0 to 1"),
        ({"guidance_scale": -1}, "guidance_scale must be"),
        ({"told": {"text": 1}}, "cannot be told 'text'; it takes label"),
    ],
)
def test_draws_that_cannot_be(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        zoo.built("ddpm").generate(2, **options)


def test_inputs_that_do_not_fit() -> None:
    model, (x, _) = zoo.fresh("ddpm"), zoo.batch("ddpm")
    model.compile(jit_compile=False, run_eagerly=True)
    with pytest.raises(ValueError, match=r'learns from \{"input": ..., "label": ...\}. Received: input'):
        model.evaluate(x["input"], verbose=0)
    with pytest.raises(ValueError, match="learns from its inputs alone"):
        model.evaluate(x, x["label"], verbose=0)
    with pytest.raises(ValueError, match="built without num_classes"):
        zoo.fresh("ddpm", num_classes=None).generate(1, labels=0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"input_shape": (9, 8, 2)}, "multiples of 2"),
        ({"filters": 6}, "filters must be a multiple of 4, of groups and of num_heads"),
    ],
)
def test_sizes_that_cannot_work(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        zoo.fresh("ddpm", **options)


def test_it_learns_where_the_data_lie() -> None:
    """Two kinds of pictures, bright ones of class 0 and dark ones of class 1."""
    keras.utils.set_random_seed(0)
    label = np.arange(64) % 2
    x = np.where(label == 0, 0.6, -0.6).astype("float32")[:, None, None, None] * np.ones((1, 4, 4, 1), "float32")
    sizes = {"filters": 16, "multipliers": (1,), "groups": 1, "attention_sizes": (), "timesteps": 100}
    model = kerazoo.ddpm_small((4, 4, 1), 2, **sizes)
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=False)
    model.fit(zoo.long_epoch({"input": x, "label": label.astype("int32")}, 300, 64), verbose=0)
    drawn = model.generate(8, labels=[0, 1] * 4, steps=20, seed=0).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(drawn, [0.6, -0.6] * 4, atol=0.25)


_MIRRORED = """
import sys
sys.path.insert(0, "tests/kerazoo")
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras, numpy as np, zoo
from kerazoo.diffusion import Schedule
found = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        model = zoo.fresh("ddpm", multipliers=(1,), attention_sizes=(), label_dropout=0.0)
        model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
        model.call = lambda inputs, training=False, model=model: model.denoiser(
            {"input": inputs["input"], "step": 7 * inputs["label"], "label": inputs["label"]}
        ) - 2 * inputs["input"]
    x, _ = zoo.batch("ddpm", count=8)
    loss = [model.fit(x, batch_size=8, verbose=0, shuffle=False).history["loss"][0] for _ in range(3)]
    with strategy.scope():
        vae = zoo.fresh("vae")
        vae.compile("sgd", jit_compile=False)
    loss.append(vae.evaluate(zoo.batch("vae", count=8)[0], batch_size=8, verbose=0))
    found.append([*loss, *(float(np.abs(zoo.value(w)).sum()) for w in model.average.weights)])
one, two = map(np.array, found)
print(float((np.abs(one - two) / np.maximum(np.abs(one), 1e-3)).max()))
"""


def test_two_devices_learn_what_one_does() -> None:
    """Without the noise, which both would draw alike: loss, gradients, and the average of the weights.

    And the bound of a variational autoencoder, whose loss is its own, too.
    """
    assert float(zoo.run_forked(_MIRRORED)) < 1e-3
