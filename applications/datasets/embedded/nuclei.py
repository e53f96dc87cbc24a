"""Simulated fluorescence images of cell nuclei with masks and instance labels."""

import numpy as np
import tensorflow_datasets as tfds

from applications.datasets.embedded.simulated import Simulated, default_config
from applications.datasets.simulators.fluorescence import NucleiParameters, simulate_nuclei

NUM_IMAGES = 60
DESCRIPTION = (
    "Simulated wide-field fluorescence images of touching cell nuclei (photon-counting camera model), "
    "standing for DAPI-stained nuclei as in the 2018 Data Science Bowl."
)


class Nuclei(Simulated):
    """16-bit images, binary masks and instance labels (0 background, 1..n nuclei)."""

    VERSION = tfds.core.Version("1.1.0")  # Rises whenever the simulator draws other images.
    parameters, num_images, description = NucleiParameters(), NUM_IMAGES, DESCRIPTION
    columns = {
        "image": (("size", "size", 1), np.uint16),
        "segmentation_mask": (("size", "size", 1), np.uint8),
        "instances": (("size", "size", 1), np.uint16),
    }
    supervised_keys = ("image", "segmentation_mask")
    BUILDER_CONFIGS = default_config(NucleiParameters(), NUM_IMAGES, DESCRIPTION)

    @staticmethod
    def simulate(parameters, seed):
        scene = simulate_nuclei(parameters, seed)
        return {
            "image": scene.image[..., None],
            "segmentation_mask": scene.mask[..., None],
            "instances": scene.instances[..., None],
        }
