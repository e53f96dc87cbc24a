"""What is wanted of an export beside the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True)
class ImageBytes:
    """What a SavedModel must know to take the bytes of image files.

    Attributes:
        channels: 1 (colours become luminance) or 3 (grey is repeated).
        brightest: Value of the brightest pixel as the model takes them, such as 255 for 8 bits; files of another depth
            are scaled to it.
        answer: `"class"` for the likeliest class and its label, `"mask"` for the likeliest class of each pixel,
            `"values"` for the outputs as they are.
        labels: Names of the classes, in the order of the outputs; may be empty.
        size_multiple: A model of open size gets images continued by reflection to this multiple of pixels.
    """

    channels: int
    brightest: float = 255.0
    answer: Literal["class", "mask", "values"] = "class"
    labels: tuple[str, ...] = ()
    size_multiple: int = 1


@dataclass(frozen=True)
class Plan:
    """Settings of one export.

    Attributes:
        quantize: One of `quantization.QUANTIZATIONS`.
        batch: Samples the file takes at once; `None` for any number.
        calibration: A batch of real samples in the structure of the model's inputs, for 8-bit arithmetic.
        keep_float: Layers that stay in float.
        list_errors: Whether the error of each operation is to be measured.
        image: What the signature `serve_bytes` needs; `None` for none.
        metadata: Plain data to be written into the file.
    """

    quantize: str = "none"
    batch: int | None = None
    calibration: Any = None
    keep_float: tuple[str, ...] = ()
    list_errors: bool = False
    image: ImageBytes | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Converted(NamedTuple):
    """What a converter has to say about the file it wrote.

    Attributes:
        notes: Sentences for the user.
        errors: The error of each operation, the largest first, where it was asked for.
    """

    notes: list[str]
    errors: tuple[dict[str, Any], ...] = ()
