"""The catalogue: listing, naming, registering."""

from __future__ import annotations

import dataclasses

import keras
import pytest
import zoo

import kerazoo
from kerazoo import catalog
from kerazoo.card import ModelCard


def test_list_models() -> None:
    assert kerazoo.list_models("resnet?8") == ["resnet18"]
    assert kerazoo.list_models("resnet*")[:3] == ["resnet18", "resnet18_v2", "resnet20"]
    assert kerazoo.list_models("resnet*")[-1] == "resnet152_v2_keras"
    dense = kerazoo.list_models(task="semantic-segmentation", kind="dense_prediction")
    assert {"unet", "unet_small"} <= set(dense)
    assert all(kerazoo.model_card(name).kind == "dense_prediction" for name in dense)
    assert "resnet18" not in dense
    assert kerazoo.list_models(family="resnet_cifar") == ["resnet20", "resnet32", "resnet56", "resnet110"]
    assert kerazoo.list_models("nothing*") == []


def test_unknown_names() -> None:
    for call in (kerazoo.model_card, kerazoo.create_model, catalog.builder_parameters):
        with pytest.raises(ValueError, match=r"no model 'resnet5'\. Did you mean 'resnet5[06]'\?"):
            call("resnet5")
    with pytest.raises(ValueError, match="list_models"):
        kerazoo.model_card("zzz")
    with pytest.raises(AttributeError, match="Did you mean 'resnet5"):
        kerazoo.resnet5  # noqa: B018


def test_public_names() -> None:
    for name in kerazoo.__all__:
        assert getattr(kerazoo, name) is not None
    assert {"resnet50", "unet", "freeze", "blocks"} <= set(dir(kerazoo))
    assert kerazoo.resnet20 is catalog.builder("resnet20")


def _card(name: str) -> ModelCard:
    return dataclasses.replace(kerazoo.model_card("mlp"), name=name, module=__name__, test_config={})


def test_register_a_model_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_foreign_cards", {})
    monkeypatch.setattr(catalog, "_builders", dict(catalog._builders))

    def tiny(
        input_shape=(3,), num_outputs=2, *, output_activation=None, weights=None, dtype=None, name="tiny"
    ) -> keras.Model:
        """One dense layer.

        Args:
            output_activation: Its activation.
        """
        inputs = keras.Input(input_shape, name="input")
        outputs = keras.layers.Dense(num_outputs, activation=output_activation, name="predictions")(inputs)
        return keras.Model(inputs, outputs, name=name)

    kerazoo.register_model(card=_card("tiny"))(tiny)
    assert "tiny" in kerazoo.list_models()
    assert kerazoo.create_model("tiny", (4,), 3, dtype="mixed_bfloat16").output_shape == (None, 3)
    assert catalog.builder_parameters("tiny")["num_outputs"] == 2
    with pytest.raises(TypeError, match="num_outputs"):
        kerazoo.create_model("tiny", num_output=3)
    assert "weights: `None` for random" in (catalog.builder("tiny").__doc__ or "")


def test_names_are_taken_once() -> None:
    def resnet50() -> None: ...

    def other() -> None: ...

    catalog.builder("resnet50")
    with pytest.raises(ValueError, match="'resnet50' is taken"):
        kerazoo.register_model(resnet50)
    with pytest.raises(ValueError, match="name of its own"):
        kerazoo.register_model(card=_card("mlp"))(other)
    with pytest.raises(ValueError, match="no model 'other'"):
        kerazoo.register_model(other)


def test_two_cards_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from kerazoo.classic import cards

    monkeypatch.setattr(cards, "CARDS", (*cards.CARDS, cards.CARDS[0]))
    catalog._own_cards.cache_clear()
    try:
        with pytest.raises(ValueError, match="two cards have the name 'perceptron'"):
            kerazoo.list_models()
    finally:
        monkeypatch.undo()
        catalog._own_cards.cache_clear()


def test_a_card_needs_a_known_kind() -> None:
    with pytest.raises(ValueError, match="kind of card 'mlp'"):
        dataclasses.replace(kerazoo.model_card("mlp"), kind="classifier")


def _is_size(value: object) -> bool:
    return all(map(_is_size, value)) if isinstance(value, tuple) else type(value) in (int, float)


_WORDS = {"schedule", "variance"}  # of diffusion: test_diffusion.py tries all their values


def test_models_tested_through_another_one_share_its_builder() -> None:
    """They have the same arguments, whose defaults differ in numbers only, or in words tested by themselves."""
    for name, other in zoo.SAME_CODE.items():
        card, twin = kerazoo.model_card(name), kerazoo.model_card(other)
        assert (card.module, card.family, card.kind) == (twin.module, twin.family, twin.kind)
        mine, theirs = (catalog.builder_parameters(word) | {"name": ""} for word in (name, other))
        assert mine.keys() == theirs.keys()
        differing = [word for word in mine if mine[word] != theirs[word] and word not in _WORDS]
        assert all(_is_size(mine[word]) and _is_size(theirs[word]) for word in differing)
        assert card.params != twin.params
