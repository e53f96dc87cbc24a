"""What CLIP learns from, and that its parts are models of their own."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import zoo

import kerazoo


def _batch() -> dict[str, np.ndarray]:
    inputs = zoo.batch("clip_vit_b_32")[0]
    inputs["token_ids"][:, 3:] = 0
    return inputs


def _model(**options) -> keras.Model:
    model = zoo.fresh("clip_vit_b_32", **options)
    zoo.perturb(model)
    return model


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _loss(model: keras.Model, inputs: dict[str, np.ndarray]) -> float:
    model.compile("sgd", run_eagerly=True)
    return float(model.evaluate(inputs, verbose=0))


def test_scores_are_scaled_cosines() -> None:
    model, inputs = _model(), _batch()
    images, texts = (
        _unit(zoo.value(encoder(inputs[key])))
        for encoder, key in ((model.image_encoder, "images"), (model.text_encoder, "token_ids"))
    )
    model.logit_scale.assign(np.log(50.0))
    np.testing.assert_allclose(zoo.value(model(inputs)), 50 * images @ texts.T, rtol=1e-4, atol=1e-4)
    model.logit_scale.assign(np.log(500.0))
    np.testing.assert_allclose(zoo.value(model(inputs)), 100 * images @ texts.T, rtol=1e-4, atol=1e-4)


def test_the_temperature_starts_at_the_papers() -> None:
    assert float(zoo.fresh("clip_vit_b_32").logit_scale) == pytest.approx(np.log(1 / 0.07))


def _log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def test_loss_is_the_mean_of_both_ways() -> None:
    model, inputs = _model(), _batch()
    scores = zoo.value(model(inputs)).astype("float64")
    wanted = -(np.diag(_log_softmax(scores)) + np.diag(_log_softmax(scores.T))).mean() / 2
    assert _loss(model, inputs) == pytest.approx(wanted, rel=1e-5)


def test_equal_texts_are_all_right() -> None:
    model, inputs = _model(multi_positive=True), _batch()
    assert _loss(model, inputs) == pytest.approx(_loss(_model(), inputs), rel=1e-6), "no text is there twice"
    inputs["token_ids"][2] = inputs["token_ids"][0]
    scores = zoo.value(model(inputs)).astype("float64")
    right = np.eye(4)
    right[0, 2] = right[2, 0] = 1
    ways = [np.log((right * np.exp(_log_softmax(way))).sum(1)) for way in (scores, scores.T)]
    wanted = -(ways[0] + ways[1]).mean() / 2
    assert _loss(model, inputs) == pytest.approx(wanted, rel=1e-5)
    assert _loss(_model(), inputs) != pytest.approx(wanted, rel=1e-3)


def test_the_feature_is_that_of_the_largest_token() -> None:
    """What stands behind it does not matter, what stands before it does."""
    encoder = _model().text_encoder
    tokens = np.array([[3, 5, 10, 0, 0, 0]], "int32")
    before = zoo.value(encoder(tokens))
    for place, changes in ((4, False), (1, True)):
        other = tokens.copy()
        other[0, place] = 7
        assert bool(np.abs(zoo.value(encoder(other)) - before).max() > 1e-6) == changes


def test_it_learns_pairs_and_comes_back(tmp_path: Path) -> None:
    model, inputs = zoo.fresh("clip_vit_b_32"), _batch()
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    history = model.fit(inputs, epochs=60, batch_size=4, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
    model.save(tmp_path / "clip.keras")
    loaded = kerazoo.load_model(tmp_path / "clip.keras")
    np.testing.assert_allclose(zoo.value(loaded(inputs)), zoo.value(model(inputs)), atol=1e-5)
    assert np.isfinite(loaded.fit(inputs, batch_size=4, verbose=0).history["loss"][0])


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
@pytest.mark.parametrize("part", ["image_encoder", "text_encoder"])
def test_parts_are_exported(part: str, format: str, tmp_path: Path) -> None:
    samples = _batch()["images" if part == "image_encoder" else "token_ids"]
    suffix = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}[format]
    assert kerazoo.export(getattr(_model(), part), tmp_path / f"part{suffix}", format, samples=samples).passed
