"""What pix2pix and CycleGAN share: the discriminator that judges patches, and how they normalise.

Its idea is in P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, arXiv:1611.07004, section 3.2.2.
"""

from __future__ import annotations

import keras
from keras import layers

from kerazoo import checks
from kerazoo.gans._parts import norm, normal

_FORMAT = {"data_format": "channels_last"}


def normalised(x: keras.KerasTensor, normalization: str, name: str) -> keras.KerasTensor:
    """Normalises a map over the batch, with gains from N(1, 0.02), or each channel of each image by itself."""
    if normalization == "batch":
        return norm(x, name)
    return layers.GroupNormalization(groups=-1, epsilon=1e-5, center=False, scale=False, name=name)(x)


def conv(
    x: keras.KerasTensor, filters: int, kernel_size: int, *, strides: int = 1, use_bias: bool = True, name: str
) -> keras.KerasTensor:
    """Convolution of the neighbourhoods inside `x`: whoever calls it has padded."""
    return layers.Conv2D(
        filters, kernel_size, strides=strides, use_bias=use_bias, kernel_initializer=normal(), name=name, **_FORMAT
    )(x)


def patch_discriminator(
    inputs: dict[str, keras.KerasTensor], *, filters: int, num_layers: int, normalization: str, name: str
) -> keras.Model:
    """Returns a discriminator with one logit for each of many overlapping patches of an image.

    Args:
        inputs: The images it sees together, of one size, by name.
        filters: Filters of the first convolution; they double with every layer, up to eight times as many.
        num_layers: Convolutions with stride 2: 1, 3 and 5 look at patches of 16, 70 and 286 pixels.
        normalization: `"batch"`, or `"instance"`, which has biases.
        name: Name of the model.

    Returns:
        A functional `keras.Model`, images -> (batch, rows, columns, 1).
    """
    seen = list(inputs.values())
    x = layers.Concatenate(name="pair")(seen) if len(seen) > 1 else seen[0]
    for index in range(1, num_layers + 2):
        # Padding written out: of an odd map, "same" would make a larger one than the papers' code.
        x = layers.ZeroPadding2D(1, name=f"conv{index}_pad", **_FORMAT)(x)
        strides, first = 2 if index <= num_layers else 1, index == 1
        width = filters * min(2 ** (index - 1), 8)
        has_bias = first or normalization == "instance"
        x = conv(x, width, 4, strides=strides, use_bias=has_bias, name=f"conv{index}")
        x = x if first else normalised(x, normalization, f"norm{index}")
        x = layers.LeakyReLU(0.2, name=f"conv{index}_out")(x)
    x = layers.ZeroPadding2D(1, name="patches_pad", **_FORMAT)(x)
    head = layers.Conv2D(1, 4, kernel_initializer=normal(), dtype="float32", name="patches", **_FORMAT)
    return keras.Model(inputs if len(seen) > 1 else seen[0], head(x), name=name)


def receptive_field(num_layers: int) -> int:
    """Returns the height and width of the patch that one logit sees.

    Example:
        >>> receptive_field(3)
        70
    """
    field = 1
    for strides in (1, 1, *[2] * num_layers):  # from the last layer to the first
        field = (field - 1) * strides + 4
    return field


def smallest_size(num_layers: int) -> int:
    """Returns the smallest image with at least one patch: both convolutions without stride take a pixel away."""
    return 3 * 2**num_layers


def check_sizes(sizes: checks.Shape, num_layers: int, multiple: int, model: str, smallest: int = 1) -> None:
    """Refuses an image that is too small for a patch, or that the generator would give back in another size."""
    least = max(smallest, smallest_size(num_layers))
    for size in sizes[:2]:
        if size is not None and size < least:
            raise ValueError(
                f"input_shape of {model} must be at least {least} x {least} with discriminator_layers={num_layers}, "
                f"where a patch has {receptive_field(num_layers)} pixels. Received: input_shape={sizes!r}"
            )
        if size is not None and size % multiple:
            raise ValueError(
                f"input_shape of {model} needs a height and width that are multiples of {multiple}, the next one is "
                f"{-(-size // multiple) * multiple}. Received: input_shape={sizes!r}"
            )
