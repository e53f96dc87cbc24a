"""Label images of users: what can be taken is taken with a remark, the rest is explained."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from applications.core.errors import UserError
from applications.datasets.label_images import check_labels, connected_pieces, read_labels
from applications.datasets.simulators.fluorescence import NucleiParameters, simulate_nuclei


@pytest.fixture(scope="module")
def nuclei():
    return simulate_nuclei(NucleiParameters(size=96, num_nuclei=10), seed=2).instances


def test_good_labels_stay_as_they_are(nuclei):
    checked = check_labels(nuclei, "a.tif")
    assert checked.remarks == ()
    assert checked.labels.dtype == np.int32
    np.testing.assert_array_equal(checked.labels, nuclei)


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (lambda labels: labels.astype("float32"), "stored as floats"),
        (lambda labels: labels.astype("int64") * 17, "gaps in the numbers"),
        (lambda labels: np.repeat(labels[..., None], 3, axis=2), ""),
    ],
)
def test_what_is_safe_is_done_with_a_remark(nuclei, change, remark):
    checked = check_labels(change(nuclei), "a.tif")
    assert remark in " ".join(checked.remarks)
    np.testing.assert_array_equal(checked.labels, nuclei)


def test_negative_numbers_do_not_count(nuclei):
    labels = np.where(nuclei == 3, -7, nuclei.astype(int))
    checked = check_labels(labels, "a.tif")
    assert set(np.unique(checked.labels)) == {-1, *range(10)}
    assert (checked.labels == -1).sum() == (nuclei == 3).sum()
    assert "do not count" in " ".join(checked.remarks)


def test_black_and_white_masks_are_numbered():
    mask = np.zeros((8, 8), np.uint8)
    mask[:3, :3] = mask[5:, 5:] = 255
    checked = check_labels(mask, "a.png")
    assert checked.labels.max() == 2
    assert "touch" in checked.remarks[0]


@pytest.mark.parametrize("order", [1, 3])
def test_interpolated_numbers_are_refused(nuclei, order):
    resized = ndimage.zoom(nuclei.astype(float), 1.7, order=order)
    with pytest.raises(UserError, match=r"fractions such as .* nearest-neighbour"):
        check_labels(resized, "a.tif")
    with pytest.raises(UserError, match=r"separate pieces.*nearest-neighbour"):
        check_labels(np.rint(resized).astype(int), "a.tif")


@pytest.mark.parametrize("factor", [0.5, 1.7])
def test_the_right_way_to_resize_passes(nuclei, factor):
    resized = ndimage.zoom(nuclei, factor, order=0)
    assert len(np.unique(check_labels(resized, "a.tif").labels)) == len(np.unique(nuclei))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4), np.nan), "NaN"),
        (np.linspace(0, 1, 16).reshape(4, 4), "scaled to 0..1"),
        (np.random.default_rng(0).integers(0, 9, (4, 4, 3)), "colours"),
        (np.full((4, 4), 2**40), "largest object number"),
    ],
)
def test_what_is_no_label_image_is_explained(array, words):
    with pytest.raises(UserError, match=words):
        check_labels(array, "a.tif")


@pytest.mark.parametrize("kind", ["uint16.tif", "int32.tif", "float32.tif", "uint16.png", "uint8.png"])
def test_files_of_all_kinds_are_read(tmp_path, nuclei, kind):
    path = tmp_path / kind
    array = nuclei.astype(kind.split(".")[0])
    tifffile.imwrite(path, array) if kind.endswith("tif") else Image.fromarray(array).save(path)
    np.testing.assert_array_equal(read_labels(path).labels, nuclei)


def test_pieces_are_those_of_scipy():
    labels = np.random.default_rng(1).integers(0, 3, (12, 13))
    expected = sum(ndimage.label(labels == number)[1] for number in (1, 2))
    pieces = connected_pieces(labels)
    assert pieces.max() == expected
    for piece in range(1, expected + 1):
        assert len(np.unique(labels[pieces == piece])) == 1
    assert (pieces > 0).sum() == (labels > 0).sum()
