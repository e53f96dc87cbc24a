"""`groups.csv`: images of one group never lie in two splits or in two folds' sides."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from applications.core.errors import UserError
from applications.datasets import load_classification, load_segmentation


def images(folder, names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 2, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(path)


def patients(folder, header=True):
    """Twelve patients with three images of each of two classes."""
    rows = [(f"{kind}/{patient}_{i}.png", f"p{patient}") for kind in "ab" for patient in range(12) for i in range(3)]
    images(folder, [name for name, _ in rows])
    lines = (["file,group"] if header else []) + [f"{name},{group}" for name, group in rows]
    (folder / "groups.csv").write_text("\n".join(lines), encoding="utf-8")
    return rows


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_patient_lies_in_one_split(tmp_path, header, seed):
    patients(tmp_path, header)
    data = load_classification(str(tmp_path), seed=seed)
    parts = {name: set(data.groups[indices]) for name, indices in data.split.items()}
    assert all(parts.values())
    assert not parts["train"] & parts["val"]
    assert not parts["train"] & parts["test"]
    assert not parts["val"] & parts["test"]
    assert sum(map(len, data.split.values())) == 72
    assert not any("csv" in warning for warning in data.warnings)


def test_folds_keep_patients_together(tmp_path):
    from applications.core.training import Session
    from applications.image_classification import ImageClassification

    patients(tmp_path)
    session = Session(ImageClassification(data=str(tmp_path), model="mlp", k_folds=3), show=lambda line: None)
    groups = session.datasets.groups
    for split in session.fold_splits:
        assert not set(groups[split["train"]]) & set(groups[split["val"]])
        assert not set(groups[split["test"]]) & (set(groups[split["train"]]) | set(groups[split["val"]]))


def test_segmentation_has_groups_too(tmp_path):
    names = [f"{number}.png" for number in range(12)]
    images(tmp_path / "images", names)
    images(tmp_path / "masks", names)
    rows = [f"images/{name},{number // 3}" for number, name in enumerate(names)]
    (tmp_path / "groups.csv").write_text("\n".join(rows))
    data = load_segmentation(str(tmp_path))
    for group in range(4):
        assert sum(str(group) in data.groups[indices] for indices in data.split.values()) == 1


@pytest.mark.parametrize("given", [("train",), ("train", "val"), ("train", "test")])
def test_groups_are_whole_where_the_folders_are_split_already(tmp_path, given):
    rows = []
    for number, split in enumerate(given):
        for kind in "ab":
            rows += [(f"{split}/{kind}/{p}_{i}.png", f"p{number}.{p}") for p in range(6) for i in range(3)]
    images(tmp_path, [name for name, _ in rows])
    (tmp_path / "groups.csv").write_text("\n".join(",".join(row) for row in rows))
    data = load_classification(str(tmp_path))
    parts = [set(data.groups[indices]) for indices in data.split.values()]
    assert len(parts) == 3
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == 6 * len(given)


def test_a_group_in_two_folders_is_refused(tmp_path):
    names = [f"{split}/{kind}/{i}.png" for split in ("train", "test") for kind in "ab" for i in range(4)]
    images(tmp_path, names)
    (tmp_path / "groups.csv").write_text("\n".join(f"{name},{name[-5]}" for name in names))
    with pytest.raises(UserError, match="Group '0' lies in train and in test"):
        load_classification(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a/0_0.png,p0", ["no group", "a/0_1.png", "71 of 72"]),
        ("a/0_0.png", ["row 1", "file,group", "a/0_0.png"]),
        ("a/0_0.png,p0,x", ["row 1", "file,group"]),
    ],
)
def test_wrong_group_files_are_named(tmp_path, text, parts):
    patients(tmp_path)
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(UserError) as refused:
        load_classification(str(tmp_path))
    for part in parts:
        assert part in str(refused.value)
