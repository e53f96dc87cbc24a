"""CARE and Noise2Void beyond the promises of all models: hidden pixels, their losses, checks of noise, pairs."""

import math

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.losses import BlindSpot, Laplace
from kerazoo.restoration import diagnostics
from kerazoo.restoration.blind_spots import MANIPULATORS, blind_spots, box_size, stratified

SEES_NOTHING = ("uniform_withoutCP", "normal_withoutCP", "mean", "median")


def patch(shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype("float32")


@pytest.mark.parametrize("manipulator", MANIPULATORS)
@pytest.mark.parametrize("shape", [(24, 20, 2), (8, 12, 8, 1)])
def test_only_hidden_pixels_are_changed_and_the_targets_say_what_they_were(manipulator, shape):
    original = patch(shape)
    hidden, targets = blind_spots(original, np.random.default_rng(1), manipulator=manipulator, percentage=4)
    values, mask = np.split(targets, 2, axis=-1)
    np.testing.assert_array_equal(values, original)
    np.testing.assert_array_equal(hidden[mask == 0], original[mask == 0])
    assert 0 < mask.sum() < mask.size / 10
    assert np.isfinite(hidden).all()
    assert (manipulator == "identity") == bool((hidden == original).all())
    assert (mask[..., 0] != mask[..., -1]).any() == (shape[-1] > 1), "every channel has its own"


@pytest.mark.parametrize("manipulator", MANIPULATORS)
@pytest.mark.parametrize("size", [(15, 15, 1), (7, 7, 7, 1)])
def test_hidden_pixels_never_see_their_own_value(manipulator, size):
    """One pixel is hidden; whatever was there, the network gets the same."""
    original = patch(size)
    for seed in range(5):
        hidden, targets = blind_spots(original, np.random.default_rng(seed), manipulator=manipulator, percentage=0.2)
        place = np.argwhere(targets[..., 1])
        assert len(place) == 1
        disturbed = original.copy()
        disturbed[(*place[0], 0)] += 100.0
        again, _ = blind_spots(disturbed, np.random.default_rng(seed), manipulator=manipulator, percentage=0.2)
        if manipulator in SEES_NOTHING:
            np.testing.assert_array_equal(again, hidden)
        elif manipulator != "uniform_withCP":  # it sees itself once in 121 times
            assert (again != hidden).any(), "the test can fail"


@pytest.mark.parametrize(
    ("percentage", "axes", "edge"), [(1.5, 2, 8), (0.198, 2, 22), (1.5, 3, 4), (100, 2, 1), (0.2, 3, 8)]
)
def test_one_pixel_of_every_box_is_hidden(percentage, axes, edge):
    assert box_size(percentage, axes) == edge
    shape = (3 * edge,) * axes
    places = stratified(shape, percentage, np.random.default_rng(0))
    boxes = {tuple(box) for box in places // edge}
    assert len(places) == len(boxes) == 3**axes


def test_the_mean_and_median_are_those_of_the_window_without_its_middle():
    original = patch((9, 9, 1))
    for manipulator, wanted in (("mean", np.mean), ("median", np.median)):
        hidden, targets = blind_spots(
            original, np.random.default_rng(3), manipulator=manipulator, radius=1, percentage=2
        )
        for row, column in np.argwhere(targets[..., 1]):
            window = original[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2, 0].ravel().tolist()
            window.remove(original[row, column, 0])
            assert hidden[row, column, 0] == pytest.approx(wanted(window), abs=1e-6)


def test_pixels_under_a_structure_are_hidden_and_do_not_count():
    original = patch((32, 32, 1)) + 100
    line = np.ones((1, 7))
    hidden, targets = blind_spots(original, np.random.default_rng(0), percentage=0.1, structure=line)
    (row, column), *others = np.argwhere(targets[..., 1])
    assert others == []
    expected = np.zeros((32, 32), bool)
    expected[row, max(0, column - 3) : column + 4] = True
    np.testing.assert_array_equal((hidden != original)[..., 0], expected)
    aside = expected.copy()
    aside[row, column] = False
    assert (np.abs(hidden[aside]) <= 2).all()
    assert hidden[row, column, 0] > 90


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"manipulator": "median3"}, "manipulator must be one of uniform_withCP"),
        ({"percentage": 0}, "percentage must be above 0"),
        ({"radius": 0}, "radius must be a whole number"),
        ({"structure": np.ones((2, 3))}, "2 axes of odd size"),
        ({"structure": np.ones(3)}, "2 axes of odd size"),
        ({"structure": np.full((3, 3), 0.5)}, "zeros and ones"),
    ],
)
def test_bad_arguments_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        blind_spots(patch((8, 8, 1)), np.random.default_rng(0), **options)
    with pytest.raises(ValueError, match="patch must be"):
        blind_spots(np.zeros((8, 8)), np.random.default_rng(0))


def test_the_loss_of_hidden_pixels_is_its_formula():
    random = np.random.default_rng(0)
    values, found = patch((3, 6, 5, 2), 1), patch((3, 6, 5, 2), 2)
    mask = (random.uniform(size=values.shape) < 0.2).astype("float32")
    mask[2] = 0  # an image without hidden pixels
    targets = np.concatenate([values, mask], axis=-1)
    for error, power in (("squared", 2), ("absolute", 1)):
        by_hand = [
            np.sum(m * np.abs(v - f) ** power) / max(m.sum(), 1) for v, f, m in zip(values, found, mask, strict=True)
        ]
        assert float(BlindSpot(error=error)(targets, found)) == pytest.approx(np.mean(by_hand), rel=1e-5)
    elsewhere = found + 5 * (1 - mask)
    assert float(BlindSpot()(targets, found)) == pytest.approx(float(BlindSpot()(targets, elsewhere)), rel=1e-5)
    with pytest.raises(ValueError, match="4 channels of targets"):
        BlindSpot()(values, found)
    assert keras.losses.get(keras.losses.serialize(BlindSpot(error="absolute"))).error == "absolute"


def test_the_laplace_loss_is_the_density_of_scipy():
    from scipy.stats import laplace

    truth, centre = patch((2, 4, 3, 2), 1), patch((2, 4, 3, 2), 2)
    scale = np.exp(patch((2, 4, 3, 2), 3))
    wanted = -laplace.logpdf(truth, centre, scale).mean()
    assert float(Laplace()(truth, np.concatenate([centre, scale], axis=-1))) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match="4 channels of predictions"):
        Laplace()(truth, centre)


def test_the_probabilistic_care_learns_how_wide_the_noise_is():
    """Of an empty image with Laplace noise the network can know nothing but its width, which is 0.5."""
    keras.utils.set_random_seed(0)
    model = kerazoo.care((8, 8, 1), 1, filters=2, depth=1, kernel_size=3, probabilistic=True)
    model.compile(keras.optimizers.Adam(0.02), Laplace(), jit_compile=False)
    noise = np.random.default_rng(0).laplace(0, 0.5, (64, 8, 8, 1)).astype("float32")
    model.fit(zoo.long_epoch((np.zeros_like(noise), noise), 40, 32), verbose=0)
    centre, scale = np.asarray(model(np.zeros((1, 8, 8, 1)))).reshape(64, 2).T
    assert np.median(scale) == pytest.approx(0.5, rel=0.15)
    assert abs(np.median(centre)) < 0.1
    assert (scale > 1e-3).all()


def test_residual_needs_as_many_channels_out_as_in():
    assert "predictions_added" in [layer.name for layer in kerazoo.care((8, 8, 2), 2, filters=1).layers]
    assert "predictions_added" not in [layer.name for layer in kerazoo.care((8, 8, 2), 1, filters=1).layers]
    with pytest.raises(ValueError, match="residual=True needs as many channels"):
        kerazoo.care((8, 8, 2), 1, residual=True)
    with pytest.raises(ValueError, match="residual must be one of"):
        kerazoo.care((8, 8, 2), 1, residual="yes")


def test_the_blurred_pooling_is_a_binomial_filter():
    model = kerazoo.n2v2((16, 16, 1), 1, filters=1, depth=1, normalization=None)
    names = [layer.name for layer in model.layers]
    steps = [model.get_layer(name) for name in names if name.startswith("stage1_pool")]
    impulse = np.zeros((1, 16, 16, 1), "float32")
    impulse[0, 6] = 1.0
    x = impulse
    for step in steps[1:]:
        x = step(x)
    column = np.zeros(16)
    column[6] = 1
    padded = np.pad(column, (0, 2))
    wanted = [(padded[2 * i] + 2 * padded[2 * i + 1] + padded[2 * i + 2]) / 4 for i in range(8)]
    np.testing.assert_allclose(np.asarray(x)[0, :, 3, 0], wanted, atol=1e-6)
    assert "decoder1_concat" not in names


@pytest.mark.parametrize("name", ["care", "noise2void", "n2v2"])
def test_volumes_and_windows(name):
    options = {"filters": 2, "depth": 1}
    volume = kerazoo.create_model(name, (None, None, None, 1), 1, **options)
    assert volume(patch((1, 4, 6, 8, 1))).shape == (1, 4, 6, 8, 1)
    model = kerazoo.create_model(name, (None, None, 1), 1, **options)
    zoo.perturb(model, spread=0.2)
    picture = patch((70, 61, 1))
    whole = np.asarray(model(np.pad(picture, ((0, 0), (0, 1), (0, 0)), mode="reflect")[None]))[0, :, :61]
    found = kerazoo.predict_tiled(model, picture, tile_size=48)
    np.testing.assert_allclose(found, whole, atol=1e-5 * max(1, np.abs(whole).max()))


def scene():
    rows, columns = np.mgrid[:128, :128]
    return 100 + 60 * (np.hypot(rows - 60, columns - 70) < 30) + 0.2 * rows


def test_noise_that_neighbours_share_is_warned_of():
    from scipy.ndimage import uniform_filter1d

    random = np.random.default_rng(0)
    white = random.normal(0, 10, (128, 128))
    assert diagnostics.structured_noise((scene() + white)[..., None]) is None
    lines = uniform_filter1d(white, 3, axis=1) * math.sqrt(3)
    sentence = diagnostics.structured_noise((scene() + lines)[..., None])
    assert "0 row(s) and 1 column(s) apart correlate by 0.6" in sentence
    stripes = white * 0.5 + random.normal(0, 10, (128, 1))
    assert "structured" in diagnostics.structured_noise((scene() + stripes)[..., None])
    assert diagnostics.structured_noise(np.full((64, 64, 1), 255)) is None


def test_the_autocorrelation_is_that_of_numpy():
    values = patch((2, 12, 15))
    found = diagnostics.autocorrelation(values, lag=2)
    centred = values - values.mean(axis=(1, 2), keepdims=True)
    wanted = (centred[:, :-1, 2:] * centred[:, 1:, :-2]).mean() / (centred**2).mean()
    assert found[3, 0] == found[1, 4] == pytest.approx(wanted, rel=1e-4)
    assert found[2, 2] == 1
    with pytest.raises(ValueError, match="larger than lag"):
        diagnostics.autocorrelation(values, lag=12)


def test_an_output_that_is_the_input_is_noticed():
    noisy = (scene() + np.random.default_rng(0).normal(0, 10, (128, 128)))[..., None]
    assert diagnostics.noise_level(noisy) == pytest.approx(10, rel=0.1)
    assert "The output is the input" in diagnostics.identity_collapse(noisy, noisy + 0.1)
    assert diagnostics.identity_collapse(noisy, scene()[..., None]) is None
