"""Less memory for more time: layers whose inner values are computed again for the gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def rematerialise(model: keras.Model) -> None:
    """Makes the layers of a model keep their inputs for the gradient, and nothing of what they do with them.

    TensorFlow computes such a layer once more, and all it does on the side with it. So layers with state are left as
    they are: a dropout would draw another mask, and a batch normalisation count each batch twice. `keras.RematScope`
    knows no such difference, and fails in a graph for every layer that takes arguments by name (`training`, masks).
    """
    for layer in model.layers:
        if layer.weights and not layer.non_trainable_variables:
            layer.call = _twice(layer.call)


def _twice(call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a layer's `call` that keeps its numbers only; the rest of its arguments are not part of the gradient."""
    import keras

    @functools.wraps(call)
    def called(*arguments: Any, **named: Any) -> Any:
        flat = keras.tree.flatten((arguments, named))
        places = [n for n, value in enumerate(flat) if keras.ops.is_tensor(value) and "float" in str(value.dtype)]
        if not places:  # an embedding, whose gradient ends there
            return call(*arguments, **named)

        def of_tensors(*tensors: Any) -> Any:
            given = dict(zip(places, tensors, strict=True))
            values = [given.get(place, value) for place, value in enumerate(flat)]
            again, by_name = keras.tree.pack_sequence_as((arguments, named), values)
            return call(*again, **by_name)

        return keras.remat(of_tensors)(*(flat[place] for place in places))

    return called
