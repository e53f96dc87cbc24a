"""One flat array holds images of mixed sizes, in memory or in a file."""

import errno
import os

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets.store import ImageStore


def images(dtype="uint8", count=7):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 200, (3 + i, 9 - i, 2)).astype(dtype) for i in range(count)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_images_come_back_from_memory_and_from_a_file(dtype, tmp_path):
    expected = images(dtype)
    stores = [
        ImageStore.from_arrays(expected),
        ImageStore.from_arrays(expected, memory_limit=0, cache_dir=tmp_path / "cache"),
    ]
    assert [store.in_memory for store in stores] == [True, False]
    for store in stores:
        assert len(store) == len(expected)
        assert store.dtype == dtype
        for image, same in zip(store, expected, strict=True):
            np.testing.assert_array_equal(image, same)
    assert list((tmp_path / "cache").iterdir()) == []  # The file has no name, so no kill can leave it behind.


def test_an_image_is_a_view():
    store = ImageStore.from_arrays(images())
    store[2][...] = 201
    assert (store.flat == 201).sum() == store[2].size
    assert np.shares_memory(store[2], store.flat)


def test_shapes_and_bytes():
    store = ImageStore.from_arrays(images())
    assert (store.min_shape, store.max_shape, store.channels) == ((3, 3, 2), (9, 9, 2), 2)
    assert store.nbytes == sum(image.nbytes for image in images())
    assert not store.uniform
    with pytest.raises(ValueError, match="mixed sizes"):
        store.as_array()


def test_uniform_store_is_an_array_without_a_copy():
    expected = np.arange(4 * 3 * 2, dtype="uint16").reshape(4, 3, 2)
    store = ImageStore.from_arrays(expected)  # Grey images get their channel.
    assert store.uniform
    assert store.as_array().shape == (4, 3, 2, 1)
    assert np.shares_memory(store.as_array(), store.flat)
    np.testing.assert_array_equal(store.as_array([2, 0])[..., 0], expected[[2, 0]])


def test_select_leaves_images_out_without_copying():
    expected = images()
    store = ImageStore.from_arrays(expected).select([5, 1])
    assert len(store) == 2
    np.testing.assert_array_equal(store[0], expected[5])
    np.testing.assert_array_equal(store[1], expected[1])


def test_uniform_selection_with_a_gap():
    store = ImageStore.from_arrays(np.arange(12, dtype="uint8").reshape(3, 2, 2)).select([0, 2])
    np.testing.assert_array_equal(store.as_array()[..., 0], [[[0, 1], [2, 3]], [[8, 9], [10, 11]]])


def test_refuses_mixed_and_unknown_dtypes():
    with pytest.raises(TypeError, match="share one dtype"):
        ImageStore.from_arrays([np.zeros((2, 2), "uint8"), np.zeros((2, 2), "uint16")])
    with pytest.raises(TypeError, match="float64"):
        ImageStore.from_arrays([np.zeros((2, 2))])


def test_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"No space left on device.*choose another folder"):
        ImageStore.allocate([(5, 5, 1)], "uint8", memory_limit=0, cache_dir=tmp_path)


def test_cache_folder_that_is_a_file(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError, match="cannot be kept in the cache folder"):
        ImageStore.allocate([(5, 5, 1)], "uint8", memory_limit=0, cache_dir=tmp_path / "cache")
