"""Simulated pairs of images of which one is the other, deformed by a field that is known."""

import numpy as np

from applications.datasets.embedded.simulated import Simulated, default_config
from applications.datasets.simulators.ellipses import EllipseParameters, simulate_ellipses

NUM_PAIRS = 400
DESCRIPTION = "Simulated sections of nested ellipses and what a random smooth deformation makes of them."


class Ellipses(Simulated):
    """Moving and fixed images, the ellipses' numbers in both, and the field (along y and x, in pixels) between them."""

    parameters, num_images, description = EllipseParameters(), NUM_PAIRS, DESCRIPTION
    counted = "pairs"
    columns = {
        "moving": (("size", "size", 1), np.float32),
        "fixed": (("size", "size", 1), np.float32),
        "moving_labels": (("size", "size", 1), np.uint8),
        "fixed_labels": (("size", "size", 1), np.uint8),
        "field": (("size", "size", 2), np.float32),
    }
    BUILDER_CONFIGS = default_config(EllipseParameters(), NUM_PAIRS, DESCRIPTION)

    @staticmethod
    def simulate(parameters, seed):
        pair = simulate_ellipses(parameters, seed)
        images = {name: getattr(pair, name)[..., None] for name in ("moving", "fixed", "moving_labels", "fixed_labels")}
        return {**images, "field": pair.field}
