"""What the builders of simulated data share."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from applications.core.errors import UserError
from applications.datasets.embedded.options import changed_options


@dataclasses.dataclass(eq=False)
class SimulatedConfig(tfds.core.BuilderConfig):
    """One simulated data set.

    Attributes:
        images: number of examples.
        seed: first half of each example's seed (the other half is its index).
        parameters: what is drawn, a dataclass.
    """

    images: int = 0
    seed: int = 0
    parameters: Any = None


class Simulated(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Base of a builder: its simulator makes one example of parameters and a seed.

    Attributes:
        parameters: the simulator's parameters, a dataclass, as they are where the options name no others.
        num_images: examples where the options name no other number.
        counted: what an example is, in the plural: the option that says how many.
        description: one sentence.
        columns: name of each array of an example -> its shape and dtype. A word is a length that the parameter of this
            name says, None one that differs from example to example.
        supervised_keys: input and target for those who read the data by TFDS alone, if there are such.
    """

    VERSION = tfds.core.Version("1.0.0")  # Rises whenever the simulator draws other images.
    progress = None  # Called with (examples done, examples in all, what is being done).
    parameters: ClassVar[Any]
    num_images: ClassVar[int]
    counted: ClassVar[str] = "images"
    description: ClassVar[str]
    columns: ClassVar[dict[str, tuple[tuple[int | str | None, ...], type]]]
    supervised_keys: ClassVar[tuple[str, str] | None] = None

    @staticmethod
    def simulate(parameters: Any, seed: Any) -> dict[str, np.ndarray]:
        """Returns one example."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        parameters, features = self.builder_config.parameters, {}
        for name, (shape, dtype) in self.columns.items():
            sizes = tuple(getattr(parameters, length) if isinstance(length, str) else length for length in shape)
            # Not features.Image: TFDS decodes 16-bit PNG only through TensorFlow or OpenCV.
            # A list of numbers that is not packed would be cut to float32.
            packing = {} if None in sizes and dtype is not np.float64 else {"encoding": "zlib"}
            features[name] = tfds.features.Tensor(shape=sizes, dtype=dtype, **packing)
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.description,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=self.supervised_keys,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}  # Split later, by seed and fractions.

    def _generate_examples(self):
        config = self.builder_config
        for index in range(config.images):
            example = type(self).simulate(config.parameters, (config.seed, index))
            if self.progress is not None:
                self.progress(index + 1, config.images, f"simulating {self.name}")
            yield index, example

    @classmethod
    def config(cls, options: Mapping | None = None) -> SimulatedConfig | str:
        """Returns the configuration for `options`: how many examples, `seed` and the fields of the parameters.

        A range is a pair or one number (no variation). Each set of options has its own folder, named by a hash.

        Raises:
            UserError: for an unknown option, a value of the wrong kind, or one out of range.
        """
        own = {cls.counted: cls.num_images, "seed": 0}
        changed = changed_options(cls.name, options, own, cls.parameters)
        if not changed:
            return "default"
        values = own | changed
        images, seed = values.pop(cls.counted), values.pop("seed")
        if images < 3 or seed < 0:
            raise UserError(
                f"Data set {cls.name!r} needs at least 3 {cls.counted} and a seed from 0, received {images} and {seed}."
            )
        try:
            parameters = dataclasses.replace(cls.parameters, **values)
            cls.simulate(parameters, (seed, 0))
        except ValueError as error:
            raise UserError(f"Data set {cls.name!r} cannot be simulated: {error}") from error
        key = json.dumps([images, seed, dataclasses.asdict(parameters)], sort_keys=True)
        name = f"{images}_{cls.counted}_{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        return SimulatedConfig(name=name, description=cls.description, images=images, seed=seed, parameters=parameters)


def default_config(parameters: Any, images: int, description: str) -> list[SimulatedConfig]:
    """Returns the list of configurations a builder offers by name."""
    return [SimulatedConfig(name="default", description=description, images=images, parameters=parameters)]
