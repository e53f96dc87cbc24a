"""Images with masks: pairing, sizes, and what the numbers mean."""

import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from applications.core.errors import UserError
from applications.datasets import load_segmentation

RNG = np.random.default_rng(0)
COUNT = 8


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def write(root, values=(0, 1), *, images="images", masks="masks", name="é {}", mask_name="{}", suffix=".png"):
    """Writes images of growing size, each with a mask that holds all `values`."""
    for index in range(COUNT):
        shape = (8 + index, 10)
        stem = name.format(index)
        save(RNG.integers(0, 256, shape), root / images / f"{stem}.png")
        mask = np.resize(values, shape)
        save(mask, root / masks / f"{mask_name.format(stem)}{suffix}")
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "cells")


def test_images_and_masks(root):
    data = load_segmentation(str(root))
    assert (data.name, data.class_names, data.channels, data.labels) == (
        "cells",
        ("background", "foreground"),
        1,
        None,
    )
    assert data.images.shapes[:, 0].tolist() == [8 + index for index in range(COUNT)]
    assert data.masks.dtype == np.uint8
    for name, image, mask in zip(data.ids, data.images, data.masks, strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(root / name)))
        np.testing.assert_array_equal(mask[..., 0], np.resize([0, 1], image.shape[:2]))
    np.testing.assert_array_equal(np.sort(np.concatenate(list(data.split.values()))), np.arange(COUNT))
    assert [len(indices) for indices in data.split.values()] == [6, 1, 1]
    assert load_segmentation(str(root)).fingerprint == data.fingerprint


@pytest.mark.parametrize("images", ["images", "Image", "img", "imgs"])
@pytest.mark.parametrize("masks", ["masks", "mask", "Labels", "label", "annotations"])
def test_folder_names(tmp_path, images, masks):
    assert len(load_segmentation(str(write(tmp_path, images=images, masks=masks)))) == COUNT


@pytest.mark.parametrize("ending", ["_mask", "_label", "_seg", "_Masks", "-mask"])
def test_mask_endings(tmp_path, ending):
    assert len(load_segmentation(str(write(tmp_path, mask_name="{}" + ending)))) == COUNT


def test_masks_in_subfolders_and_of_other_suffix(tmp_path):
    data = load_segmentation(str(write(tmp_path, name="day 1/{}", suffix=".TIF")))
    assert data.ids[0] == "images/day 1/0.png"


@pytest.mark.parametrize("inside", [True, False])
def test_own_split_both_ways_round(tmp_path, inside):
    for split in ("train", "val", "test"):
        names = {"images": f"{split}/images", "masks": f"{split}/masks"}
        if inside:
            names = {"images": f"images/{split}", "masks": f"masks/{split}"}
        write(tmp_path, **names)
    data = load_segmentation(str(tmp_path))
    for split, indices in data.split.items():
        assert len(indices) == COUNT
        assert all(split in data.ids[index] for index in indices)


def test_missing_split_is_cut_from_training(tmp_path):
    write(tmp_path, images="train/images", masks="train/masks")
    write(tmp_path, images="test/images", masks="test/masks")
    data = load_segmentation(str(tmp_path))
    assert {name: len(indices) for name, indices in data.split.items()} == {"train": 7, "val": 1, "test": 8}
    assert "without validation images" in data.warnings[0]


# values in the files, classes.txt -> class names, values of the data set
MEANINGS = {
    "0 and 1": ((0, 1), None, ("background", "foreground"), (0, 1)),
    "0 and 255": ((0, 255), None, ("background", "foreground"), (0, 1)),
    "class numbers": ((0, 1, 2, 3), None, ("background", "class 1", "class 2", "class 3"), (0, 1, 2, 3)),
    "names by line": ((0, 1, 2), "sky\nsea\nland\nice\n", ("sky", "sea", "land", "ice"), (0, 1, 2)),
    "names by value": (
        (0, 128, 255),
        "255 cell wall\n0 rest\n128, nucleus\n",
        ("rest", "nucleus", "cell wall"),
        (0, 1, 2),
    ),
    "two names in black and white": ((0, 255), "rest\nvessel", ("rest", "vessel"), (0, 1)),
    "two names, byte order mark": ((0, 1), "\ufeffrest\nvessel", ("rest", "vessel"), (0, 1)),
}


@pytest.mark.parametrize("case", MEANINGS)
def test_what_the_numbers_mean(case, tmp_path):
    values, classes, names, expected = MEANINGS[case]
    write(tmp_path, values)
    if classes:
        (tmp_path / "classes.txt").write_text(classes, encoding="utf-8")
    data = load_segmentation(str(tmp_path))
    assert data.class_names == names
    assert data.warnings == ()
    for mask in data.masks:
        np.testing.assert_array_equal(mask[..., 0], np.resize(expected, mask.shape[:2]))


def test_palette_masks_give_their_indices(root):
    for path in (root / "masks").iterdir():
        mask = Image.fromarray(np.asarray(Image.open(path)) * np.uint8(2))
        mask.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
        mask.save(path)
    (root / "classes.txt").write_text("a\nb\nc")
    assert set(np.unique(load_segmentation(str(root)).masks.flat)) == {0, 2}


def test_16_bit_and_1_bit_masks(root):
    paths = sorted((root / "masks").iterdir())
    for path in paths[:4]:
        mask = np.asarray(Image.open(path))
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), mask.astype("uint16"))
    for path in paths[4:]:
        Image.fromarray(np.asarray(Image.open(path)) > 0).save(path)
    data = load_segmentation(str(root))
    assert data.masks.dtype == np.uint8
    assert set(np.unique(data.masks.flat)) == {0, 1}


def test_grey_and_colour_images(root):
    save(RNG.integers(0, 256, (9, 9, 3)), root / "images" / "colour.png")
    save(np.eye(9), root / "masks" / "colour.png")
    assert load_segmentation(str(root)).channels == 3


def test_accents_of_a_mac(root):
    (root / "masks" / "é 0.png").rename(root / "masks" / "e\u0301 0.png")
    assert len(load_segmentation(str(root))) == COUNT


def edit(name, array):
    return lambda root: save(array, root / name)


def big_mask(root):
    save(np.zeros((20, 30)), root / "masks" / "é 3.png")


def truncated(root):
    path = root / "masks" / "é 3.png"
    path.write_bytes(path.read_bytes()[:50])


def same_stem(root):
    shutil.copy(root / "images" / "é 3.png", root / "images" / "é 3.bmp")


def rename_folder(old, new):
    return lambda root: (root / old).rename(root / new)


def keep(count):
    return lambda root: [p.unlink() for kind in ("images", "masks") for p in sorted((root / kind).iterdir())[count:]]


def everywhere(values):
    def rewrite(root):
        for path in (root / "masks").iterdir():
            save(np.resize(values, np.asarray(Image.open(path)).shape), path)

    return rewrite


def with_classes(text, then=lambda root: None):
    def prepare(root):
        (root / "classes.txt").write_text(text)
        then(root)

    return prepare


def half_split(root):
    for name in ("images/train", "masks/val", "masks/train"):
        (root / name).mkdir()


ODD_FOLDERS = {
    "size": (
        big_mask,
        r"masks/é 3.png' cannot be used: this mask has 20 x 30 pixels, but its image 'é 3.png' has 11 x 10",
    ),
    "image without mask": (
        lambda r: (r / "masks" / "é 3.png").unlink(),
        r"Image 'images/é 3.png' has no mask of the same name in 'masks'",
    ),
    "two masks without image": (
        lambda r: [(r / "images" / f"é {i}.png").unlink() for i in (3, 4)],
        r"Mask 'masks/é 3.png' \(and 1 more\) has no image of the same name in 'images'",
    ),
    "truncated mask": (truncated, r"masks/é 3.png' cannot be used"),
    "colour mask": (
        edit("masks/é 3.png", RNG.integers(0, 9, (11, 10, 3))),
        r"é 3.png' cannot be used: .*colours",
    ),
    "stray value": (
        edit("masks/é 3.png", np.resize([0, 1, 7], (11, 10))),
        r"Mask 'masks/é 3.png' holds the value 7, but without a file classes.txt masks hold 0/1, 0/255 or",
    ),
    "stray value in binary masks": (
        lambda r: (everywhere((0, 255))(r), save(np.resize([0, 254], (11, 10)), r / "masks" / "é 3.png")),
        r"Mask 'masks/é 3.png' holds the value 254, but .*0/1, 0/255",
    ),
    "outside the named classes": (
        with_classes("a\nb\nc", everywhere((0, 1, 2, 5, 9))),
        r"Mask 'masks/é 0.png' holds the values 5, 9, but classes.txt names 0..2",
    ),
    "object numbers": (
        everywhere(np.arange(80)),
        r"80 different values; if these are object numbers, save 0/1 masks",
    ),
    "constant": (everywhere((0,)), r"All masks hold one value only \(0\)"),
    "one named class": (with_classes("a"), r"classes.txt' must name at least two classes.*found 1"),
    "class named twice": (with_classes("a\nb\na"), "each value and name once"),
    "same stem": (
        same_stem,
        r"'é 3.(bmp|png)' and 'é 3.(bmp|png)' in .* have the same name but for the suffix",
    ),
    "no mask folder": (
        rename_folder("masks", "truth"),
        r"needs the folders 'images' and 'masks' .*it has 'images', 'truth'",
    ),
    "two mask folders": (
        lambda r: (r / "labels").mkdir(),
        "'labels' and 'masks' in .* mean the same; keep one",
    ),
    "empty": (
        lambda r: [shutil.rmtree(r / n) for n in ("images", "masks")],
        "needs the folders 'images' and 'masks'.*; it is empty",
    ),
    "empty folders": (keep(0), "holds no image with a mask"),
    "two images": (keep(2), "2 images cannot be split.*at least 3"),
    "different splits": (half_split, "'images' and 'masks' have different splits: train and train, val"),
    "stack": (
        lambda r: (
            (r / "images/é 3.png").unlink(),
            tifffile.imwrite(r / "images/é 3.tif", np.zeros((3, 11, 10), "uint8"), photometric="minisblack"),
        ),
        "é 3.tif' cannot be used: it is a stack of 3 pages",
    ),
}


@pytest.mark.parametrize("case", ODD_FOLDERS)
def test_odd_folder_is_one_sentence(case, root):
    prepare, message = ODD_FOLDERS[case]
    prepare(root)
    with pytest.raises(UserError, match=message) as caught:
        load_segmentation(str(root))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_jpeg_masks_are_recognised_as_such(root):
    for path in (root / "masks").iterdir():
        mask = Image.fromarray((RNG.random(np.asarray(Image.open(path)).shape) > 0.5) * np.uint8(255))
        path.unlink()
        mask.save(path.with_suffix(".jpg"))
    with pytest.raises(UserError, match="JPEG changes the values: save masks as PNG"):
        load_segmentation(str(root))


def test_bad_pairs_are_skipped_and_listed(root):
    big_mask(root)
    (root / "masks" / "é 1.png").unlink()
    (root / "images" / "é 2.png").unlink()
    (root / "images" / "é 5.png").write_text("no image")
    path = root / "masks" / "é 6.png"
    save(RNG.integers(0, 9, (*np.asarray(Image.open(path)).shape, 3)), path)
    data = load_segmentation(str(root), on_bad_file="skip")
    assert data.ids == tuple(f"images/é {index}.png" for index in (0, 4, 7))
    assert {name for name, _ in data.skipped} == {
        "images/é 1.png", "masks/é 2.png", "masks/é 3.png", "images/é 5.png", "masks/é 6.png",
    }  # fmt: skip
    for image, mask in zip(data.images, data.masks, strict=True):
        assert image.shape == mask.shape
        np.testing.assert_array_equal(mask[..., 0], np.resize([0, 1], mask.shape[:2]))


def test_masks_in_a_file_equal_masks_in_memory(root, tmp_path, monkeypatch):
    everywhere((0, 255))(root)
    expected = load_segmentation(str(root))
    monkeypatch.setattr("applications.datasets.store.available_memory", lambda: 100)
    data = load_segmentation(str(root), cache_dir=str(tmp_path / "cache"))
    assert not data.masks.in_memory
    assert data.fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digits", "'digits' is not for semantic segmentation; embedded for this task: nuclei, walls"),
        ("nuclie", "Did you mean 'nuclei'"),
        ("a/b", "Data folder 'a/b' does not exist"),
    ],
)
def test_unknown_data(data, message):
    with pytest.raises(UserError, match=message):
        load_segmentation(data)
