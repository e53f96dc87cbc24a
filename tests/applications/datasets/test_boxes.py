"""Images with boxes: the simulated scenes, COCO JSON and YOLO text files, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from applications.core.errors import UserError
from applications.datasets.boxes import load_boxes
from applications.datasets.simulators.scenes import SceneParameters, simulate_scene


def _image(path: Path, width: int = 40, height: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(path.name)).integers(0, 255, (height, width), np.uint8)).save(path)


def _coco(folder: Path, **changes: Any) -> Path:
    """Writes six images and a COCO file; the last image is empty, and one box is a crowd."""
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": 7, "name": "cell"}, {"id": 3, "name": "rod"}]
    for number in range(6):
        _image(folder / "images" / f"{number}.png")
        content["images"].append({"id": 10 + number, "file_name": f"{number}.png", "width": 40, "height": 30})
        if number < 5:
            box = [number, 2, 10.5, 20]
            row = {"id": number, "image_id": 10 + number, "category_id": 7, "bbox": box, "iscrowd": int(number == 2)}
            content["annotations"].append(row)
    content["annotations"].append({"id": 9, "image_id": 10, "category_id": 3, "bbox": [30, 20, 15, 5]})
    for key, change in changes.items():
        content[key] = change(content[key])
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder / "boxes.json"


def test_coco_files(tmp_path: Path) -> None:
    file = _coco(tmp_path)
    for data in (file, tmp_path):
        found = load_boxes(str(data))
        assert found.class_names == ("rod", "cell"), "in the order of their numbers"
        assert found.ids == tuple(f"{n}.png" for n in range(6))
        assert found.boxes[0].tolist() == [[0, 2, 10.5, 22], [30, 20, 40, 25]]
        assert found.box_classes[0].tolist() == [1, 0]
        assert [crowd.tolist() for crowd in found.crowds[1:4]] == [[False], [True], [False]]
        assert len(found.boxes[5]) == 0
        assert found.warnings == ("1 boxes reached beyond their image and were cut to it (first in '0.png').",)
    assert load_boxes(str(file)).fingerprint == found.fingerprint
    _coco(tmp_path, annotations=lambda rows: rows[:-1])
    assert load_boxes(str(file)).fingerprint != found.fingerprint


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"annotations": lambda rows: None}, "is no COCO file: it has no list 'annotations'"),
        ({"categories": lambda rows: [{"id": 7}]}, "every entry of 'categories' needs id and name"),
        ({"categories": lambda rows: rows[:1]}, "annotation 5 has the category 3"),
        ({"images": lambda rows: rows[1:]}, "annotation 0 belongs to no image"),
        ({"annotations": lambda rows: [rows[0] | {"bbox": [1, 2, 3]}]}, r"annotation 0 needs a bbox of four numbers"),
        (
            {"annotations": lambda rows: [rows[0] | {"bbox": [50, 2, 3, 3]}]},
            r"\(50, 2\) to \(53, 5\) has no area inside",
        ),
        ({"annotations": lambda rows: [rows[0] | {"bbox": [5, 2, 0, 3]}]}, "has no area inside the image of 40 x 30"),
        ({"annotations": lambda rows: []}, "has no box on any image"),
        ({"images": lambda rows: [*rows, {"id": 1, "file_name": "x.png"}]}, "x.png.*names this image, but it does not"),
    ],
)
def test_bad_coco_files(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_boxes(str(_coco(tmp_path, **changes)))


def test_an_image_with_a_box_beside_it_can_be_left_out(tmp_path: Path) -> None:
    file = _coco(tmp_path, annotations=lambda rows: [rows[0] | {"bbox": [50, 2, 3, 3]}, *rows[1:]])
    found = load_boxes(str(file), on_bad_file="skip")
    assert found.ids == tuple(f"{n}.png" for n in range(1, 6))
    assert len(found.boxes) == len(found.box_classes) == len(found.crowds) == len(found.images) == 5
    assert found.skipped[0][0] == "images/0.png"


def _yolo(root: Path, split: str = "", text: str = "0 0.5 0.5 0.25 0.2\n1 0.1 0.9 0.2 0.2 0.77\n") -> None:
    for number in range(6):
        _image(root / split / "images" / f"{number}.png")
        (root / split / "labels").mkdir(exist_ok=True)
        if number:
            (root / split / "labels" / f"{number}.txt").write_text(text if number > 1 else "")


def test_yolo_files(tmp_path: Path) -> None:
    _yolo(tmp_path)
    (tmp_path / "classes.txt").write_text("cell\nrod\n")
    found = load_boxes(str(tmp_path))
    assert found.class_names == ("cell", "rod")
    assert [len(boxes) for boxes in found.boxes] == [0, 0, 2, 2, 2, 2]
    np.testing.assert_allclose(found.boxes[2], [[15, 12, 25, 18], [0, 24, 8, 30]])
    assert found.warnings == ("1 images have no text file of boxes and count as empty.",)


def test_yolo_files_in_splits(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        _yolo(tmp_path, split)
    (tmp_path / "data.yaml").write_text("names:\n  0: cell\n  1: rod\n")
    found = load_boxes(str(tmp_path))
    assert {name: len(part) for name, part in found.split.items()} == {"train": 6, "val": 6, "test": 6}
    assert found.class_names == ("cell", "rod")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 0.5 0.5 0.2", "line 1 must be `class x y width height`"),
        ("cell 0.5 0.5 0.2 0.2", "line 1 is 'cell 0.5 0.5 0.2 0.2', not numbers"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2", "an outline of points"),
        ("0 20 10 5 5", "YOLO's numbers are fractions"),
        ("0.5 0.5 0.5 0.2 0.2", "no class number"),
        ("5 0.5 0.5 0.2 0.2", "names 2 classes, but the boxes have the class number 5"),
        ("0 1.5 0.5 0.2 0.2", "has no area inside the image"),
    ],
)
def test_bad_yolo_files(tmp_path: Path, text: str, sentence: str) -> None:
    _yolo(tmp_path, text=text)
    (tmp_path / "classes.txt").write_text("cell\nrod\n")
    with pytest.raises(UserError, match=sentence):
        load_boxes(str(tmp_path))


def test_boxes_without_an_image(tmp_path: Path) -> None:
    _yolo(tmp_path)
    (tmp_path / "images" / "3.png").unlink()
    with pytest.raises(UserError, match=r"3\.txt.*have no image of the same name"):
        load_boxes(str(tmp_path))
    assert len(load_boxes(str(tmp_path), on_bad_file="skip")) == 5


def test_data_that_are_none(tmp_path: Path) -> None:
    _image(tmp_path / "a.png")
    with pytest.raises(UserError, match="needs the folders 'images' and 'labels'"):
        load_boxes(str(tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        load_boxes("missing.json")
    with pytest.raises(UserError, match=r"embedded data set \(scenes\)"):
        load_boxes("scene")


def test_scenes_are_what_they_say(tmp_path: Path) -> None:
    found = load_boxes("scenes", data_dir=str(tmp_path), options={"images": 4, "objects": (3, 5), "seed": 2})
    again = simulate_scene(SceneParameters(objects=(3, 5)), (2, 1))
    assert np.array_equal(found.images[1][..., 0], again.image)
    assert np.array_equal(found.boxes[1], again.boxes)
    assert found.class_names[found.box_classes[1][0]] in ("disc", "ring", "square", "triangle", "cross", "bar")
    for number, (left, top, right, bottom) in enumerate(again.boxes.astype(int), start=1):
        mask = again.visible == number
        assert mask.sum() == mask[top:bottom, left:right].sum() > 0
        assert mask[top].any()
        assert mask[:, right - 1].any()
    with pytest.raises(UserError, match=r"cannot be simulated: extent must be a range"):
        load_boxes("scenes", data_dir=str(tmp_path), options={"extent": 100})
