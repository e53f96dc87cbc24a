"""Simulated films with the tracks of all that moves in them."""

import numpy as np

from applications.datasets.embedded.simulated import Simulated, default_config
from applications.datasets.simulators.cells import CellParameters, simulate_cells
from applications.datasets.simulators.particles import ParticleParameters, film, simulate_particles
from kerazoo.tracking import Tracks

NUM_FILMS = 12
DESCRIPTIONS = {
    "particles": "Simulated fluorescence films of diffusing particles (photon-counting camera model).",
    "cells": "Simulated fluorescence films of nuclei that move and divide (photon-counting camera model).",
}
PARTICLES = ParticleParameters(size=128, frames=20, particles=40)
CELLS = CellParameters(size=128, cells=6)
_FRAMES = (("frames", "size", "size"), np.uint16)
_TRACKS = {
    "track": ((None,), np.int64),
    "parent": ((None,), np.int64),
    "frame": ((None,), np.int64),
    "y": ((None,), np.float64),
    "x": ((None,), np.float64),
    "point": ((None,), np.int64),
}


class Particles(Simulated):
    """16-bit films, the columns of `kerazoo.tracking.Tracks`, and what a detector finds (frame, y, x)."""

    parameters, num_images, description = PARTICLES, NUM_FILMS, DESCRIPTIONS["particles"]
    counted = "films"
    columns = {"film": _FRAMES, **_TRACKS, "detections": ((None, 3), np.float64)}
    BUILDER_CONFIGS = default_config(PARTICLES, NUM_FILMS, DESCRIPTIONS["particles"])

    @staticmethod
    def simulate(parameters, seed):
        scene = simulate_particles(parameters, seed)
        found = [np.insert(points, 0, frame, axis=1) for frame, points in enumerate(scene.points)]
        return {
            "film": film(parameters, scene, (*seed, 1)),
            **_columns(scene.truth),
            "detections": np.concatenate(found),
        }


class Cells(Simulated):
    """16-bit films, the columns of `kerazoo.tracking.Tracks`, and label images with the tracks' numbers."""

    parameters, num_images, description = CELLS, NUM_FILMS, DESCRIPTIONS["cells"]
    counted = "films"
    columns = {"film": _FRAMES, **_TRACKS, "instances": _FRAMES}
    BUILDER_CONFIGS = default_config(CELLS, NUM_FILMS, DESCRIPTIONS["cells"])

    @staticmethod
    def simulate(parameters, seed):
        first, index = seed
        scene = simulate_cells(parameters, first * 1000 + index)
        return {"film": scene.images, **_columns(scene.truth), "instances": scene.labels}


def tracks_of(example) -> Tracks:
    """Returns the tracks of an example."""
    return Tracks(**{name: example[name] for name in _TRACKS})


def _columns(tracks: Tracks) -> dict[str, np.ndarray]:
    return {name: getattr(tracks, name) for name in _TRACKS}
