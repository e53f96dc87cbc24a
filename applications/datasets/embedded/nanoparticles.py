"""Simulated high-resolution transmission electron micrographs of nanoparticles with the place of each column."""

import numpy as np

from applications.datasets.embedded.simulated import Simulated, default_config
from applications.datasets.simulators.hrtem import HrtemParameters, simulate_hrtem

NUM_IMAGES = 300
DESCRIPTION = (
    "Simulated transmission electron micrographs (phase contrast, counted electrons) of nanoparticles on amorphous "
    "carbon at any defocus."
)


class Nanoparticles(Simulated):
    """16-bit images and points (y, x in pixels) of the columns."""

    parameters, num_images, description = HrtemParameters(), NUM_IMAGES, DESCRIPTION
    columns = {
        "image": (("size", "size", 1), np.uint16),
        "points": ((None, 2), np.float32),
        "classes": ((None,), np.int64),
    }
    BUILDER_CONFIGS = default_config(HrtemParameters(), NUM_IMAGES, DESCRIPTION)

    @staticmethod
    def simulate(parameters, seed):
        scene = simulate_hrtem(parameters, seed)
        classes = np.zeros(len(scene.points), np.int64)
        return {"image": scene.image[..., None], "points": scene.points, "classes": classes}
