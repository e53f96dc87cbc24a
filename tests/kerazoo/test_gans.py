"""Models that train against each other: losses by hand, exact continuation, precision, devices, random numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.gans._adversarial import taken_for_made, taken_for_real

PLAYERS = zoo.distinct(lambda card: card.module.startswith("kerazoo.gans"))
GANS = [name for name in PLAYERS if kerazoo.model_card(name).task == "image-generation"]


def compiled(name: str, **options: Any) -> keras.Model:
    """A small model with plain optimisers."""
    model = zoo.fresh(name, **options)
    model.compile(keras.optimizers.Adam(1e-3, 0.5), keras.optimizers.Adam(2e-3, 0.5))
    return model


def fit(model: keras.Model, name: str, steps: int, first: int = 0) -> dict[str, list[float]]:
    """Trains on one batch per step, each from its own seed, and returns the history."""
    history = []
    for seed in range(first, first + steps):
        x, y = zoo.training_batch(name, seed)
        history.append(model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0).history)
    return {word: [entry[word][0] for entry in history] for word in history[0]}


def state(model: keras.Model) -> list[Any]:
    """Returns every variable that a checkpoint keeps."""
    optimizers = (model.discriminator_optimizer, model.generator_optimizer)
    return [*model.variables, *(variable for optimizer in optimizers for variable in optimizer.variables)]


def values(model: keras.Model) -> list[np.ndarray]:
    return [zoo.value(variable) for variable in state(model)]


def test_losses_by_hand() -> None:
    logits = np.array([[math.log(3)], [-math.log(3)]], "float32")  # D = 3/4 and 1/4
    expected = -(math.log(3 / 4) + math.log(1 / 4)) / 2
    assert float(taken_for_real(logits)) == pytest.approx(expected, rel=1e-6)
    assert float(taken_for_made(logits)) == pytest.approx(expected, rel=1e-6)
    sure = np.array([[math.log(3)]], "float32")
    assert float(taken_for_real(sure)) == pytest.approx(-math.log(3 / 4), rel=1e-6)
    assert float(taken_for_made(sure)) == pytest.approx(-math.log(1 / 4), rel=1e-6)
    assert float(taken_for_real(np.full((1, 1), -1e4, "float32"))) == 1e4, "no log of zero"


def test_losses_of_an_undecided_discriminator() -> None:
    """D = 1/2 everywhere is the end of the game: log 4 and log 2."""
    model = compiled("gan")
    model.discriminator.set_weights([0 * weight for weight in model.discriminator.get_weights()])
    found = model.evaluate(zoo.training_batch("gan")[0], verbose=0, return_dict=True)
    assert found["discriminator_loss"] == pytest.approx(math.log(4), rel=1e-6)
    assert found["generator_loss"] == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_losses_of_an_undecided_auxiliary_classifier(weight: float) -> None:
    """With three classes: log 4 + 2 log 3 over real and made images, and log 2 + w log 3 for the generator."""
    model = zoo.fresh("acgan", generator_class_weight=weight)
    model.compile(run_eagerly=True)
    model.discriminator.get_layer("score").set_weights(
        [0 * w for w in model.discriminator.get_layer("score").get_weights()]
    )
    found = model.evaluate(*zoo.training_batch("acgan"), verbose=0, return_dict=True)
    assert found["discriminator_class_loss"] == pytest.approx(2 * math.log(3), rel=1e-5)
    assert found["discriminator_loss"] == pytest.approx(math.log(4) + 2 * math.log(3), rel=1e-5)
    assert found["generator_class_loss"] == pytest.approx(weight * math.log(3), rel=1e-5)
    assert found["generator_loss"] == pytest.approx(math.log(2) + weight * math.log(3), rel=1e-5)


def test_the_auxiliary_classifier_is_asked_for_the_label() -> None:
    """Logits 0, 1, 2 for the classes: -log P of class c is log(1 + e + e^2) - c."""
    model = zoo.fresh("acgan")
    score = model.discriminator.get_layer("score")
    score.set_weights([0 * score.get_weights()[0], np.array([5.0, 0.0, 1.0, 2.0], "float32")])
    batch = {"image": np.zeros((2, 8, 8, 2), "float32"), "label": np.array([2, 0])}
    source, wrong = model.source_and_class({k: keras.ops.convert_to_tensor(v) for k, v in batch.items()}, False)
    assert np.array_equal(source, [[5.0], [5.0]])
    assert float(wrong) == pytest.approx(math.log(1 + math.e + math.e**2) - 1.0, rel=1e-6)


@pytest.mark.parametrize(("still", "moving"), [("generator", "discriminator"), ("discriminator", "generator")])
@pytest.mark.parametrize("name", PLAYERS)
def test_each_player_moves_its_own_weights(name: str, still: str, moving: str) -> None:
    model = zoo.fresh(name)
    rates = {f"{still}_optimizer": 0.0, f"{moving}_optimizer": 0.1}
    model.compile(**{word: keras.optimizers.SGD(rate) for word, rate in rates.items()}, run_eagerly=True)
    zoo.perturb(model)
    before = {player: [zoo.value(w) for w in model.weights_of(player)] for player in (still, moving)}
    fit(model, name, 1)
    after = {player: [zoo.value(w) for w in model.weights_of(player)] for player in (still, moving)}
    assert all(np.array_equal(a, b) for a, b in zip(before[still], after[still], strict=True))
    assert any(np.any(a != b) for a, b in zip(before[moving], after[moving], strict=True))


@pytest.mark.parametrize("name", PLAYERS)
def test_training_goes_on_exactly(name: str, tmp_path: Path) -> None:
    """Variables into a new model, as checkpoints do it: weights, optimisers and random numbers as uninterrupted.

    A `.keras` file has all of it but the random numbers.
    """
    whole = compiled(name)
    fit(whole, name, 2)
    kept, before = values(whole), [zoo.value(weight) for weight in whole.weights]
    whole.save(tmp_path / "a.keras")
    losses = fit(whole, name, 2, first=2)

    keras.utils.set_random_seed(99)
    again = kerazoo.create_model(name, **kerazoo.model_card(name).test_config)
    again.compile(keras.optimizers.Adam(1e-3, 0.5), keras.optimizers.Adam(2e-3, 0.5))
    for variable, value in zip(state(again), kept, strict=True):
        variable.assign(value)
    assert fit(again, name, 2, first=2) == losses
    assert all(np.array_equal(a, b) for a, b in zip(values(whole), values(again), strict=True))

    loaded = kerazoo.load_model(tmp_path / "a.keras")
    assert loaded.optimizer is None
    assert loaded.get_compile_config() == whole.get_compile_config()
    assert {word: getattr(loaded, word) for word in loaded.SETTINGS} == {w: getattr(whole, w) for w in loaded.SETTINGS}
    assert all(np.array_equal(a, b) for a, b in zip(before, map(zoo.value, loaded.weights), strict=True))
    slots = [zoo.value(v) for o in (loaded.discriminator_optimizer, loaded.generator_optimizer) for v in o.variables]
    assert all(np.array_equal(a, b) for a, b in zip(kept[-len(slots) :], slots, strict=True))


@pytest.mark.parametrize("name", PLAYERS)
def test_the_papers_optimizers_and_an_evaluation_that_changes_nothing(name: str) -> None:
    model = zoo.fresh(name)
    model.compile(run_eagerly=True)
    assert model.optimizer is None
    assert model.generator_optimizer is not model.discriminator_optimizer
    found = fit(model, name, 1)
    assert all(np.isfinite(losses).all() for losses in found.values())
    assert {"generator_loss", "discriminator_loss"} <= set(found)
    before = values(model)
    first, second = (model.evaluate(*zoo.training_batch(name), verbose=0, return_dict=True) for _ in range(2))
    assert first == second
    assert set(first) == set(found)
    assert all(np.array_equal(a, b) for a, b in zip(before, values(model), strict=True))


@pytest.mark.parametrize("name", PLAYERS)
def test_half_precision_trains(name: str) -> None:
    model = zoo.fresh(name, dtype="mixed_float16")
    model.compile()
    words = ("generator_optimizer", "discriminator_optimizer")
    assert all(isinstance(getattr(model, word), keras.optimizers.LossScaleOptimizer) for word in words)
    scaled = [keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=64.0) for _ in words]
    model.compile(*scaled, run_eagerly=True)
    assert [getattr(model, word) for word in words] == scaled
    zoo.perturb(model)
    before = [zoo.value(weight) for weight in model.trainable_weights]
    found = fit(model, name, 1)
    assert all(np.isfinite(losses).all() for losses in found.values())
    after = [zoo.value(weight) for weight in model.trainable_weights]
    assert np.mean([np.any(a != b) for a, b in zip(before, after, strict=True)]) > 0.5
    assert type(model).from_config(model.get_config()).dtype_policy.name == "mixed_float16"


@pytest.mark.parametrize("name", GANS)
def test_generate(name: str) -> None:
    model = zoo.built(name)
    first = model.generate(5, seed=3, batch_size=2)
    assert first.shape == (5, *kerazoo.model_card(name).sample.training.shape)
    assert first.dtype == np.float32
    assert np.allclose(first, model.generate(5, seed=3), atol=1e-6)
    assert np.abs(first - model.generate(5, seed=4)).max() > 5e-6
    with pytest.raises(ValueError, match="count must be"):
        model.generate(0)


CONDITIONAL = [name for name in GANS if "num_classes" in kerazoo.catalog.builder_parameters(name)]


@pytest.mark.parametrize("name", CONDITIONAL)
def test_labels(name: str) -> None:
    model = zoo.built(name)
    assert model.num_classes == 3
    z = zoo.batch(name)[0]["latent"]
    pictures = [zoo.value(model({"latent": z, "label": np.full(len(z), label, "int32")})) for label in range(3)]
    assert all(np.abs(pictures[0] - other).max() > 1e-6 for other in pictures[1:])
    turns, chosen = model.generate(4, seed=1), model.generate(4, seed=1, labels=[0, 1, 2, 0])
    assert np.array_equal(turns, chosen)
    assert np.array_equal(model.generate(2, seed=1, labels=1), model.generate(2, seed=1, labels=[1, 1]))
    for wrong in (3, -1, [0, 1], 0.5, "one"):
        with pytest.raises(ValueError, match="labels must be a whole number from 0 to 2, or 4 of them"):
            model.generate(4, labels=wrong)


def test_labels_of_the_training() -> None:
    model = zoo.fresh("cgan")
    model.compile(run_eagerly=True)
    x = np.zeros((4, 12), "float32")
    with pytest.raises(ValueError, match="cgan needs labels"):
        model.fit(x, verbose=0)
    with pytest.raises(ValueError, match=r"labels of cgan must be whole numbers \(batch,\)"):
        model.fit(x, np.eye(4, 3), verbose=0)
    assert np.isfinite(model.fit(x, np.zeros((4, 1)), verbose=0).history["generator_loss"][0])


@pytest.mark.parametrize("name", GANS)
def test_noise_is_centred(name: str) -> None:
    model = zoo.built(name)
    noise = zoo.value(model.latents(4000, 0))
    assert noise.shape == (4000, model.latent_dim)
    assert np.abs(noise.mean(axis=0)).max() < 0.1, "a constant part is all a generator heeds"
    if name in ("gan", "cgan"):
        assert noise.var(axis=0) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("name", ["gan", "cgan"])
def test_dense_networks_make_pictures(name: str) -> None:
    model = zoo.fresh(name, input_shape=(3, 4, 2))
    assert model.generate(2).shape == (2, 3, 4, 2)


@pytest.mark.parametrize(
    ("name", "shape", "smallest"),
    [
        ("dcgan", (10, 8, 1), 5),
        ("dcgan", (32, 32, 1), 4),
        ("dcgan", (28, 28, 1), 7),
        ("dcgan", (16, 8, 3), 4),
        ("progan", (28, 28, 1), 7),
    ],
)
def test_depth_follows_the_size(name: str, shape: tuple[int, ...], smallest: int) -> None:
    with zoo.cheap_weights():
        model = zoo.fresh(name, input_shape=shape)
    first = "project_map" if name == "dcgan" else "level0_map"
    assert model.generator.get_layer(first).output.shape[1] == smallest
    assert model.generator.output_shape == (None, *shape)


def test_the_depth_of_dcgan_is_the_number_of_halvings() -> None:
    with zoo.cheap_weights():
        model = zoo.fresh("dcgan", input_shape=(16, 16, 1), depth=3, filters=4)
    assert model.generator.get_layer("project_map").output.shape[1:] == (2, 2, 16)
    assert model.discriminator.get_layer("flatten").input.shape[1:] == (2, 2, 16)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("dcgan", {"input_shape": (9, 8, 1)}, "multiples of 2; 8 x 8 would work"),
        ("dcgan", {"input_shape": (6, 6, 1)}, "at least 8 x 8"),
        ("dcgan", {"input_shape": (12, 12, 1), "depth": 3}, "multiples of 8"),
        ("conditional_dcgan", {"input_shape": (30, 30, 1)}, "multiples of 4; 32 x 32 would work"),
        ("acgan", {"generator_filters": (4,)}, "must have twice as many entries as generator_filters"),
        ("progan", {"input_shape": (3, 8, 1)}, "at least 4 x 4"),
        ("progan", {"fade_images": 0}, "fade_images must be"),
        ("wgan_gp", {"input_shape": (None, 8, 1)}, "must be fixed"),
        ("wgan_gp", {"critic_steps": 0}, "critic_steps must be"),
    ],
)
def test_what_cannot_be_built(name: str, options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        zoo.fresh(name, **options)


def test_refusals() -> None:
    model = compiled("gan")
    with pytest.raises(ValueError, match=r"gan was built for inputs of shape \(12,\). Received: \(13,\)"):
        model.fit(np.zeros((4, 13), "float32"), verbose=0)
    with pytest.raises(ValueError, match="no sample_weight"):
        model.fit(np.zeros((4, 12), "float32"), np.zeros(4), sample_weight=np.ones(4), verbose=0)
    with pytest.raises(ValueError, match="labels: gan knows no classes"):
        model.generate(2, labels=1)


@pytest.mark.parametrize("verb", ["fit", "evaluate"])
def test_other_backends_are_refused(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled("gan")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=f"{verb} of gan needs the TensorFlow backend"):
        getattr(model, verb)(np.zeros((4, 12), "float32"), verbose=0)
