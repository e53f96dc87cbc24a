"""The matrix itself: it collects future kinds of models by their cards, and it notices a model that breaks a
promise.

The promises are called on models registered here, one with several inputs, one a trained pair, and on broken
ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import test_zoo_build
import test_zoo_contract
import test_zoo_precision
import test_zoo_training
import zoo
from keras import layers

import kerazoo
from kerazoo import catalog
from kerazoo.card import ModelCard, Sample, Tensor


def _card(name: str, kind: str, sample: Sample) -> ModelCard:
    card = dataclasses.replace(kerazoo.model_card("mlp"), name=name, kind=kind, module=__name__, sample=sample)
    return dataclasses.replace(card, test_config={}, feature_levels={})


@pytest.fixture(autouse=True)
def _catalogue_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(catalog, "_foreign_cards", {})
    monkeypatch.setattr(catalog, "_builders", dict(catalog._builders))
    zoo.built.cache_clear()
    yield
    zoo.built.cache_clear()


def two_inputs(first_shape=(4,), second_shape=(6,), *, weights=None, dtype=None, name="two_inputs") -> keras.Model:
    """Two inputs by name.

    Args:
        first_shape: Shape of the one.
        second_shape: Shape of the other.

    Example:
        >>> two_inputs()

    References:
        None.
    """
    inputs = {"first": keras.Input(first_shape, name="first"), "second": keras.Input(second_shape, name="second")}
    parts = [layers.Dense(8, name=f"{key}_dense")(value) for key, value in inputs.items()]
    x = layers.Concatenate(name="both")(parts)
    return keras.Model(inputs, layers.Dense(3, "softmax", dtype="float32", name="predictions")(x), name=name)


class _Pair(keras.Model):
    """A generator and the discriminator that judges it, trained together by one loss."""

    def __init__(self, generator: keras.Model, discriminator: keras.Model, **options) -> None:
        super().__init__(**options)
        self.generator, self.discriminator = generator, discriminator

    def call(self, inputs, training=False):
        return self.discriminator(self.generator(inputs, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean((y_pred - 1) ** 2)


def pair(input_shape=(6,), latent_dim=4, *, weights=None, dtype=None, name="pair") -> keras.Model:
    """Two networks that train together.

    Args:
        latent_dim: Length of the noise.

    Example:
        >>> pair()

    References:
        None.
    """

    def net(first: int, last: int, word: str) -> keras.Model:
        inputs = keras.Input((first,), name=f"{word}_input")
        x = layers.Dense(8, "tanh", name=f"{word}_dense")(inputs)
        return keras.Model(inputs, layers.Dense(last, dtype="float32", name=f"{word}_out")(x), name=word)

    model = _Pair(net(latent_dim, input_shape[0], "generator"), net(input_shape[0], 1, "discriminator"), name=name)
    model(keras.ops.zeros((1, latent_dim)))
    return model


TWO = _card(
    "two_inputs",
    "multi_input",
    Sample(inputs={"first": Tensor((4,)), "second": Tensor((6,))}, targets=Tensor((), "int32", 0, 3)),
)
PAIR = _card("pair", "generator_discriminator", Sample(inputs=Tensor((4,)), targets=None, loss=None))


@pytest.mark.parametrize(("card", "function"), [(TWO, two_inputs), (PAIR, pair)], ids=["two_inputs", "pair"])
def test_other_kinds_keep_the_promises(card: ModelCard, function) -> None:
    kerazoo.register_model(card=card)(function)
    assert card.name in zoo.models()
    test_zoo_build.test_name_and_output(card.name)
    test_zoo_build.test_second_build(card.name)
    test_zoo_build.test_the_same_weights_from_one_seed(card.name)
    test_zoo_contract.test_signature(card.name)
    test_zoo_contract.test_docstring(card.name)
    test_zoo_contract.test_unknown_argument_names_the_nearest(card.name)
    test_zoo_precision.test_mixed_precision(card.name, "mixed_bfloat16")
    test_zoo_training.test_every_trainable_weight_has_a_gradient(card.name)
    test_zoo_training.test_a_step_changes_loss_and_statistics(card.name)
    assert sum(kerazoo.count_flops(part) for part in zoo.functional_parts(zoo.built(card.name))) > 0


def _register(stack) -> str:
    def broken(
        input_shape=(6,),
        num_outputs=3,
        *,
        output_activation=None,
        include_preprocessing=False,
        weights=None,
        dtype=None,
        name="broken",
    ) -> keras.Model:
        """Breaks a promise."""
        inputs = keras.Input(input_shape, name="input")
        return keras.Model(inputs, stack(inputs), name=name)

    sample = Sample(inputs=Tensor((6,)), targets=Tensor((), "int32", 0, 3))
    kerazoo.register_model(card=_card("broken", "vector", sample))(broken)
    return "broken"


@pytest.mark.parametrize(
    ("stack", "promise"),
    [
        (lambda x: layers.Dense(3, name="a")(0 * x), test_zoo_build.test_name_and_output),
        (lambda x: layers.Dense(3)(x), test_zoo_build.test_second_build),
        (
            lambda x: layers.Dense(3, kernel_initializer=_another_every_time, name="a")(x),
            test_zoo_build.test_the_same_weights_from_one_seed,
        ),
        (
            lambda x: layers.Dense(3, name="b")(layers.BatchNormalization(momentum=0.1, name="a")(x)),
            test_zoo_build.test_batch_norm_momentum,
        ),
        (
            lambda x: layers.Dense(3, name="b")(keras.ops.stop_gradient(layers.Dense(4, name="a")(x))),
            test_zoo_training.test_every_trainable_weight_has_a_gradient,
        ),
        (
            lambda x: layers.Dense(3, name="b")(layers.Dense(4, "relu", bias_initializer=_minus_nine, name="a")(x)),
            test_zoo_training.test_every_trainable_weight_has_a_gradient,
        ),
        (lambda x: layers.Dense(3, name="a")(x), test_zoo_contract.test_docstring),
    ],
    ids=["constant", "names", "seed", "momentum", "no gradient", "dead unit", "docstring"],
)
def test_broken_promises_are_noticed(stack, promise) -> None:
    with pytest.raises(AssertionError):
        promise(_register(stack))


def test_a_half_precision_output_is_noticed() -> None:
    with pytest.raises(AssertionError):
        test_zoo_precision.test_mixed_precision(_register(lambda x: layers.Dense(3, name="a")(x)), "mixed_float16")


def _another_every_time(shape, dtype=None):
    return keras.ops.cast(np.random.default_rng().normal(size=shape), dtype)


def _minus_nine(shape, dtype=None):
    return keras.ops.full(shape, -9.0, dtype)
