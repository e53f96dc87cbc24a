"""What is wanted of an export beside the format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Plan:
    """Settings of one export.

    Attributes:
        quantize: One of `quantization.QUANTIZATIONS`.
        batch: Samples the file takes at once; `None` for any number.
        calibration: A batch of real samples in the structure of the model's inputs, for 8-bit arithmetic.
        keep_float: Layers that stay in float.
        list_errors: Whether the error of each operation is to be measured.
    """

    quantize: str = "none"
    batch: int | None = None
    calibration: Any = None
    keep_float: tuple[str, ...] = ()
    list_errors: bool = False


class Converted(NamedTuple):
    """What a converter has to say about the file it wrote.

    Attributes:
        notes: Sentences for the user.
        errors: The error of each operation, the largest first, where it was asked for.
    """

    notes: list[str]
    errors: tuple[dict[str, Any], ...] = ()
