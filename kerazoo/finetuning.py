"""Fine-tuning: learning rates per layer, and a body that waits until the head has learned.

The rates belong to the optimiser and depend on nothing but its step counter, so they are saved with a model and go on
exactly where a checkpoint left them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops, optimizers

from kerazoo import checks


class _Layerwise:
    """Scales the whole step of an optimiser, weight decay included, by a factor per layer.

    A factor on the gradient would do nothing for Adam, which divides by the gradient's size.
    """

    def __init__(
        self,
        *arguments: Any,
        rates: Mapping[str, float] | None = None,
        held_steps: int = 0,
        held: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.rates, self.held_steps, self.held = dict(rates or {}), held_steps, list(held)

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        """Updates the variables, then takes back the part of the step that a layer's factor leaves out."""
        variables = trainable_variables if trainable_variables is not None else self._trainable_variables  # type: ignore[attr-defined]
        waiting = self.iterations < self.held_steps  # type: ignore[attr-defined]
        slow = []
        for variable in variables:
            layer = variable.path.split("/")[0]
            rate = self.rates.get(layer, 1.0)
            if layer in self.held and self.held_steps:
                rate = ops.where(waiting, 0.0, rate)
            elif rate == 1.0:
                continue
            slow.append((variable, ops.copy(variable.value), ops.cast(rate, variable.dtype)))
        result = super().apply(grads, trainable_variables)  # type: ignore[misc]
        for variable, before, rate in slow:
            variable.assign(before + rate * (variable.value - before))
        return result

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration, from which a saved model makes its optimiser again."""
        own = {"rates": self.rates, "held_steps": self.held_steps, "held": self.held}
        return {**super().get_config(), **own}  # type: ignore[misc]


_BASES = (optimizers.SGD, optimizers.Adam, optimizers.AdamW, optimizers.RMSprop, optimizers.Adagrad)
_LAYERWISE: dict[type, Any] = {
    base: keras.saving.register_keras_serializable(package="kerazoo")(
        type(f"Layerwise{base.__name__}", (_Layerwise, base), {"__module__": __name__})
    )
    for base in _BASES
}


def layerwise(
    optimizer: keras.Optimizer,
    rates: Mapping[str, float] | None = None,
    *,
    held: Sequence[str] = (),
    held_steps: int = 0,
) -> keras.Optimizer:
    """Returns an optimiser like the one given with a factor on the learning rate of each layer.

    Args:
        optimizer: SGD, Adam, AdamW, RMSprop or Adagrad, not yet used. What `exclude_from_weight_decay` was told is no
            part of its configuration: tell the new one again.
        rates: Layer name -> factor; 1 for all others. `layer_decay` makes such a mapping.
        held: Layers that do not move during the first `held_steps` steps.
        held_steps: Number of these steps; after them the layers have their factor.

    Returns:
        A new optimiser. A model compiled with it saves and loads as any other after `import kerazoo`.

    Raises:
        ValueError: If the optimiser is of another class, or a number cannot work.

    Example:
        >>> slow = kerazoo.finetuning.layer_decay(model, 0.7)
        >>> model.compile(kerazoo.finetuning.layerwise(keras.optimizers.Adam(1e-3), slow), "mse")
    """
    cls = _LAYERWISE.get(type(optimizer))
    if cls is None:
        raise ValueError(
            f"optimizer must be one of {', '.join(base.__name__ for base in _BASES)}. "
            f"Received: {type(optimizer).__name__}"
        )
    checks.positive_int("held_steps", held_steps, minimum=0)
    factors = {name: checks.non_negative(f"rates[{name!r}]", rate) for name, rate in (rates or {}).items()}
    config = {**optimizer.get_config(), "rates": factors, "held": list(held), "held_steps": held_steps}
    return cls.from_config(config)


_STAGE = re.compile(r"stage(\d+)")


def layer_decay(model: keras.Model, decay: float) -> dict[str, float]:
    """Returns a factor per layer that falls from the head to the input by `decay` per stage.

    The head has 1, the last stage `decay`, the one before it `decay ** 2`, and so on down to the stem.

    Args:
        model: A model with stages (`stage1_...`).
        decay: Factor per stage, above 0 and at most 1.

    Returns:
        Layer name -> factor, for `layerwise`.

    Raises:
        ValueError: If the model has no stages, or `decay` cannot work.

    Example:
        >>> kerazoo.finetuning.layer_decay(kerazoo.resnet20(), 0.5)["stem_conv"]
        0.0625
    """
    if not 0 < checks.positive("decay", decay) <= 1:
        raise ValueError(f"decay must be a number above 0 and at most 1. Received: decay={decay!r}")
    stages = {layer.name: int(found[1]) for layer in model.layers if (found := _STAGE.match(layer.name))}
    if not stages:
        raise ValueError(f"{model.name!r} has no stages: no layer's name begins with stage1")
    last = max(stages.values())
    stages |= {layer.name: 0 for layer in model.layers if layer.name.startswith("stem")}
    return {name: decay ** (last + 1 - stage) for name, stage in stages.items()}
