"""What all models share whose networks train against each other: parts, optimisers, steps, random numbers, files."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerazoo import checks


@keras.saving.register_keras_serializable(package="kerazoo")
class AdversarialModel(keras.Model):
    """Functional models that play against each other: `generator...` and `discriminator...`, two players.

    A subclass names its parts, settings and losses, and says in the paper's words what they are:
    `discriminator_loss(batch, training)` and `generator_loss(batch, training)` return the mean over the batch, as one
    number or as a dictionary of the parts that are added up. `batch` is a dictionary with `image` and whatever `fit` is
    given besides, and with the random tensors of `draws`; what one player's loss leaves in it, the next one finds.

    Whatever else a step must remember is a weight of the model that is not trained, so that every file and every
    checkpoint has it: override `build` to add it and `after_step` to change it.

    Args:
        seed: Fixes the random numbers of the training.
        **options: The parts, the settings, and the arguments of every `keras.Model`.
    """

    PARTS: tuple[str, ...] = ("generator", "discriminator")
    """Attributes that hold functional models; those trained belong to the player their name begins with."""
    SETTINGS: tuple[str, ...] = ()
    """Attributes with plain values, which `get_config` keeps."""
    METRICS: tuple[str, ...] = ()
    """Names of parts of the losses that are shown beside `generator_loss` and `discriminator_loss`."""
    PLAYERS = ("discriminator", "generator")

    def __init__(self, *, seed: int | None = None, **options: Any) -> None:
        own = {key: options.pop(key) for key in (*self.PARTS, *self.SETTINGS)}
        super().__init__(**options)
        for key, value in own.items():
            setattr(self, key, value)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        names = (*(f"{player}_loss" for player in self.PLAYERS), *self.METRICS)
        self.loss_metrics = [keras.metrics.Mean(name=name) for name in names]
        self.build()

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """What the trained model is for: the generator."""
        return self.generator(inputs, training=training)

    # --- what a subclass says ---------------------------------------------------------------------

    @property
    def turns(self) -> tuple[str, ...]:
        """The players of one step, in order."""
        return self.PLAYERS

    def discriminator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """Returns what the discriminator minimises."""
        raise NotImplementedError

    def generator_loss(self, batch: dict[str, Any], training: bool) -> Any:
        """Returns what the generator minimises."""
        raise NotImplementedError

    def draws(self, batch: dict[str, Any], training: bool) -> dict[str, Any]:
        """Returns the random tensors of one turn by name."""
        return {}

    @property
    def stages(self) -> int:
        """Stages of growth. Where there are several, a loss finds the one at hand as the constant `batch["stage"]`."""
        return 1

    def stage(self) -> Any:
        """Returns the number of the stage at hand, as a tensor."""
        return 0

    def after_step(self, batch: dict[str, Any]) -> None:
        """Changes what the model remembers of its steps."""

    def paper_optimizer(self, player: str) -> keras.Optimizer:
        """Returns the optimiser of the paper for a player."""
        raise NotImplementedError

    # --- data ---------------------------------------------------------------------------------------

    def batch(self, data: Any) -> dict[str, Any]:
        """Returns what `fit` was given for one step, by name: `image`, and `label` where there is a target."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            raise ValueError(f"{self.name} takes no sample_weight: all samples of a batch count the same.")
        image = ops.convert_to_tensor(x)
        wanted = next(t.shape[1:] for part in self.PARTS for t in getattr(self, part).inputs if t.name == "image")
        fits = len(image.shape) == len(wanted) + 1 and all(
            size in (None, found) for size, found in zip(wanted, image.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(f"{self.name} was built for inputs of shape {wanted}. Received: {tuple(image.shape[1:])}")
        return {"image": ops.cast(image, "float32")} | ({} if y is None else {"label": y})

    def run(self, part: keras.Model, batch: dict[str, Any], training: bool) -> Any:
        """Runs one part on those tensors of a batch that its inputs are named after."""
        inputs = {tensor.name: batch[tensor.name] for tensor in part.inputs}
        return part(inputs if len(inputs) > 1 else next(iter(inputs.values())), training=training)

    def drawn(self, draw: Any, batch: dict[str, Any], training: bool) -> Any:
        """Returns one random row per sample of the batch; `draw(count, seed)` makes them.

        In training they come from the random state of the model and differ on all devices; in a test they are always
        the same ones, so that its figures can be compared.
        """
        count = ops.shape(batch["image"])[0]
        if not training:
            return draw(count, 0)
        from kerazoo import _tensorflow_step

        return _tensorflow_step.own_share(lambda rows: draw(rows, self.seed_generator), count)

    # --- steps --------------------------------------------------------------------------------------

    def weights_of(self, player: str) -> list[Any]:
        """Returns the weights that a player trains."""
        parts = [getattr(self, name) for name in self.PARTS if name.startswith(player)]
        return [weight for part in parts for weight in part.trainable_weights]

    def optimizer_of(self, player: str) -> keras.Optimizer:
        """Returns the optimiser of a player."""
        return getattr(self, f"{player}_optimizer")

    def loss_of(self, player: str, batch: dict[str, Any], training: bool) -> dict[str, Any]:
        """Returns the parts of a player's loss, which are to be added up."""
        loss = getattr(self, f"{player}_loss")(batch, training)
        return loss if isinstance(loss, dict) else {f"{player}_loss": loss}

    def track(self, player: str, loss: dict[str, Any], batch: dict[str, Any]) -> None:
        """Adds a loss and those of its parts that are shown to the running means."""
        values, count = {**loss, f"{player}_loss": sum(loss.values())}, ops.shape(batch["image"])[0]
        for metric in self.loss_metrics:
            if metric.name in values:
                metric.update_state(values[metric.name], sample_weight=count)

    def running_means(self) -> dict[str, Any]:
        """Returns the means of this epoch by name."""
        return {metric.name: metric.result() for metric in self.loss_metrics}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.loss_metrics)

    def train_step(self, data: Any) -> dict[str, Any]:
        from kerazoo import _tensorflow_step

        return _tensorflow_step.train(self, data)

    def test_step(self, data: Any) -> dict[str, Any]:
        from kerazoo import _tensorflow_step

        return _tensorflow_step.test(self, data)

    def make_train_function(self, force: bool = False) -> Any:
        self._require_tensorflow("fit")
        return super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> Any:
        self._require_tensorflow("evaluate")
        return super().make_test_function(force)

    def _require_tensorflow(self, verb: str) -> None:
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"{verb} of {self.name} needs the TensorFlow backend of Keras, where each of its networks has a "
                f"gradient of its own: set KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()!r}"
            )

    # --- compilation and files ----------------------------------------------------------------------

    def compile(
        self,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        *,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Makes the model ready for `fit`.

        Args:
            generator_optimizer: Optimiser of the generators; `None` for the paper's.
            discriminator_optimizer: That of the discriminators; `None` for the paper's.
            run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: As in `keras.Model.compile`.
        """
        how = {"run_eagerly": run_eagerly, "steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
        super().compile(optimizer=None, **how)
        given = {"generator": generator_optimizer, "discriminator": discriminator_optimizer}
        config: dict[str, Any] = {**how, "auto_scale_loss": auto_scale_loss}
        for player, optimizer in given.items():
            optimizer = self.paper_optimizer(player) if optimizer is None else keras.optimizers.get(optimizer)
            config[f"{player}_optimizer"] = optimizer
            scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            if auto_scale_loss and self.dtype_policy.name == "mixed_float16" and not scaled:
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(self.weights_of(player))
            setattr(self, f"{player}_optimizer", optimizer)
        self._compiled_with = keras.saving.serialize_keras_object(config)

    def get_compile_config(self) -> dict[str, Any] | None:
        return dict(self._compiled_with) if self.compiled else None

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def get_config(self) -> dict[str, Any]:
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.PARTS}
        return super().get_config() | {"seed": self.seed, **{k: getattr(self, k) for k in self.SETTINGS}, **parts}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> AdversarialModel:
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in cls.PARTS}
        return cls(**config | parts)


class NoiseToImage(AdversarialModel):
    """A generator that makes a picture of noise, `latent`, and, where it is conditional, of a class, `label`."""

    SETTINGS: tuple[str, ...] = ("num_classes",)
    """`num_classes` is 0 where there are no labels."""

    def latents(self, count: Any, seed: Any) -> Any:
        """Draws noise (count, latent_dim) as the paper does; by default N(0, 1)."""
        return keras.random.normal((count, self.latent_dim), seed=seed)

    @property
    def latent_dim(self) -> int:
        """Length of the noise."""
        return next(tensor.shape[1] for tensor in self.generator.inputs if tensor.name == "latent")

    def draws(self, batch: dict[str, Any], training: bool) -> dict[str, Any]:
        return {"latent": self.drawn(self.latents, batch, training)}

    def batch(self, data: Any) -> dict[str, Any]:
        batch = super().batch(data)
        if self.num_classes and "label" not in batch:
            raise ValueError(f"{self.name} needs labels: fit((images, labels)) or a data set of such pairs.")
        return batch

    def generated(self, batch: dict[str, Any], training: bool) -> dict[str, Any]:
        """Returns the batch with pictures made of its noise instead of the real ones."""
        return batch | {"image": self.run(self.generator, batch, training)}

    def generate(self, count: int, *, seed: int = 0, labels: Any = None, batch_size: int = 64) -> Any:
        """Draws pictures.

        Args:
            count: How many.
            seed: The same one gives the same pictures.
            labels: Of a conditional model: the class of all of them, or one per picture; `None` takes the classes in
                turn.
            batch_size: Pictures at once.

        Returns:
            Array (count, *input_shape) in the range of the training images.

        Example:
            >>> pictures = model.generate(16, seed=1)
        """
        count = checks.positive_int("count", count)
        inputs = {"latent": self.latents(count, seed)}
        if labels is not None and not self.num_classes:
            raise ValueError(f"labels: {self.name} knows no classes. Received: labels={labels!r}")
        if self.num_classes:
            inputs["label"] = self._labels(labels, count)
        inputs = keras.tree.map_structure(ops.convert_to_numpy, inputs)
        return self.sampler().predict(inputs if len(inputs) > 1 else inputs["latent"], batch_size, verbose=0)

    def sampler(self) -> keras.Model:
        """Returns the functional model that draws, noise -> picture: what one exports."""
        return self.generator

    def _labels(self, labels: Any, count: int) -> Any:
        import numpy as np

        if labels is None:
            return np.arange(count) % self.num_classes
        found = np.asarray(labels)
        fits = np.issubdtype(found.dtype, np.integer) and found.shape in ((), (count,))
        if not fits or np.any(found < 0) or np.any(found >= self.num_classes):
            raise ValueError(
                f"labels must be a whole number from 0 to {self.num_classes - 1}, or {count} of them. "
                f"Received: labels={labels!r}"
            )
        return np.broadcast_to(found, (count,))


def taken_for_real(logits: Any) -> Any:
    """Returns -log D, the mean over the batch: low where the discriminator says "real"."""
    return ops.mean(ops.softplus(-ops.cast(logits, "float32")))


def taken_for_made(logits: Any) -> Any:
    """Returns -log(1 - D), the mean over the batch: low where the discriminator says "made"."""
    return ops.mean(ops.softplus(ops.cast(logits, "float32")))
