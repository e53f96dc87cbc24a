"""Classes of objects in instance segmentation: the table, targets that move, figures per class, the whole road."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tifffile

from applications.core.errors import UserError
from applications.datasets.instances import load_instances
from applications.imaging.instance_targets import InstanceAugmentation, moved
from applications.imaging.object_classes import class_metrics, class_table
from applications.imaging.objects import Finder, Objects
from applications.instance_segmentation import InstanceSegmentation
from kerazoo.detection import star_convex
from tests.applications.conftest import command

NAMES = ("large", "small")


def squares(seed: int) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Returns an image, a label image with gaps in its numbers, and the class of each number: bright ones are small."""
    rng = np.random.default_rng(seed)
    image, labels, classes = rng.poisson(5, (64, 64)).astype(np.uint16), np.zeros((64, 64), np.uint16), {}
    for place in range(4):
        top, left, kind = 32 * (place // 2) + 8, 32 * (place % 2) + 8, int(rng.integers(2))
        window = (slice(top, top + 16 - 6 * kind), slice(left, left + 16 - 6 * kind))
        number = 3 * (place + 1)
        labels[window], classes[number] = number, NAMES[kind]
        image[window] += 60
    return image, labels, classes


def folder_of(root: Path, count: int = 6) -> Path:
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    rows = [("image", "object", "class")]
    for number in range(count):
        image, labels, classes = squares(number)
        tifffile.imwrite(root / "images" / f"{number}.tif", image)
        tifffile.imwrite(root / "masks" / f"{number}.tif", labels)
        rows += [(f"{number}.tif", str(key), name) for key, name in classes.items()]
    with (root / "classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def test_the_table_follows_the_numbers_of_the_files(tmp_path: Path) -> None:
    data = load_instances(str(folder_of(tmp_path)))
    assert data.class_names == ("background", *NAMES)
    for index in range(6):
        _, labels, classes = squares(index)
        assert data.instances is not None
        for number, name in classes.items():
            renumbered = int(data.instances[index][labels == number][0, 0])
            assert data.class_names[data.object_classes[index][renumbered - 1]] == name
    other = tmp_path / "classes.csv"
    before, text = data.fingerprint, other.read_text()
    other.write_text(text.replace("0.tif,3,large", "0.tif,3,small").replace("0.tif,6,large", "0.tif,6,small"))
    assert other.read_text() != text
    assert load_instances(str(tmp_path)).fingerprint != before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace("object", "number"), "needs the columns image, object, class"),
        (lambda text: text.replace("2.tif,6,", "2.tif,7,"), "no class for object 6 of 'images/2.tif'"),
        (
            lambda text: text + "1.tif,99,large\n",
            "names object 99 of 'images/1.tif', whose label image has the numbers 3 to 12",
        ),
        (lambda text: text + "1.tif,one,large\n", "'one' in line 26, where the number of an object belongs"),
        (lambda text: text + "1.tif,3,\n", "lacks a value in line 26"),
        (lambda text: text.replace(".tif", ".png.x"), "names the image '0.png.x', which there is not"),
    ],
)
def test_tables_that_cannot_be_used(change, sentence: str, tmp_path: Path) -> None:
    table = folder_of(tmp_path) / "classes.csv"
    table.write_text(change(table.read_text()))
    with pytest.raises(UserError, match=sentence):
        load_instances(str(tmp_path))


def test_other_models_say_that_they_do_not_use_it(tmp_path: Path) -> None:
    data = InstanceSegmentation(data=str(folder_of(tmp_path)), model="unet_small").datasets()
    assert data.class_names == ("background", "object")
    assert data.num_object_classes is None
    assert "unet_small does not tell the classes of objects apart" in data.warnings[-1]


def test_classes_move_with_their_objects() -> None:
    _, labels, classes = squares(1)
    kinds = np.zeros_like(labels)
    for number, name in classes.items():
        kinds[labels == number] = 1 + NAMES.index(name)
    targets = star_convex.star_targets(labels, 8, classes=kinds)
    draws = tf.constant([[0.1, 0.3, 0.5]])  # mirrored, and turned once
    _, found = moved(targets[None, ..., :1], targets[None], draws, InstanceAugmentation(), "stardist", 8)
    turned = star_convex.star_targets(np.rot90(labels[::-1]), 8, classes=np.rot90(kinds[::-1]))
    np.testing.assert_allclose(found[0], turned, atol=1e-4)


def test_objects_have_the_class_of_their_description_and_scores_say_so(tmp_path: Path) -> None:
    data = load_instances(str(folder_of(tmp_path)), fractions=(0.0, 0.0, 1.0))
    truths, found = [], []
    for index in data.split["test"]:
        assert data.instances is not None
        labels = data.instances[index][..., 0]
        kinds = np.append(0, data.object_classes[index])[labels]
        maps = star_convex.star_targets(labels, 32)
        maps = np.concatenate([maps, np.eye(3)[kinds] + [2.0, 0, 0]], axis=-1)  # background likeliest everywhere
        finder = object.__new__(Finder)
        finder.num_rays, finder.grid, finder.largest = 32, 1, 1024
        finder.settings = {"probability": 0.5, "nms": 0.4}
        object.__setattr__(finder, "maps", lambda pixels, maps=maps: maps)
        truths.append(labels)
        found.append(finder._polygons(np.zeros((64, 64, 1))))
    scores = class_metrics(data, truths, found)
    assert scores == {"mean_class_ap_50": 1.0, "class_accuracy": 1.0}
    rows = class_table(data, truths, found).rows
    assert [row[0] for row in rows] == list(NAMES)
    assert sum(row[1] for row in rows) == 24
    swapped = [Objects(o.labels, o.scores, 3 - np.asarray(o.classes)) for o in found]
    assert class_metrics(data, truths, swapped) == {"mean_class_ap_50": 0.0, "class_accuracy": 0.0}


def test_the_whole_road(tmp_path: Path) -> None:
    data = folder_of(tmp_path / "data", 8)
    quick = ("--no-tensorboard", "--epochs", "1", "--crop-size", "32", "--model-options.filters", "4")
    answer = command("train", "instance-segmentation", "--out", tmp_path, "--name", "run", "--data", data, *quick)
    assert answer.status == 0, answer.err
    run = tmp_path / "instance-segmentation" / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert {"mean_class_ap_50", "class_accuracy"} <= set(metrics["test"])
    assert set(metrics["test"]) == set(metrics["baseline"])
    assert "Objects by class" in (run / "report.html").read_text()
    settings = json.loads((run / "objects.json").read_text())
    (run / "objects.json").write_text(json.dumps({**settings, "probability": 0.0}))  # so that something is found
    answer = command("predict", run, data / "images" / "1.tif", "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    rows = list(csv.DictReader((tmp_path / "out" / "1_objects.csv").open()))
    assert rows
    assert {row["class"] for row in rows} <= set(NAMES)
    assert command("evaluate", run, "--data", data).status == 0
    answer = command("export", run, "--format", "onnx", "--out", tmp_path / "m.onnx")
    assert answer.status == 0, answer.err
