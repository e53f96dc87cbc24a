"""Convolution in which each output map sees only some of the input maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class PartialConv2D(keras.layers.Layer):
    """2-D convolution with a table of connections, as in layer C3 of LeNet-5. Stride 1, no padding, channels
    last.

    Only the connections that exist have weights, so the count is the paper's.

    Args:
        connections: For each output map the input maps it sees, e.g. `((0, 1), (1, 2), (0, 1, 2))`.
        kernel_size: Height and width of the kernels.
        kernel_initializer: Initialiser; its values are divided by the fan-in of the output map, which differs
            from map to map.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> layer = kerazoo.layers.PartialConv2D(((0, 1), (1, 2)), 5)
        >>> tuple(layer(keras.ops.zeros((1, 14, 14, 3))).shape)
        (1, 10, 10, 2)

    References:
        LeCun et al. (1998), table I, https://doi.org/10.1109/5.726791
    """

    def __init__(
        self,
        connections: Sequence[Sequence[int]],
        kernel_size: int,
        kernel_initializer: Any = "random_uniform",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.connections = tuple(tuple(int(source) for source in sources) for sources in connections)
        self.kernel_size = kernel_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._links = [(source, map_) for map_, sources in enumerate(self.connections) for source in sources]

    def build(self, input_shape: Sequence[int]) -> None:
        channels, maps = input_shape[-1], len(self.connections)
        highest = max(source for source, _ in self._links)
        if channels <= highest:
            raise ValueError(f"connections name input map {highest}. Received: an input with {channels} channels")
        fan_in = np.array([len(self.connections[map_]) * self.kernel_size**2 for _, map_ in self._links], "float32")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, len(self._links)),
            initializer=lambda shape, dtype: ops.cast(self.kernel_initializer(shape, dtype) / fan_in, dtype),
        )
        self.bias = self.add_weight(name="bias", shape=(maps,), initializer="zeros")
        self._place = np.zeros((len(self._links), channels * maps), "float32")
        for index, (source, map_) in enumerate(self._links):
            self._place[index, source * maps + map_] = 1.0
        self._dense_shape = (self.kernel_size, self.kernel_size, channels, maps)

    def call(self, inputs: Any) -> Any:
        kernel = ops.matmul(self.kernel, ops.cast(self._place, self.kernel.dtype))
        x = ops.conv(
            inputs,
            ops.cast(ops.reshape(kernel, self._dense_shape), inputs.dtype),
            padding="valid",
            data_format="channels_last",
        )
        return x + ops.cast(self.bias, x.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        sizes = (None if size is None else size - self.kernel_size + 1 for size in input_shape[1:-1])
        return (input_shape[0], *sizes, len(self.connections))

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Counts two operations per connection weight and position."""
        return 2 * output_shape[1] * output_shape[2] * self.kernel_size**2 * len(self._links)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "connections": [list(sources) for sources in self.connections],
            "kernel_size": self.kernel_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
