"""The signature `serve_bytes` reads image files as `kerazoo predict` does, in a process without Keras and kerazoo."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import kerazoo
from applications.core.inference import adapted, padded
from applications.datasets.pixels import resize
from applications.datasets.readers import read_image
from kerazoo.exporters import ImageBytes, read_metadata

LABELS = ("ant", "bee", "cat")
PROGRAM = """
import sys
sys.modules["keras"] = sys.modules["kerazoo"] = None  # importing either would fail
import numpy as np, pathlib, tensorflow as tf
found = {}
for folder in ("classes", "masks"):
    serve = tf.saved_model.load(folder).signatures["serve_bytes"]
    for path in sorted(pathlib.Path("images").iterdir()):
        for name, value in serve(image_bytes=tf.constant([path.read_bytes()] * 2)).items():
            array = value.numpy()
            found[f"{folder}/{path.name}/{name}"] = array.astype(str) if name == "label" else array
np.savez("answers.npz", **found)
"""
RANDOM = np.random.default_rng(0)
SMOOTH = np.asarray(
    Image.fromarray(RANDOM.integers(0, 256, (4, 5, 3), np.uint8)).resize((23, 17), Image.Resampling.BICUBIC)
)
FILES: dict[str, Image.Image] = {
    "grey.png": Image.fromarray(SMOOTH[..., 0]),
    "colour.png": Image.fromarray(SMOOTH),
    "alpha.png": Image.fromarray(np.dstack([SMOOTH, 255 - SMOOTH[..., :1]])),
    "palette.png": Image.fromarray(SMOOTH).quantize(16),
    "deep.png": Image.fromarray(SMOOTH[..., 0].astype(np.uint16) * 200 + 37),
    "photo.jpg": Image.fromarray(SMOOTH),
    "exact.png": Image.fromarray(SMOOTH[:8, :8]),
    "pixels.bmp": Image.fromarray(SMOOTH),
}


def _classifier() -> keras.Model:
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Rescaling(1 / 60, -2.0, name="preprocess")(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x)), name="small")


def _segmenter() -> keras.Model:
    inputs = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(1 / 30000, -1.0, name="preprocess")(inputs)
    x = keras.layers.MaxPooling2D(4)(keras.layers.Conv2D(4, 3, padding="same")(x))
    x = keras.layers.Conv2DTranspose(2, 4, strides=4, activation="softmax")(x)
    return keras.Model(inputs, x, name="open_size")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What the exported models say about the files, each in a batch of two."""
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "images").mkdir()
    for name, image in FILES.items():
        image.save(folder / "images" / name)
    keras.utils.set_random_seed(0)
    image = ImageBytes(1, 255.0, "class", LABELS)
    kerazoo.export(_classifier(), folder / "classes", image=image, metadata={"labels": list(LABELS)})
    image = ImageBytes(3, 65535.0, "mask", size_multiple=4)
    kerazoo.export(_segmenter(), folder / "masks", image=image, input_range=(0, 65535))
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "answers.npz") as file:
        return folder, dict(file)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_predict_reads_it(name: str, answers: tuple[Path, dict[str, Any]]) -> None:
    folder, found = answers
    keras.utils.set_random_seed(0)
    classifier, segmenter = _classifier(), _segmenter()
    image = read_image(folder / "images" / name)
    small = resize(adapted(image, 1, (0, 255), name), (8, 8))
    probabilities = np.asarray(classifier(small[None]))[0]
    assert np.ptp(probabilities) > 0.01, "says little"
    for row in range(2):
        np.testing.assert_allclose(found[f"classes/{name}/probabilities"][row], probabilities, atol=1e-4)
        assert found[f"classes/{name}/class"][row] == probabilities.argmax()
        assert found[f"classes/{name}/label"][row] == LABELS[probabilities.argmax()]
    deep = adapted(image, 3, (0, 65535), name)
    outputs = np.asarray(segmenter(padded(deep, 4)[None]))[0, : image.shape[0], : image.shape[1]]
    np.testing.assert_allclose(found[f"masks/{name}/probabilities"][0], outputs, atol=1e-4)
    np.testing.assert_array_equal(found[f"masks/{name}/mask"][0], outputs.argmax(-1))
    assert found[f"masks/{name}/mask"].dtype == np.uint8


def test_the_folder_knows_its_labels_and_scale(answers: tuple[Path, dict[str, Any]]) -> None:
    about = read_metadata(answers[0] / "classes")
    assert about["labels"] == list(LABELS)
    assert about["normalisation"]["inside"]
    assert about["normalisation"]["scale"] == pytest.approx(1 / 60)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "litert", "image": ImageBytes(1)}, "image= is for SavedModels, received format='litert'"),
        ({"image": ImageBytes(3)}, "needs a model of one image with 3 channels, 'small' takes"),
        ({"image": ImageBytes(1, labels=("a",))}, "has 1 labels, 'small' has 3 classes"),
        ({"metadata": {"labels": io.BytesIO()}}, "metadata must be plain data"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    name = "a.tflite" if options.get("format") == "litert" else "a"
    with pytest.raises(ValueError, match=sentence):
        kerazoo.export(_classifier(), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())
