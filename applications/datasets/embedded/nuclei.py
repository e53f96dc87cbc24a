"""Simulated fluorescence images of cell nuclei with masks and instance labels."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import numpy as np
import tensorflow_datasets as tfds

from applications.core.errors import UserError
from applications.datasets.embedded.options import changed_options
from applications.datasets.simulators.fluorescence import NucleiParameters, simulate_nuclei

NUM_IMAGES = 60
DESCRIPTION = (
    "Simulated wide-field fluorescence images of touching cell nuclei (photon-counting camera model), "
    "standing for DAPI-stained nuclei as in the 2018 Data Science Bowl."
)


@dataclasses.dataclass(eq=False)
class NucleiConfig(tfds.core.BuilderConfig):
    """One simulated data set.

    Attributes:
        images: number of images.
        seed: first half of each image's seed (the other half is its index).
        parameters: what is drawn, see `NucleiParameters`.
    """

    images: int = NUM_IMAGES
    seed: int = 0
    parameters: NucleiParameters = dataclasses.field(default_factory=NucleiParameters)


class Nuclei(tfds.core.GeneratorBasedBuilder):
    """16-bit images, binary masks and instance labels (0 background, 1..n nuclei)."""

    VERSION = tfds.core.Version("1.1.0")  # Rises whenever the simulator draws other images.
    progress = None  # Called with (images done, images in all, what is being done).
    BUILDER_CONFIGS = [NucleiConfig(name="default", description=DESCRIPTION)]

    def _info(self) -> tfds.core.DatasetInfo:
        def image(dtype):
            size = self.builder_config.parameters.size
            # Not features.Image: TFDS decodes 16-bit PNG only through TensorFlow or OpenCV.
            return tfds.features.Tensor(shape=(size, size, 1), dtype=dtype, encoding="zlib")

        return tfds.core.DatasetInfo(
            builder=self,
            description=DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": image(np.uint16),
                    "segmentation_mask": image(np.uint8),
                    "instances": image(np.uint16),
                }
            ),
            supervised_keys=("image", "segmentation_mask"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}  # Split later, by seed and fractions.

    def _generate_examples(self):
        config = self.builder_config
        for index in range(config.images):
            scene = simulate_nuclei(config.parameters, (config.seed, index))
            if self.progress is not None:
                self.progress(index + 1, config.images, "simulating nuclei")
            yield (
                index,
                {
                    "image": scene.image[..., None],
                    "segmentation_mask": scene.mask[..., None],
                    "instances": scene.instances[..., None],
                },
            )


def nuclei_config(options: Mapping | None = None) -> NucleiConfig | str:
    """Returns the builder configuration for `options`: `images`, `seed` and any field of `NucleiParameters`.

    A range is a pair or one number (no variation). Each set of options has its own folder, named by a hash.

    Raises:
        UserError: for an unknown option, a value of the wrong kind, or one out of range.
    """
    changed = changed_options("nuclei", options, {"images": NUM_IMAGES, "seed": 0}, NucleiParameters)
    if not changed:
        return "default"
    images, seed = changed.pop("images", NUM_IMAGES), changed.pop("seed", 0)
    if images < 3 or seed < 0:
        raise UserError(f"Data set 'nuclei' needs at least 3 images and a seed from 0, received {images} and {seed}.")
    try:
        parameters = NucleiParameters(**changed)
        simulate_nuclei(parameters, (seed, 0))
    except ValueError as error:
        raise UserError(f"Data set 'nuclei' cannot be simulated: {error}") from error
    key = json.dumps([images, seed, dataclasses.asdict(parameters)], sort_keys=True)
    name = f"{images}_images_{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    return NucleiConfig(name=name, description=DESCRIPTION, images=images, seed=seed, parameters=parameters)
