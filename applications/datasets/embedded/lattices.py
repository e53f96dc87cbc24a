"""Simulated dark-field images of atomic columns with the place and class of each."""

import numpy as np

from applications.datasets.embedded.simulated import Simulated, default_config
from applications.datasets.simulators.lattices import LatticeParameters, simulate_lattice

NUM_IMAGES = 300
DESCRIPTION = (
    "Simulated scanning transmission electron micrographs (dark field, linear imaging, counted electrons) of lattices "
    "with vacancies, foreign columns, strain and boundaries."
)


class Lattices(Simulated):
    """16-bit images, points (y, x in pixels) and classes of the columns."""

    parameters, num_images, description = LatticeParameters(), NUM_IMAGES, DESCRIPTION
    columns = {
        "image": (("size", "size", 1), np.uint16),
        "points": ((None, 2), np.float32),
        "classes": ((None,), np.int64),
    }
    BUILDER_CONFIGS = default_config(LatticeParameters(), NUM_IMAGES, DESCRIPTION)

    @staticmethod
    def simulate(parameters, seed):
        scene = simulate_lattice(parameters, seed)
        return {"image": scene.image[..., None], "points": scene.points, "classes": scene.classes}
