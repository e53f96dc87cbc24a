"""Instance segmentation of volumes: the simulator, stacks with and without a spacing, crops, tiles, the whole road."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

import kerazoo
from applications.core.errors import UserError
from applications.datasets.instances import load_instances, rescaled
from applications.datasets.simulators.volumes import VolumeParameters, simulate_volume
from applications.datasets.stacks import write_stack
from applications.datasets.store import ImageStore
from applications.datasets.volumes import read_volume
from applications.imaging.instance_targets import InstanceAugmentation
from applications.imaging.objects import Finder, labels_at_size
from applications.imaging.volumes import best_inside, volume_samples
from applications.imaging.watershed import threshold_and_watershed
from applications.instance_segmentation import InstanceSegmentation
from kerazoo.detection.boundaries import boundary_classes, boundary_objects
from kerazoo.metrics.instances import average_precision
from tests.applications.conftest import command

SMALL = VolumeParameters(depth=8, size=32, num_nuclei=4)
SPACING = (1.0, 0.5, 0.5)


def folder_of(folder: Path, count: int = 6, spacing: tuple[float, float, float] = SPACING) -> Path:
    """Writes volumes and label stacks."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        scene = simulate_volume(SMALL, number)
        write_stack(folder / "images" / f"{number}.tif", scene.image, "ZYX", spacing)
        tifffile.imwrite(folder / "masks" / f"{number}.tif", scene.instances)
    return folder


def test_simulated_volumes_touch_and_are_resolved_worse_along_the_axis() -> None:
    scene = simulate_volume(seed=3)
    assert np.array_equal(scene.image, simulate_volume(seed=3).image)
    assert set(np.unique(scene.instances)) == set(range(15))
    assert (np.diff(scene.instances.astype(int), axis=1) * (scene.instances[:, 1:] > 0) != 0).any()
    inside, outside = (scene.image[place].mean() for place in (scene.instances > 0, scene.instances == 0))
    assert inside > 1.2 * outside
    still = VolumeParameters(num_nuclei=1, texture_sd=0, photons=1e5, attenuation=0, read_noise=0, radius=(3, 3))
    image = simulate_volume(still, 5).image.astype(float)
    light, place = image - image.min(), np.indices(image.shape) * np.array([2.0, 1, 1])[:, None, None, None]
    middle = [(light * axis).sum() / light.sum() for axis in place]
    spread = [(light * (axis - m) ** 2).sum() / light.sum() for axis, m in zip(place, middle, strict=True)]
    assert spread[0] > 1.2 * spread[1]
    with pytest.raises(ValueError, match=r"Only \d+ of 300 nuclei find room"):
        simulate_volume(VolumeParameters(num_nuclei=300))


def test_the_files_say_how_far_planes_are_apart(tmp_path: Path) -> None:
    scene = simulate_volume(SMALL, 1)
    known = write_stack(tmp_path / "known.tif", scene.image, "ZYX", SPACING)
    volume = read_volume(known)
    assert volume.anisotropy == 2
    assert volume.spacing == pytest.approx(SPACING)
    np.testing.assert_array_equal(volume.pixels[..., 0], scene.image)
    assert read_volume(known, 3.0).anisotropy == 3
    tifffile.imwrite(tmp_path / "unknown.tif", scene.image)
    with pytest.raises(UserError, match=r"unknown.tif.*does not say how far its planes.*train with --anisotropy"):
        read_volume(tmp_path / "unknown.tif")
    assert read_volume(tmp_path / "unknown.tif", 2.0).pixels.shape == (8, 32, 32, 1)
    write_stack(tmp_path / "film.tif", np.stack([scene.image] * 2), "TZYX", SPACING)
    with pytest.raises(UserError, match="2 points in time"):
        read_volume(tmp_path / "film.tif")
    tifffile.imwrite(tmp_path / "plane.tif", scene.image[0])
    with pytest.raises(UserError, match="a single plane"):
        read_volume(tmp_path / "plane.tif", 1.0)


def test_folders_of_stacks(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "data")
    data = load_instances(str(root), volumes=True)
    assert data.images.shapes.tolist() == [[8, 32, 32, 1]] * 6
    assert data.stretch(0) == (2, 1, 1)
    assert data.instances is not None
    np.testing.assert_array_equal(data.instances[2][..., 0], simulate_volume(SMALL, 2).instances)
    assert load_instances(str(root), volumes=True, anisotropy=4).stretch(1) == (4, 1, 1)
    tifffile.imwrite(root / "masks" / "3.tif", simulate_volume(SMALL, 3).instances[:, :16])
    with pytest.raises(UserError, match=r"3.tif.*shape \(8, 16, 32\), its volume has \(8, 32, 32\)"):
        load_instances(str(root), volumes=True)
    tifffile.imwrite(root / "masks" / "3.tif", simulate_volume(SMALL, 3).instances * 0.37)
    with pytest.raises(UserError, match=r"3.tif.*fractions"):
        load_instances(str(root), volumes=True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "stardist", "anisotropy": 2.0}, "anisotropy: stardist looks at images"),
        ({"model": "unet3d", "model_options": {"padding": "valid"}}, "padding.*leave it at"),
        ({"model": "unet3d", "crop_size": 40}, "multiple of 32"),
    ],
)
def test_options_that_cannot_work(options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        InstanceSegmentation(**options).check()


def test_networks_for_images_take_no_volumes() -> None:
    with pytest.raises(UserError, match="'nuclei3d' are volumes, for which there is --model unet3d"):
        InstanceSegmentation(data="nuclei3d", model="stardist").datasets()


def test_crops_move_with_what_is_to_be_said_about_them() -> None:
    rng = np.random.default_rng(0)
    volumes = ImageStore.from_arrays([rng.random((9, 12, 10, 1), np.float32), rng.random((8, 8, 8, 1), np.float32)])
    still = InstanceAugmentation(brightness=0, offset=0, noise=0)
    samples = volume_samples(volumes, volumes, 8, None, still, training=True)
    assert samples.size == 2 * 2 * 2 + 1
    draws = tf.random.stateless_uniform((samples.size, samples.num_draws), (1, 2))
    loaded = [samples.load(tf.constant(i, tf.int64), draws[i]) for i in range(samples.size)]
    images, targets = (tf.stack(part) for part in zip(*loaded, strict=True))
    changed, followed = samples.augment(images, targets, draws)
    np.testing.assert_array_equal(changed, followed)
    assert changed.shape == (9, 8, 8, 8, 1)
    moved = [not np.array_equal(a, b) for a, b in zip(changed, images, strict=True)]
    assert sum(moved) >= 5
    for before, after in zip(images, changed, strict=True):
        np.testing.assert_allclose(np.sort(np.ravel(before)), np.sort(np.ravel(after)))
    whole = volume_samples(volumes, volumes, 8, None, still, training=False)
    np.testing.assert_array_equal(whole.load(tf.constant(8, tf.int64), draws[0])[0], volumes[1])


def test_objects_are_found_at_the_size_of_the_volume_and_in_tiles() -> None:
    scene = simulate_volume(VolumeParameters(num_nuclei=6), 4)
    found = threshold_and_watershed(scene.image[..., None], True, (2.0, 1.0, 1.0))
    assert found.shape == scene.image.shape
    assert average_precision([scene.instances], [found], (0.5,))[0] > 0.5
    cubes = rescaled(scene.instances[..., None], (2.0, 1.0, 1.0), nearest_pixel=True)[..., 0]
    assert cubes.shape == (32, 48, 48)
    np.testing.assert_array_equal(labels_at_size(cubes, scene.instances.shape), scene.instances)

    model = kerazoo.unet3d((None, None, None, 1), 3, filters=2, depth=1, padding="same")
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.normal(0, 0.3, weight.shape) ** (2 if "variance" in weight.path else 1) for weight in model.weights]
    )
    volume = scene.image[:, :40, :44, None].astype(np.float32)
    whole, tiled = (
        Finder(model, "boundaries", {"inside": 0.4}, multiple=2, largest=largest)(volume, (1.0, 1.0, 1.0))
        for largest in (64, 24)
    )
    assert whole.labels.max() > 0
    np.testing.assert_array_equal(whole.labels, tiled.labels)


def test_the_threshold_is_that_of_the_validation_volumes() -> None:
    """A network that sees an inside everywhere, with a probability of 0.65."""
    labels = [simulate_volume(VolumeParameters(num_nuclei=6), seed).instances.astype(np.int32) for seed in (1, 2)]

    class Sure:
        largest = 128
        answers = iter(labels)

        def maps(self, image: np.ndarray) -> np.ndarray:
            classes = boundary_classes(next(self.answers))
            return np.array([[0.9, 0.65, 0], [0, 0.9, 0.1], [0, 0.65, 0.35]])[classes]

    cubes = [(np.zeros((*each.shape, 1), np.float32), each) for each in labels]
    too_large = (np.zeros((1, 1, 129, 1), np.float32), np.zeros((1, 1, 129), np.int32))
    assert best_inside(Sure(), [too_large, *cubes]) == 0.7  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    data = folder_of(folder / "data")
    words = ("--no-tensorboard", "--epochs", "1", "--model-options.filters", "2", "--model-options.depth", "1")
    answer = command(
        "train", "instance-segmentation", "--model", "unet3d", "--data", data, "--out", folder, "--name", "run", *words
    )
    assert answer.status == 0, answer.err
    return folder / "instance-segmentation" / "run"


def test_the_whole_road(run: Path, tmp_path: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["test"]) == set(metrics["baseline"])
    assert metrics["baseline_name"] == "threshold and watershed"
    assert "matched" in {path.stem for path in (run / "figures").glob("*.png")}
    answer = command("predict", run, run.parents[1] / "data" / "images" / "3.tif", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    written = read_volume(tmp_path / "out" / "3_labels.tif")
    assert written.pixels.shape == (8, 32, 32, 1)
    assert written.spacing == pytest.approx(SPACING)
    rows = list(csv.DictReader((tmp_path / "out" / "3_objects.csv").open()))
    assert [int(row["id"]) for row in rows] == list(range(1, int(written.pixels.max()) + 1))
    assert sum(int(row["voxels"]) for row in rows) == np.count_nonzero(written.pixels)
    assert Image.open(tmp_path / "out" / "3_overlay.png").size == (32, 32)
    tifffile.imwrite(tmp_path / "bare.tif", simulate_volume(SMALL, 0).image)
    answer = command("predict", run, tmp_path / "bare.tif", "-o", tmp_path / "out")
    assert answer.status == 2
    assert "does not say how far its planes" in answer.err
    assert command("evaluate", run).status == 0
    answer = command("export", run, "--format", "onnx", "--out", tmp_path / "m.onnx")
    assert answer.status == 0, answer.err


def test_a_hole_in_a_boundary_joins_nothing() -> None:
    place = np.indices((20, 20, 32)) - np.array([10, 10, 0])[:, None, None, None]
    labels = np.zeros((20, 20, 32), int)
    for number, middle in enumerate((9, 22), start=1):
        labels[((place - np.array([0, 0, middle])[:, None, None, None]) ** 2).sum(axis=0) < 49] = number
    classes = boundary_classes(labels)
    classes[9:12, 9:12, 13:19] = 1  # the network takes a part of two boundaries for inside
    probabilities = np.eye(3)[classes]
    assert boundary_objects(probabilities).max() == 1
    found = boundary_objects(probabilities, apart=3)
    assert average_precision([labels], [found], (0.75,))[0] == 1
    # A pixel that is no core goes to the nearest one, not to that with the largest number.
    apart = np.zeros((1, 3, 12), int)
    apart[:, :, :5], apart[:, :, 5:] = 1, 2
    cores = np.tile([0.1, 0.2, 0.7], (1, 3, 12, 1))
    cores[:, 1, 1] = cores[:, 1, 8:] = [0.1, 0.8, 0.1]
    np.testing.assert_array_equal(boundary_objects(cores, apart=1, smallest=1), apart)
    still = np.eye(3)[boundary_classes(labels)]
    np.testing.assert_array_equal(boundary_objects(still, apart=3), labels)
