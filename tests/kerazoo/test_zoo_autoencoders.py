"""Autoencoders: losses against hand-computed cases, halves, corruption, sparsity, and what they learn."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import zoo
from keras import ops

import kerazoo
from kerazoo import autoencoders
from kerazoo.autoencoders import vae
from kerazoo.autoencoders.sparse import half_squared_error
from kerazoo.layers import Corruption, GaussianSampling, ReversibleDense, SparsityPenalty
from kerazoo.layers.gaussian_sampling import gaussian_divergence
from kerazoo.layers.sparsity import bernoulli_divergence

NAMES = zoo.models(lambda card: card.kind == "autoencoder")


def test_divergences_by_hand() -> None:
    assert float(gaussian_divergence(ops.ones((1, 1)), ops.zeros((1, 1)))[0]) == pytest.approx(0.5)
    found = gaussian_divergence(ops.array([[2.0, 0.0]]), ops.array([[0.0, math.log(4.0)]]))
    assert float(found[0]) == pytest.approx(2.0 + 0.5 * (4 - 1 - math.log(4)), rel=1e-6)
    assert float(bernoulli_divergence(0.25, ops.array(0.5))) == pytest.approx(
        0.25 * math.log(0.5) + 0.75 * math.log(1.5), rel=1e-6
    )
    assert np.isfinite(float(bernoulli_divergence(0.25, ops.array(0.0))))


def test_the_layer_of_the_code() -> None:
    mean, log_variance = ops.array([[1.0, 0.0], [0.0, 3.0]]), ops.zeros((2, 2))
    for options, loss in (({}, 2.5), ({"beta": 4.0}, 10.0), ({"beta": 2.0, "capacity": 4.0}, 3.0)):
        layer = GaussianSampling(**options, seed=0)
        np.testing.assert_array_equal(layer(mean, log_variance), mean)
        assert float(sum(layer.losses)) == pytest.approx(loss)  # KL: the mean of 0.5 and 4.5
    many = np.array(GaussianSampling(seed=0)(ops.ones((4000, 1)), ops.full((4000, 1), math.log(4.0)), training=True))
    assert many.mean() == pytest.approx(1, abs=0.15)
    assert many.std() == pytest.approx(2, abs=0.15)


def test_likelihoods_by_hand() -> None:
    bernoulli, normal = (kerazoo.vae((3,), 2, hidden_units=(4,), output_activation=word) for word in ("sigmoid", None))
    x, y = ops.array([[1.0, 0.0, 0.5]]), ops.array([[0.5, 0.25, 0.5]])
    nats = -(math.log(0.5) + math.log(0.75) + math.log(0.5))
    assert float(vae.negative_log_likelihood(bernoulli, x, y)[0]) == pytest.approx(nats, rel=1e-6)
    squares = 0.5 * (0.25 + 0.0625)
    assert float(vae.negative_log_likelihood(normal, x, y)[0]) == pytest.approx(
        squares + 1.5 * math.log(2 * math.pi), rel=1e-6
    )


def test_the_loss_of_a_vae_is_likelihood_and_divergence() -> None:
    model, (x, _) = zoo.built("vae"), zoo.batch("vae")
    model.compile("adam", jit_compile=False)
    posterior = keras.Model(model.input, [model.get_layer(f"code_{part}").output for part in ("mean", "log_variance")])
    expected = vae.negative_log_likelihood(model, x, model(x)) + gaussian_divergence(*posterior(x))
    assert model.evaluate(x, verbose=0) == pytest.approx(float(ops.mean(expected)), rel=1e-5)


def test_the_bound_is_below_the_likelihood_and_gets_tighter() -> None:
    """A decoder that forgets its code: log p(x) is known, and the bound is that minus the divergence."""
    model, (x, _) = zoo.fresh("vae"), zoo.batch("vae", count=64)
    model.get_layer("decoder1_dense").kernel.assign(ops.zeros_like(model.get_layer("decoder1_dense").kernel))
    exact = -np.array(vae.negative_log_likelihood(model, x, model(x)))
    model.get_layer("code_mean").bias.assign([1.0, 0.0, 0.0])
    one, many = (vae.bound(model, x, samples=k, batch_size=20) for k in (1, 200))
    assert one.shape == (64,)
    assert one.mean() == pytest.approx(exact.mean() - 0.5, abs=0.4)
    assert one.mean() < many.mean() < exact.mean() + 0.02
    assert many.mean() == pytest.approx(exact.mean(), abs=0.05)


def test_the_bound_of_a_conditional_model() -> None:
    assert np.all(vae.bound(zoo.built("conditional_vae"), zoo.batch("conditional_vae")[0], batch_size=3) < 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_halves_make_the_whole(name: str) -> None:
    model, (inputs, _) = zoo.built(name), zoo.batch(name)
    code = autoencoders.encoder(model)(inputs)
    assert code.shape == (4, kerazoo.model_card(name).test_config["latent_dim"])
    given = [code, ops.convert_to_tensor(inputs["label"])] if isinstance(inputs, dict) else code
    np.testing.assert_allclose(autoencoders.decoder(model)(given), model(inputs), atol=1e-6)


def test_a_vae_generates_by_seed() -> None:
    model = zoo.built("vae")
    drawn = model.generate(5, seed=1, batch_size=2)
    assert drawn.shape == (5, 12)
    np.testing.assert_allclose(drawn, model.generate(5, seed=1), atol=1e-6)
    assert np.any(drawn != model.generate(5, seed=2))
    np.testing.assert_allclose(drawn, autoencoders.decoder(model)(keras.random.normal((5, 3), seed=1)), atol=1e-6)
    with pytest.raises(ValueError, match="vae knows no classes"):
        model.generate(5, labels=1)


def test_a_conditional_vae_generates_what_it_is_told() -> None:
    model = zoo.built("conditional_vae")
    classes = model.input["label"].shape[-1]
    turns = model.generate(2 * classes, seed=1)
    np.testing.assert_allclose(turns, model.generate(2 * classes, seed=1, labels=np.tile(np.arange(classes), 2)))
    assert np.any(turns != model.generate(2 * classes, seed=1, labels=0))
    for labels in (classes, -1, [0, 1], 0.5):
        with pytest.raises(ValueError, match="labels must be"):
            model.generate(3, labels=labels)


def test_a_conditional_vae_can_be_saved_after_it_has_drawn(tmp_path) -> None:
    model = zoo.fresh("conditional_vae")
    x, _ = zoo.batch("conditional_vae")
    half = autoencoders.decoder(model)
    for part in (model, half):
        part.save(tmp_path / "part.keras")
        again = keras.saving.load_model(tmp_path / "part.keras")
        inputs = x if part is model else [np.ones((len(x["label"]), half.input_shape[0][1]), "float32"), x["label"]]
        np.testing.assert_allclose(again(inputs, training=False), part(inputs, training=False), atol=1e-6)


def test_a_model_without_a_code_has_no_halves() -> None:
    with pytest.raises(ValueError, match="'mlp' is no autoencoder"):
        autoencoders.encoder(zoo.built("mlp"))


@pytest.mark.parametrize(
    ("kind", "level", "share"), [("masking", 0.3, 0.3), ("salt_and_pepper", 0.4, 0.4), ("gaussian", 0.2, 1.0)]
)
def test_corruption(kind: str, level: float, share: float) -> None:
    layer, x = Corruption(kind, level, seed=0), np.full((200, 100), 0.5, "float32")
    np.testing.assert_array_equal(layer(x), x)
    noisy = np.array(layer(x, training=True))
    assert (noisy != x).mean() == pytest.approx(share, abs=0.02)
    changed = noisy[noisy != x]
    if kind == "gaussian":
        assert changed.std() == pytest.approx(level, abs=0.01)
    else:
        assert set(changed) == ({0.0} if kind == "masking" else {0.0, 1.0})
    assert np.any(noisy != np.array(layer(x, training=True))), "every batch has noise of its own"


def test_tied_weights_are_one_kernel() -> None:
    layer = ReversibleDense(3, "sigmoid", "tanh")
    x = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    code = layer(x)
    layer.reverse_bias.assign([0.1, 0.2, 0.3, 0.4, 0.5])
    expected = np.tanh(np.array(code) @ zoo.value(layer.kernel).T + [0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(layer(code, reverse=True), expected, rtol=1e-5)
    tied, own = (zoo.fresh("denoising_autoencoder", tied=tied).count_params() for tied in (True, False))
    assert own - tied == 12 * 8


def test_sparsity_is_about_the_mean_of_the_batch() -> None:
    x = np.array([[0.0, 0.5], [0.5, 0.5]], "float32")
    layer = SparsityPenalty("kl", weight=2.0, target=0.25)
    np.testing.assert_array_equal(layer(x, training=True), x)
    expected = 2 * (0.25 * math.log(0.5) + 0.75 * math.log(1.5))  # the first unit's mean is on target
    assert float(sum(layer.losses)) == pytest.approx(expected, rel=1e-5)
    layer = SparsityPenalty("l1", weight=2.0)
    layer(-x, training=True)
    assert float(sum(layer.losses)) == pytest.approx(2 * 0.75)


def test_the_loss_of_a_sparse_autoencoder_is_the_lectures() -> None:
    model, (x, _) = zoo.fresh("sparse_autoencoder", sparsity=0.05, l2=0.02), zoo.batch("sparse_autoencoder")
    model.compile("adam", half_squared_error, jit_compile=False)
    code, kernels = (
        np.array(autoencoders.encoder(model)(x), "float64"),
        [w for w in model.weights if "kernel" in w.path],
    )
    mean = code.mean(axis=0)
    expected = 0.5 * np.square(x - np.array(model(x))).sum(axis=1).mean()
    expected += 0.01 * sum(np.square(zoo.value(kernel)).sum() for kernel in kernels)
    expected += 3 * (0.05 * np.log(0.05 / mean) + 0.95 * np.log(0.95 / (1 - mean))).sum()
    found = model.compute_loss(x=x, y=None, y_pred=model(x, training=True), training=True)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_input_is_the_target() -> None:
    model, (x, _) = zoo.fresh("autoencoder"), zoo.batch("autoencoder")
    model.compile("adam", "mse", jit_compile=False)
    assert model.evaluate(x, verbose=0) == pytest.approx(model.evaluate(x, x, verbose=0))


def test_a_sparse_code_is_sparse_and_an_unpenalised_one_is_not() -> None:
    x = np.random.default_rng(0).uniform(0.1, 0.9, (64, 12)).astype("float32")
    found = []
    for weight in (0.0, 3.0):
        model = zoo.fresh("sparse_autoencoder", sparsity=0.05, sparsity_weight=weight)
        model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
        model.fit(zoo.long_epoch(x, 60, 64), verbose=0)
        found.append(float(ops.mean(autoencoders.encoder(model)(x))))
    assert found[1] < 0.1 < 0.3 < found[0]


def test_a_code_of_few_numbers_learns_what_lies_on_a_curve() -> None:
    """Points on a circle need one number; principal components need two."""
    angle = np.random.default_rng(0).uniform(0, 2, (256, 1))
    x = (0.5 + 0.4 * np.concatenate([np.cos(angle), np.sin(angle)], 1)).astype("float32")
    keras.utils.set_random_seed(0)
    model = kerazoo.autoencoder((2,), 1, hidden_units=(16,), activation="tanh", output_activation=None)
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
    model.fit(zoo.long_epoch(x, 200, 64), verbose=0)
    centred = x - x.mean(0)
    linear = np.linalg.svd(centred, compute_uv=False)[1] ** 2 / x.size
    assert model.evaluate(x, x, verbose=0) < linear / 3


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("autoencoder_conv", {"input_shape": (10, 8, 2)}, "multiple of 4"),
        ("autoencoder_conv", {"input_shape": (8,)}, r"must be \(height, width, channels\)"),
        ("sparse_autoencoder", {"activation": "relu"}, "activation must be 'sigmoid' with penalty='kl'"),
        ("vae", {"input_shape": (None,)}, "input_shape of vae must be fixed"),
    ],
)
def test_what_cannot_work_together(name: str, options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        zoo.fresh(name, **options)
