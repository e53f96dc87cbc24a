"""Simulated scenes of discs, rings, squares, triangles, crosses and bars with a box around each."""

import numpy as np

from applications.datasets.embedded.simulated import Simulated, default_config
from applications.datasets.simulators.scenes import SceneParameters, simulate_scene

NUM_IMAGES = 1000
DESCRIPTION = (
    "Simulated scenes of six kinds of objects, of any size, orientation and brightness, on a cluttered ground; boxes "
    "lie around what can be seen of them."
)


class Scenes(Simulated):
    """8-bit images, boxes (left, top, right, bottom in pixels) and classes."""

    parameters, num_images, description = SceneParameters(), NUM_IMAGES, DESCRIPTION
    columns = {
        "image": (("size", "size", 1), np.uint8),
        "boxes": ((None, 4), np.float32),
        "classes": ((None,), np.int64),
    }
    BUILDER_CONFIGS = default_config(SceneParameters(), NUM_IMAGES, DESCRIPTION)

    @staticmethod
    def simulate(parameters, seed):
        scene = simulate_scene(parameters, seed)
        return {"image": scene.image[..., None], "boxes": scene.boxes, "classes": scene.classes}
