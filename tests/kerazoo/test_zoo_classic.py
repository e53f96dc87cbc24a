"""Adaline, RBF network, perceptron and MLP do what their papers prove, checked against computations by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

import kerazoo
from kerazoo.classic.rbf import choose_centres, heuristic_width, set_centres, solve_readout

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")


def _regression(seed: int = 0, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 4)).astype("float32")
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x, (x @ [1.0, -2.0, 0.5, 0.0] + 3.0 + random.normal(0, 0.3, rows)).astype("float32")


@pytest.mark.parametrize("output", [None, "sign"])
def test_adaline_follows_the_delta_rule(output: str | None) -> None:
    """Plain SGD with a batch of one is w += eta (t - a) x, sample by sample, whatever the output shows."""
    x, t = _regression()
    model = kerazoo.adaline((4,), 1, output_activation=output)
    model.compile(keras.optimizers.SGD(0.02), run_eagerly=True)
    model.fit(x, t, batch_size=1, shuffle=False, verbose=0)
    w, b = np.zeros(4), 0.0
    for sample, target in zip(x, t, strict=True):
        error = target - (sample @ w + b)
        w, b = w + 0.02 * error * sample, b + 0.02 * error
    np.testing.assert_allclose(model.get_weights()[0][:, 0], w, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], [b], atol=1e-5)


def test_adaline_converges_to_the_least_squares_solution() -> None:
    x, t = _regression()
    model = kerazoo.adaline((4,), 1)
    model.compile(keras.optimizers.SGD(0.5), jit_compile=False)
    model.fit(x, t, batch_size=len(x), epochs=50, verbose=0)
    design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    expected = np.linalg.lstsq(design, t, rcond=None)[0]
    np.testing.assert_allclose(np.concatenate([w.ravel() for w in model.get_weights()]), expected, atol=1e-4)


def test_adaline_decides_between_classes() -> None:
    """Class numbers become +1 and -1; the sign is the decision, and half the squared error the loss."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 90)
    x = (np.eye(3)[y] * 4 + random.normal(0, 0.5, (90, 3))).astype("float32")
    model = kerazoo.adaline((3,), 3, output_activation="sign")
    model.compile(keras.optimizers.SGD(0.02), jit_compile=False)
    model.fit(x, y, batch_size=1, epochs=6, verbose=0, sample_weight=np.ones(90))
    bipolar = 2 * np.eye(3)[y] - 1
    found = model.predict(x, verbose=0)
    assert set(np.unique(found)) == {-1.0, 1.0}
    assert (found == bipolar).mean() > 0.95
    kernel, bias = model.get_weights()
    expected = 0.5 * np.square(x @ kernel + bias - bipolar).sum(axis=1).mean()
    assert model.evaluate(x, y, batch_size=90, verbose=0) == pytest.approx(expected, rel=1e-4)


def _surface(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * x[:, 0]) + x[:, 1] ** 2


def test_rbf_with_a_centre_on_every_point_interpolates_and_agrees_with_scipy() -> None:
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-1, 1, 6)), axis=-1).reshape(-1, 2)
    x = grid.astype("float32")
    y, sigma = _surface(x), 0.3
    model = kerazoo.rbf((2,), 1, centres=choose_centres(x, len(x), "data"), width=sigma)
    solve_readout(model, x, y)
    np.testing.assert_allclose(model.predict(x, verbose=0)[:, 0], y, atol=1e-5)
    elsewhere = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype("float32")
    ours = model.predict(elsewhere, verbose=0)[:, 0]
    # scipy's Gaussian is exp(-(epsilon r)^2); degree 0 is the constant our read-out has as its bias.
    theirs = RBFInterpolator(x, y, kernel="gaussian", epsilon=1 / (np.sqrt(2) * sigma), degree=0)(elsewhere)
    assert np.abs(ours - theirs).max() < 0.02 * np.ptp(y)
    # scipy wants the weights to add up to zero, the paper wants their least norm: the same up to that.
    phi = np.exp(-((elsewhere[:, None] - x[None]) ** 2).sum(-1) / (2 * sigma**2))
    square = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * sigma**2))
    least_norm = np.linalg.pinv(np.c_[square, np.ones(len(x))]) @ y
    np.testing.assert_allclose(ours, np.c_[phi, np.ones(50)] @ least_norm, atol=1e-3)


def test_rbf_with_few_centres_is_the_least_squares_fit() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (200, 2)).astype("float32")
    y = np.stack([_surface(x), x[:, 0]], axis=1)
    model = kerazoo.rbf((2,), 2, centres=12)
    centres = choose_centres(x, 12)
    set_centres(model, centres, width_factor=2.0)
    sigma = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(-1)).max() / np.sqrt(24)
    assert heuristic_width(centres) == pytest.approx(sigma, rel=1e-5)
    np.testing.assert_allclose(model.get_layer("hidden").widths, 2 * sigma, rtol=1e-5)
    phi = np.exp(-((x[:, None] - centres[None]) ** 2).sum(-1) / (2 * (2 * sigma) ** 2))
    design = np.c_[phi, np.ones(200)]
    for l2 in (0.0, 1e-2):
        solve_readout(model, x, y, l2=l2)
        penalty = l2 * np.diag([*np.ones(12), 0.0])
        expected = design @ np.linalg.solve(design.T @ design + penalty, design.T @ y)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=2e-3)


def test_rbf_centres_and_widths_learn_by_gradient_when_asked() -> None:
    x = np.random.default_rng(2).uniform(-1, 1, (64, 2)).astype("float32")
    model = kerazoo.rbf((2,), 1, centres=x[:5], trainable_centres=True, trainable_widths=True)
    before = model.get_weights()
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
    history = model.fit(x, _surface(x), epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(before, model.get_weights(), strict=True))


def test_rbf_helpers_refuse_what_cannot_work() -> None:
    x = np.zeros((3, 2), "float32")
    with pytest.raises(ValueError, match="units must be at most the number of samples, 3"):
        choose_centres(x, 4)
    with pytest.raises(ValueError, match="'k-means', 'data'"):
        choose_centres(x, 2, "kmeans")
    with pytest.raises(ValueError, match="centres must have 3 rows"):
        set_centres(kerazoo.rbf((2,), 1, centres=3), x[:2])
    assert heuristic_width(x[:1]) == 1.0


@pytest.mark.parametrize("margin", [0.3, 0.8])
def test_perceptron_keeps_novikoffs_bound(margin: float) -> None:
    """On separable data the rule makes at most (R / gamma)^2 mistakes, however often the data are shown."""
    random = np.random.default_rng(0)
    normal = np.array([0.6, -0.8])
    x = random.uniform(-2, 2, (400, 2))
    x = x[np.abs(x @ normal) > margin][:60].astype("float32")
    y = (x @ normal > 0).astype("float32")
    extended = np.c_[x, np.ones(len(x))]  # the bias is a weight of a constant input
    separating = np.r_[normal, 0.0]
    gamma = np.abs(extended @ separating).min()
    bound = np.square(extended).sum(axis=1).max() / gamma**2
    model = kerazoo.perceptron((2,), 1)
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    mistakes, w = 0, np.zeros(3)
    for _ in range(int(bound) + 1):
        of_this_epoch = 0
        for row, target in zip(extended, y, strict=True):
            error = target - (row @ w >= 0)
            of_this_epoch += error != 0
            w += error * row
        model.fit(x, y, batch_size=1, shuffle=False, verbose=0)
        np.testing.assert_allclose(np.concatenate([v.ravel() for v in model.get_weights()]), w, atol=1e-4)
        mistakes += of_this_epoch
        if not of_this_epoch:
            break
    assert of_this_epoch == 0
    assert 0 < mistakes <= bound
    assert np.array_equal(model.predict(x, verbose=0)[:, 0], y)


def test_xor_is_beyond_the_perceptron_and_within_an_mlp() -> None:
    y = np.array([0, 1, 1, 0], "float32")
    perceptron = kerazoo.perceptron((2,), 1)
    perceptron.compile(keras.optimizers.SGD(1.0), jit_compile=False)
    for _ in range(6):
        perceptron.fit(XOR, y, batch_size=1, verbose=0)
        assert (perceptron.predict(XOR, verbose=0)[:, 0] == y).mean() <= 0.75
    keras.utils.set_random_seed(0)
    mlp = kerazoo.mlp((2,), 1, hidden_units=(8,), activation="tanh", output_activation="sigmoid")
    mlp.compile(keras.optimizers.Adam(0.1), "binary_crossentropy", jit_compile=False)
    mlp.fit(np.tile(XOR, (20, 1)), np.tile(y, 20), batch_size=4, epochs=5, verbose=0)
    assert np.array_equal(mlp.predict(XOR, verbose=0)[:, 0] > 0.5, y > 0.5)


def test_mlp_has_every_option_of_its_kind() -> None:
    model = kerazoo.mlp(
        (6,), 2, hidden_units=(5, 4, 3), activation="elu", normalization="batch", dropout_rate=0.2, l1=1e-3, l2=1e-2
    )
    classes = [type(layer).__name__ for layer in model.layers]
    assert classes.count("Dense") == 4
    assert classes.count("BatchNormalization") == classes.count("Dropout") == classes.count("Activation") == 3
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    penalty = sum(1e-3 * np.abs(k).sum() + 1e-2 * np.square(k).sum() for k in map(keras.ops.convert_to_numpy, kernels))
    assert float(sum(model.losses)) == pytest.approx(float(penalty), rel=1e-5)
