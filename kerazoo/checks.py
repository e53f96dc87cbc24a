"""Checks of builder arguments: one sentence each, naming the argument and what was received."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Sequence
from numbers import Real
from typing import Any

import keras

from kerazoo._words import nearest

Shape = tuple[int | None, ...]


def positive_int(name: str, value: Any, *, minimum: int = 1) -> int:
    """Returns `value`, also one of NumPy, as Python's int; refuses what is no whole number of at least `minimum`."""
    number = _whole(value)
    if number is None or number < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}. Received: {name}={value!r}")
    return number


def _whole(value: Any) -> int | None:
    """Returns a whole number as Python's int, since Keras refuses NumPy's; `None` for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def positive_ints(name: str, values: Any, *, minimum: int = 1, allow_empty: bool = False) -> tuple[int, ...]:
    """Returns a sequence of whole numbers as a tuple."""
    if not isinstance(values, Sequence) or isinstance(values, str) or (not values and not allow_empty):
        raise ValueError(f"{name} must be a sequence of whole numbers. Received: {name}={values!r}")
    return tuple(positive_int(name, value, minimum=minimum) for value in values)


def fraction(name: str, value: Any) -> float:
    """Returns a rate in [0, 1) as Python's float."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise ValueError(f"{name} must be a number in [0, 1). Received: {name}={value!r}")
    return float(value)


def non_negative(name: str, value: Any) -> float:
    """Returns a finite number of at least zero as Python's float."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be a number of at least 0. Received: {name}={value!r}")
    return float(value)


def positive(name: str, value: Any) -> float:
    """Returns a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0. Received: {name}={value!r}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Returns a bool; refuses strings and the like, which would count as true."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False. Received: {name}={value!r}")
    return value


def one_of(name: str, value: Any, choices: Collection[Any]) -> Any:
    """Returns `value` if it is one of `choices`."""
    if not any(value is choice or (value == choice and type(value) is type(choice)) for choice in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")
    return value


def activation(name: str, value: Any) -> Any:
    """Returns `value` if Keras knows the activation, by name or as a callable; `None` is linear."""
    if isinstance(value, keras.layers.Layer) or (isinstance(value, type) and issubclass(value, keras.layers.Layer)):
        raise ValueError(
            f"{name} must be a name or a function, not a layer, whose weights would never be trained (hidden layers "
            f"with 'prelu' have their own). Received: {name}={value!r}"
        )
    if value is None or callable(value):
        return value
    try:
        keras.activations.get(value)
    except (ValueError, TypeError):
        known = [word for word in dir(keras.activations) if word.islower() and not word.startswith("_")]
        raise ValueError(
            f"{name} must be None or an activation of Keras. Received: {name}={value!r}."
            f"{nearest(value, known, plenty='keras.activations lists them')}"
        ) from None
    return value


def several_for_softmax(name: str, value: Any, outputs_name: str, outputs: Any) -> None:
    """Refuses a softmax over a single output: it is 1 whatever the input is."""
    if outputs == 1 and getattr(value, "__name__", value) in ("softmax", "log_softmax"):
        raise ValueError(
            f"{name} cannot be a softmax with {outputs_name}=1, where it is constant; use 'sigmoid' or None. "
            f"Received: {name}={value!r}"
        )


def initializer(name: str, value: Any) -> Any:
    """Returns `value` if Keras knows the initialiser, by name or as an object.

    An object goes through `blocks.own_initializer` for every layer: one that several layers share gives them
    the same values.
    """
    try:
        keras.initializers.get(value)
    except (ValueError, TypeError):
        known = [word for word in dir(keras.initializers) if word.islower() and not word.startswith("_")]
        raise ValueError(
            f"{name} must be an initialiser of Keras such as 'he_normal', 'glorot_uniform' or 'orthogonal'. "
            f"Received: {name}={value!r}.{nearest(value, known, plenty='keras.initializers lists them')}"
        ) from None
    return value


def shape(value: Any, *, ranks: Collection[int], name: str = "input_shape") -> Shape:
    """Returns an input shape as a tuple, with sizes that are `None` or at least 1."""
    if not isinstance(value, (tuple, list)) or (ranks and len(value) not in ranks):
        wanted = " or ".join(map(str, sorted(ranks))) if ranks else "at least 1"
        raise ValueError(f"{name} must be a tuple of {wanted} sizes, channels last. Received: {name}={value!r}")
    if not value:
        raise ValueError(f"{name} must have at least one size. Received: {name}={value!r}")
    for size in value:
        if size is not None and (_whole(size) or 0) < 1:
            raise ValueError(f"{name} must hold whole numbers of at least 1, or None. Received: {name}={value!r}")
    return tuple(None if size is None else int(size) for size in value)


def image_shape(
    value: Any, *, model: str, ranks: Collection[int] = (3,), min_size: int = 1, dynamic: str | None = None
) -> Shape:
    """Returns the shape of an image or a signal, channels last.

    Args:
        value: The `input_shape` received.
        model: Name of the model, for the messages.
        ranks: Number of axes allowed.
        min_size: Smallest size of the spatial axes.
        dynamic: Why the spatial axes cannot be `None`; `None` if they can.
    """
    sizes = shape(value, ranks=ranks)
    if sizes[-1] is None:
        raise ValueError(f"input_shape of {model} needs a fixed number of channels. Received: input_shape={value!r}")
    if dynamic is not None and None in sizes:
        raise ValueError(f"input_shape of {model} cannot be left open: {dynamic}. Received: input_shape={value!r}")
    if any(size is not None and size < min_size for size in sizes[:-1]):
        raise ValueError(
            f"input_shape of {model} must be at least {' x '.join([str(min_size)] * (len(sizes) - 1))}. "
            f"Received: input_shape={value!r}"
        )
    return sizes


def head(include_top: Any, pooling: Any) -> None:
    """Checks `include_top` and `pooling` together."""
    flag("include_top", include_top)
    one_of("pooling", pooling, (None, "avg", "max"))
    if include_top and pooling is not None:
        raise ValueError(
            "pooling has no effect with include_top=True, whose head has its own; use include_top=False. "
            f"Received: pooling={pooling!r}"
        )
