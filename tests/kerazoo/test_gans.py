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

GANS = zoo.distinct(lambda card: card.module.startswith("kerazoo.gans") and card.task == "image-generation")


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


@pytest.mark.parametrize(("still", "moving"), [("generator", "discriminator"), ("discriminator", "generator")])
@pytest.mark.parametrize("name", GANS)
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


@pytest.mark.parametrize("name", GANS)
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


@pytest.mark.parametrize("name", GANS)
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


@pytest.mark.parametrize("name", GANS)
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
