"""The model class of diffusion: a network that is trained to see the noise, and samplers that take it away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerazoo import checks
from kerazoo._calls import answer
from kerazoo.diffusion._schedule import VARIANCES, Schedule, normal
from kerazoo.losses._mean import mean_over_batch

INPUT, STEP = "input", "step"
SAMPLERS = ("ddim", "ddpm")
_WARM_UP = 10  # updates after which the average begins to forget its first weights


class OwnOptimizer(keras.Model):
    """A model that can be compiled without an optimiser: it has the paper's."""

    def default_optimizer(self) -> keras.Optimizer:
        """Returns the optimiser of the paper."""
        raise NotImplementedError

    def compile(self, optimizer: Any = None, **options: Any) -> None:
        """As for every `keras.Model`; without an optimiser the paper's."""
        super().compile(optimizer=self.default_optimizer() if optimizer is None else optimizer, **options)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model as one that was saved: Keras does so only for models with its own `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)


@keras.saving.register_keras_serializable(package="kerazoo")
class Diffusion(OwnOptimizer):
    """A network that takes noise away, and the average of its weights over the training, which draws.

    Compile it without a loss and call `fit(x)`, or `fit({"input": x, "label": labels})` where it is told what to draw:
    noise of a random step covers the inputs, and the loss is the mean squared error of the network's estimate. At
    `evaluate` the steps are spread evenly, the noise is the same each time, and the averaged network answers.

    Args:
        denoiser: Functional model of a dictionary with `input`, `step` and what it is told; its output has the shape of
            its input.
        schedule: `"linear"` or `"cosine"`, see `Schedule`.
        timesteps: Number of steps.
        target: What the network estimates: `"noise"`, or `"clean"`, the input without it.
        variance: Of the DDPM sampler, see `Schedule.posterior`.
        nothing: Value of what the network is told that says nothing.
        dropped: How often the training says nothing, by name; for guidance without a classifier.
        ema_decay: Share of the average that a step keeps. At first it is less, (1 + n) / (10 + n) after n steps, so
            that the initial weights are forgotten.
        limits: Smallest and largest value of the data, to which samplers clip estimates; `None` for no limits.
        **options: Those of every `keras.Model`.

    References:
        Ho et al. (2020), https://arxiv.org/abs/2006.11239; Ho, Salimans (2022), https://arxiv.org/abs/2207.12598
    """

    def __init__(
        self,
        denoiser: keras.Model,
        *,
        schedule: str = "linear",
        timesteps: int = 1000,
        target: str = "noise",
        variance: str = "large",
        nothing: int = 0,
        dropped: Mapping[str, float] | None = None,
        ema_decay: float = 0.9999,
        limits: tuple[float, float] | None = (-1.0, 1.0),
        **options: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **options})  # half precision begins inside the network
        self.schedule, self.target = Schedule(schedule, timesteps), checks.one_of("target", target, ("noise", "clean"))
        self.variance = checks.one_of("variance", variance, VARIANCES)
        self.nothing, self.dropped = nothing, {k: checks.fraction(k, v) for k, v in (dropped or {}).items()}
        self.ema_decay = checks.fraction("ema_decay", ema_decay)
        self.limits = None if limits is None else tuple(limits)
        self.denoiser = denoiser
        self.average = type(denoiser).from_config({**denoiser.get_config(), "name": f"average_{denoiser.name}"})
        self.average.trainable = False
        for average, weight in zip(self.average.weights, denoiser.weights, strict=True):
            average.assign(weight)
        self.updates = self.add_weight(
            name="updates", shape=(), initializer="zeros", trainable=False, autocast=False, dtype="float32"
        )
        self.seed_generator = keras.random.SeedGenerator()
        self.build()

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    @keras.Model.trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Model.trainable.fset(self, value)
        if hasattr(self, "average"):
            self.average.trainable = False

    # Training ---------------------------------------------------------------------------------------------------------

    def default_optimizer(self) -> keras.Optimizer:
        """Returns Adam with a rate of 2e-4 and gradients of at most norm 1."""
        return keras.optimizers.Adam(2e-4, epsilon=1e-8, global_clipnorm=1.0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Covers inputs with noise and returns how wrong the network is about it: its estimate minus the truth."""
        x, told = self._divided(inputs)
        x, count = ops.cast(x, "float32"), ops.shape(x)[0]
        if training:
            steps = keras.random.randint((count,), 0, self.schedule.timesteps, seed=self.seed_generator)
            noise = keras.random.normal(ops.shape(x), dtype="float32", seed=self.seed_generator)
            told = self._drop(told, count)
        else:
            steps = (2 * ops.arange(count) + 1) * self.schedule.timesteps // (2 * count)
            noise = keras.random.normal(ops.shape(x), dtype="float32", seed=0)
        steps = ops.cast(steps, "int32")
        signal, rest = (
            ops.reshape(ops.take(table.astype("float32"), steps), (-1, *[1] * (len(x.shape) - 1)))
            for table in (self.schedule.alpha_bars**0.5, (1 - self.schedule.alpha_bars) ** 0.5)
        )
        network = self.denoiser if training else self.average
        estimate = network({INPUT: signal * x + rest * noise, STEP: steps, **told}, training=training)
        return ops.cast(estimate, "float32") - (noise if self.target == "noise" else x)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the mean square of the network's error; in training moves the average of the weights, too."""
        if y is not None:
            raise ValueError(
                f"{self.name!r} learns from its inputs alone: what it is told belongs to them, as in "
                'fit({"input": x, "label": labels}). Received: targets'
            )
        squares = ops.mean(ops.square(y_pred), axis=tuple(range(1, len(y_pred.shape))))
        if training:
            self._move_average()
        return mean_over_batch(squares, sample_weight)

    def _move_average(self) -> None:
        """Moves the average towards the weights the step began with."""
        done = ops.convert_to_tensor(self.updates)
        decay = ops.minimum(self.ema_decay, (1 + done) / (_WARM_UP + done))
        for average, weight in zip(self.average.weights, self.denoiser.weights, strict=True):
            value = ops.stop_gradient(ops.convert_to_tensor(weight))
            average.assign(decay * average + (1 - decay) * value)
        self.updates.assign(done + 1)

    def _divided(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        """Returns what is to be covered with noise, and what the network is told about it."""
        names = {tensor.name for tensor in self.denoiser.inputs} - {INPUT, STEP}
        given = dict(inputs) if isinstance(inputs, Mapping) else {INPUT: inputs}
        if set(given) != {INPUT, *names}:
            wanted = ", ".join(f'"{name}": ...' for name in (INPUT, *sorted(names)))
            raise ValueError(f"{self.name!r} learns from {{{wanted}}}. Received: {', '.join(sorted(given))}")
        return given.pop(INPUT), given

    def _drop(self, told: dict[str, Any], count: Any) -> dict[str, Any]:
        """Says nothing to some samples; what is dropped equally often is dropped at once, the rest independently."""
        rates = dict.fromkeys(self.dropped.get(name, 0.0) for name in told)
        draws = {rate: keras.random.uniform((count,), seed=self.seed_generator) for rate in rates}
        left = {}
        for name, value in told.items():
            rate = self.dropped.get(name, 0.0)
            silent = ops.reshape(draws[rate] < rate, (-1, *[1] * (len(value.shape) - 1)))
            left[name] = ops.where(silent, ops.convert_to_tensor(self.nothing, dtype=value.dtype), value)
        return left

    # Drawing ----------------------------------------------------------------------------------------------------------

    def generate(
        self,
        count: int = 1,
        *,
        told: Mapping[str, Any] | None = None,
        sampler: str = "ddim",
        steps: int | None = None,
        eta: float = 0.0,
        guidance_scale: float = 1.0,
        noise: Any = None,
        batch_size: int = 64,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draws new samples with the averaged network.

        Args:
            count: How many.
            told: What the network is told, by name, one row for each; what is missing says nothing.
            sampler: `"ddim"`, or `"ddpm"` for the ancestral sampling of the paper.
            steps: Number of steps; `None` for 50, or for all of them with `"ddpm"`.
            eta: How random DDIM is, from 0 (not at all) to 1 (as DDPM).
            guidance_scale: 1 follows what is told, 0 ignores it, more exaggerates it. Ho and Salimans' w is one less.
            noise: What to start from, (count, *shape), instead of random numbers.
            batch_size: Samples at once.
            seed: Fixes the noise; that of a sample depends on its number alone, not on how many are drawn.

        Returns:
            Array (count, *shape), float32.

        Raises:
            ValueError: If an argument has a value that cannot work.

        References:
            Song et al. (2020), "Denoising diffusion implicit models", https://arxiv.org/abs/2010.02502
        """
        count, batch_size = checks.positive_int("count", count), checks.positive_int("batch_size", batch_size)
        checks.one_of("sampler", sampler, SAMPLERS)
        if steps is None:
            steps = min(50, self.schedule.timesteps) if sampler == "ddim" else self.schedule.timesteps
        numbers = self.schedule.steps(steps)
        checks.non_negative("guidance_scale", guidance_scale)
        if not 0 <= checks.non_negative("eta", eta) <= 1:
            raise ValueError(f"eta must be from 0 to 1. Received: eta={eta!r}")
        given = self._rows(told or {}, count)
        shape = tuple(self.denoiser.input[INPUT].shape[1:])
        entropy: Any = np.random.SeedSequence(seed).entropy
        found = []
        for start in range(0, count, batch_size):
            rows = range(start, min(start + batch_size, count))
            seeds = [np.random.default_rng([entropy, row]) for row in rows]
            x = normal(seeds, shape) if noise is None else np.asarray(noise, "float32")[rows.start : rows.stop]
            part = {name: value[rows.start : rows.stop] for name, value in given.items()}
            for step, less in zip(numbers, [*numbers[1:], -1], strict=True):
                clean = self.estimate(x, int(step), part, guidance_scale)
                if sampler == "ddpm":
                    mean, spread = self.schedule.posterior(x, clean, int(step), int(less), self.variance)
                else:
                    mean, spread = self.schedule.implicit(x, clean, int(step), int(less), eta)
                x = (mean + spread * normal(seeds, shape) if spread else mean).astype("float32")
            found.append(x)
        return np.concatenate(found)

    def estimate(
        self, x: np.ndarray, step: int, told: Mapping[str, np.ndarray], guidance_scale: float = 1.0
    ) -> np.ndarray:
        """Returns what the averaged network holds to be behind the noise of `x`, within the limits.

        Args:
            x: Noisy samples.
            step: How noisy, the same for all of them.
            told: What the network is told about each.
            guidance_scale: Exaggerates the difference that this makes: u + scale * (c - u).
        """
        silent = {name: np.full_like(value, self.nothing) for name, value in told.items()}
        ways = {0.0: (silent,), 1.0: (told,)}.get(float(guidance_scale) if told else 1.0, (silent, told))
        given = {name: np.concatenate([way[name] for way in ways]) for name in told}
        batch = {INPUT: np.concatenate([x] * len(ways)), STEP: np.full(len(ways) * len(x), step, "int32"), **given}
        if self.average.jit_compile and keras.backend.backend() == "tensorflow":
            self.average.jit_compile = False  # XLA takes longer to compile than a few samples take
        found = np.split(answer(self.average, batch), len(ways))
        guided = found[0] if len(found) == 1 else found[0] + guidance_scale * (found[1] - found[0])
        clean = guided if self.target == "clean" else self.schedule.clean(x, guided, step)
        return clean if self.limits is None else np.clip(clean, *self.limits)

    def _rows(self, told: Mapping[str, Any], count: int) -> dict[str, np.ndarray]:
        tensors = {tensor.name: tensor for tensor in self.denoiser.inputs if tensor.name not in (INPUT, STEP)}
        if unknown := sorted(set(told) - set(tensors)):
            raise ValueError(f"{self.name!r} cannot be told {unknown[0]!r}; it takes {', '.join(tensors) or 'nothing'}")
        rows = {}
        for name, tensor in tensors.items():
            shape = (count, *tensor.shape[1:])
            value = np.asarray(told.get(name, np.full(shape, self.nothing)), tensor.dtype)
            if value.shape != shape:
                raise ValueError(f"{name} must have the shape {shape}. Received: {value.shape}")
            rows[name] = value
        return rows

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "denoiser": keras.saving.serialize_keras_object(self.denoiser),
            "schedule": self.schedule.kind,
            "timesteps": self.schedule.timesteps,
            "target": self.target,
            "variance": self.variance,
            "nothing": self.nothing,
            "dropped": dict(self.dropped),
            "ema_decay": self.ema_decay,
            "limits": self.limits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Diffusion:
        denoiser = keras.saving.deserialize_keras_object(config["denoiser"], custom_objects)
        return cls(**{**config, "denoiser": denoiser})


@keras.saving.register_keras_serializable(package="kerazoo")
class DDPM(Diffusion):
    """Diffusion of pictures in [-1, 1], whose `denoiser` is a U-Net; `kerazoo.ddpm` and its relatives build it."""

    def generate(self, count: int = 1, *, labels: Any = None, **options: Any) -> np.ndarray:
        """Draws new pictures with the averaged network.

        Args:
            count: How many.
            labels: Their classes, (count,) or one for all; `None` lets the network choose.
            **options: Those of `Diffusion.generate`: `sampler`, `steps`, `eta`, `guidance_scale`, `noise`,
                `batch_size`, `seed`.

        Returns:
            Array (count, height, width, channels) in [-1, 1].

        Example:
            >>> pictures = model.generate(16, labels=3, guidance_scale=2.0, steps=50, seed=0)
        """
        if labels is not None:
            labels = np.broadcast_to(np.asarray(labels), (count,)) if np.ndim(labels) == 0 else np.asarray(labels)
            options["told"] = {"label": checked_labels(self.name, labels, self.nothing)}
        return super().generate(count, **options)


def checked_labels(model: str, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns classes after a check that a model of `num_classes` classes (0: of none) knows them."""
    if not num_classes:
        raise ValueError(f"{model!r} was built without num_classes and draws no given class. Received: labels")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"labels must be whole numbers from 0 to {num_classes - 1}. Received: labels={labels!r}")
    return labels
