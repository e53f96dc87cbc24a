"""Captioned pictures: the simulator and what is read out of its pictures, splits without a known scene, own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from applications.core.errors import UserError
from applications.datasets.captions import load_captioned, words_of
from applications.datasets.simulators.shapes import (
    RELATIONS,
    SCENES,
    SHAPES,
    THINGS,
    Scene,
    ShapeParameters,
    Thing,
    read_scene,
    right_attributes,
    scene_of,
    simulate_shapes,
)
from applications.text.vocabulary import Vocabulary

RED, BLUE = Thing("red", "circle"), Thing("blue", "square")


def test_captions_are_scenes() -> None:
    assert Scene(RED, "left of", BLUE).caption == "a red circle left of a blue square"
    assert all(scene_of(scene.caption) == scene for scene in SCENES)
    assert len(SCENES) == len(THINGS) * (len(THINGS) - 1) * len(RELATIONS)
    for caption in ("a red circle", "a red circle near a blue square", "a pink circle left of a blue square", ""):
        assert scene_of(caption) is None


def test_the_same_scene_from_the_other_side() -> None:
    scene = Scene(BLUE, "right of", RED)
    assert scene.in_order == Scene(RED, "left of", BLUE)
    assert np.array_equal(simulate_shapes(scene, seed=3), simulate_shapes(scene.in_order, seed=3))


def test_what_is_drawn_is_where_it_should_be() -> None:
    picture = simulate_shapes(Scene(RED, "above", BLUE), seed=0).astype(int)
    red, blue = picture[..., 0] - picture[..., 2] > 100, picture[..., 2] - picture[..., 0] > 100
    assert np.flatnonzero(red.any(1)).max() < np.flatnonzero(blue.any(1)).min()
    assert picture[0, 0].min() > 200


@pytest.mark.parametrize("size", [24, 32])
def test_real_pictures_are_read_right(size: int) -> None:
    random = np.random.default_rng(0)
    found = []
    for index in range(150):
        scene = SCENES[random.integers(len(SCENES))]
        found.append(
            list(right_attributes(scene, simulate_shapes(scene, ShapeParameters(size=size), (1, index))).values())
        )
    assert np.mean(found, axis=0).min() > 0.95


def test_chance_is_below_three_tenths() -> None:
    random = np.random.default_rng(0)
    found = []
    for index in range(200):
        shown, wanted = (SCENES[random.integers(len(SCENES))] for _ in range(2))
        found.append(list(right_attributes(wanted, simulate_shapes(shown, seed=index)).values()))
    assert np.mean(found, axis=0).max() < 0.3


def test_attributes_by_hand() -> None:
    picture = simulate_shapes(Scene(RED, "left of", BLUE), seed=0)
    green = Thing("green", "circle")
    for wanted, expected in (
        (Scene(BLUE, "right of", RED), (1, 1, 1)),
        (Scene(RED, "above", BLUE), (1, 1, 0)),
        (Scene(BLUE, "left of", RED), (0, 0, 0)),
        (Scene(green, "left of", BLUE), (0.5, 1, 1)),
    ):
        assert tuple(right_attributes(wanted, picture).values()) == expected, wanted
    assert read_scene(np.full((32, 32, 3), 230, np.uint8)) is None
    assert right_attributes(Scene(RED, "above", BLUE), np.zeros((32, 32, 3), np.uint8))["relation"] == 0


def test_shapes_that_cannot_be_drawn() -> None:
    for options in ({"size": 8}, {"radius": (0.3, 0.4)}, {"shift": 0.2}):
        with pytest.raises(ValueError, match="must be at"):
            ShapeParameters(**options)
    assert set(SHAPES) == {thing.shape for thing in THINGS}


def test_no_scene_is_in_two_parts() -> None:
    data = load_captioned("shapes", options={"images": 400, "size": 16})
    parts = {
        part: {scene_of(data.captions[i]).in_order for i in indices}  # type: ignore[union-attr]
        for part, indices in data.split.items()
    }
    assert not parts["test"] & (parts["train"] | parts["val"])
    assert not parts["val"] & parts["train"]
    assert data.images.as_array().shape == (400, 16, 16, 3)
    again = load_captioned("shapes", options={"images": 400, "size": 16})
    assert again.fingerprint == data.fingerprint
    assert load_captioned("shapes", options={"images": 400, "size": 16, "seed": 1}).fingerprint != data.fingerprint
    with pytest.raises(UserError, match=r"Unknown option 'radios' of data set 'shapes'\. Did you mean 'radius'"):
        load_captioned("shapes", options={"radios": 1})


def _own_files(folder: Path, captions: list[str]) -> Path:
    random = np.random.default_rng(0)
    lines = ["file,caption"]
    for number, caption in enumerate(captions):
        Image.fromarray(random.integers(0, 255, (10, 10, 3)).astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f'{number}.png,"{caption}"')
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_own_files(tmp_path: Path) -> None:
    data = load_captioned(str(_own_files(tmp_path, ["A cat.", "a  cat", "Two dogs!", "a bird", "", "one, fish"])))
    assert data.captions == ("A cat.", "a  cat", "Two dogs!", "a bird", "one, fish")
    assert any("1 images without a caption" in warning for warning in data.warnings)
    parts = [{tuple(words_of(data.captions[i])) for i in indices} for indices in data.split.values()]
    assert sum(("a", "cat") in part for part in parts) == 1, "equal captions stay together"
    assert not data.simulated


def test_own_files_without_captions(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,height,width\na.png,1,2\nb.png,3,4\n")
    with pytest.raises(UserError, match="needs one column named `caption`; it has file, height, width"):
        load_captioned(str(tmp_path))
    with pytest.raises(UserError, match=r"Unknown data 'shape'.*Did you mean 'shapes'"):
        load_captioned("shape")


def test_words_and_their_numbers(tmp_path: Path) -> None:
    words = Vocabulary.learnt(["a red dog", "A dog, red!", "blue"])
    assert words == Vocabulary(("a", "blue", "dog", "red"), 4)
    assert words.encode(["red dog", "a green dog", "a a a a a"]).tolist() == [[4, 3, 5, 0], [1, 3, 5, 0], [1, 1, 1, 5]]
    (tmp_path / "vocabulary.json").write_text(words.json)
    assert Vocabulary.read(tmp_path) == words
    words.check("A red dog!")
    for prompt, sentence in (
        ("a green cow", "no training caption has 'green', 'cow'; the run knows a, blue, dog, red"),
        ("...", "expected some words"),
        ("a red blue dog", "at most 3 words, received 4"),
    ):
        with pytest.raises(UserError, match=sentence):
            words.check(prompt)
