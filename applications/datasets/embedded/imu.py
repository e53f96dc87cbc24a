"""Simulated inertial signals of virtual people, one recording per person and activity."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import numpy as np
import tensorflow_datasets as tfds

from applications.core.errors import UserError
from applications.datasets.embedded.options import changed_options
from applications.datasets.simulators.inertial import (
    ACTIVITIES,
    CHANNELS,
    InertialParameters,
    draw_person,
    simulate_inertial,
)

NUM_SUBJECTS = 40
DESCRIPTION = (
    "Simulated inertial signals (50 Hz, at the waist) of virtual people who sit, stand, lie, walk and climb stairs, "
    "standing for recordings of smartphones such as UCI HAR."
)


@dataclasses.dataclass(eq=False)
class ImuConfig(tfds.core.BuilderConfig):
    """One simulated data set.

    Attributes:
        subjects: number of people.
        seed: first part of each recording's seed.
        parameters: what is drawn, see `InertialParameters`.
    """

    subjects: int = NUM_SUBJECTS
    seed: int = 0
    parameters: InertialParameters = dataclasses.field(default_factory=InertialParameters)


class Imu(tfds.core.GeneratorBasedBuilder):
    """Recordings of three accelerations in g and three angular rates in rad/s."""

    VERSION = tfds.core.Version("1.0.0")  # Rises whenever the simulator draws other signals.
    progress = None  # Called with (recordings done, recordings in all, what is being done).
    BUILDER_CONFIGS = [ImuConfig(name="default", description=DESCRIPTION)]

    def _info(self) -> tfds.core.DatasetInfo:
        p = self.builder_config.parameters
        shape = (round(p.rate * p.seconds), len(CHANNELS))
        return tfds.core.DatasetInfo(
            builder=self,
            description=DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "signal": tfds.features.Tensor(shape=shape, dtype=np.float32, encoding="zlib"),
                    "label": tfds.features.ClassLabel(names=list(ACTIVITIES)),
                    "subject": np.int64,
                }
            ),
            supervised_keys=("signal", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}  # Split later, by subject.

    def _generate_examples(self):
        config = self.builder_config
        total = config.subjects * len(ACTIVITIES)
        for subject in range(config.subjects):
            person = draw_person(config.parameters, (config.seed, subject))
            for label, activity in enumerate(ACTIVITIES):
                number = subject * len(ACTIVITIES) + label
                signal = simulate_inertial(activity, person, config.parameters, (config.seed, subject, label))
                if self.progress is not None:
                    self.progress(number + 1, total, "simulating people")
                yield number, {"signal": signal, "label": label, "subject": subject}


def imu_config(options: Mapping | None = None) -> ImuConfig | str:
    """Returns the builder configuration for `options`: `subjects`, `seed` and any field of `InertialParameters`.

    Raises:
        UserError: for an unknown option, a value of the wrong kind, or one out of range.
    """
    changed = changed_options("imu", options, {"subjects": NUM_SUBJECTS, "seed": 0}, InertialParameters)
    if not changed:
        return "default"
    subjects, seed = changed.pop("subjects", NUM_SUBJECTS), changed.pop("seed", 0)
    if subjects < 3 or seed < 0:
        raise UserError(f"Data set 'imu' needs at least 3 subjects and a seed from 0, received {subjects} and {seed}.")
    try:
        parameters = InertialParameters(**changed)
    except ValueError as error:
        raise UserError(f"Data set 'imu' cannot be simulated: {error}") from error
    key = json.dumps([subjects, seed, dataclasses.asdict(parameters)], sort_keys=True)
    name = f"{subjects}_subjects_{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    return ImuConfig(name=name, description=DESCRIPTION, subjects=subjects, seed=seed, parameters=parameters)
