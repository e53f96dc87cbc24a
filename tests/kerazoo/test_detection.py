"""Boxes: overlaps, maps and back, COCO's and VOC's average precision, the network and its loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.detection import boxes as boxes_module
from kerazoo.detection.boxes import Detections, box_iou, decode_boxes, encode_boxes, gaussian_radius
from kerazoo.metrics.detection import Objects, coco_average_precision, voc_average_precision

_RECORDED = json.loads((Path(__file__).parent / "references" / "coco.json").read_text())["cases"]


def _scenes(name: str) -> tuple[list[Objects], list[Detections], int]:
    images = _RECORDED[name]["images"]
    truths = [Objects(image["boxes"], image["classes"], image["crowd"]) for image in images]
    founds = [Detections(*(np.array(image[key]) for key in ("found", "found_classes", "scores"))) for image in images]
    return truths, founds, _RECORDED[name]["num_classes"]


@pytest.mark.parametrize("name", _RECORDED)
def test_coco_average_precision_is_that_of_pycocotools(name: str) -> None:
    ours = coco_average_precision(*_scenes(name))
    for key, theirs in _RECORDED[name]["figures"].items():
        assert ours[key] == pytest.approx(np.nan if theirs is None else theirs, abs=1e-9, nan_ok=True), key


def test_coco_average_precision_of_nothing() -> None:
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    one = Objects([[0, 0, 5, 5]], [0])
    assert np.isnan(coco_average_precision([Objects([], [])], [nothing], 2)["ap"])
    assert coco_average_precision([one], [nothing], 2)["ap"] == 0
    perfect = coco_average_precision([one], [Detections(np.array([[0, 0, 5, 5]]), np.array([0]), np.array([0.3]))], 2)
    assert [perfect[key] for key in ("ap", "ap_small", "ar_1")] == pytest.approx([1, 1, 1])
    assert np.isnan(perfect["ap_large"])
    assert np.isnan(perfect["class_ap"][1])
    with pytest.raises(ValueError, match=r"detections for every image\. Received: 1 for 2"):
        coco_average_precision([one, one], [nothing], 1)


def test_voc_average_precision_by_hand() -> None:
    """Found by falling score: right, wrong, right of three objects, so 1/3 with precision 1 and 1/3 with 2/3."""
    truth = Objects([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0, 0, 0])
    boxes = np.array([[0, 0, 10, 9], [60, 0, 70, 10], [20, 0, 30, 10], [0, 1, 10, 10]], float)
    found = Detections(boxes, np.zeros(4, int), np.array([0.9, 0.8, 0.7, 0.1]))
    assert voc_average_precision([truth], [found], 1) == pytest.approx(1 / 3 + 2 / 9)
    hard = Objects(truth.boxes, truth.classes, [False, True, False])
    assert voc_average_precision([hard], [found], 1) == pytest.approx(1 / 2)
    assert np.isnan(voc_average_precision([Objects([], [])], [found], 1))


def test_iou_by_counting_pixels() -> None:
    random = np.random.default_rng(0)
    corners = random.integers(0, 12, (2, 9, 2))
    sets = np.concatenate([corners, corners + random.integers(0, 9, corners.shape)], axis=2)
    masks = np.zeros((2, 9, 24, 24), bool)
    for which, index in np.ndindex(2, 9):
        left, top, right, bottom = sets[which, index]
        masks[which, index, top:bottom, left:right] = True
    common = (masks[0][:, None] & masks[1][None]).sum((2, 3))
    union = (masks[0][:, None] | masks[1][None]).sum((2, 3))
    np.testing.assert_allclose(box_iou(*sets), common / np.maximum(union, 1))
    alone = common / np.maximum(masks[0].sum((1, 2)), 1)[:, None]
    np.testing.assert_allclose(box_iou(*sets, crowd=np.ones(9)), alone)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (3, 40), (17, 8), (0, 0)])
def test_corners_moved_by_the_radius_still_overlap(height: float, width: float) -> None:
    radius = gaussian_radius(height, width)
    box = np.array([[50.0, 50.0, 50.0 + width, 50.0 + height]])
    moves = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [-1, -1, 1, 1]])
    overlaps = [box_iou(box, box + radius * move)[0, 0] for move in moves]
    assert min(overlaps) == pytest.approx(0.7 if height else 0.0)
    # The released code's smallest radius would be too large for all of these.
    assert not height or min(box_iou(box, box + 1.01 * radius * move)[0, 0] for move in moves) < 0.7


@pytest.mark.parametrize("stride", [2, 4])
def test_boxes_as_maps_and_back(stride: int) -> None:
    random = np.random.default_rng(stride)
    places = np.stack(np.meshgrid(np.arange(5), np.arange(4)), axis=-1).reshape(-1, 2)[random.permutation(20)[:12]]
    centres = 20 * places + random.uniform(9, 11, (12, 2))
    half = random.uniform(2, 9, (12, 2))
    boxes, classes = np.concatenate([centres - half, centres + half], axis=1), random.integers(0, 3, 12)
    maps = encode_boxes(boxes, classes, (81, 100), 3, stride=stride)
    assert maps.shape == (-(-81 // stride), 100 // stride, 7)
    assert (maps[..., :3] == 1).sum() == 12
    found = decode_boxes(maps, stride=stride, threshold=0.999)
    order = np.lexsort(found.boxes.T)
    np.testing.assert_allclose(found.boxes[order], boxes[np.lexsort(boxes.T)], atol=1e-4)
    assert np.array_equal(found.classes[order], classes[np.lexsort(boxes.T)])
    assert len(decode_boxes(maps, stride=stride, max_objects=5).boxes) == 5


def test_bumps_crowds_and_shared_centres() -> None:
    maps = encode_boxes([[0, 0, 64, 64], [8, 8, 56, 56]], [0, 0], (64, 64), 1)
    assert maps[8, 8, 1:3].tolist() == [12, 12], "the smaller of two boxes with one centre"
    radius = int(gaussian_radius(16, 16))
    assert maps[8, 8 + radius, 0] == pytest.approx(np.exp(-(radius**2) / (2 * ((2 * radius + 1) / 6) ** 2)))
    assert maps[8, 9 + radius, 0] == 0
    crowded = encode_boxes([[16, 16, 32, 32], [0, 0, 64, 32]], [0, 0], (64, 64), 2, crowd=[False, True])
    assert crowded[6, 6, 0] == 1
    assert (crowded[:8, :, 0] == -1).sum() == 8 * 16 - 1
    assert not crowded[8:, :, 0].any()
    assert not crowded[..., 1].any()
    assert np.array_equal(decode_boxes(crowded).boxes, [[16, 16, 32, 32]])


def test_boxes_are_cut_to_the_image() -> None:
    maps = np.zeros((4, 4, 5), np.float32)
    maps[0, 0] = 0.8, 4, 4, 0.5, 0.5
    assert decode_boxes(maps, image_size=(16, 16)).boxes.tolist() == [[0, 0, 10, 10]]
    assert decode_boxes(maps).boxes.tolist() == [[-6, -6, 10, 10]]
    maps[0, 0, 1] = -4
    assert decode_boxes(maps).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [([[0, 0, 1]], "left, top, right, bottom"), ([[4, 0, 2, 2]], r"left <= right.*Received: \[4.0, 0.0, 2.0, 2.0\]")],
)
def test_bad_boxes(boxes: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        boxes_module.as_boxes(boxes)


def _by_hand(truth: np.ndarray, found: np.ndarray) -> float:
    """The loss of one image, pixel by pixel, in the words of the paper."""
    heat, objects = 0.0, 0
    for y, p in zip(truth[..., :-4].ravel(), found[..., :-4].ravel(), strict=True):
        if y == 1:
            heat, objects = heat - (1 - p) ** 2 * np.log(p), objects + 1
        elif y >= 0:
            heat -= (1 - y) ** 4 * p**2 * np.log(1 - p)
    regressed = 0.0
    for row, column in np.argwhere((truth[..., :-4] == 1).any(axis=-1)):
        wrong = abs(truth[row, column, -4:] - found[row, column, -4:])
        regressed += 0.1 * wrong[:2].sum() + wrong[2:].sum()
    return (heat + regressed) / max(objects, 1)


def test_loss_by_hand() -> None:
    truths = [
        encode_boxes([[0, 0, 9, 13], [8, 4, 30, 30]], [0, 1], (32, 32), 2),
        encode_boxes([[2, 2, 30, 20], [0, 0, 32, 16]], [1, 0], (32, 32), 2, crowd=[False, True]),
        encode_boxes([], [], (32, 32), 2),
    ]
    found = np.random.default_rng(0).uniform(0.05, 0.95, (3, 8, 8, 6)).astype("float32")
    loss = kerazoo.losses.CenterNet(reduction="none")
    expected = [_by_hand(*pair) for pair in zip(np.float64(truths), np.float64(found), strict=True)]
    np.testing.assert_allclose(loss(np.stack(truths), found), expected, rtol=1e-5)
    other = kerazoo.losses.CenterNet.from_config(loss.get_config() | {"alpha": 1, "offset_weight": 0})
    assert not np.allclose(other(np.stack(truths), found), expected, rtol=1e-2)
    with pytest.raises(ValueError, match="alpha must be a number of at least 0"):
        kerazoo.losses.CenterNet(alpha=-1)


@pytest.mark.parametrize(("stride", "size"), [(4, (50, 33)), (2, (50, 33)), (4, (128, 128))])
def test_maps_of_the_network_have_the_size_of_the_targets(stride: int, size: tuple[int, int]) -> None:
    with zoo.cheap_weights():
        model = zoo.fresh("centernet", input_shape=(*size, 1), stride=stride)
    assert model.output_shape[1:] == encode_boxes([], [], size, 3, stride=stride).shape
    assert np.allclose(zoo.outputs(model, np.zeros((1, *size, 1), "float32"))[0][..., 3:], 0)
    heat = zoo.outputs(zoo.fresh("centernet"), np.zeros((1, 32, 40, 2), "float32"))[0][..., :3]
    np.testing.assert_allclose(heat, 1 / (1 + np.exp(2.19)), rtol=1e-5)
