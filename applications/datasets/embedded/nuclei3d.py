"""Simulated volumes of cell nuclei with instance labels."""

import numpy as np

from applications.datasets.embedded.simulated import Simulated, default_config
from applications.datasets.simulators.volumes import VolumeParameters, simulate_volume

NUM_VOLUMES = 40
DESCRIPTION = (
    "Simulated confocal volumes of touching cell nuclei (photon-counting camera model), whose planes lie further apart "
    "than their pixels."
)


class Nuclei3d(Simulated):
    """16-bit volumes and instance labels (0 background, 1..n nuclei)."""

    parameters, num_images, description = VolumeParameters(), NUM_VOLUMES, DESCRIPTION
    counted = "volumes"
    columns = {
        "image": (("depth", "size", "size", 1), np.uint16),
        "instances": (("depth", "size", "size", 1), np.uint16),
    }
    BUILDER_CONFIGS = default_config(VolumeParameters(), NUM_VOLUMES, DESCRIPTION)

    @staticmethod
    def simulate(parameters, seed):
        scene = simulate_volume(parameters, seed)
        return {"image": scene.image[..., None], "instances": scene.instances[..., None]}
