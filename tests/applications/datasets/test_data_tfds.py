"""Any TFDS name, exercised with builders made on the spot and without a network."""

import socket
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from applications.core.errors import UserError
from applications.datasets import load_classification, load_segmentation, tfds_source

RNG = np.random.default_rng(0)


class OnTheSpot(tfds.core.GeneratorBasedBuilder):
    """Images of one size with classes and two of the three usual splits."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(6, 5, 3)),
            "label": tfds.features.ClassLabel(names=["ant", "bee", "cow"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, description="Noise. Made here.", features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(60), "test": self._generate_examples(30)}

    def _generate_examples(self, count):
        for index in range(count):
            yield index, {"image": np.full((6, 5, 3), index, np.uint8), "label": index % 3}


class OnTheSpotMixed(OnTheSpot):
    """Images of many sizes under other names, in one split."""

    def _info(self):
        features = {
            "picture": tfds.features.Image(shape=(None, None, 1)),
            "kind": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("picture", "kind")
        )

    def _split_generators(self, dl_manager):
        return {"everything": self._generate_examples(20)}

    def _generate_examples(self, count):
        for index in range(count):
            yield index, {"picture": np.full((10 + index, 12, 1), index, np.uint8), "kind": index % 2}


class OnTheSpotMasks(OnTheSpot):
    """Images with masks that count from 1, like the pets of Oxford."""

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1), use_colormap=True),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, count):
        for index in range(count // 3):
            shape = (4 + index, 6)
            mask = np.resize([1, 2, 3], shape).astype(np.uint8)[..., None]
            yield index, {"image": np.full((*shape, 3), index, np.uint8), "segmentation_mask": mask}


class OnTheSpotText(OnTheSpot):
    """No images at all."""

    def _info(self):
        features = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, count):
        for index in range(count):
            yield index, {"text": "x", "label": index % 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Prepared as TFDS does it by default, and once as array_record."""
    folder = str(tmp_path_factory.mktemp("tfds"))
    tfds.disable_progress_bar()
    for builder in (OnTheSpot, OnTheSpotMasks, OnTheSpotText):
        builder(data_dir=folder).download_and_prepare()
    OnTheSpotMixed(data_dir=folder).download_and_prepare(file_format="array_record")
    return folder


def test_own_splits_are_used_and_validation_is_cut_from_training(data_dir):
    data = load_classification("tfds:on_the_spot", data_dir=data_dir)
    assert (data.name, data.class_names, len(data)) == ("on_the_spot", ("ant", "bee", "cow"), 90)
    assert {name: len(indices) for name, indices in data.split.items()} == {
        "train": 48,
        "test": 30,
        "val": 12,
    }
    assert all(data.ids[index].startswith("test/") for index in data.split["test"])
    assert all(data.ids[index].startswith("train/") for index in data.split["val"])
    assert "without validation images" in data.warnings[0]
    for image, label in zip(data.images, data.labels, strict=True):
        assert label == image[0, 0, 0] % 3
    assert data.description == "TensorFlow data set on_the_spot/1.2.0: Noise."


def test_mixed_sizes_other_names_and_our_own_split(data_dir):
    data = load_classification("tfds:on_the_spot_mixed", data_dir=data_dir)
    assert data.images.max_shape == data.images.min_shape == (16, 8, 1) or data.images.uniform
    assert "mixed sizes, from 10 x 12 to 29 x 12" in data.warnings[0]
    assert {name: len(indices) for name, indices in data.split.items()} == {"train": 14, "val": 3, "test": 3}
    for image, label in zip(data.images, data.labels, strict=True):
        assert label == image[0, 0, 0] % 2
    assert load_classification("tfds:on_the_spot_mixed", data_dir=data_dir, image_size=4).images.max_shape[0] == 4


def test_masks_of_any_numbers(data_dir):
    data = load_segmentation("tfds:on_the_spot_masks", data_dir=data_dir)
    assert data.class_names == ("value 1", "value 2", "value 3")
    assert (len(data), data.channels) == (30, 3)
    for image, mask in zip(data.images, data.masks, strict=True):
        assert image.shape[:2] == mask.shape[:2]
        np.testing.assert_array_equal(mask[..., 0], np.resize([0, 1, 2], mask.shape[:2]))


@pytest.mark.parametrize(
    ("load", "name", "message"),
    [
        (
            load_classification,
            "on_the_spot_text",
            r"needs image and label; it has label \(ClassLabel\), text \(Text\)",
        ),
        (
            load_segmentation,
            "on_the_spot",
            r"needs image and segmentation_mask; it has image \(Image\), label",
        ),
    ],
)
def test_other_features_are_named(load, name, message, data_dir):
    with pytest.raises(UserError, match=message):
        load(f"tfds:{name}", data_dir=data_dir)


def test_prepared_data_need_no_code(data_dir, tmp_path):
    """Data of a builder that this process does not know, as after copying a folder from another machine."""
    import json
    import shutil

    folder = tmp_path / "from_elsewhere" / "1.2.0"
    shutil.copytree(f"{data_dir}/on_the_spot/1.2.0", folder)
    for path in folder.glob("on_the_spot-*"):
        path.rename(folder / path.name.replace("on_the_spot", "from_elsewhere"))
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"name": "from_elsewhere"}))
    assert "from_elsewhere" not in tfds.list_builders()
    assert len(load_classification("tfds:from_elsewhere", data_dir=str(tmp_path))) == 90
    with pytest.raises(UserError, match="Unknown TFDS data set"):
        load_classification("tfds:from_elsewhere:9.9.9", data_dir=str(tmp_path))


def test_registered_builder_is_prepared_on_first_use(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "network_answers", lambda: pytest.fail("needs no network"))
    assert len(load_classification("tfds:on_the_spot", data_dir=str(tmp_path))) == 90
    assert (tmp_path / "on_the_spot" / "1.2.0" / "dataset_info.json").exists()


def test_several_configurations_need_a_choice(data_dir, tmp_path):
    import shutil

    for config in ("small", "large"):
        shutil.copytree(f"{data_dir}/on_the_spot/1.2.0", tmp_path / "on_the_spot" / config / "1.2.0")
    with pytest.raises(UserError, match=r"prepared in several configurations \(large, small\); name one"):
        load_classification("tfds:on_the_spot", data_dir=str(tmp_path))
    found = tfds_source.prepared_folder(tmp_path, "on_the_spot", "small", None)
    assert found == tmp_path / "on_the_spot" / "small" / "1.2.0"


def test_newest_version_and_no_half_prepared_one(tmp_path):
    for version in ("1.9.0", "1.10.0", "incomplete.ABC_2.0.0"):
        (tmp_path / "x" / version).mkdir(parents=True)
        (tmp_path / "x" / version / "dataset_info.json").write_text("{}")
    assert tfds_source.prepared_folder(tmp_path, "x", None, None).name == "1.10.0"
    assert tfds_source.prepared_folder(tmp_path, "x", None, "1.9.0").name == "1.9.0"
    assert tfds_source.prepared_folder(tmp_path, "y", None, None) is None


def test_unknown_name_gets_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"Unknown TFDS data set 'mnits'.*Did you mean 'mnist'"):
        load_classification("tfds:mnits", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="is no TFDS name; it has the form"):
        load_classification("tfds:not a name", data_dir=str(tmp_path))


def test_no_network_answers_within_ten_seconds(tmp_path, monkeypatch):
    """The name server hangs, as it does behind many firewalls."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(60))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"'mnist' is not prepared in .* no network to download it; run `python -c"):
        load_classification("tfds:mnist", data_dir=str(tmp_path))
    assert time.monotonic() - start < 10
    assert list(tmp_path.iterdir()) == []


def test_the_probe_knows_an_answer_from_none():
    import http.server
    import threading

    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        assert tfds_source.network_answers(f"http://127.0.0.1:{port}")
    finally:
        server.shutdown()
        server.server_close()
    assert not tfds_source.network_answers(f"http://127.0.0.1:{port}")


def test_failure_inside_tfds_is_one_sentence(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("checksum mismatch.\nand a long explanation")

    monkeypatch.setattr(OnTheSpot, "download_and_prepare", fail)
    with pytest.raises(UserError, match=r"TFDS could not prepare data set 'on_the_spot': checksum mismatch\.$"):
        load_classification("tfds:on_the_spot", data_dir=str(tmp_path))
