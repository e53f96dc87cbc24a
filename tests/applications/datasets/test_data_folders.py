"""The user's own folders, with everything that is odd about them."""

import shutil
import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from applications.core.errors import UserError
from applications.datasets import load_classification

RNG = np.random.default_rng(0)


def grey(height=8, width=8):
    return RNG.integers(0, 256, (height, width), dtype=np.uint8)


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path):
    """Two classes with ten grey images of 8 x 8 each."""
    folder = tmp_path / "my images"
    for name in ("cat", "dog"):
        for index in range(10):
            save(grey(), folder / name / f"{name} {index}.png")
    return folder


def check_split(data):
    parts = np.concatenate(list(data.split.values()))
    np.testing.assert_array_equal(np.sort(parts), np.arange(len(data)))


def test_one_folder_per_class(root):
    data = load_classification(str(root))
    assert (data.name, data.class_names, data.num_classes, data.channels) == (
        "my images",
        ("cat", "dog"),
        2,
        1,
    )
    assert data.ids[:2] == ("cat/cat 0.png", "cat/cat 1.png")
    assert data.images.uniform
    assert data.images.dtype == np.uint8
    assert data.value_range == (0.0, 255.0)
    assert (data.skipped, data.warnings) == ((), ())
    assert "user's own" in data.description
    np.testing.assert_array_equal(data.labels, np.repeat([0, 1], 10))
    for name, image in zip(data.ids, data.images, strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(root / name)))
    check_split(data)
    assert [np.bincount(data.labels[data.split[name]]).tolist() for name in data.split] == [
        [7, 7],
        [2, 1],
        [1, 2],
    ]


def test_the_same_data_have_the_same_fingerprint_and_split(root):
    first, again = load_classification(str(root)), load_classification(str(root))
    assert first.fingerprint == again.fingerprint
    np.testing.assert_array_equal(first.split["test"], again.split["test"])
    other = load_classification(str(root), seed=1)
    assert other.fingerprint == first.fingerprint
    assert not np.array_equal(other.split["train"], first.split["train"])


def change_pixel(root):
    image = np.array(Image.open(root / "cat" / "cat 3.png"))
    image[2, 2] ^= 1
    save(image, root / "cat" / "cat 3.png")


CHANGES = {
    "pixel": change_pixel,
    "name": lambda root: (root / "cat" / "cat 3.png").rename(root / "cat" / "cat 33.png"),
    "class name": lambda root: (root / "cat").rename(root / "ant"),
    "one image less": lambda root: (root / "cat" / "cat 3.png").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_sees_a_change(change, root):
    before = load_classification(str(root)).fingerprint
    CHANGES[change](root)
    assert load_classification(str(root)).fingerprint != before


def test_mixed_sizes_colours_and_depths(root):
    save(RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8), root / "cat" / "colour.png")
    save(RNG.integers(0, 256, (12, 40, 4), dtype=np.uint8), root / "dog" / "with alpha.png")
    deep = RNG.integers(0, 65536, (50, 50), dtype=np.uint16)
    tifffile.imwrite(root / "dog" / "é à 16 bit.tif", deep)
    data = load_classification(str(root))
    assert data.images.dtype == np.uint16
    assert data.value_range == (0.0, 65535.0)
    assert data.images.shapes.tolist() == [[8, 8, 3]] * 23
    assert "mixed sizes, from 8 x 8 to 50 x 50 pixels; all are resized to 8 x 8" in data.warnings[0]
    small = np.asarray(Image.open(root / "cat" / "cat 0.png")).astype(int) * 257
    np.testing.assert_array_equal(data.images[data.ids.index("cat/cat 0.png")][..., 1], small)
    big = data.images[data.ids.index("dog/é à 16 bit.tif")]
    assert abs(big.mean() - deep.mean()) < 1500  # Antialiased: every pixel of the file counts.


def test_image_size_and_channels_as_asked(root):
    data = load_classification(str(root), image_size=(4, 6), channels=3)
    assert data.images.shapes.tolist() == [[4, 6, 3]] * 20
    assert load_classification(str(root), image_size=5).images.max_shape == (5, 5, 1)
    save(np.dstack([np.full((8, 8), n, np.uint8) for n in (255, 0, 0)]), root / "cat" / "red.png")
    red = load_classification(str(root), channels=1)
    assert red.images[red.ids.index("cat/red.png")].ravel().tolist() == [76] * 64  # Luminance 0.299.


def test_large_images_of_mixed_size_go_to_224(root):
    shutil.rmtree(root / "dog")
    for index in range(30):
        save(grey(600, 400 + index), root / "dog" / f"{index}.png")
    assert load_classification(str(root)).images.max_shape[:2] == (224, 152)


def test_a_class_with_one_image_goes_to_training(root):
    save(grey(), root / "owl" / "one.png")
    data = load_classification(str(root))
    assert data.labels[data.split["train"]].tolist().count(2) == 1
    assert "Class 'owl' has one image, which goes to training" in data.warnings[0]


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "validation", "TEST"), ("training", "valid", "testing")]
)
def test_own_split(root, tmp_path, names):
    for name in names:
        shutil.copytree(root, tmp_path / "split" / name)
    shutil.rmtree(tmp_path / "split" / names[2] / "cat")
    data = load_classification(str(tmp_path / "split"))
    assert {name: len(indices) for name, indices in data.split.items()} == {
        "train": 20,
        "val": 20,
        "test": 10,
    }
    for split, name in zip(("train", "val", "test"), names, strict=True):
        assert all(data.ids[index].startswith(f"{name}/") for index in data.split[split])
    check_split(data)


def test_split_without_validation_gets_it_from_training(root, tmp_path):
    for name in ("train", "test"):
        shutil.copytree(root, tmp_path / "split" / name)
    data = load_classification(str(tmp_path / "split"))
    check_split(data)
    assert all(data.ids[index].startswith("train/") for index in data.split["val"])
    assert len(data.split["val"]) == 4
    assert "without validation images" in data.warnings[0]


def test_class_named_test_is_a_class(tmp_path):
    for name in ("test", "control"):
        for index in range(4):
            save(grey(), tmp_path / name / f"{index}.png")
    assert load_classification(str(tmp_path)).class_names == ("control", "test")


def test_what_is_no_image_is_left_alone(root):
    for name in (".DS_Store", "cat/Thumbs.db", "cat/.hidden.png", ".git/x.png", "cat/notes.txt", "table.csv"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    save(grey(), root / "loose.png")
    (root / "empty class").mkdir()
    data = load_classification(str(root))
    assert len(data) == 20
    text = " ".join(data.warnings)
    assert "2 files in 'my images' are no images and were left alone (1 .csv, 1 .txt)" in text
    assert "1 images lie in 'my images' beside the class folders" in text
    assert "Class folder 'empty class' holds no image" in text


def test_accents_composed_and_decomposed_are_one_class(tmp_path):
    for form, index in (("NFC", 0), ("NFD", 1)):
        for image in range(3):
            save(grey(), tmp_path / f"split{index}" / unicodedata.normalize(form, "Bär") / f"{image}.png")
            save(grey(), tmp_path / f"split{index}" / "Wal" / f"{image}.png")
    (tmp_path / "split0").rename(tmp_path / "train")
    (tmp_path / "split1").rename(tmp_path / "test")
    assert load_classification(str(tmp_path)).class_names == ("Bär", "Wal")


def test_natural_class_order_and_deep_folders(tmp_path):
    for name in ("10", "9", "1"):
        for index in range(3):
            save(grey(), tmp_path / name / f"day {index}" / "a.png")
    data = load_classification(str(tmp_path))
    assert data.class_names == ("1", "9", "10")
    assert data.ids[0] == "1/day 0/a.png"


def damage(root):
    path = root / "cat" / "cat 3.png"
    path.write_bytes(path.read_bytes()[:60])
    (root / "dog" / "dog 1.png").write_text("no image")


def test_bad_files_are_named(root):
    damage(root)
    with pytest.raises(UserError, match=r"(cat 3|dog 1)\.png.*repair or remove it.*--on-bad-file skip") as caught:
        load_classification(str(root))
    assert "\n" not in str(caught.value)


def test_bad_files_are_skipped_and_listed(root):
    damage(root)
    data = load_classification(str(root), on_bad_file="skip")
    assert sorted(name for name, _ in data.skipped) == ["cat/cat 3.png", "dog/dog 1.png"]
    assert all(reason for _, reason in data.skipped)
    assert len(data) == 18
    check_split(data)
    for name, image in zip(data.ids, data.images, strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(root / name)))


def test_a_class_of_bad_files_only(root):
    for path in (root / "dog").iterdir():
        path.write_text("no image")
    with pytest.raises(UserError, match=r"one class only \('cat'\)"):
        load_classification(str(root), on_bad_file="skip")


def test_memory_limit_uses_the_cache_folder(root, tmp_path, monkeypatch):
    expected = load_classification(str(root))
    monkeypatch.setattr("applications.datasets.store.available_memory", lambda: 100)
    data = load_classification(str(root), cache_dir=str(tmp_path / "cache"))
    assert not data.images.in_memory
    assert data.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(data.images.as_array(), expected.images.as_array())


def test_progress_reaches_the_end(root):
    calls = []
    load_classification(str(root), progress=lambda *call: calls.append(call))
    assert calls[-1] == (20, 20, "reading images")
    assert [done for done, _, what in calls if what == "reading images"] == list(range(1, 21))


def remove(*names):
    return lambda root: [shutil.rmtree(root / name) for name in names]


def five_channels(root):
    tifffile.imwrite(
        root / "cat" / "five.tif",
        np.zeros((8, 8, 5), "uint8"),
        photometric="minisblack",
        planarconfig="contig",
    )


def files_only(root):
    remove("cat", "dog")(root)
    (root / "a.csv").write_text("x")


def loose_only(root):
    remove("cat", "dog")(root)
    save(grey(), root / "a.png")


def segmentation(root):
    (root / "cat").rename(root / "images")
    (root / "dog").rename(root / "Masks")


def unseen_class(root):
    root.rename(root.parent / "x")
    shutil.copytree(root.parent / "x", root / "train")
    shutil.copytree(root.parent / "x", root / "test")
    save(grey(), root / "test" / "owl" / "a.png")


def two_splits_of_one_kind(root):
    for name in ("train", "val", "valid"):
        (root / name).mkdir()


ODD_FOLDERS = {
    "empty": (remove("cat", "dog"), r"holds no image \(it is empty\); put the images of each class"),
    "empty classes": (lambda root: [p.unlink() for p in root.rglob("*.png")], "holds no image"),
    "one class": (remove("dog"), r"one class only \('cat'\); classification needs at least two"),
    "no images": (files_only, r"only other files \(1 \.csv\); images are PNG, JPEG"),
    "no class folders": (loose_only, "holds 1 images but no class folders; put the images of each class"),
    "segmentation": (segmentation, "laid out for semantic segmentation"),
    "class without training images": (unseen_class, "Class 'owl' has no image in the training folder"),
    "two validation folders": (two_splits_of_one_kind, "'val' and 'valid' .* both mean 'val'"),
    "channels that do not fit": (
        five_channels,
        r"different numbers of channels \(.* has 1, 'cat/five.tif' has 5\); give all of them the same",
    ),
}


@pytest.mark.parametrize("case", ODD_FOLDERS)
def test_odd_folder_is_one_sentence(case, root):
    prepare, message = ODD_FOLDERS[case]
    prepare(root)
    with pytest.raises(UserError, match=message) as caught:
        load_classification(str(root))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


BAD_ARGUMENTS = {
    "missing folder": (
        {"data": "no/such folder"},
        r"Data folder 'no/such folder' does not exist \(looked for '/",
    ),
    "missing folder here": ({"data": "./pictures"}, "Data folder './pictures' does not exist"),
    "unknown name": ({"data": "digit"}, "Unknown data 'digit'.*Did you mean 'digits'"),
    "nonsense": (
        {"data": "qqq"},
        r"neither an embedded data set \(digits\), nor tfds:NAME, nor a folder that exists\.$",
    ),
    "other task": (
        {"data": "nuclei"},
        "'nuclei' is not for image classification; embedded for this task: digits",
    ),
    "fractions": ({"fractions": (0.5, 0.5, 0.5)}, "add up to 1"),
    "bad file mode": ({"on_bad_file": "ignore"}, "must be 'error' or 'skip', received 'ignore'"),
    "image size": (
        {"image_size": (0, 5)},
        r"one or two whole numbers of at least 1 pixel, received \(0, 5\)",
    ),
    "image size in words": ({"image_size": "big"}, "received 'big'"),
    "channels": ({"channels": 4}, None),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_argument_is_one_sentence(case, root):
    arguments, message = BAD_ARGUMENTS[case]
    if message is None:  # Grey images can be repeated into any number of channels.
        assert load_classification(str(root), **arguments).channels == 4
        return
    with pytest.raises(UserError, match=message) as caught:
        load_classification(**{"data": str(root), **arguments})
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(root):
    with pytest.raises(UserError, match=r"cat 0.png' is a file; give the folder"):
        load_classification(str(root / "cat" / "cat 0.png"))


def test_colour_cannot_become_four_channels(root):
    save(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8), root / "cat" / "colour.png")
    with pytest.raises(UserError, match=r"'cat/colour.png' has 3 channels, which cannot be turned into 4"):
        load_classification(str(root), channels=4)
