"""Files that hold boxes: COCO's JSON and YOLO's text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from applications.core.errors import UserError
from applications.datasets.folders import SPLIT_NAMES
from applications.datasets.loading import BadFiles, relative_name
from applications.datasets.masks import by_stem, folder_pairs
from applications.datasets.readers import BadFileError, is_hidden, list_images, plain

if TYPE_CHECKING:
    import numpy as np

LABEL_FOLDERS = ("labels", "label", "annotations")
NAME_FILES = ("classes.txt", "obj.names", "data.yaml", "data.yml", "dataset.yaml")
LARGEST_FILE = 2**30


class Labelled(NamedTuple):
    """One image and its boxes, as they stand in the file.

    Attributes:
        image: the image file.
        name: what messages call it.
        boxes: `(n, 4)` left, top, right, bottom.
        classes: `(n,)` class numbers from 0.
        crowds: `(n,)` whether a box is a crowd.
        relative: whether boxes are fractions of the image's width and height.
        split: "train", "val" or "test" where the files say so.
    """

    image: Path
    name: str
    boxes: np.ndarray
    classes: np.ndarray
    crowds: np.ndarray
    relative: bool
    split: str | None


def find_labelled(path: Path, bad: BadFiles) -> tuple[list[Labelled], tuple[str, ...], list[str]]:
    """Returns the images of a COCO file or a folder with their boxes, the class names, and sentences for the user."""
    files = [path] if path.is_file() else _coco_files(path)
    if files:
        return _read_coco_files(files, path if path.is_dir() else path.parent, bad)
    return _read_yolo(path, bad)


# COCO -----------------------------------------------------------------------------------------------------------------


def _coco_files(root: Path) -> list[Path]:
    folders = [root, *(root / name for name in LABEL_FOLDERS)]
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    return [path for path in found if path.suffix.lower() == ".json" and not is_hidden(path.name)]


def _read_coco_files(files: Sequence[Path], root: Path, bad: BadFiles) -> tuple[list[Labelled], tuple[str, ...], list]:
    parts = [_split_of(path) for path in files]
    if len(files) > 1 and (None in parts or len(set(parts)) < len(parts)):
        raise UserError(
            f"Folder {str(root)!r} holds {len(files)} JSON files; name the one with the boxes, or call them train, val "
            f"and test (found {', '.join(repr(path.name) for path in files[:5])})."
        )
    contents = [_coco_content(path) for path in files]
    names = {row["id"]: str(row["name"]) for content in contents for row in content["categories"]}
    order = {number: index for index, number in enumerate(sorted(names))}
    places = {relative_name(image, root): image for image in list_images(root)}
    short: dict[str, list[Path]] = {}
    for image in places.values():
        short.setdefault(image.name, []).append(image)
    labelled: list[Labelled] = []
    for path, content, part in zip(files, contents, parts, strict=True):
        labelled += _coco_images(path, content, order, places, short, part if len(files) > 1 else None, bad)
    if not labelled:
        raise UserError(f"{str(files[0])!r} names no image that can be used.")
    used = {entry.image for entry in labelled}
    unused = sum(image not in used for image in places.values())
    remarks = [f"{unused} images in {root.name!r} stand in no COCO file and were left out."] if unused else []
    return labelled, tuple(names[number] for number in sorted(names)), remarks


def _split_of(path: Path) -> str | None:
    stem = path.stem.lower()
    words = [part for name, part in SPLIT_NAMES.items() if name in stem]
    return words[0] if words else None


def _coco_content(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(f"File {str(path)!r} is larger than 1 GiB; split it.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"File {str(path)!r} is no JSON text ({error}).") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"File {str(path)!r} is no COCO file: it has no list {key!r}.")
    for key, needed in (("images", ("id", "file_name")), ("categories", ("id", "name"))):
        for row in content[key]:
            if not isinstance(row, dict) or any(name not in row for name in needed):
                raise UserError(f"File {str(path)!r}: every entry of {key!r} needs {' and '.join(needed)}.")
    return content


def _coco_images(
    path: Path,
    content: dict[str, Any],
    order: dict[int, int],
    places: dict[str, Path],
    short: dict[str, list[Path]],
    part: str | None,
    bad: BadFiles,
) -> list[Labelled]:
    rows: dict[Any, list[tuple]] = {image["id"]: [] for image in content["images"]}
    for number, row in enumerate(content["annotations"]):
        rows_of = rows.get(row.get("image_id")) if isinstance(row, dict) else None
        box = row.get("bbox") if isinstance(row, dict) else None
        if rows_of is None:
            raise UserError(f"File {str(path)!r}: annotation {number} belongs to no image of the file.")
        if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(value) for value in box):
            raise UserError(
                f"File {str(path)!r}: annotation {number} needs a bbox of four numbers (left, top, width, height), "
                f"received {box!r}."
            )
        if row.get("category_id") not in order:
            raise UserError(f"File {str(path)!r}: annotation {number} has the category {row.get('category_id')!r}, "
                            "which the file does not name.")  # fmt: skip
        left, top, width, height = box
        corners = (left, top, left + max(width, 0), top + max(height, 0))
        rows_of.append((*corners, order[row["category_id"]], bool(row.get("iscrowd", 0))))
    labelled = []
    for image in content["images"]:
        file = _place(str(image["file_name"]), path, places, short, bad)
        if file is not None:
            labelled.append(_labelled(file, str(image["file_name"]), rows[image["id"]], False, part))
    return labelled


def _place(name: str, path: Path, places: dict[str, Path], short: dict[str, list[Path]], bad: BadFiles) -> Path | None:
    """Returns the file of a COCO image: below the folder by its path, or by its name alone where only one has it."""
    name = name.replace("\\", "/")
    beside = path.parent / name
    if name in places:
        return places[name]
    if beside.is_file():
        return beside
    same = short.get(name.rpartition("/")[2], [])
    if len(same) == 1:
        return same[0]
    why = "several files have this name" if same else "it does not exist"
    bad.add(BadFileError(beside, f"{path.name!r} names this image, but {why}"))
    return None


# YOLO -----------------------------------------------------------------------------------------------------------------


def _read_yolo(root: Path, bad: BadFiles) -> tuple[list[Labelled], tuple[str, ...], list[str]]:
    labelled, empty = [], 0
    for images, labels, part in folder_pairs(root, LABEL_FOLDERS):
        texts = {
            plain(path.relative_to(labels).with_suffix("").as_posix()).casefold(): path
            for path in sorted(labels.rglob("*.txt"))
            if path.name not in NAME_FILES
        }
        stems = by_stem(images)
        for key in texts.keys() - stems.keys():
            bad.add(BadFileError(texts[key], "these boxes have no image of the same name"))
        for key, image in stems.items():
            name = relative_name(image, root)
            if key not in texts:
                empty += 1
                labelled.append(_labelled(image, name, [], True, part))
                continue
            try:
                labelled.append(_labelled(image, name, _yolo_rows(texts[key]), True, part))
            except BadFileError as error:
                bad.add(error)
    if not labelled:
        raise UserError(f"Folder {str(root)!r} holds no image with boxes.")
    most = max((int(entry.classes.max()) for entry in labelled if len(entry.classes)), default=-1)
    remarks = [f"{empty} images have no text file of boxes and count as empty."] if empty else []
    return labelled, _class_names(root, most + 1), remarks


def _yolo_rows(path: Path) -> list[tuple]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise BadFileError(path, f"line {number} is {line.strip()!r}, not numbers") from None
        if len(values) > 6 and len(values) % 2:
            raise BadFileError(path, f"line {number} is an outline of points, not a box; save boxes")
        if len(values) not in (5, 6) or not all(map(_is_finite, values)):
            raise BadFileError(path, f"line {number} must be `class x y width height`, received {line.strip()!r}")
        kind, x, y, width, height = values[:5]
        if kind != int(kind) or kind < 0:
            raise BadFileError(path, f"line {number} begins with {words[0]!r}, which is no class number")
        if max(x, y, width, height) > 2:
            raise BadFileError(
                path, f"line {number} holds {max(x, y, width, height):g}; YOLO's numbers are fractions of the image"
            )
        half = max(width, 0) / 2, max(height, 0) / 2
        rows.append((x - half[0], y - half[1], x + half[0], y + half[1], int(kind), False))
    return rows


def _class_names(root: Path, needed: int) -> tuple[str, ...]:
    """Returns the names of `classes.txt` or `data.yaml`, or numbers where there is none."""
    path = next((root / name for name in NAME_FILES if (root / name).is_file()), None)
    if path is None:
        return tuple(f"class {number}" for number in range(needed))
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix in (".yaml", ".yml"):
        import yaml

        try:
            listed = yaml.safe_load(text)["names"]
            names = [str(listed[number]) for number in range(len(listed))]
        except (yaml.YAMLError, TypeError, KeyError) as error:
            raise UserError(f"File {str(path)!r} has no list of `names` from number 0 on ({error}).") from None
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(names) < needed:
        raise UserError(
            f"File {str(path)!r} names {len(names)} classes, but the boxes have the class number {needed - 1}."
        )
    if len(set(names)) < len(names):
        raise UserError(f"File {str(path)!r} has the same class name twice.")
    return tuple(names)


# Both -----------------------------------------------------------------------------------------------------------------


def _labelled(image: Path, name: str, rows: Sequence[tuple], relative: bool, split: str | None) -> Labelled:
    import numpy as np

    boxes = np.array([row[:4] for row in rows], np.float64).reshape(-1, 4)
    classes, crowds = np.array([row[4] for row in rows], np.int64), np.array([row[5] for row in rows], bool)
    return Labelled(image, name, boxes, classes, crowds, relative, split)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
