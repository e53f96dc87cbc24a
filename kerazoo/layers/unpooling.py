"""Pooling that remembers where each maximum came from, and the way back.

Written for 2 x 2 windows that do not overlap with the operations every backend has, so that it differentiates,
compiles with XLA and converts to LiteRT and ONNX; TensorFlow's own pooling with indices does neither of the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class MaxPoolWithSwitches2D(keras.layers.Layer):
    """2 x 2 max pooling that also returns the switches: which of the four pixels each maximum was.

    Odd maps are halved upwards. Among equal pixels the first one counts, row by row, in the gradient too.

    Call arguments:
        inputs: Feature map (batch, height, width, channels).

    Returns:
        The pooled map, and the switches: whole numbers from 0 to 3 of the same shape.

    Args:
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> pooled, switches = kerazoo.layers.MaxPoolWithSwitches2D()(x)

    References:
        Zeiler, Fergus (2014), https://arxiv.org/abs/1311.2901
    """

    def call(self, inputs: Any) -> tuple[Any, Any]:
        # An odd map gets its last row or column twice: of equal pixels the first counts, so the copy never does.
        if inputs.shape[1] is not None and inputs.shape[1] % 2:
            inputs = ops.concatenate([inputs, inputs[:, -1:]], axis=1)
        if inputs.shape[2] is not None and inputs.shape[2] % 2:
            inputs = ops.concatenate([inputs, inputs[:, :, -1:]], axis=2)
        a, b, c, d = corners = [inputs[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        largest = ops.maximum(ops.maximum(a, b), ops.maximum(c, d))
        # Comparisons, since ops.argmax has bit operations that LiteRT and ONNX have not.
        lower = ops.where(ops.equal(c, largest), 2, 3)
        switches = ops.where(ops.equal(a, largest), 0, ops.where(ops.equal(b, largest), 1, lower))
        switches = ops.cast(switches, "int32")
        # The picked pixel, not `largest`, whose gradient goes to all of several equal pixels.
        return _pick(switches, corners), switches

    def compute_output_spec(self, inputs: Any) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        height, width = (None if size is None else -(-size // 2) for size in inputs.shape[1:3])
        shape = (inputs.shape[0], height, width, inputs.shape[3])
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, "int32")


@keras.saving.register_keras_serializable(package="kerazoo")
class MaxUnpool2D(keras.layers.Layer):
    """Puts each value back to the pixel its switch names, and zeros elsewhere; twice as high and wide.

    Call arguments:
        inputs: The map to unpool and the switches from `MaxPoolWithSwitches2D`, of equal shape.

    Returns:
        The unpooled map (batch, 2 x height, 2 x width, channels).

    Args:
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> x = kerazoo.layers.MaxUnpool2D()([pooled, switches])

    References:
        Zeiler, Fergus (2014), https://arxiv.org/abs/1311.2901
    """

    def call(self, inputs: Sequence[Any]) -> Any:
        x, switches = inputs
        zero = ops.zeros_like(x)
        a, b, c, d = (ops.where(ops.equal(switches, corner), x, zero) for corner in range(4))
        batch, height, width, channels = ops.shape(x)
        rows = [ops.reshape(ops.stack(pair, axis=3), (batch, height, 2 * width, channels)) for pair in ((a, b), (c, d))]
        return ops.reshape(ops.stack(rows, axis=2), (batch, 2 * height, 2 * width, channels))

    def compute_output_spec(self, inputs: Sequence[Any]) -> keras.KerasTensor:
        batch, height, width, channels = inputs[0].shape
        doubled = (None if size is None else 2 * size for size in (height, width))
        return keras.KerasTensor((batch, *doubled, channels), self.compute_dtype)


def _pick(switches: Any, corners: Sequence[Any]) -> Any:
    """Returns of four maps the one each switch names."""
    a, b, c, d = corners
    upper = ops.where(ops.equal(switches, 0), a, b)
    lower = ops.where(ops.equal(switches, 2), c, d)
    return ops.where(switches < 2, upper, lower)
