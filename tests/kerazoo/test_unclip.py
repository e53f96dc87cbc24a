"""unCLIP: three losses that do not touch each other, the prior's order of looking, what is told, and drawing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo

import kerazoo

PARTS = ("clip", "prior", "decoder")
both_forms = pytest.mark.parametrize("text_layers", [0, 1], ids=["told features", "reads itself"])


@functools.cache
def built(text_layers: int) -> keras.Model:
    """Returns a shared model with perturbed weights whose decoder is told features of the text, or reads it itself."""
    model = zoo.fresh("unclip", text_layers=text_layers)
    zoo.perturb(model)
    return model


def test_sizes_of_the_parts() -> None:
    """Those of OpenAI's CLIP and of karlo's prior at the same sizes."""
    with zoo.weightless():
        model = kerazoo.unclip()
    assert model.clip.count_params() == 3_658_241
    assert model.prior.denoiser.count_params() == 1_960_064


def _losses(model: keras.Model, inputs: Any) -> dict[str, float]:
    model.compile(jit_compile=False, run_eagerly=True)
    found = model.evaluate(inputs, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(sum(found[f"{part}_loss"] for part in PARTS), rel=1e-5)
    return found


def test_the_loss_is_the_sum_of_all_parts() -> None:
    model, (inputs, _) = zoo.built("unclip"), zoo.batch("unclip")
    found, said = _losses(model, inputs), model(inputs)
    for part in ("prior", "decoder"):
        assert found[f"{part}_loss"] == pytest.approx(np.square(zoo.value(said[part])).mean(), rel=1e-4)
    model.clip.compile(jit_compile=False, run_eagerly=True)
    assert found["clip_loss"] == pytest.approx(model.clip.evaluate(inputs, verbose=0), rel=1e-5)


@both_forms
@pytest.mark.parametrize("part", PARTS)
def test_a_loss_moves_its_own_part_alone(part: str, text_layers: int) -> None:
    model, (inputs, _) = built(text_layers), zoo.batch("unclip")
    with tf.GradientTape() as tape:
        said = model(inputs, training=True)
        loss = getattr(model, part).compute_loss(inputs, None, said[part], training=False)
    weights = model.trainable_weights
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    own = {id(weight) for weight in getattr(model, part).trainable_weights}
    moved = {id(weight) for weight, gradient in zip(weights, gradients, strict=True) if gradient is not None}
    assert moved == own


def test_frozen_parts_are_left_out() -> None:
    model, (inputs, _) = zoo.fresh("unclip"), zoo.batch("unclip")
    zoo.perturb(model)
    model.clip.trainable = model.prior.trainable = False
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False, run_eagerly=True)
    before = {part: [zoo.value(weight) for weight in getattr(model, part).weights] for part in PARTS}
    logs = model.train_on_batch(inputs, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["decoder_loss"])
    for part in PARTS:
        same = all(
            np.array_equal(old, zoo.value(new))
            for old, new in zip(before[part], getattr(model, part).weights, strict=True)
        )
        assert same == (part != "decoder")


def test_the_prior_looks_back_only_and_answers_last() -> None:
    """Its answer depends on everything; the features of a text do not depend on padding behind its end."""
    model = zoo.built("unclip")
    network, random = model.prior.denoiser, np.random.default_rng(0)
    inputs = {
        "input": random.normal(size=(1, 6)).astype("float32"),
        "step": np.array([7], "int32"),
        "embedding": random.normal(size=(1, 6)).astype("float32"),
        "features": random.normal(size=(1, 5, 8)).astype("float32"),
    }
    before = zoo.value(network(inputs))
    for name in inputs:
        other = {**inputs, name: inputs[name] + 1}
        assert np.abs(zoo.value(network(other)) - before).max() > 1e-5, name
    tokens = network.get_layer("tokens")
    inner = keras.Model(network.input, [tokens.output, network.get_layer("block1_out").output])
    order = zoo.value(inner(inputs)[0])
    noisy = zoo.value(inner({**inputs, "input": inputs["input"] + 1})[0])
    assert np.flatnonzero(np.abs(order - noisy).max((0, 2))).tolist() == [7], "text 0-4, embedding, step, noisy, query"
    moved = np.abs(zoo.value(inner({**inputs, "step": np.array([40], "int32")})[1]) - zoo.value(inner(inputs)[1]))
    assert np.flatnonzero(moved.max((0, 2)) > 1e-7).tolist() == [6, 7, 8]


def test_padding_says_nothing() -> None:
    model = zoo.built("unclip")
    texts = model.reader(np.array([[3, 9, 0, 0, 0]], "int32"))
    features = zoo.value(texts["features"])
    assert np.all(features[:, 2:] == 0)
    assert np.abs(features[:, :2]).min() > 0
    told = model._told(texts)
    assert np.linalg.norm(zoo.value(told["embedding"])) == pytest.approx(6**0.5, rel=1e-5)
    np.testing.assert_allclose(
        zoo.value(texts["embedding"]), zoo.value(model.clip.text_encoder(np.array([[3, 9, 0, 0, 0]]))), atol=1e-6
    )


@both_forms
def test_draws(text_layers: int) -> None:
    model = built(text_layers)
    tokens = np.array([[3, 9, 0, 0, 0], [4, 5, 9, 0, 0]], "int32")
    pictures = model.generate(tokens, steps=4, seed=0)
    assert pictures.shape == (2, 8, 8, 3)
    assert np.abs(pictures).max() <= 1
    np.testing.assert_array_equal(model.generate(tokens, steps=4, seed=0), pictures)
    assert np.abs(model.generate(tokens, steps=4, seed=1) - pictures).max() > 1e-2
    assert np.abs(model.generate(tokens[::-1], steps=4, seed=0)[::-1] - pictures).max() > 1e-3
    assert model.vary(pictures, steps=4, seed=0).shape == pictures.shape
    with pytest.raises(ValueError, match=r"token_ids must have the shape \(count, 5\)"):
        model.generate(tokens[:, :4])


def test_a_decoder_that_reads_learns_from_the_order_of_the_words() -> None:
    """It has token numbers for features, and its answer depends on each of them and on where they stand."""
    network, random = built(1).decoder.denoiser, np.random.default_rng(0)
    assert sorted(network.input) == ["embedding", "input", "step", "token_ids"]
    inputs = {
        "input": random.normal(size=(1, 8, 8, 3)).astype("float32"),
        "step": np.array([7], "int32"),
        "embedding": random.normal(size=(1, 6)).astype("float32"),
        "token_ids": np.array([[3, 4, 9, 0, 0]], "int32"),
    }
    before = zoo.value(network(inputs))
    for other in ([[4, 3, 9, 0, 0]], [[3, 5, 9, 0, 0]], [[3, 4, 0, 9, 0]]):
        assert np.abs(zoo.value(network({**inputs, "token_ids": np.array(other, "int32")})) - before).max() > 1e-5


def test_the_decoder_is_told_the_text_alone_now_and_then() -> None:
    """As in the paper embedding and text are dropped independently; what the prior is told of a text goes at once."""
    model = zoo.fresh("unclip", embedding_dropout=0.5, text_dropout=0.25, prior_dropout=0.25)
    told = {"embedding": np.ones((8000, 6), "float32"), "features": np.ones((8000, 5, 8), "float32")}

    def kept(part: Any) -> tuple[np.ndarray, np.ndarray]:
        left = {name: zoo.value(x) for name, x in part._drop(told, 8000).items()}
        return left["embedding"].all(1), left["features"].all((1, 2))

    embedding, features = kept(model.decoder)
    for found, expected in ((~embedding, 0.5), (~features, 0.25), (features & ~embedding, 0.375)):
        assert found.mean() == pytest.approx(expected, abs=0.03)
    embedding, features = kept(model.prior)
    np.testing.assert_array_equal(embedding, features)
    assert (~embedding).mean() == pytest.approx(0.25, abs=0.03)


def test_of_several_embeddings_the_closest_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = zoo.built("unclip"), np.array([[3, 9, 0, 0, 0]], "int32")
    text = zoo.value(model._told(model.reader(tokens))["embedding"])
    told: list[np.ndarray] = []
    monkeypatch.setattr(model.prior, "generate", lambda count, **_: np.concatenate([-text, 2 * text, 0 * text + 1]))
    monkeypatch.setattr(model.decoder, "generate", lambda count, told=None, **_: told_to(told))

    def told_to(given: dict[str, np.ndarray]) -> np.ndarray:
        told.append(given["embedding"])
        return np.zeros((1, 8, 8, 3))

    model.generate(tokens, candidates=3, seed=0)
    np.testing.assert_allclose(told[0], text, rtol=1e-5)


@both_forms
def test_a_reloaded_model_draws_the_same(text_layers: int, tmp_path: Path) -> None:
    model, tokens = built(text_layers), np.array([[3, 9, 0, 0, 0]], "int32")
    model.save(tmp_path / "model.keras")
    again = kerazoo.load_model(tmp_path / "model.keras")
    found, expected = (one.generate(tokens, steps=3, seed=0) for one in (again, model))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not again.prior.average.trainable


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
@pytest.mark.parametrize(("part", "text_layers"), [("prior", 0), ("decoder", 0), ("decoder", 1)])
def test_parts_are_exported(part: str, text_layers: int, format: str, tmp_path: Path) -> None:
    network, random = getattr(built(text_layers), part).average, np.random.default_rng(0)
    samples = {
        tensor.name: random.integers(0, 10, (4, *tensor.shape[1:])).astype("int32")
        if tensor.dtype == "int32"
        else random.normal(size=(4, *tensor.shape[1:])).astype("float32")
        for tensor in network.inputs
    }
    suffix = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}[format]
    assert kerazoo.export(network, tmp_path / f"part{suffix}", format, samples=samples).passed
