"""A convolution that cannot see what comes later in the order of reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerazoo import checks


def causal_mask(kernel_size: int, inputs: int, outputs: int, colours: int, strict: bool) -> np.ndarray:
    """Returns the kernel's mask (size, size, inputs, outputs) of ones and zeros.

    A place sees the rows above it, and what is to its left. At its own place a feature that belongs to one colour sees
    the features of those before it (`strict`, the paper's A), or of its own, too (B). Features belong to the colours in
    equal parts, in their order.
    """
    mask = np.zeros((kernel_size, kernel_size, inputs, outputs), "float32")
    middle = kernel_size // 2
    mask[:middle] = 1
    mask[middle, :middle] = 1
    own, other = (np.arange(count) * colours // count for count in (outputs, inputs))
    mask[middle, middle] = other[:, None] < own if strict else other[:, None] <= own
    return mask


@keras.saving.register_keras_serializable(package="kerazoo")
class MaskedConv2D(keras.layers.Conv2D):
    """Convolution of an image, channels last, that looks only at what has been read before: above and to the left.

    Args:
        filters: Number of output features.
        kernel_size: Odd height and width of the kernel.
        kind: `"A"` for the first layer, which must not see its own value; `"B"` for the others.
        colours: Number of colours, which are read one after the other at each place.
        **options: Those of `keras.layers.Conv2D`.

    Example:
        >>> tuple(kerazoo.layers.MaskedConv2D(8, 3, kind="A")(keras.ops.zeros((1, 5, 5, 1))).shape)
        (1, 5, 5, 8)

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu (2016), "Pixel recurrent neural networks",
        https://arxiv.org/abs/1601.06759
    """

    def __init__(self, filters: int, kernel_size: Any, kind: str = "B", colours: int = 1, **options: Any) -> None:
        checks.one_of("kind", kind, ("A", "B"))
        super().__init__(filters, kernel_size, padding="same", data_format="channels_last", **options)
        height, width = self.kernel_size
        if height != width or height % 2 == 0:
            raise ValueError(f"kernel_size must be odd and square. Received: kernel_size={kernel_size!r}")
        self.kind, self.colours = kind, checks.positive_int("colours", colours)

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        self._mask = causal_mask(
            self.kernel_size[0], int(input_shape[-1] or 0), self.filters, self.colours, self.kind == "A"
        )

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, kernel * keras.ops.cast(self._mask, kernel.dtype))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("padding", "data_format"):
            del config[name]
        return config | {"kind": self.kind, "colours": self.colours}
