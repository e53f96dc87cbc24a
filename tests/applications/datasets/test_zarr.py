"""Images in zarr: read, predicted from folder to folder, and written as OME-Zarr.

Where the package is missing a stand-in takes its place, which offers what is used of it and nothing else.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import kerazoo
from applications.core.errors import UserError
from applications.datasets.stacks import Stack, read_stack, write_zarr
from applications.datasets.volumes import read_volume
from applications.denoising import Denoising, Prediction
from applications.image_classification import ImageClassification
from applications.imaging.objects import Objects, read_planes, write_objects
from applications.imaging.objects import Prediction as ObjectsOfFile
from applications.instance_segmentation import InstanceSegmentation

PIXELS = np.random.default_rng(0).integers(0, 65535, (2, 3, 12, 10, 1), dtype=np.uint16)


class Array:
    """Numbers in a file that are cut by slices, as those of zarr are: no arithmetic, no conversion as a whole."""

    __array__ = None

    def __init__(self, path: Path) -> None:
        self.pixels = np.load(path, mmap_mode="r+")
        self.shape, self.dtype, self.ndim = self.pixels.shape, self.pixels.dtype, self.pixels.ndim
        self.attrs: dict = {}

    def __getitem__(self, place) -> np.ndarray:
        return np.array(self.pixels[place])

    def __setitem__(self, place, values) -> None:
        self.pixels[place] = values


class Attributes(dict):
    """A dictionary that is kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(json.loads(path.read_text()) if path.exists() else {})

    def __setitem__(self, name: str, value) -> None:
        super().__setitem__(name, value)
        self.path.write_text(json.dumps(dict(self)))


class Group:
    """A folder of arrays."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.attrs = folder, Attributes(folder / ".zattrs")

    def __getitem__(self, name: str) -> Array:
        return Array(self.folder / f"{name}.npy")

    def __setitem__(self, name: str, pixels: np.ndarray) -> None:
        np.save(self.folder / f"{name}.npy", pixels)


def stand_in() -> types.ModuleType:
    """Returns a module with the two functions that are used."""

    def opened(path: str, mode: str, shape=None, dtype=None):
        only = Path(path) / "array.npy"
        if shape is not None:
            only.parent.mkdir()
            np.save(only, np.zeros(shape, dtype))
        return Array(only) if only.exists() else Group(Path(path))

    module = types.ModuleType("zarr")
    module.open = opened  # type: ignore[attr-defined]
    module.open_group = lambda path, mode, zarr_format: Group(Path(path))  # type: ignore[attr-defined]
    return module


@pytest.fixture
def zarr(monkeypatch: pytest.MonkeyPatch):
    if importlib.util.find_spec("zarr") is None:
        monkeypatch.setitem(sys.modules, "zarr", stand_in())
    import zarr

    return zarr


def test_what_was_written_is_read(zarr, tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "film.zarr", PIXELS, (2.0, 0.5, 0.5))
    stack = read_stack(path)
    np.testing.assert_array_equal(stack.pixels, PIXELS)
    assert (stack.axes, stack.spacing, stack.pixels.dtype) == ("TCZYX", (2.0, 0.5, 0.5), np.uint16)
    axes = zarr.open(str(path), mode="r").attrs["multiscales"][0]["axes"]
    assert [axis["type"] for axis in axes] == ["time", "channel", "space", "space", "space"]
    write_zarr(path, PIXELS[:1])  # a second time, without distances
    assert read_stack(path).spacing == (0.0, 0.0, 0.0)
    assert read_stack(path).pixels.shape == (1, 3, 12, 10, 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.zarr"]


def test_volumes_of_zarr_know_how_far_their_planes_are_apart(zarr, tmp_path: Path) -> None:
    assert read_volume(write_zarr(tmp_path / "known.zarr", PIXELS[:1], (2.0, 0.5, 0.5))).anisotropy == 4
    with pytest.raises(UserError, match="does not say how far its planes"):
        read_volume(write_zarr(tmp_path / "unknown.zarr", PIXELS[:1]))


def test_arrays_without_axes_are_films_and_volumes(zarr, tmp_path: Path) -> None:
    bare = zarr.open(str(tmp_path / "bare.zarr"), mode="w", shape=(3, 12, 10), dtype="uint16")
    bare[:] = PIXELS[0, ..., 0]
    np.testing.assert_array_equal(read_stack(tmp_path / "bare.zarr").pixels, PIXELS[0][:, None])


def test_predicted_from_folder_to_folder(zarr, tmp_path: Path) -> None:
    model = kerazoo.unet_small((None, None, 1), 2, filters=2, depth=1)
    image = np.random.default_rng(1).normal(size=(50, 43, 1)).astype("float32")
    source = zarr.open(str(tmp_path / "in.zarr"), mode="w", shape=image.shape, dtype="float32")
    target = zarr.open(str(tmp_path / "out.zarr"), mode="w", shape=(50, 43, 2), dtype="float32")
    source[:] = image
    assert kerazoo.predict_tiled(model, source, tile_size=32, output=target) is target
    np.testing.assert_allclose(target[:], kerazoo.predict_tiled(model, image, tile_size=64), atol=1e-6)


def test_denoised_zarr_is_zarr(zarr, tmp_path: Path) -> None:
    prediction = Prediction(tmp_path / "cells.zarr", Stack(PIXELS, "TZYXC", (1.0, 0.5, 0.5)))
    written = Denoising().write([prediction], tmp_path)
    assert [path.name for path in written] == ["cells_denoised.zarr"]
    np.testing.assert_array_equal(read_stack(written[0]).pixels, PIXELS)


def test_objects_in_zarr_are_labelled_in_zarr(zarr, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, pixels in (("film", PIXELS), ("plane", PIXELS[:1, :1])):
        path = write_zarr(tmp_path / "in" / f"{name}.zarr", pixels, (2.0, 0.5, 0.5))
        planes, times, spacing = read_planes(path)
        assert (len(planes), times, spacing) == (pixels.shape[0] * pixels.shape[1], len(pixels), (2.0, 0.5, 0.5))
        np.testing.assert_array_equal(planes[-1], pixels[-1, -1])
        labels = np.zeros((12, 10), np.int32)
        labels[3:5, 4:8] = 1
        found = [Objects(labels, np.ones(1)) for _ in planes]
        written = write_objects(name, ObjectsOfFile(path, planes, found, times, spacing), tmp_path)
        assert [file.name for file in written] == [
            f"{name}_{end}" for end in ("labels.zarr", "objects.csv", "overlay.png")
        ]
        stack = read_stack(written[0])
        assert (stack.pixels.shape, stack.pixels.dtype, stack.spacing) == (pixels.shape, np.uint16, spacing)
        np.testing.assert_array_equal(stack.pixels[-1, -1, ..., 0], labels)


def test_zarr_is_found_where_it_is_an_image(zarr, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    film = write_zarr(tmp_path / "in" / "film.zarr", PIXELS)
    assert Denoising().find_inputs([str(film)]) == [film]
    assert InstanceSegmentation().find_inputs([str(tmp_path / "in")]) == [film]
    with pytest.raises(UserError, match="No image was found"):
        ImageClassification().find_inputs([str(tmp_path / "in")])
