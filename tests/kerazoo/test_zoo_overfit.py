"""Promise: from random initial weights every classifier learns 32 digits by heart, every segmentation network four
images of nuclei."""

from __future__ import annotations

import json
from typing import Any

import keras
import overfitting
import pytest
import zoo

import kerazoo

NAMES = zoo.models(lambda card: card.kind in overfitting.GOAL)
RECORD: dict[str, Any] = json.loads((zoo.ROOT / "benchmarks" / "results" / "overfit.json").read_text())["models"]
CPU_SECONDS = 7  # what took longer when the record was made is not repeated here


@pytest.mark.parametrize("name", [name for name in NAMES if RECORD.get(name, {}).get("cpu_seconds", 0) < CPU_SECONDS])
def test_overfits(name: str) -> None:
    result = overfitting.learn(name)
    assert result["reached"], result


@pytest.mark.parametrize("name", NAMES)
def test_record(name: str) -> None:
    """`python -m benchmarks.overfit` has trained all of them as their cards say, the slow ones too."""
    plan, found = {**overfitting.DEFAULTS, **kerazoo.model_card(name).overfit}, RECORD[name]
    assert found["reached"]
    assert found["steps"] <= plan["steps"] <= 400
    assert {key: found[key] for key in ("optimizer", "learning_rate")} == {
        key: plan[key] for key in ("optimizer", "learning_rate")
    }


@pytest.mark.parametrize("name", zoo.models(lambda c: c.kind == "image_classifier" and c.overfit.get("steps", 0) > 200))
def test_more_than_200_steps_are_for_networks_without_normalisation(name: str) -> None:
    norms = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization)
    assert not any(isinstance(layer, norms) for layer in zoo.leaf_layers(zoo.built(name)))


def test_a_network_that_does_not_learn_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.fresh("resnet20", num_classes=10)
    model.trainable = False
    monkeypatch.setattr(zoo, "fresh", lambda name, **options: model)
    assert not overfitting.learn("resnet20")["reached"]
