"""VoxelMorph: one pass of a U-Net says how to deform an image or a volume until it lies on another.

G. Balakrishnan, A. Zhao, M. R. Sabuncu, J. Guttag, A. V. Dalca, "VoxelMorph: A Learning Framework for Deformable
Medical Image Registration", arXiv:1809.05231 (IEEE TMI 2019). The field as the integral of a velocity: A. V. Dalca,
G. Balakrishnan, J. Guttag, M. R. Sabuncu, "Unsupervised Learning for Fast Probabilistic Diffeomorphic Registration",
arXiv:1805.04605 (MICCAI 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.layers.doubling import BilinearDoubling
from kerazoo.layers.warp import ScalingAndSquaring, Warp

_FORMAT = {"data_format": "channels_last"}
_FLOAT32 = {"dtype": "float32"}  # a pixel of a large image has no number in half precision


@register_model
def voxelmorph(
    input_shape: Sequence[int | None] = (160, 192, 1),
    int_steps: int = 7,
    *,
    encoder_filters: Sequence[int] = (16, 32, 32, 32),
    decoder_filters: Sequence[int] = (32, 32, 32, 32),
    final_filters: Sequence[int] = (32, 16, 16),
    int_resolution: int = 2,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "voxelmorph",
) -> keras.Model:
    """VoxelMorph, which deforms the image `moving` so that it lies on the image `fixed`.

    The network sees both and gives a velocity; its integral over one unit of time is the field of displacements,
    `moved(p) = moving(p + field(p))`. Such a field does not fold, and the negative velocity gives its inverse.
    It is trained by what it makes of the moving image, without any known field: see the example. The loss of the
    velocity needs a placeholder of one number per sample as its truth. Usual weights of the smoothness are 1 with
    `LocalNCC` and 0.01 with the mean squared error, times `int_resolution`.

    Args:
        input_shape: Shape of one image `(height, width, channels)`, or volume `(depth, height, width, channels)`.
            Sizes are multiples of `2 ** len(encoder_filters)`, or `None`.
        int_steps: Compositions in the integration of the velocity; 0 takes what the network gives as the field itself.
        encoder_filters: Filters on the way down, each followed by a halving.
        decoder_filters: As many on the way up, each followed by a doubling.
        final_filters: Filters of the convolutions at full size.
        int_resolution: 2 integrates a velocity of half the size, 1 one of the full size. Without effect for
            `int_steps=0`.

    Returns:
        A flat functional `keras.Model` from `{"moving", "fixed"}`, images in [0, 1] that are roughly aligned, to
        `{"moved", "field", "velocity"}`: the deformed image, displacements in pixels along each axis, and the velocity
        (for `int_steps=0` the field once more).

    Example:
        >>> model = kerazoo.voxelmorph((64, 64, 1))
        >>> model.compile(
        ...     "adam",
        ...     loss={"moved": kerazoo.losses.LocalNCC(), "velocity": kerazoo.losses.FieldSmoothness()},
        ...     loss_weights={"moved": 1.0, "velocity": 2.0},
        ... )
        >>> model.fit({"moving": moving, "fixed": fixed}, {"moved": fixed, "velocity": np.zeros(len(fixed))})

    References:
        Balakrishnan et al. (2019), https://arxiv.org/abs/1809.05231; Dalca et al. (2018),
        https://arxiv.org/abs/1805.04605
    """
    sizes = checks.image_shape(input_shape, model=name, ranks=(3, 4))
    int_steps = checks.positive_int("int_steps", int_steps, minimum=0)
    down = checks.positive_ints("encoder_filters", encoder_filters)
    up = checks.positive_ints("decoder_filters", decoder_filters)
    final = checks.positive_ints("final_filters", final_filters)
    checks.one_of("int_resolution", int_resolution, (1, 2))
    if len(up) != len(down):
        raise ValueError(
            "decoder_filters must be as many as encoder_filters, so that the field has the size of the image. "
            f"Received: encoder_filters={down!r}, decoder_filters={up!r}"
        )
    _check_multiple(sizes, 2 ** len(down))

    moving, fixed = keras.Input(sizes, name="moving"), keras.Input(sizes, name="fixed")
    x = _features(layers.Concatenate(name="both")([moving, fixed]), down, up, final)
    rank = len(sizes) - 1
    conv = layers.Conv2D if rank == 2 else layers.Conv3D
    small = keras.initializers.RandomNormal(stddev=1e-5)  # at first nothing moves
    flow = conv(rank, 3, padding="same", kernel_initializer=small, name="flow", **_FLOAT32, **_FORMAT)(x)
    velocity, field = _integrated(flow, int_steps, int_resolution)
    moved = Warp(name="moved", **_FLOAT32)([moving, field])
    return keras.Model(
        {"moving": moving, "fixed": fixed}, {"moved": moved, "field": field, "velocity": velocity}, name=name
    )


def _check_multiple(sizes: checks.Shape, multiple: int) -> None:
    for size in sizes[:-1]:
        if size is not None and size % multiple:
            raise ValueError(
                f"input_shape of voxelmorph must have sizes that are multiples of {multiple}; the next ones that work "
                f"are {tuple(n and -(-n // multiple) * multiple for n in sizes[:-1])}. Received: input_shape={sizes!r}"
            )


def _features(
    x: keras.KerasTensor, down: tuple[int, ...], up: tuple[int, ...], final: tuple[int, ...]
) -> keras.KerasTensor:
    """The U-Net of figure 2: one convolution per level, skips also at full size."""
    rank = len(x.shape) - 2
    pool, grow = (layers.MaxPooling2D, layers.UpSampling2D) if rank == 2 else (layers.MaxPooling3D, layers.UpSampling3D)
    skips = []
    for level, filters in enumerate(down, start=1):
        x = _conv(x, filters, f"stage{level}")
        skips.append(x)
        # TensorFlow has no such pooling of float16 volumes on the CPU.
        precision = _FLOAT32 if rank == 3 else {}
        x = pool(2, name=f"stage{level}_pool", **precision, **_FORMAT)(x)
    for level, filters in zip(range(len(down), 0, -1), up, strict=True):
        x = _conv(x, filters, f"decoder{level}")
        x = grow(2, name=f"decoder{level}_up", **_FORMAT)(x)
        x = layers.Concatenate(name=f"decoder{level}_concat")([x, skips[level - 1]])
    for number, filters in enumerate(final, start=1):
        x = _conv(x, filters, f"final{number}")
    return x


def _conv(x: keras.KerasTensor, filters: int, prefix: str) -> keras.KerasTensor:
    conv = layers.Conv2D if len(x.shape) == 4 else layers.Conv3D
    x = conv(filters, 3, padding="same", kernel_initializer="he_normal", name=f"{prefix}_conv", **_FORMAT)(x)
    return layers.LeakyReLU(0.2, name=f"{prefix}_out")(x)


def _integrated(
    flow: keras.KerasTensor, int_steps: int, int_resolution: int
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the velocity, in pixels of its own size, and the field."""
    rank = len(flow.shape) - 2
    if int_steps == 0:
        return layers.Identity(name="velocity", **_FLOAT32)(flow), layers.Identity(name="field", **_FLOAT32)(flow)
    if int_resolution == 1:
        velocity = layers.Identity(name="velocity", **_FLOAT32)(flow)
        return velocity, ScalingAndSquaring(int_steps, name="field", **_FLOAT32)(velocity)
    halve = layers.AveragePooling2D if rank == 2 else layers.AveragePooling3D
    velocity = halve(2, name="halved", **_FLOAT32, **_FORMAT)(flow)
    velocity = layers.Rescaling(0.5, name="velocity", **_FLOAT32)(velocity)
    half = ScalingAndSquaring(int_steps, name="integrated", **_FLOAT32)(velocity)
    doubled = BilinearDoubling(name="doubled", **_FLOAT32)(half)
    return velocity, layers.Rescaling(2.0, name="field", **_FLOAT32)(doubled)
