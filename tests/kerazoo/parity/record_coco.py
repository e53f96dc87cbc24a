"""Records what pycocotools says about random detections: `references/coco.json`.

usage: python tests/kerazoo/parity/record_coco.py    (needs pycocotools 2.0.11 and NumPy, and nothing of kerazoo)
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FILE = Path(__file__).parents[1] / "references" / "coco.json"
NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
NAMES += ("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large")


def scenes(seed: int, images: int, classes: int, most: int, share_of_crowds: float, sizes: tuple[float, float]) -> list:
    """Draws objects, and detections near them with a few wrong ones; images without any of them are among them."""
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(images):
        count = int(random.integers(0, most + 1))
        size = np.exp(random.uniform(*np.log(sizes), (count, 2)))
        corner = random.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        numbers = random.integers(0, classes, count)
        crowd = random.random(count) < share_of_crowds
        picked = np.flatnonzero(random.random(count) < 0.8)
        picked = np.concatenate([picked, picked[random.random(len(picked)) < 0.3]])
        moved = boxes[picked] + random.normal(0, 0.08, (len(picked), 4)) * np.tile(size[picked], 2)
        extra = random.uniform(0, 200, (int(random.integers(0, 4)), 2))
        wrong = np.concatenate([extra, extra + random.uniform(5, 120, extra.shape)], axis=1)
        found = np.concatenate([np.sort(moved.reshape(-1, 2, 2), axis=1).reshape(-1, 4), wrong]).reshape(-1, 4)
        kinds = np.concatenate([numbers[picked], random.integers(0, classes, len(wrong))])
        kinds = np.where(random.random(len(kinds)) < 0.1, random.integers(0, classes, len(kinds)), kinds)
        drawn.append(
            {
                "boxes": boxes.round(1).tolist(),
                "classes": numbers.tolist(),
                "crowd": crowd.astype(int).tolist(),
                "found": found.round(1).tolist(),
                "found_classes": kinds.tolist(),
                # Few different scores, so that the order of equal ones matters.
                "scores": random.uniform(0, 1, len(kinds)).round(2).tolist(),
            }
        )
    return drawn


def judged(drawn: list[dict[str, Any]], classes: int) -> dict[str, float | None]:
    """Returns the twelve figures of pycocotools; none where it says -1."""

    def flat(boxes: list[list[float]]) -> list[list[float]]:
        return [[left, top, right - left, bottom - top] for left, top, right, bottom in boxes]

    annotations, results = [], []
    for image, scene in enumerate(drawn, start=1):
        for box, number, crowd in zip(flat(scene["boxes"]), scene["classes"], scene["crowd"], strict=True):
            row = {"image_id": image, "category_id": number, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}
            annotations.append({"id": len(annotations) + 1, **row})
        for box, number, score in zip(flat(scene["found"]), scene["found_classes"], scene["scores"], strict=True):
            results.append({"image_id": image, "category_id": number, "bbox": box, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image + 1} for image in range(len(drawn))],
            "categories": [{"id": number} for number in range(classes)],
            "annotations": annotations,
            "info": {},
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: None if value < 0 else float(value) for name, value in zip(NAMES, evaluation.stats, strict=True)}


CASES = {
    "one class": (1, 8, 1, 6, 0.0, (8, 120)),
    "three classes with crowds": (2, 12, 3, 9, 0.15, (6, 180)),
    "small objects alone": (3, 6, 2, 8, 0.0, (4, 30)),
    "many objects of few images": (4, 2, 1, 40, 0.05, (10, 100)),
    "classes without an object": (5, 3, 6, 4, 0.1, (10, 200)),
}

if __name__ == "__main__":
    rows = {}
    for name, (seed, images, classes, most, crowds, sizes) in CASES.items():
        drawn = scenes(seed, images, classes, most, crowds, sizes)
        rows[name] = {"num_classes": classes, "images": drawn, "figures": judged(drawn, classes)}
    FILE.write_text(json.dumps({"source": "pycocotools 2.0.11, COCOeval of boxes", "cases": rows}) + "\n")
