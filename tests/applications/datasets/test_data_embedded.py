"""The embedded data sets: prepared once, safe against kills, other processes and full disks."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets import load_classification, load_segmentation
from applications.datasets.embedded import prepare as prepare_module
from applications.datasets.simulators.fluorescence import NucleiParameters, simulate_nuclei

SMALL = {"images": 4, "size": 64, "num_nuclei": 5}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def test_digits_are_those_of_scikit_learn(data_dir):
    from sklearn.datasets import load_digits

    data = load_classification("digits", data_dir=data_dir)
    digits = load_digits()
    np.testing.assert_array_equal(data.images.as_array()[..., 0], digits.images)
    np.testing.assert_array_equal(data.labels, digits.target)
    assert (data.images.dtype, data.value_range) == (np.uint8, (0.0, 16.0))
    assert data.class_names == tuple("0123456789")
    assert "Real" in data.description
    assert [len(indices) for indices in data.split.values()] == pytest.approx([1258, 270, 270], abs=2)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(data.split.values()))), np.arange(1797))


def test_digits_are_prepared_once(data_dir):
    first = load_classification("digits", data_dir=data_dir)
    files = {path: path.stat().st_mtime_ns for path in Path(data_dir, "digits").rglob("*.*")}
    again = load_classification("digits", data_dir=data_dir)
    assert files == {path: path.stat().st_mtime_ns for path in Path(data_dir, "digits").rglob("*.*")}
    assert again.fingerprint == first.fingerprint


def test_digits_of_another_size_and_in_colour(data_dir):
    data = load_classification("digits", data_dir=data_dir, image_size=16, channels=3)
    assert data.images.max_shape == (16, 16, 3)
    assert data.images.flat.max() <= 16


def test_nuclei_are_those_of_the_simulator(data_dir):
    data = load_segmentation("nuclei", data_dir=data_dir, options=SMALL)
    assert (len(data), data.class_names, data.images.dtype) == (4, ("background", "nucleus"), np.uint16)
    assert "Simulated" in data.description
    assert data.value_range == (0.0, 65535.0)
    for index in range(4):
        scene = simulate_nuclei(NucleiParameters(size=64, num_nuclei=5), (0, index))
        np.testing.assert_array_equal(data.images[index][..., 0], scene.image)
        np.testing.assert_array_equal(data.masks[index][..., 0], scene.mask)
        np.testing.assert_array_equal(data.instances[index][..., 0], scene.instances)


def test_the_default_is_that_of_the_builder():
    from applications.datasets.embedded.nuclei import NUM_IMAGES, Nuclei

    assert Nuclei.config(None) == Nuclei.config({"touching": "0.85", "photons": 20}) == "default"
    assert Nuclei.builder_configs["default"].images == NUM_IMAGES
    assert Nuclei.builder_configs["default"].parameters == NucleiParameters()


def test_the_version_rises_with_the_simulator():
    """Prepared data are found by version: a simulator that draws other images needs another one."""
    from applications.datasets.embedded.nuclei import Nuclei

    scene = simulate_nuclei(NucleiParameters(), (0, 0))
    recorded = {"1.1.0": (19.587, 15640)}
    assert (scene.photons.mean(), scene.mask.sum()) == pytest.approx(recorded[str(Nuclei.VERSION)], rel=1e-4)


def test_options_make_data_sets_of_their_own(data_dir):
    first = load_segmentation("nuclei", data_dir=data_dir, options=SMALL)
    for change in (
        {"seed": 1},
        {"photons": 200.0},
        {"touching": 1.1},
        {"em_gain": "true"},
        {"background": 3},
    ):
        other = load_segmentation("nuclei", data_dir=data_dir, options=SMALL | change)
        assert other.fingerprint != first.fingerprint
    assert len(list(Path(data_dir, "nuclei").glob("4_images_*"))) == 6


BAD_OPTIONS = {
    "unknown": ({"photon": 3}, "Unknown option 'photon' of data set 'nuclei'. Did you mean 'photons'"),
    "word": ({"photons": "many"}, "Option 'photons' of data set 'nuclei' must be a float, received 'many'"),
    "part of an image": ({"images": 3.5}, "must be a int, received 3.5|must be an int, received 3.5"),
    "range": ({"background": (1, 2, 3)}, "'background' of data set 'nuclei' must be 2 numbers"),
    "too few": ({"images": 2}, "at least 3 images"),
    "too dense": ({"num_nuclei": 900}, r"cannot be simulated: Only \d+ of 900 nuclei find room"),
    "too small": ({"size": 3}, "size must be at least 16"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_option_is_one_sentence(case, data_dir):
    options, message = BAD_OPTIONS[case]
    with pytest.raises(UserError, match=message):
        load_segmentation("nuclei", data_dir=data_dir, options=options)


def test_digits_have_no_options(data_dir):
    with pytest.raises(UserError, match="'digits' has no options, received 'size'"):
        load_classification("digits", data_dir=data_dir, options={"size": 3})


def test_environment_names_the_folder(data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    load_segmentation("nuclei", options=SMALL)
    assert (tmp_path / "nuclei").is_dir()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be used .*name a folder that can be written.*TFDS_DATA_DIR"):
        load_segmentation("nuclei", data_dir=str(tmp_path / "file"), options=SMALL)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("write failed: No space left on device")],
)
def test_full_disk_is_one_sentence_and_leaves_nothing(error, tmp_path, monkeypatch):
    from applications.datasets.embedded.nuclei import Nuclei

    def full(*_, **__):
        raise error

    monkeypatch.setattr(Nuclei, "download_and_prepare", full)
    with pytest.raises(UserError, match=r"\(no space left\) while preparing data set 'nuclei'; free some space"):
        load_segmentation("nuclei", data_dir=str(tmp_path), options=SMALL)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    old, new = tmp_path / ".preparing-old", tmp_path / ".preparing-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "half").write_text("x")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    assert len(load_segmentation("nuclei", data_dir=str(tmp_path), options=SMALL)) == 4
    assert not old.exists()
    assert new.exists()  # It may belong to a process that is still at work.


def test_half_deleted_data_are_made_again(tmp_path):
    calls = []
    first = load_segmentation("nuclei", data_dir=str(tmp_path), options=SMALL)
    next(tmp_path.glob("nuclei/*/*/dataset_info.json")).unlink()
    again = load_segmentation(
        "nuclei", data_dir=str(tmp_path), options=SMALL, progress=lambda *call: calls.append(call)
    )
    assert again.fingerprint == first.fingerprint
    assert calls[-1] == (4, 4, "simulating nuclei")


SCRIPT = """
import sys
from applications.datasets import load_segmentation
options = {"images": 40, "size": 128, "num_nuclei": 15}
print(load_segmentation("nuclei", data_dir=sys.argv[1], options=options).fingerprint)
"""


def start(data_dir):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_and_simultaneous_preparation(tmp_path):
    victim = start(tmp_path)
    while not list(tmp_path.glob(".preparing-*/nuclei")):
        assert victim.poll() is None, victim.communicate()[1]
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    both = [start(tmp_path), start(tmp_path)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert len(list(tmp_path.glob("nuclei/*/*/dataset_info.json"))) == 1


def test_the_second_of_two_processes_uses_the_data_of_the_first(tmp_path, monkeypatch):
    from applications.datasets.embedded.nuclei import Nuclei

    rename, overtaken = os.rename, []

    def overtake(source, target):
        if not overtaken and ".preparing-" not in str(target):
            overtaken.append(target)
            monkeypatch.setattr(prepare_module.os, "rename", rename)
            prepare_module.prepare(Nuclei, tmp_path, Nuclei.config(SMALL))
        rename(source, target)

    monkeypatch.setattr(prepare_module.os, "rename", overtake)
    builder = prepare_module.prepare(Nuclei, tmp_path, Nuclei.config(SMALL))
    assert str(builder.data_dir) == str(overtaken[0])
    assert builder.info.splits["train"].num_examples == 4
    assert [path.name for path in tmp_path.iterdir()] == ["nuclei"]


def test_importing_is_cheap():
    modules = ("data", "folders", "masks", "tfds_source", "simulators.fluorescence")
    heavy = "numpy PIL tensorflow tensorflow_datasets sklearn scipy tifffile"
    code = (
        "import sys, time; start = time.process_time(); import applications.datasets; "
        + "; ".join(f"import applications.datasets.{name}" for name in modules)
        + f"; print(time.process_time() - start, *set({heavy!r}.split()) & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out[1:] == []
    assert float(out[0]) < 0.1
