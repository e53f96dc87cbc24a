"""What all losses here have in common: their precision, and how they are saved."""

from __future__ import annotations

from typing import Any, ClassVar

import keras


class ConfiguredLoss(keras.losses.Loss):
    """A loss that is computed in float32 under any policy unless told otherwise, and saved with all its arguments.

    Keras' own configuration of a loss leaves its precision out, so that it would be another one after a reload.

    Attributes:
        arguments: Names of a loss's own arguments, which are attributes, too.

    Args:
        reduction: As in Keras.
        name: Name of the loss.
        dtype: Precision of the computation; float32 unless given.
    """

    arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, *, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns all arguments; the dtype as its name."""
        own = {name: getattr(self, name) for name in self.arguments}
        return {"name": self.name, "reduction": self.reduction, "dtype": self.dtype, **own}
