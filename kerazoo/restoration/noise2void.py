"""Noise2Void: denoising learnt from the noisy images alone, and its second version.

A. Krull, T.-O. Buchholz, F. Jug, "Noise2Void - Learning Denoising from Single Noisy Images", arXiv:1811.10980 (CVPR
2019); E. Hoeck, T.-O. Buchholz, A. Brachmann, F. Jug, A. Freytag, "N2V2 - Fixing Noise2Void Checkerboard Artifacts with
Modified Sampling Strategies and a Tweaked Network Architecture", arXiv:2211.08512 (ECCV workshops 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import keras

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.restoration._shared import pixel_head


class Noise2VoidOptions(TypedDict, total=False):
    """Keyword arguments of both versions."""

    filters: int
    depth: int
    kernel_size: int
    normalization: str | None
    output_activation: Any
    include_preprocessing: bool | tuple[float, float]
    weights: str | None
    dtype: str | None
    name: str


@register_model
def noise2void(
    input_shape: Sequence[int | None] = (64, 64, 1),
    num_channels: int = 1,
    *,
    filters: int = 32,
    depth: int = 2,
    kernel_size: int = 3,
    normalization: str | None = "batch",
    residual: bool | str = False,
    blur_pool: bool = False,
    top_skip: bool = True,
    output_activation: Any = None,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "noise2void",
) -> keras.Model:
    """U-Net that learns to denoise from noisy images or volumes without any clean one.

    A pixel is hidden from the network, which has to guess it from those around; noise that differs from pixel to pixel
    cannot be guessed. `kerazoo.restoration.blind_spots.blind_spots` hides pixels, and `kerazoo.losses.BlindSpot`
    looks at the hidden ones alone. Images are expected with the mean and spread of the training set moved to 0 and 1.

    Every fixed size works: an odd map is halved upwards and the up-sampled map is cropped to its partner. A size left
    open (`None`) must be a multiple of `2 ** depth` when the model is called.

    Args:
        input_shape: Shape of one image (height, width, channels) or volume (depth, height, width, channels).
        filters: Filters of the first level; they double with every level. The paper has 96 for natural images.
        depth: Number of times the map is halved.
        kernel_size: Size of the kernels along each axis.
        normalization: `"batch"` after every convolution, or `None`.
        residual: Whether the network only says what is to be added to its input; `"auto"`: where there are as many
            channels out as in.
        blur_pool: Whether maps are blurred before they are halved, against checkerboard patterns.
        top_skip: Whether the features of full resolution are handed over to the end.

    Returns:
        A flat functional `keras.Model`, (batch, height, width, channels) -> (batch, height, width, num_channels), or
        the same with a depth.

    Example:
        >>> from kerazoo.restoration.blind_spots import blind_spots
        >>> model = kerazoo.noise2void((None, None, 1), 1)
        >>> model.compile("adam", kerazoo.losses.BlindSpot())
        >>> hidden, targets = blind_spots(patch, np.random.default_rng(0))
        >>> model.fit(hidden[None], targets[None])

    References:
        Krull, Buchholz, Jug (2019), https://arxiv.org/abs/1811.10980; the second version: Hoeck et al. (2022),
        https://arxiv.org/abs/2211.08512
    """
    sizes = checks.image_shape(input_shape, model=name, ranks=(3, 4))
    num_channels = checks.positive_int("num_channels", num_channels)
    filters, depth = checks.positive_int("filters", filters), checks.positive_int("depth", depth)
    kernel_size = checks.positive_int("kernel_size", kernel_size)
    checks.one_of("normalization", normalization, (None, "batch"))
    checks.flag("blur_pool", blur_pool)
    checks.flag("top_skip", top_skip)

    inputs, image = blocks.image_input(sizes, include_preprocessing)
    x = blocks.unet_path(
        image,
        filters,
        depth,
        kernel_size=kernel_size,
        normalization=normalization,
        blur_pool=blur_pool,
        top_skip=top_skip,
    )
    return keras.Model(inputs, pixel_head(x, image, num_channels, residual, output_activation), name=name)


@register_model(family=noise2void)
def n2v2(
    input_shape: Sequence[int | None] = (64, 64, 1),
    num_channels: int = 1,
    *,
    residual: bool | str = False,
    blur_pool: bool = True,
    top_skip: bool = False,
    **options: Unpack[Noise2VoidOptions],
) -> keras.Model:
    """Noise2Void without checkerboard patterns: blurred before each halving, no residual, no skip at full resolution.

    Its hidden pixels are replaced by the median or mean of those around (`manipulator="median"`).

    Example:
        >>> model = kerazoo.n2v2((None, None, 1), 1)
    """
    return noise2void(input_shape, num_channels, residual=residual, blur_pool=blur_pool, top_skip=top_skip, **options)
