"""Stacks: axes and distances of ImageJ, OME and plain TIFF, there and back; what cannot be read."""

import numpy as np
import pytest
import tifffile

from applications.core.errors import UserError
from applications.datasets.stacks import read_stack, write_labels, write_stack


def pixels(shape, dtype="uint16"):
    return (np.random.default_rng(0).uniform(0, 250, shape) * (200 if dtype == "uint16" else 1)).astype(dtype)


@pytest.mark.parametrize(
    ("axes", "shape", "wanted"),
    [
        ("YX", (6, 7), (1, 1, 6, 7, 1)),
        ("ZYX", (4, 6, 7), (1, 4, 6, 7, 1)),
        ("TCYX", (3, 2, 6, 7), (3, 1, 6, 7, 2)),
        ("TZCYX", (3, 4, 2, 6, 7), (3, 4, 6, 7, 2)),
    ],
)
@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_axes_of_microscopes(axes, shape, wanted, kind, tmp_path):
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    written = pixels(shape)
    tifffile.imwrite(path, written, imagej=kind == "imagej", ome=kind == "ome", metadata={"axes": axes})
    stack = read_stack(path)
    assert stack.pixels.shape == wanted
    assert stack.pixels.dtype == np.uint16
    order = [axes.index(axis) for axis in "TZYXC" if axis in axes]
    np.testing.assert_array_equal(stack.pixels.squeeze(), written.transpose(order))
    assert stack.spacing == (0, 0, 0)


def test_plain_pages_colours_and_depths(tmp_path):
    tifffile.imwrite(tmp_path / "pages.tif", pixels((5, 6, 7)))
    assert read_stack(tmp_path / "pages.tif").pixels.shape == (5, 1, 6, 7, 1)
    tifffile.imwrite(tmp_path / "rgb.tif", pixels((6, 7, 3), "uint8"), photometric="rgb")
    assert read_stack(tmp_path / "rgb.tif").pixels.shape == (1, 1, 6, 7, 3)
    for dtype, kept in (("float64", "float32"), ("int32", "float32"), ("uint8", "uint8"), ("float32", "float32")):
        tifffile.imwrite(tmp_path / f"{dtype}.tif", pixels((6, 7), dtype))
        assert read_stack(tmp_path / f"{dtype}.tif").pixels.dtype == kept


def test_distances_are_in_micrometres(tmp_path):
    tifffile.imwrite(
        tmp_path / "ij.tif",
        pixels((4, 6, 7)),
        imagej=True,
        resolution=(10, 5),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 2.0},
    )
    assert read_stack(tmp_path / "ij.tif").spacing == pytest.approx((2.0, 0.2, 0.1))
    tifffile.imwrite(
        tmp_path / "o.ome.tif",
        pixels((4, 6, 7)),
        metadata={
            "axes": "ZYX",
            "PhysicalSizeZ": 900.0,
            "PhysicalSizeZUnit": "nm",
            "PhysicalSizeY": 0.3,
            "PhysicalSizeX": 0.25,
        },
    )
    assert read_stack(tmp_path / "o.ome.tif").spacing == pytest.approx((0.9, 0.3, 0.25))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(1, 1, 6, 7, 1), (3, 4, 6, 7, 2), (1, 4, 6, 7, 1), (2, 1, 6, 7, 3)])
def test_written_stacks_come_back(dtype, shape, tmp_path):
    before = pixels(shape, dtype)
    path = write_stack(tmp_path / "a.tif", before, spacing=(2.0, 0.5, 0.25))
    after = read_stack(path)
    np.testing.assert_array_equal(after.pixels, before)
    assert after.spacing[1:] == pytest.approx((0.5, 0.25))
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej


def test_labels_of_any_number(tmp_path):
    for largest, dtype in ((65_535, "uint16"), (65_536, "uint32")):
        labels = np.arange(12).reshape(3, 4)
        labels[0, 0] = largest
        found = tifffile.imread(write_labels(tmp_path / "l.tif", labels))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, labels)
    for bad in (np.zeros((2, 2)), np.full((2, 2), -1)):
        with pytest.raises(ValueError, match="whole numbers from 0"):
            write_labels(tmp_path / "l.tif", bad)


def test_what_cannot_be_read_is_told(tmp_path):
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "text.tif").write_text("no image at all")
    whole = tmp_path / "cut.tif"
    tifffile.imwrite(whole, pixels((60, 70)))
    whole.write_bytes(whole.read_bytes()[:4000])
    for name, reason in (("empty", "is empty"), ("text", "cannot be used"), ("cut", "damaged"), ("none", "not exist")):
        with pytest.raises(UserError, match=reason):
            read_stack(tmp_path / f"{name}.tif")
    tifffile.imwrite(tmp_path / "odd.tif", pixels((2, 3, 6, 7)), photometric="minisblack", metadata={"axes": "HZYX"})
    with pytest.raises(UserError, match="has the axes HZYX"):
        read_stack(tmp_path / "odd.tif")
    with pytest.raises(ValueError, match="ImageJ takes"):
        write_stack(tmp_path / "a.tif", np.zeros((4, 4), "int64"), "YX")
