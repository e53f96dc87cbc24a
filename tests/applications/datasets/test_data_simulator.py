"""The simulated microscope keeps its physics."""

import numpy as np
import pytest
from scipy.ndimage import label

from applications.datasets.simulators.fluorescence import (
    NucleiParameters,
    expose,
    place_centres,
    simulate_nuclei,
)


@pytest.fixture(scope="module")
def scenes():
    return [simulate_nuclei(NucleiParameters(), (7, index)) for index in range(6)]


def test_the_seed_decides(scenes):
    again, other = simulate_nuclei(NucleiParameters(), (7, 0)), simulate_nuclei(NucleiParameters(), (8, 0))
    np.testing.assert_array_equal(scenes[0].image, again.image)
    np.testing.assert_array_equal(scenes[0].instances, again.instances)
    assert (scenes[0].image != other.image).mean() > 0.5


def test_form_of_the_arrays(scenes):
    scene = scenes[0]
    assert scene.image.shape == scene.instances.shape == scene.mask.shape == (256, 256)
    assert (scene.image.dtype, scene.instances.dtype, scene.mask.dtype) == ("uint16", "uint16", "uint8")
    np.testing.assert_array_equal(scene.mask, scene.instances > 0)


def test_all_nuclei_are_there_and_of_the_size_asked_for(scenes):
    for scene in scenes:
        assert set(np.unique(scene.instances)) == set(range(61))
        inside = ((scene.centres > 16) & (scene.centres < 240)).all(axis=1)
        areas = np.bincount(scene.instances.ravel())[1:][inside]
        # Less than the free disc, since touching nuclei share the overlap.
        assert 0.85 < areas.mean() / (np.pi * scene.radii[inside] ** 2).mean() < 1.05
    assert 0.2 < np.mean([scene.mask.mean() for scene in scenes]) < 0.28


def test_a_nucleus_is_one_piece(scenes):
    pieces = [label(scene.instances == index)[1] for scene in scenes[:2] for index in range(1, 61)]
    assert np.mean(np.array(pieces) == 1) > 0.97


@pytest.mark.parametrize("touching", [0.6, 0.85, 1.1])
def test_centres_keep_their_distance(touching):
    scene = simulate_nuclei(NucleiParameters(touching=touching), 3)
    distance = np.linalg.norm(scene.centres[:, None] - scene.centres, axis=-1)
    ratio = distance / (scene.radii[:, None] + scene.radii)
    closest = ratio[~np.eye(len(ratio), dtype=bool)].min()
    assert touching <= closest < 1.25 * touching


def test_nuclei_touch_below_one_and_not_above():
    def pieces(touching):
        scene = simulate_nuclei(NucleiParameters(touching=touching, axis_ratio=(1, 1), outline_sd=(0,) * 4), 5)
        return label(scene.mask)[1]

    assert pieces(1.1) == 60
    assert pieces(0.85) < 52


def test_photons_scale_the_signal_only():
    dark, bright = (simulate_nuclei(NucleiParameters(photons=n, background=(5, 5), vignetting=0), 2) for n in (20, 200))
    inside = dark.mask > 0
    np.testing.assert_allclose(bright.photons - 5, 10 * (dark.photons - 5), rtol=1e-9, atol=1e-12)
    assert 12 < (dark.photons[inside] - 5).mean() < 30  # Lognormal brightness, blur, haze and nucleoli around 20.
    far = dark.photons[:20, :20][dark.mask[:20, :20] == 0]
    assert far.min() >= 5 - 1e-12


def test_brightness_follows_the_lamp():
    scene = simulate_nuclei(NucleiParameters(num_nuclei=1, photons=1e-6, background=(100, 100)), 0)
    assert scene.photons.max() == pytest.approx(100, rel=1e-3)
    assert 40 < scene.photons.min() < 60  # 0.4 r^2 with r between 1 and 1.2 in the farthest corner.


def test_camera_has_the_mean_and_the_noise_of_a_camera():
    rng = np.random.default_rng(0)
    photons = np.full((400, 400), 50.0)
    plain = expose(photons, rng, offset=100, gain=3, read_noise=2).astype(float)
    assert plain.mean() == pytest.approx(100 + 3 * 50, rel=0.005)
    assert plain.var() == pytest.approx(9 * (50 + 4) + 1 / 12, rel=0.03)
    multiplied = expose(photons, rng, offset=100, gain=3, read_noise=0, em_gain=True).astype(float)
    assert multiplied.mean() == pytest.approx(100 + 3 * 50, rel=0.005)
    assert multiplied.var() == pytest.approx(9 * 2 * 50, rel=0.03)


def test_camera_clips():
    rng = np.random.default_rng(0)
    assert expose(np.full((4, 4), 1e6), rng).max() == 65535
    assert expose(np.zeros((99, 99)), rng, offset=0, read_noise=5).min() == 0


def test_too_many_nuclei_are_refused():
    with pytest.raises(ValueError, match=r"Only \d+ of 400 nuclei find room in 128 x 128"):
        place_centres(np.full(400, 9.0), 128, 1.1, np.random.default_rng(0))


@pytest.mark.parametrize("wrong", [{"size": 4}, {"num_nuclei": 0}, {"photons": 0}, {"touching": 0.0}])
def test_bad_parameters(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least"):
        NucleiParameters(**wrong)


def test_making_the_nuclei_builder_says_nothing(tmp_path, caplog, capfd):
    caplog.set_level("WARNING", logger="absl")
    from applications.datasets import load_segmentation

    load_segmentation("nuclei", data_dir=str(tmp_path), options={"images": 3, "size": 64, "num_nuclei": 2})
    assert "custom data configuration" not in caplog.text + capfd.readouterr().err
