"""The application `object-detection`: boxes move with their pixels, a run, its predictions as data again, failures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from applications.datasets.boxes import BoxedImages, load_boxes
from applications.datasets.simulators.scenes import simulate_scene
from applications.datasets.store import ImageStore
from applications.imaging.box_targets import NUM_DRAWS, BoxAugmentation, cut, moved_boxes, random_window, targets
from applications.imaging.detection_report import class_rows, confusion_counts, outcome
from applications.imaging.region_baseline import region_detector, regions
from applications.object_detection import ObjectDetection, Prediction
from kerazoo.detection.boxes import Detections, decode_boxes
from kerazoo.metrics.detection import Objects
from tests.applications.conftest import command

QUICK = (
    *(
        "--no-tensorboard",
        "--epochs",
        "15",
        "--learning-rate",
        "0.01",
        "--batch-size",
        "4",
        "--window-size",
        "64",
        "--score-threshold",
        "0.05",
    ),
    *("--model-options.filters", "4", "--model-options.head_filters", "8", "--data-options.images", "12"),
    *("--data-options.size", "64", "--data-options.extent", "[10,30]"),
)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_move_with_their_pixels(seed: int) -> None:
    """A bright rectangle cut out with a window has the box that was moved into the window."""
    random = np.random.default_rng(seed)
    image = np.zeros((70, 90, 1), np.float32)
    left, top, right, bottom = 31, 22, 49, 43
    image[top:bottom, left:right] = 100
    draws = random.uniform(size=NUM_DRAWS).astype("float32")
    options = BoxAugmentation(quarter_turns=True, vertical_flip=True)
    window = random_window(tf.constant(image.shape), tf.constant(draws), 64, options)
    seen = cut(tf.constant(image), window, 64).numpy()[..., 0] > 50
    box = moved_boxes(np.array([[left, top, right, bottom]], float), window.numpy())[0]
    inside = np.clip(box, 0, 64)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert abs(inside - [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).max() <= 0.51


def test_all_ways_of_moving_are_drawn() -> None:
    options = BoxAugmentation(quarter_turns=True, vertical_flip=True)
    windows = np.array(
        [
            random_window(tf.constant((70, 90, 1)), tf.constant(draws), 64, options).numpy()
            for draws in np.random.default_rng(0).uniform(size=(64, NUM_DRAWS)).astype("float32")
        ]
    )
    assert len({tuple(np.sign(row[2:])) for row in windows}) == 8
    assert 1.25 < abs(windows[:, 2]).max() <= 1.3001
    still = BoxAugmentation(zoom=0.0, shift=0.0, horizontal_flip=False)
    window = random_window(tf.constant((64, 64, 1)), tf.constant(np.full(NUM_DRAWS, 0.3, "float32")), 64, still)
    assert window.numpy().tolist() == [0, 0, 1, 1, 0]


def _one_image(boxes: list, crowds: list[bool]) -> BoxedImages:
    return BoxedImages(
        name="test", description="", images=ImageStore.from_arrays([np.zeros((64, 64), np.uint8)]), split={},
        class_names=("a", "b"), ids=("0",), boxes=(np.array(boxes, float),), crowds=(np.array(crowds),),
        box_classes=(np.arange(len(boxes)) % 2,),
    )  # fmt: skip


def test_what_lies_mostly_outside_a_window_is_not_learnt() -> None:
    data = _one_image([[40, 0, 60, 20], [20, 10, 34, 30], [0, 0, 20, 20]], [False, False, False])
    maps = targets(data, 0, (26.0, 0.0, 1.0, 1.0, 0.0), 32, 4)
    found = decode_boxes(maps, threshold=0.99)
    assert found.boxes.tolist() == [[14, 0, 32, 20], [0, 10, 8, 30]]
    maps = targets(data, 0, (32.0, 0.0, 1.0, 1.0, 0.0), 32, 4)
    assert (maps[..., 1] == -1).sum() == 6, "of the second box two columns of pixels are left"
    assert decode_boxes(maps, threshold=0.99).boxes.tolist() == [[8, 0, 28, 20]]


def test_outcomes() -> None:
    truth = Objects(np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 90, 30]]), [0, 1, 0, 0],
                    [False, False, False, True])  # fmt: skip
    boxes = np.array([[0, 0, 10, 9], [20, 0, 30, 10], [0, 40, 9, 50], [62, 2, 70, 20], [0, 1, 10, 10]], float)
    found = Detections(boxes, np.array([0, 0, 1, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6, 0.5]))
    result = outcome(truth, found)
    assert sorted(result.pairs) == [(0, 0), (1, 1)]
    assert (result.missed, result.false, result.confused, result.failures) == ([2], [2, 4], [(1, 1)], 4)
    rows = class_rows([truth], [found], ("a", "b"), 0.0)
    assert [row[2:] for row in rows] == [(2, 1, 1, 0, 0), (1, 0, 0, 1, 2)]
    assert confusion_counts([truth], [found], 2, 0.0).tolist() == [[1, 0, 1], [1, 0, 0], [0, 2, 0]]


def test_regions_of_a_plain_scene() -> None:
    """Bright and dark regions, and a forest that tells bars from squares by their shape."""
    images, boxes = [], []
    for number in range(12):
        image = np.full((60, 60), 100, np.uint8)
        image[10:30, 8:28] = 200
        image[35 + number % 3 : 43 + number % 3, 20:52] = 0
        images.append(image)
        boxes.append(np.array([[8, 10, 28, 30], [20, 35 + number % 3, 52, 43 + number % 3]], float))
    found = regions(images[1][..., None])
    expected = np.array([[8, 10, 28, 30], [20, 36, 52, 44]])
    assert abs(np.array([region.box for region in found]) - expected).max() <= 1, "smoothing makes them larger"
    data = BoxedImages(
        name="test", description="", images=ImageStore.from_arrays(images), split={"train": np.arange(12)},
        class_names=("square", "bar"), ids=tuple(map(str, range(12))), boxes=tuple(boxes),
        crowds=(np.zeros(2, bool),) * 12, box_classes=(np.array([0, 1]),) * 12,
    )  # fmt: skip
    answer = region_detector(data)(images[0][..., None])
    assert answer.classes.tolist() == [0, 1]
    assert answer.scores.min() > 0.8
    assert len(region_detector(data)(np.full((40, 40, 1), 9, np.uint8)).boxes) == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("detection")
    answer = command("train", "object-detection", "--out", out, "--name", "run", "--data-dir", out / "tfds", *QUICK)
    assert answer.status == 0, answer.err
    return out / "object-detection" / "run"


def test_a_run_directory_is_complete(run: Path) -> None:
    assert {path.stem for path in (run / "figures").glob("*.png")} == {
        *("learning_curves", "detections", "failures", "confusion_matrix")
    }
    metrics = json.loads((run / "metrics.json").read_text())
    assert {"ap", "ap50", "ap75", "ap_small", "ar_100", "voc_ap50"} <= set(metrics["test"])
    assert set(metrics["baseline"]) == set(metrics["test"])
    tables = json.loads((run / "report.json").read_text())["tables"]
    assert [row[0] for row in tables[0]["rows"]] == ["disc", "ring", "square", "triangle", "cross", "bar"]
    assert tables[1]["title"] == "Validation split"


def test_predictions_are_data_again(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    predictions = []
    for number, (height, width) in enumerate([(50, 70), (64, 64), (33, 90)]):
        image = random.integers(0, 255, (height, width, 1), np.uint8)
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
        corner = random.uniform(0, 20, (number, 2))
        boxes = np.concatenate([corner, corner + random.uniform(3, 12, (number, 2))], axis=1)
        found = Detections(boxes, np.arange(number) % 2, random.uniform(0, 1, number))
        predictions.append(Prediction(tmp_path / f"{number}.png", image, found, ("cell", "rod")))
    written = ObjectDetection().write(predictions, tmp_path)
    assert [path.name for path in written[:2]] == ["detections.json", "detections.csv"]
    assert Image.open(tmp_path / "2_overlay.png").size == (90, 33)
    with (tmp_path / "detections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["cell", "cell", "rod"]
    again = load_boxes(str(tmp_path))
    assert again.class_names == ("cell", "rod")
    for boxes, prediction in zip(again.boxes, predictions, strict=True):
        np.testing.assert_allclose(boxes, prediction.found.boxes, atol=0.011)


def test_a_run_predicts_and_judges_other_files(run: Path, tmp_path: Path) -> None:
    scene = simulate_scene(seed=3)
    for number, size in enumerate([(50, 70), (128, 128), (33, 90)]):
        Image.fromarray(np.resize(scene.image, (128, 128))[: size[0], : size[1]]).save(tmp_path / f"{number}.png")
    answer = command("predict", run, tmp_path, "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    coco = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [image["width"] for image in coco["images"]] == [70, 128, 90]
    assert [category["name"] for category in coco["categories"]][-1] == "bar"
    left, top, right, bottom = (float(value) for value in scene.boxes[0])
    row = {"image_id": 2, "category_id": 6, "bbox": [left, top, right - left, bottom - top]}
    (tmp_path / "boxes.json").write_text(json.dumps({**coco, "annotations": [row]}))
    answer = command("evaluate", run, "--data", tmp_path / "boxes.json")
    assert answer.status == 0, answer.err
    assert 0 <= json.loads((run / "evaluations" / "boxes.json" / "metrics.json").read_text())["test"]["ap50"] <= 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--loss", "mae"), "detectors have a loss of their own"),
        (("--model", "unet"), "'unet' is a dense prediction model, object-detection needs one of: centernet"),
        (("--model-options.stride", "3"), "stride must be one of 2, 4"),
        (("--data", "tfds:coco"), "reads no TFDS data set"),
        (("--data-options.extent", "500"), "extent must be a range"),
    ],
)
def test_bad_input(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    answer = command("train", "object-detection", "--out", tmp_path, "--data-dir", tmp_path / "tfds", *QUICK, *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err


def test_serving_brings_the_decoder(run: Path) -> None:
    application = ObjectDetection(window_size=64)
    data = _one_image([[4, 4, 20, 20]], [False])
    import dataclasses

    serving = application.serving(dataclasses.replace(data, split={"train": np.array([0])}))
    assert serving.samples.shape == (64, 64, 64, 1)
    namespace: dict = {"__name__": "boxes"}
    exec(compile(serving.files["boxes.py"], "boxes.py", "exec"), namespace)
    assert "decode_boxes" in namespace
