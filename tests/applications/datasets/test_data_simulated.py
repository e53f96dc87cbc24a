"""Simulated pairs and films: as TFDS builders they are what the simulators draw, seed by seed, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets.films import load_films, normalised
from applications.datasets.registration_pairs import load_registration_pairs
from applications.datasets.simulators.cells import CellParameters, simulate_cells
from applications.datasets.simulators.ellipses import EllipseParameters, simulate_ellipses
from applications.datasets.simulators.particles import ParticleParameters, film, simulate_particles

PARTICLES = {"films": 3, "size": 48, "frames": 4}
CELLS = {"films": 3, "size": 64, "frames": 4, "cells": 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("tfds"))


def test_pairs_are_those_of_the_simulator(data_dir: str) -> None:
    data = load_registration_pairs("ellipses", seed=7, data_dir=data_dir, options={"pairs": 3, "size": 32})
    assert data.objects is not None
    assert data.fields is not None
    for index, (moving, fixed) in enumerate(data.pairs):
        pair = simulate_ellipses(EllipseParameters(size=32), (7, index))
        np.testing.assert_array_equal(data.images[moving][..., 0], pair.moving)
        np.testing.assert_array_equal(data.images[fixed][..., 0], pair.fixed)
        np.testing.assert_array_equal(data.objects[moving][..., 0], pair.moving_labels)
        np.testing.assert_array_equal(data.objects[fixed][..., 0], pair.fixed_labels)
        np.testing.assert_array_equal(data.fields[index], pair.field)
    # As it was when pairs were simulated whenever they were needed.
    drawn = sum(i.sum() for i in data.images), sum(int(i.sum()) for i in data.objects), np.abs(data.fields).sum()
    assert drawn == pytest.approx((1150.1123, 10432, 13438.269), rel=1e-5)


def _scene(name: str, index: int):
    """Returns the film and the tracks of the simulator."""
    if name == "particles":
        parameters = ParticleParameters(size=48, frames=4, particles=40)
        scene = simulate_particles(parameters, (7, index))
        return film(parameters, scene, (7, index, 1)), scene.truth
    cells = simulate_cells(CellParameters(size=64, frames=4, cells=2), 7000 + index)
    return cells.images, cells.truth


# Brightness, points and coordinates, as they were when films were simulated whenever they were needed.
RECORDED = {"particles": (3413.8667, 479, 22799.039), "cells": (8112.6553, 26, 1582.0484)}


@pytest.mark.parametrize(("name", "options"), [("particles", PARTICLES), ("cells", CELLS)])
def test_films_are_those_of_the_simulator(name: str, options: dict, data_dir: str) -> None:
    data = load_films(name, seed=7, data_dir=data_dir, options=options)
    for index, (images, truth) in enumerate(zip(data.films, data.truths, strict=True)):
        drawn, tracks = _scene(name, index)
        np.testing.assert_array_equal(images, normalised(drawn))
        for column in ("track", "parent", "frame", "y", "x", "point"):
            np.testing.assert_array_equal(getattr(truth, column), getattr(tracks, column))
    found = (
        sum(images.sum() for images in data.films),
        sum(map(len, data.truths)),
        sum(truth.position.sum() for truth in data.truths),
    )
    assert found == pytest.approx(RECORDED[name], rel=1e-5)


def test_builders_know_what_the_loaders_do_not_need(data_dir: str) -> None:
    from applications.datasets.embedded.films import Cells, Particles
    from applications.datasets.embedded.prepare import prepare
    from applications.datasets.sources import read_examples

    particles = next(iter(read_examples(prepare(Particles, data_dir, Particles.config(PARTICLES)), "train")))
    points = simulate_particles(ParticleParameters(size=48, frames=4, particles=40), (0, 0)).points
    frame, place = particles["detections"][:, 0], particles["detections"][:, 1:]
    for number, expected in enumerate(points):
        np.testing.assert_array_equal(place[frame == number], expected)
    cells = next(iter(read_examples(prepare(Cells, data_dir, Cells.config(CELLS)), "train")))
    assert set(np.unique(cells["instances"])) - {0} == set(cells["track"])


def test_the_seed_is_that_of_the_split_unless_it_is_an_option(data_dir: str) -> None:
    def fingerprint(seed: int, options: dict | None = None) -> str:
        wanted = {"pairs": 3, **(options or {})}
        return load_registration_pairs("ellipses", seed=seed, data_dir=data_dir, options=wanted).fingerprint

    assert fingerprint(1) != fingerprint(0)
    assert fingerprint(1, {"seed": 0}) == fingerprint(0)


@pytest.mark.parametrize(
    ("load", "name", "options", "sentence"),
    [
        (load_registration_pairs, "ellipses", {"pairs": 2}, "at least 3 pairs"),
        (load_registration_pairs, "ellipses", {"size": 8}, "cannot be simulated: size must be at least 32"),
        (load_registration_pairs, "ellipses", {"smothness": 8}, "Did you mean 'smoothness'"),
        (load_films, "cells", {"films": 2}, "at least 3 films"),
        (load_films, "particles", {"missed": 2}, "cannot be simulated: missed must be from 0 to 1"),
        (load_films, "particles", {"images": 4}, "It has: films, seed, size"),
    ],
)
def test_options_that_cannot_work(load, name: str, options: dict, sentence: str, data_dir: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load(name, data_dir=data_dir, options=options)
