"""Simulated images of ferroelectric domains with a mask of the walls between them."""

import numpy as np

from applications.datasets.embedded.simulated import Simulated, default_config
from applications.datasets.simulators.walls import WallParameters, simulate_walls

NUM_IMAGES = 60
DESCRIPTION = (
    "Simulated scanning probe images of domains, labyrinths and stripes, whose walls show as dark lines between "
    "slightly different grounds; standing for ferroelectric and magnetic films."
)


class Walls(Simulated):
    """16-bit images and masks, 1 on the walls."""

    parameters, num_images, description = WallParameters(), NUM_IMAGES, DESCRIPTION
    columns = {"image": (("size", "size", 1), np.uint16), "segmentation_mask": (("size", "size", 1), np.uint8)}
    supervised_keys = ("image", "segmentation_mask")
    BUILDER_CONFIGS = default_config(WallParameters(), NUM_IMAGES, DESCRIPTION)

    @staticmethod
    def simulate(parameters, seed):
        scene = simulate_walls(parameters, seed)
        return {"image": scene.image[..., None], "segmentation_mask": scene.mask[..., None]}
