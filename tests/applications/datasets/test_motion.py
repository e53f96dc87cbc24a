"""Films of particles and of dividing cells: their truth, and how well they are linked."""

from __future__ import annotations

import numpy as np
import pytest

from applications.datasets.simulators.cells import CellParameters, simulate_cells
from applications.datasets.simulators.particles import ParticleParameters, film, simulate_particles
from kerazoo.metrics.tracking import detection_and_tracking_of_labels, link_scores
from kerazoo.tracking import link, link_labels, link_nearest, track_labels


def test_particles_obey_their_parameters() -> None:
    p = ParticleParameters(size=400, particles=300, frames=30, diffusion=(2.0, 2.0), missed=0.1, false_positives=0.04)
    scene = simulate_particles(p, seed=1)
    again = simulate_particles(p, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(scene.points, again.points, strict=True))
    links, _ = scene.truth.links()
    steps = np.diff(scene.truth.position[links], axis=1)[:, 0]
    assert np.sqrt((steps**2).sum(axis=1).mean()) == pytest.approx(2 * np.sqrt(2), rel=0.02)
    assert len(scene.links) / len(scene.truth) == pytest.approx(0.9, abs=0.01)
    assert sum(map(len, scene.points)) / len(scene.links) == pytest.approx(1 + 0.04 / 0.9, abs=0.01)
    count = np.bincount(scene.truth.frame)
    assert abs(count[-1] - 300) < 40
    born = np.array([scene.truth.frame[rows][0] for _, rows in scene.truth.each()])
    assert (born > 0).sum() / (300 * 29) == pytest.approx(0.005, abs=0.002)
    for number, rows in scene.links.each():  # the detections lie where the particle is
        frames = scene.links.frame[rows]
        true = scene.truth.position[scene.truth.track == number]
        first = scene.truth.frame[scene.truth.track == number][0]
        assert np.allclose(scene.links.position[rows], true[frames - first])


def test_motions_of_particles() -> None:
    def ways(**options: float) -> list[np.ndarray]:
        scene = simulate_particles(
            ParticleParameters(size=4000, particles=60, frames=60, renewal=0, missed=0, **options), seed=2
        )
        return [scene.truth.position[rows] for _, rows in scene.truth.each()]

    straight = ways(diffusion=(0.0, 0.0), speed=(2.0, 2.0))
    assert np.median([np.linalg.norm(way[-1] - way[0]) for way in straight]) == pytest.approx(2 * 59)
    held = ways(diffusion=(1.0, 1.0), trapped=1.0, trap=3.0)
    assert np.sqrt(np.mean([way[20:].var(axis=0).mean() for way in held])) == pytest.approx(3, rel=0.2)
    switched = ways(diffusion=(0.0, 0.0), speed=(2.0, 2.0), switching=0.2)
    moving = np.mean([np.linalg.norm(np.diff(way, axis=0), axis=1) > 1 for way in switched])
    assert 0.3 < moving < 0.7


def test_a_film_shows_its_particles() -> None:
    p = ParticleParameters(size=64, particles=6, frames=3, photons=(400.0, 400.0), spot=(1.5, 1.5))
    scene = simulate_particles(p, seed=5)
    pictures = film(p, scene, seed=1)
    assert pictures.shape == (3, 64, 64)
    assert pictures.dtype == np.uint16
    inside = scene.truth.frame == 1
    for y, x in scene.truth.position[inside]:
        window = pictures[1][max(round(y) - 2, 0) : round(y) + 3, max(round(x) - 2, 0) : round(x) + 3]
        assert window.max() > 100 + 2 * 10 + 0.5 * 2 * 400
    assert np.median(pictures) == pytest.approx(100 + 2 * 10, abs=3)


@pytest.mark.parametrize(
    ("particles", "nearest", "assigned"), [(50, 0.974, 0.98), (200, 0.927, 0.95), (800, 0.778, 0.83)]
)
def test_assignment_links_more_than_closest_pairs(particles: int, nearest: float, assigned: float) -> None:
    """Brownian particles with rms steps of 2.8 px in a field of 256 px, 5 % missed.

    `nearest` are figures of an outside trial. Films differ: 40 frames of 800 particles gave 0.832 to 0.847 for five
    seeds, so the mark there lies below their mean, 0.841.
    """
    frames = {50: 40, 200: 20, 800: 12}[particles]
    scenes = [simulate_particles(ParticleParameters(particles=particles, frames=frames), seed) for seed in range(3)]
    plain, best = (
        np.mean([link_scores(scene.links, how(scene.points), consecutive=True).recall for scene in scenes])
        for how in (lambda points: link_nearest(points, 8), lambda points: link(points, 8, max_gap=2))
    )
    assert plain == pytest.approx(nearest, abs=0.03)
    assert best >= assigned
    assert best > plain + {50: 0.0, 200: 0.015, 800: 0.05}[particles]


def test_velocity_helps_where_particles_are_driven() -> None:
    p = ParticleParameters(particles=150, frames=30, diffusion=(0.05, 0.1), speed=(3.0, 4.0), missed=0.02)
    scene = simulate_particles(p, seed=3)
    still, moving = (
        link_scores(scene.links, link(scene.points, 6, max_gap=2, motion=motion)).recall
        for motion in ("none", "velocity")
    )
    assert moving > still + 0.02
    assert moving > 0.95


def test_cells_divide_and_are_followed() -> None:
    p = CellParameters(size=160, frames=24, cells=8)
    scene = simulate_cells(p, seed=2)
    assert np.array_equal(scene.images, simulate_cells(p, seed=2).images)
    assert scene.labels.max() > 8
    for daughter, mother in scene.truth.parents.items():
        birth = scene.truth.frame[scene.truth.track == daughter][0]
        assert birth == scene.truth.frame[scene.truth.track == mother][-1] + 1
        area = [(scene.labels[frame] == number).sum() for frame, number in ((birth, daughter), (birth - 1, mother))]
        assert area[0] / area[1] == pytest.approx(0.5, abs=0.15)
    found = link_labels(scene.labels, 15, splitting=True)
    assert detection_and_tracking_of_labels(scene.truth, scene.labels, found, track_labels(found, scene.labels)) == (
        1.0,
        pytest.approx(1, abs=0.01),
    )
    assert len(found.parents) == pytest.approx(len(scene.truth.parents), abs=1)


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        (ParticleParameters, {"frames": 1}, "frames must be at least 2"),
        (ParticleParameters, {"missed": 1.5}, "missed must be from 0 to 1"),
        (ParticleParameters, {"diffusion": (-1.0, 1.0)}, "diffusion"),
        (CellParameters, {"cycle": (1.0, 2.0)}, "cycle"),
        (CellParameters, {"size": 10}, "size must be at least 64"),
    ],
)
def test_impossible_parameters_are_one_sentence(kind: type, options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kind(**options)
