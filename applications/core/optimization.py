"""Optimisers, learning-rate schedules and losses by name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from applications.core.config import option
from applications.core.errors import UserError, nearest

if TYPE_CHECKING:
    import keras

    from applications.core.application import Application

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
SCHEDULES = ("constant", "step", "exponential", "inverse-time", "cosine", "linear", "plateau")


@dataclass(frozen=True)
class OptimizerOptions:
    """What the optimiser does beyond its learning rate."""

    momentum: float = option(0.9, "Momentum of `momentum`, `nesterov` and `rmsprop`.", minimum=0, maximum=1)
    beta_1: float | None = option(
        None,
        "Decay of the mean gradient of `adam` and `adamw`; none: what the model's paper says, else 0.9.",
        minimum=0,
        maximum=1,
    )
    weight_decay: float | None = option(
        None,
        "Decoupled weight decay per step, biases and norm gains are spared; none: 0.004 for `adamw`, else 0.",
        minimum=0,
    )
    clip_norm: float | None = option(None, "Largest norm of the gradient over all weights.", above=0)
    clip_value: float | None = option(None, "Largest absolute value of a gradient element.", above=0)
    accumulation_steps: int = option(1, "Batches whose gradients are added up before one update.", minimum=1)


@dataclass(frozen=True)
class ScheduleOptions:
    """How the learning rate changes during training."""

    warmup_epochs: float = option(0.0, "Epochs over which the learning rate rises linearly from zero.", minimum=0)
    decay_rate: float = option(0.1, "Factor of one decay (step, exponential, plateau); k of 1/(1 + k t).", minimum=0)
    decay_epochs: float | None = option(None, "Epochs between two decays; none: a third of the training.", above=0)
    patience: int = option(5, "Epochs without improvement before a plateau decay.", minimum=1)
    minimum: float = option(0.0, "Learning rate that cosine, linear and plateau end at.", minimum=0)
    scaling: Literal["none", "linear", "sqrt"] = option(
        "none", "How the learning rate follows the batch size: not, in proportion to it, or to its square root."
    )
    scaling_batch: int = option(32, "Batch size that the learning rate belongs to.", minimum=1)


def make_optimizer(
    name: str,
    learning_rate: Any,
    options: OptimizerOptions,
    *,
    adam_epsilon: float = 1e-7,
    default_beta_1: float = 0.9,
) -> "keras.Optimizer":
    """Returns a Keras optimiser.

    Args:
        name: One of `OPTIMIZERS`.
        learning_rate: A number or a `keras.optimizers.schedules.LearningRateSchedule`.
        options: Momentum, weight decay, clipping and accumulation.
        adam_epsilon: Term added to the denominator of Adam.
        default_beta_1: Decay of Adam's mean gradient where the options leave it open.

    Returns:
        A `keras.Optimizer`.
    """
    import keras

    if options.clip_norm is not None and options.clip_value is not None:
        raise UserError("optimizer_options: give clip_norm or clip_value, not both.")
    shared: dict[str, Any] = {
        "learning_rate": learning_rate,
        "global_clipnorm": options.clip_norm,
        "clipvalue": options.clip_value,
        "weight_decay": options.weight_decay or None,
    }
    beta_1 = default_beta_1 if options.beta_1 is None else options.beta_1
    if options.accumulation_steps > 1:
        shared["gradient_accumulation_steps"] = options.accumulation_steps
    if name in ("sgd", "momentum", "nesterov"):
        momentum = 0.0 if name == "sgd" else options.momentum
        optimizer = keras.optimizers.SGD(momentum=momentum, nesterov=name == "nesterov", **shared)
    elif name == "adagrad":
        optimizer = keras.optimizers.Adagrad(**shared)
    elif name == "rmsprop":
        optimizer = keras.optimizers.RMSprop(momentum=options.momentum, **shared)
    elif name == "adam":
        optimizer = keras.optimizers.Adam(beta_1=beta_1, epsilon=adam_epsilon, **shared)
    elif name == "adamw":
        shared["weight_decay"] = 0.004 if options.weight_decay is None else options.weight_decay
        optimizer = keras.optimizers.AdamW(beta_1=beta_1, epsilon=adam_epsilon, **shared)
    else:
        raise UserError(f"Unknown optimizer {name!r}; there are {', '.join(OPTIMIZERS)}.{nearest(name, OPTIMIZERS)}")
    if shared["weight_decay"]:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def optimizer_names(model: "keras.Model") -> list[str]:
    """Returns the optimisers a model is compiled with where it has several, one for each of its networks."""
    import inspect

    return [name for name in inspect.signature(model.compile).parameters if name.endswith("_optimizer")]


def scaled_rate(learning_rate: float, batch_size: int, app: "Application") -> float:
    """Returns the learning rate for the samples of one update, by the rule of `schedule_options.scaling`.

    The batch size is that of all devices together, so more devices alone change nothing.

    Args:
        learning_rate: The rate for `schedule_options.scaling_batch` samples.
        batch_size: Samples of a batch.
        app: Its `schedule_options` have the rule, its `optimizer_options` say how many batches make an update.

    References:
        P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv:1706.02677 (linear).
    """
    power = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}[app.schedule_options.scaling]
    samples = batch_size * app.optimizer_options.accumulation_steps
    return learning_rate * (samples / app.schedule_options.scaling_batch) ** power


def make_schedule(
    name: str, learning_rate: float, *, epochs: int, steps_per_epoch: int, options: ScheduleOptions
) -> Any:
    """Returns the learning rate as a function of the step, or the bare number.

    Args:
        name: One of `SCHEDULES`. "plateau" is a callback (`callbacks.Plateau`), its rate starts as a bare number.
        learning_rate: Largest learning rate.
        epochs: Length of the training in epochs.
        steps_per_epoch: Updates in one epoch.
        options: Warm-up and decay.

    Returns:
        A float or a `keras.optimizers.schedules.LearningRateSchedule`.
    """
    import keras

    schedules = keras.optimizers.schedules
    total = max(1, epochs * steps_per_epoch)
    warmup = min(total, round(options.warmup_epochs * steps_per_epoch))
    interval = max(1, round((options.decay_epochs or max(1.0, epochs / 3)) * steps_per_epoch))
    decaying: Any
    if name in ("constant", "plateau"):
        decaying = learning_rate
    elif name == "step":
        decaying = schedules.ExponentialDecay(learning_rate, interval, options.decay_rate, staircase=True)
    elif name == "exponential":
        decaying = schedules.ExponentialDecay(learning_rate, interval, options.decay_rate)
    elif name == "inverse-time":
        decaying = schedules.InverseTimeDecay(learning_rate, interval, options.decay_rate)
    elif name == "cosine":
        alpha = min(1.0, options.minimum / learning_rate)
        decaying = schedules.CosineDecay(learning_rate, max(1, total - warmup), alpha=alpha)
    elif name == "linear":  # the first half at full rate, as in the papers of CycleGAN and others
        from kerazoo.gans.schedule import ConstantThenLinear

        falling = max(1, total // 2)
        end = min(learning_rate, options.minimum)
        decaying = ConstantThenLinear(learning_rate, max(0, total - warmup - falling), falling, end)
    else:
        raise UserError(f"Unknown schedule {name!r}; there are {', '.join(SCHEDULES)}.{nearest(name, SCHEDULES)}")
    if warmup == 0 or name == "plateau":
        return decaying
    return _warm_up_class()(decaying, warmup)


_WARM_UP: list[type] = []


def _warm_up_class() -> type:
    """Defines the schedule class on first use, since Keras is imported only when a run needs it."""
    if _WARM_UP:
        return _WARM_UP[0]
    import keras

    @keras.saving.register_keras_serializable(package="kerazoo")
    class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
        """Rises linearly from zero to the schedule's first value over `warmup_steps`, then follows the schedule.

        Args:
            schedule: A number or another `LearningRateSchedule`, counted from the end of the warm-up.
            warmup_steps: Number of steps of the rise.
        """

        def __init__(self, schedule: Any, warmup_steps: int):
            if isinstance(schedule, dict):
                schedule = keras.saving.deserialize_keras_object(schedule)
            self.schedule = schedule
            self.warmup_steps = warmup_steps

        def __call__(self, step: Any) -> Any:
            step = keras.ops.cast(step, "float32")
            after = keras.ops.maximum(step - self.warmup_steps, 0.0)
            target = self.schedule(after) if callable(self.schedule) else self.schedule
            return target * keras.ops.minimum((step + 1.0) / self.warmup_steps, 1.0)

        def get_config(self) -> dict[str, Any]:
            schedule = self.schedule
            if callable(schedule):
                schedule = keras.saving.serialize_keras_object(schedule)
            return {"schedule": schedule, "warmup_steps": self.warmup_steps}

    _WARM_UP.append(WarmUp)
    return WarmUp


def wants_class_numbers(loss: str) -> bool:
    """Returns whether a loss takes class numbers as targets; the others take one column per class."""
    return loss.startswith("sparse_")


def make_loss(name: str) -> "keras.losses.Loss":
    """Returns a loss of Keras or of kerazoo by its snake_case name, e.g. "mean_absolute_error" or "focal_tversky".

    Where both have one of a name (Dice, Tversky), it is kerazoo's, which takes each image and class by itself.

    Raises:
        UserError: No such loss, with the nearest name.
    """
    import inspect

    import keras

    import kerazoo.losses

    classes = {
        _snake_case(word): value
        for module in (keras.losses, kerazoo.losses)
        for word, value in vars(module).items()
        if inspect.isclass(value)
        and word not in ("Loss", "CTC", "Circle", "Pinball")  # these take no class per sample or pixel
    }
    if name not in classes:
        raise UserError(f"Unknown loss {name!r}; there are {', '.join(sorted(classes))}.{nearest(name, classes)}")
    return classes[name]()


def _snake_case(name: str) -> str:
    import re

    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
